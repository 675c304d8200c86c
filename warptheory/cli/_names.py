"""Names that options take, checked against what there is before anything slow is loaded.

Each function is the callback of an option or argument: it returns what was given, an alias replaced by what it stands
for, and raises an error that names what is near for a name that there is not.
"""

import re
from collections.abc import Iterable
from typing import TypeVar

from warptheory.cli import _contents as contents
from warptheory.core.catalogue import aliases, entry_modules, resolve
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.source_reading import read_module
from warptheory.core.text import matches, matching

_KERNELS = "warptheory.kernels"
_LAWS = "warptheory.fields.laws"
_DATA = "warptheory.training.data"
_SCRIPTS = ("warptheory.paper.analyses", "warptheory.paper.figures", "warptheory.paper.benchmarks")
_WORD = re.compile(r"\s*([\w-]+)\s*(?:\(.*)?", re.DOTALL)
_NETWORK = "selfwarp-"


def kernel(value: str | None) -> str | None:
    """Check the name of a kernel, or of one that is called; its parameters are checked when it is built."""
    if value is None:
        return None
    whole = resolve(_KERNELS, value)
    found = _WORD.fullmatch(whole)
    if found is not None and found[1] not in entry_modules(_KERNELS):
        raise UnknownNameError("kernel", value, entry_modules(_KERNELS), aliases(_KERNELS))
    return whole


def offsets(value: str | None) -> str | None:
    """Check the name of the offsets' law."""
    return _known(value, "offsets", entry_modules(_LAWS))


def inputs(value: str | None) -> str | None:
    """Check the name of the input's law."""
    return _known(value, "inputs", entry_modules(_LAWS))


def dim(value: int | None) -> int | None:
    """Check the number of axes."""
    if value not in (None, 1, 2, 3):
        raise ArgumentError("dim", expected="1, 2 or 3", received=value)
    return value


def profile(value: str) -> str:
    """Check the name of a profile."""
    module = read_module("warptheory.montecarlo")
    known = None if module is None else module.value("PROFILES")
    return _known(value, "profile", known) if isinstance(known, dict) else value


def data(value: str) -> str:
    """Check the name of a data set."""
    return _known(value, "data", entry_modules(_DATA))


def optional_data(value: str | None) -> str | None:
    """Check the name of a data set, where one is given."""
    return None if value is None else data(value)


def network(value: str) -> str:
    """Check the name of a network: those that are listed, and others of the same families."""
    patterns = contents.network_patterns()
    plain = value.removeprefix(_NETWORK)
    if patterns and not any(re.fullmatch(pattern, plain, re.ASCII) for pattern in patterns):
        raise UnknownNameError("model", value, [entry.name for entry in contents.networks()])
    return value


def label(value: str) -> str:
    """Check the label of a result, and return it as it is written there."""
    found = [known for known in contents.labels() if known.lower() == value.lower()]
    if not found:
        raise UnknownNameError("label", value, contents.labels())
    return found[0]


def label_patterns(value: list[str] | None) -> list[str] | None:
    """Check labels of results, or patterns that some of them fit."""
    for pattern in value or ():
        if not any(matches(known, [pattern]) for known in contents.labels()):
            raise UnknownNameError("patterns", pattern, contents.labels())
    return value


def analysis(value: str) -> str:
    """Check the name of an analysis."""
    return _known(value, "name", entry_modules(_SCRIPTS[0]))


def figure(value: str) -> str:
    """Check the number or the name of a figure."""
    known = entry_modules(_SCRIPTS[1])
    numbers = [name.partition("_")[0].removeprefix("figure") for name in known]
    return value if value in numbers else _known(value, "number", known)


def benchmark(value: str) -> str:
    """Check the name of a benchmark."""
    return _known(value, "name", entry_modules(_SCRIPTS[2]))


def parts(value: list[str] | None) -> list[str] | None:
    """Check the names of parts of the run, or patterns that some of them fit."""
    known = [*(name for package in _SCRIPTS for name in entry_modules(package)), "report"]
    for pattern in value or ():
        if not matching(known, pattern):
            raise UnknownNameError("only", pattern, known)
    return value


def check_quantity(value: str | None, label: str) -> None:
    """Check the name or label of a quantity of the result with a label; None is the first or all of them."""
    (result,) = [result for result in contents.results() if result.label == label]
    _known(
        value, "quantity", [name for quantity in result.quantities for name in (quantity.name, quantity.label) if name]
    )


_Name = TypeVar("_Name", str, str | None)


def _known(value: _Name, argument: str, known: Iterable[str]) -> _Name:
    if value is not None and value not in (names := list(known)):
        raise UnknownNameError(argument, value, names)
    return value
