"""Catalogues: the entries of a folder, found by looking in it.

An entry is one module. Modules whose name starts with an underscore are the machinery that the
entries share and are not listed. No list of names is kept anywhere.
"""

import ast
import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from warptheory.core.errors import UnknownNameError

_Entry = TypeVar("_Entry", covariant=True)


@cache
def entry_modules(package: str) -> dict[str, str]:
    """Map each entry's name to its dotted module name, looking in sub-folders too.

    Args:
        package: dotted name of the package whose folder is the catalogue.

    Raises:
        ImportError: two entries of one name.
    """
    root = importlib.import_module(package)
    found: dict[str, str] = {}
    for module in pkgutil.walk_packages(root.__path__, prefix=f"{package}."):
        name = module.name.rpartition(".")[2]
        if module.ispkg or name.startswith("_"):
            continue
        if name in found:
            raise ImportError(f"{package} has two entries named {name}: {found[name]} and {module.name}")
        found[name] = module.name
    return found


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
        for name in _exports(module):
            if name in found:
                raise ImportError(f"{found[name]} and {module} both export {name}")
            found[name] = module
    return found


def _exports(module: str) -> list[str]:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    for statement in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return [str(name.value) for name in ast.walk(statement.value) if isinstance(name, ast.Constant)]
    return []


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
        raise UnknownNameError(argument, name, modules)
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
