"""What there is: every entry of every catalogue, read from the source files, so that nothing slow is loaded.

The contract of results compares what is read here with what a result has when it is imported. A result that cannot be
read, since its quantities do not follow from literals, is imported, and kept in the cache until a source changes.
"""

import ast
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from warptheory.core.catalogue import aliases, entry_modules, entry_source, exported_names
from warptheory.core.source_reading import (
    UNREAD,
    ModuleSource,
    SourceCall,
    SourceStep,
    read_module,
    summary_of,
)
from warptheory.core.symbol_meanings import explanation
from warptheory.core.text import natural

RESULTS = "warptheory.results"

# Kinds whose entries are found alike: a file each, which says in its first paragraph what it is.
_PLAIN = {
    "kernels": "warptheory.kernels",
    "laws": "warptheory.fields.laws",
    "boundary rules": "warptheory.warping.boundaries",
    "data sets": "warptheory.training.data",
    "image pairs": "warptheory.training.pairs",
    "analyses": "warptheory.paper.analyses",
    "figures": "warptheory.paper.figures",
    "benchmarks": "warptheory.paper.benchmarks",
}
_COVARIANCES = "warptheory.fields.covariance"
_OPERATORS = "warptheory.operators"
_NETWORKS = "warptheory.networks"
_COMMANDS = "warptheory.cli.commands"
_WARPED = "selfwarp-"


@dataclass(frozen=True)
class ListedAlias:
    """Another name of an entry.

    Attributes:
        name: the name.
        whole: what it stands for: the entry's name, or a call of it, such as "keys(-0.75)".
    """

    name: str
    whole: str

    @property
    def is_call(self) -> bool:
        """Whether it stands for the entry with some parameters."""
        return "(" in self.whole


@dataclass(frozen=True)
class ListedEntry:
    """An entry of a catalogue.

    Attributes:
        name: its name.
        title: what it is, in a sentence.
        aliases: other names that it is found by.
    """

    name: str
    title: str
    aliases: tuple[ListedAlias, ...] = ()


@dataclass(frozen=True)
class ListedQuantity:
    """A quantity of a result.

    Attributes:
        name: its name.
        label: its own label; empty for most.
    """

    name: str
    label: str = ""


@dataclass(frozen=True)
class ListedResult:
    """A result.

    Attributes:
        label: its label, such as "A4".
        title: its title.
        section: what its section is about.
        quantities: its quantities, in their order.
    """

    label: str
    title: str
    section: str
    quantities: tuple[ListedQuantity, ...]


@dataclass(frozen=True)
class ListedSymbol:
    """A symbol that a sweep can run through.

    Attributes:
        name: its name.
        meaning: what it stands for; where results have one of their own, behind their labels.
        standard: the value at which results are checked, unless they have one of their own.
        low: the smallest value of the range around it.
        high: the largest.
        standard_in: label of the result that these are of; empty where they are common to all results.
        results: labels of the results that have a value and a range of their own.
    """

    name: str
    meaning: str
    standard: float
    low: float
    high: float
    standard_in: str
    results: tuple[str, ...]


Listed = ListedResult | ListedEntry | ListedSymbol


@cache
def results() -> tuple[ListedResult, ...]:
    """Return all results, in the order of their labels."""
    found = (_result(module) for module in entry_modules(RESULTS).values())
    return tuple(sorted(found, key=lambda result: natural(result.label)))


def labels() -> list[str]:
    """Return the labels of all results, in order."""
    return [result.label for result in results()]


def kinds() -> dict[str, Callable[[], Sequence[Listed]]]:
    """Return, by kind, what finds all that there is of it."""
    plain = {kind: partial(_plain, package) for kind, package in _PLAIN.items()}
    return {
        "results": results,
        "kernels": plain.pop("kernels"),
        "laws": plain.pop("laws"),
        "covariances": _covariances,
        "boundary rules": plain.pop("boundary rules"),
        "operators": _operators,
        "networks": networks,
        "data sets": plain.pop("data sets"),
        "image pairs": plain.pop("image pairs"),
        **plain,
        "commands": _commands,
        "symbols": symbols,
    }


