"""The theorems, one file each: state it, derive it, give a number, name the experiment that could refute it.

>>> import warptheory as wt
>>> wt.results.get("A3").expression
2*sigma**2/3
"""

import importlib
from functools import cache

from warptheory.core.catalogue import entry_modules
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.results._check import check
from warptheory.results._claims import Case, Prepared
from warptheory.results._power import not_planted, power
from warptheory.results._ranges import Range
from warptheory.results._replay import replay
from warptheory.results._result import DEFAULT_VALUES, PIXEL, Quantity, Result, Setting
from warptheory.results._run import Progress
from warptheory.results._sweep import Choice, replay_sweep, sweep

__all__ = [
    "DEFAULT_VALUES",
    "PIXEL",
    "Case",
    "Choice",
    "Prepared",
    "Progress",
    "Quantity",
    "Range",
    "Result",
    "Setting",
    "check",
    "get",
    "labels",
    "match",
    "not_planted",
    "power",
    "replay",
    "replay_sweep",
    "sweep",
]


@cache
def _all() -> dict[str, Result]:
    found = [importlib.import_module(module).RESULT for module in entry_modules(__name__).values()]
    return {result.label: result for result in sorted(found, key=lambda r: (r.label[0], int(r.label[1:])))}


def labels() -> list[str]:
    """Return the labels of all results, in order."""
    return list(_all())


def get(label: str) -> Result:
    """Return a result by its label.

    Raises:
        UnknownNameError: no result of that label.
    """
    if not isinstance(label, str) or label not in _all():
        raise UnknownNameError("result", label, _all())
    return _all()[label]


def match(patterns: list[str]) -> list[Result]:
    """Return the results whose label matches one of the shell-style patterns, in order.

    Args:
        patterns: labels or patterns, such as "A4" or "A*".

    Raises:
        UnknownNameError: a pattern that matches no label.
        ArgumentError: one text, whose letters would be patterns.
    """
    from fnmatch import fnmatchcase

    if isinstance(patterns, str):
        raise ArgumentError("patterns", expected="a list of labels or patterns", received=repr(patterns))
    for pattern in patterns:
        if not isinstance(pattern, str) or not any(fnmatchcase(label, pattern) for label in _all()):
            raise UnknownNameError("result", pattern, _all())
    return [result for label, result in _all().items() if any(fnmatchcase(label, pattern) for pattern in patterns)]
