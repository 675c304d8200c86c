"""Catalogues: the entries of a folder, found by looking in it.

An entry is one module. Modules whose name starts with an underscore are the machinery that the
entries share and are not listed. No list of names is kept anywhere. An entry may have aliases, names that other
libraries give it: its module has them in ALIASES, as {alias: name}.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Generic, TypeVar

from warptheory.core.errors import UnknownNameError
from warptheory.core.source_reading import UNREAD, ModuleSource, package_folders, read_module

_Entry = TypeVar("_Entry", covariant=True)


@cache
def entry_modules(package: str) -> dict[str, str]:
    """Map each entry's name to its dotted module name, looking in sub-folders too; nothing is imported.

    Args:
        package: dotted name of the package whose folder is the catalogue.

    Raises:
        ImportError: two entries of one name.
    """
    found: dict[str, str] = {}
    for name, module in _modules_in(package):
        if name in found:
            raise ImportError(f"{package} has two entries named {name}: {found[name]} and {module}")
        found[name] = module
    return found


def _modules_in(package: str) -> Iterator[tuple[str, str]]:
    for module in pkgutil.iter_modules(map(str, package_folders(package))):
        if module.ispkg:
            yield from _modules_in(f"{package}.{module.name}")
        elif not module.name.startswith("_"):
            yield module.name, f"{package}.{module.name}"


def entry_source(module: str) -> ModuleSource:
    """Return the source of an entry's module, which is not imported; raises ImportError if there is none."""
    source = read_module(module)
    if source is None:
        raise ImportError(f"{module} has no source")
    return source


@cache
def exported_names(package: str) -> dict[str, str]:
    """Map each name that an entry lists in its `__all__` to the entry's module; files are read, not imported.

    Args:
        package: dotted name of the catalogue's package, which may be in the middle of its own import.

    Raises:
        ImportError: two entries of one name, or that export one name.
    """
    found: dict[str, str] = {}
    for module in entry_modules(package).values():
        exported = entry_source(module).value("__all__")
        for name in exported if isinstance(exported, tuple) else ():
            if name in found:
                raise ImportError(f"{found[name]} and {module} both export {name}")
            found[name] = module
    return found


@cache
def aliases(package: str) -> Mapping[str, str]:
    """Map the aliases of a catalogue's entries to the names they stand for; files are read, not imported.

    Args:
        package: dotted name of the catalogue's package.

    Raises:
        ImportError: an alias that is an entry's name, or that two entries have.
    """
    found: dict[str, str] = {}
    modules = entry_modules(package)
    for module in modules.values():
        source = entry_source(module)
        declared = source.value("ALIASES") if "ALIASES" in source.text else UNREAD
        for alias, name in declared.items() if isinstance(declared, Mapping) else ():
            if alias in found or alias in modules:
                raise ImportError(f"{module} has the alias {alias}, which is taken")
            found[alias] = name
    return found


def resolve(package: str, name: str) -> str:
    """Return the name that an alias of a catalogue's entry stands for; any other name as it is.

    Args:
        package: dotted name of the catalogue's package.
        name: a name.
    """
    is_alias = isinstance(name, str) and name not in entry_modules(package)
    return aliases(package).get(name, name) if is_alias else name


def load_entry(package: str, name: str, argument: str) -> ModuleType:
    """Import the module of one entry.

    Args:
        package: dotted name of the catalogue's package.
        name: the entry's name, which is its file's name.
        argument: the caller's name for `name`, used in the error.

    Raises:
        UnknownNameError: no such entry; the message lists the ones that exist.
    """
    modules = entry_modules(package)
    if not isinstance(name, str) or name not in modules:
        raise UnknownNameError(argument, name, modules, aliases(package))
    return importlib.import_module(modules[name])


@dataclass(frozen=True)
class Catalogue(Generic[_Entry]):
    """The entries of a package's folder, one object in each of its modules.

    Attributes:
        package: dotted name of the package.
        argument: what callers call the name of an entry, used in errors.
        attribute: name of the object in its module; by default that of the module.
    """

    package: str
    argument: str = "name"
    attribute: str = ""

    def names(self) -> list[str]:
        """Return the names of all entries, in alphabetical order."""
        return sorted(entry_modules(self.package))

    def resolve(self, name: str) -> str:
        """Return the name that an alias stands for; any other name as it is."""
        return resolve(self.package, name)

    def get(self, name: str, argument: str = "") -> _Entry:
        """Return an entry by its name.

        Args:
            name: a name in `names()`.
            argument: the caller's name for `name`, used in errors, if it is another one.

        Raises:
            UnknownNameError: no such entry; the message lists the ones that exist.
        """
        module = load_entry(self.package, name, argument or self.argument)
        entry: _Entry = getattr(module, self.attribute or name)
        return entry

    def all(self) -> list[_Entry]:
        """Return all entries, in the order of their names."""
        return [self.get(name) for name in self.names()]