def symbols() -> list[ListedSymbol]:
    """Return the symbols that have a standard value somewhere, in the order of their names.

    The value is that of all results where there is one; else that of the first result that has one.
    """
    package = read_module(RESULTS)
    found = {} if package is None else dict(_ranges(_items(package.value("DEFAULT_VALUES"))))
    common = frozenset(found)
    owners: dict[str, list[str]] = {}
    modules = map(entry_source, entry_modules(RESULTS).values())
    for module in sorted(modules, key=lambda module: natural(_label(module))):
        for name, bounds in _own_ranges(module):
            found.setdefault(name, bounds)
            owners.setdefault(name, []).append(_label(module))
    shared, own = _notations()
    return [
        ListedSymbol(
            name,
            _meaning(name, shared, own),
            *found[name],
            "" if name in common else owners[name][0],
            tuple(dict.fromkeys(owners.get(name, ()))),
        )
        for name in sorted(found, key=lambda name: (name.lower(), name))
    ]


# Meanings by the labels of the results that say so, by the symbols' names.
_OwnNotation = Mapping[str, Mapping[str, Sequence[str]]]


def _notations() -> tuple[Mapping[str, str], _OwnNotation]:
    """Return the meanings of symbols that all results share, and of those that results say, as `results.glossary`."""
    own: dict[str, dict[str, list[str]]] = {}
    for module in map(entry_source, entry_modules(RESULTS).values()):
        declared = module.value("result")
        for name, meaning in _items(declared.keywords.get("notation") if isinstance(declared, SourceCall) else None):
            own.setdefault(name, {}).setdefault(meaning, []).append(_label(module))
    package = read_module(RESULTS)
    glossary = None if package is None else package.definition("glossary")
    return dict(() if glossary is None else _items(glossary[0].value("COMMON"))), own


def _meaning(name: str, shared: Mapping[str, str], own: _OwnNotation) -> str:
    """Return what a symbol stands for, in all results and in those that say so."""
    said = explanation(name, own, {}) or {}
    parts = [f"{', '.join(sorted(labels_of, key=natural))}: {meaning}" for meaning, labels_of in said.items()]
    return "; ".join(filter(None, [explanation(name, {}, shared), *parts]))


def network_patterns() -> list[str]:
    """Return regular expressions that the names of all networks fit, but for the prefix of those that warp."""
    found = (_family(module)[0] for module in entry_modules(_NETWORKS).values())
    return [pattern for pattern in found if isinstance(pattern, str)]


def _plain(package: str) -> list[ListedEntry]:
    return [_entry(package, name, module) for name, module in sorted(entry_modules(package).items())]


def _entry(package: str, name: str, module: str) -> ListedEntry:
    of_entry = ((alias, whole) for alias, whole in aliases(package).items() if whole.partition("(")[0] == name)
    also = tuple(ListedAlias(alias, whole) for alias, whole in of_entry)
    return ListedEntry(name, entry_source(module).summary, also)


def _covariances() -> list[ListedEntry]:
    """Return covariances by the names of their classes; those of their files are aliases."""
    names = {entry: entry.name.title().replace("_", "") for entry in _plain(_COVARIANCES)}
    return [replace(entry, name=name, aliases=(ListedAlias(entry.name, name),)) for entry, name in names.items()]


def _operators() -> list[ListedEntry]:
    """Return operators by their files; the layers and functions that a file offers are aliases."""
    offered: dict[str, list[str]] = {}
    for name, module in sorted(exported_names(_OPERATORS).items()):
        offered.setdefault(module, []).append(name)
    return [
        ListedEntry(
            name, entry_source(module).summary, tuple(ListedAlias(each, name) for each in offered.get(module, ()))
        )
        for name, module in sorted(entry_modules(_OPERATORS).items())
    ]


def networks() -> list[ListedEntry]:
    """Return the networks that have a name of their own; their families have more."""
    found = []
    for module in sorted(entry_modules(_NETWORKS).values()):
        _, names = _family(module)
        title = entry_source(module).summary
        for name in names if isinstance(names, tuple) else ():
            found += [ListedEntry(name, f"{title} Its plain twin."), ListedEntry(f"{_WARPED}{name}", title)]
    return sorted(found, key=lambda entry: natural(entry.name))


def _family(module: str) -> tuple[Any, Any]:
    """Return the pattern and the names of a family of networks."""
    family = entry_source(module).value("FAMILY")
    return family.arguments[:2] if isinstance(family, SourceCall) and len(family.arguments) >= 2 else (UNREAD, UNREAD)


def _commands() -> list[ListedEntry]:
    found = []
    for name, module in sorted(entry_modules(_COMMANDS).items()):
        _, definition = entry_source(module).definition("command") or (None, None)
        title = summary_of(definition) if isinstance(definition, ast.FunctionDef) else entry_source(module).summary
        found.append(ListedEntry(name, title))
    return found


def _result(module: str) -> ListedResult:
    source = entry_source(module)
    section = read_module(module.rpartition(".")[0])
    of_section = "" if section is None else section.summary
    declared = source.value("result")
    head = declared.arguments[:2] if isinstance(declared, SourceCall) else (UNREAD,)
    quantities = tuple(_quantities(source.calls()))
    read = [*head, *(quantity.name for quantity in quantities), *(quantity.label for quantity in quantities)]
    if len(head) < 2 or not quantities or not all(isinstance(text, str) for text in read):
        return _imported(module, of_section)
    return ListedResult(str(head[0]), str(head[1]), of_section, quantities)


def _imported(module: str, section: str) -> ListedResult:
    """Return a result that cannot be read, by importing it, or from the cache."""
    from warptheory.core.cache import DERIVATION_ROOMS, cached_text

    def make() -> str:
        from importlib import import_module

        result = import_module(module).result
        return json.dumps([result.label, result.title, [[each.name, each.label] for each in result.quantities]])

    label, title, quantities = json.loads(cached_text({"list": module}, DERIVATION_ROOMS, make))
    return ListedResult(label, title, section, tuple(ListedQuantity(*quantity) for quantity in quantities))


def _quantities(steps: Iterable[SourceStep]) -> Iterator[ListedQuantity]:
    """Yield the quantities that calls declare, `result.quantity(…)` itself or within functions that are called."""
    for step in steps:
        call = step.node
        while isinstance(call.func, ast.Call):  # result.quantity(…)(states)
            call = call.func
        if isinstance(call.func, ast.Attribute) and call.func.attr == "quantity":
            keywords = {each.arg: each.value for each in call.keywords}
            name = call.args[0] if call.args else keywords["name"]
            yield ListedQuantity(step.read(name), step.read(keywords["label"]) if "label" in keywords else "")
        else:
            yield from _quantities(replace(step, node=call).inside())


_Bounds = tuple[float, float, float]  # standard value, smallest, largest


def _own_ranges(module: ModuleSource) -> Iterator[tuple[str, _Bounds]]:
    """Yield the symbols that a result or its quantities have values of, with their ranges."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.keyword) and node.arg == "values":
            yield from _ranges(_items(module.read(node.value)))
        elif isinstance(node, ast.Dict):
            pairs = ((key, value) for key, value in zip(node.keys, node.values, strict=True) if key is not None)
            yield from _ranges((module.read(key), module.read(_standing_for(value))) for key, value in pairs)


def _standing_for(node: ast.expr) -> ast.expr:
    """Return one of the ranges where they differ by kernel or number of axes, the first."""
    if isinstance(node, ast.Subscript):
        return node.value
    return node.body if isinstance(node, ast.IfExp) else node


def _items(values: Any) -> Iterable[tuple[Any, Any]]:
    return values.items() if isinstance(values, Mapping) else ()


def _ranges(values: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, _Bounds]]:
    """Yield those that are ranges of values that have names, the names of symbols."""
    for name, value in values:
        bounds = _bounds(value) if isinstance(name, str) else None
        if bounds is not None:
            yield name, bounds


def _bounds(value: Any) -> _Bounds | None:
    """Return standard value and bounds of a range as it is written, such as Range(0.3, low=0.1, high=0.9)."""
    if isinstance(value, Mapping):  # by the number of axes
        value = next(iter(value.values()), None)
    if not isinstance(value, SourceCall) or value.function not in ("Range", "whole", "limit"):
        return None
    given = {**dict(zip(("standard", "low", "high"), value.arguments, strict=False)), **value.keywords}
    standard = given.get("standard", given.get("value"))
    low, high = given.get("low", standard), given.get("high", standard)
    bounds = [float(number) for number in (standard, low, high) if isinstance(number, int | float)]
    return (bounds[0], bounds[1], bounds[2]) if len(bounds) == 3 else None


def _label(module: ModuleSource) -> str:
    declared = module.value("result")
    return str(declared.arguments[0]) if isinstance(declared, SourceCall) and declared.arguments else module.name
