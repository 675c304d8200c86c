"""The catalogue of results: one file each, found by looking in the folders of their sections."""

import re
from collections.abc import Sequence
from functools import cache

from warptheory.core.catalogue import Catalogue
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.text import matches
from warptheory.results._result import Result

# A letter for the section, a number, and perhaps another letter.
_LABEL = re.compile("([A-Z])([0-9]+)([a-z]?)")


@cache
def _all() -> dict[str, Result]:
    found = Catalogue[Result]("warptheory.results", attribute="result").all()
    return {result.label: result for result in sorted(found, key=_place)}


def _place(result: Result) -> tuple[str, int, str]:
    """Return where a result stands among the others.

    Raises:
        ArgumentError: a label that is not a letter, a number and perhaps another letter.
    """
    found = _LABEL.fullmatch(result.label)
    if found is None:
        expected = "a capital letter, a number and perhaps a small letter, such as A4 or F7a"
        raise ArgumentError("label", expected=expected, received=repr(result.label))
    section, number, part = found.groups()
    return section, int(number), part


def labels() -> list[str]:
    """Return the labels of all results, in order."""
    return list(_all())


def get(label: str) -> Result:
    """Return a result by its label; small letters will do.

    Raises:
        UnknownNameError: no result of that label.
    """
    found = [each for each in _all().values() if isinstance(label, str) and each.label.lower() == label.lower()]
    if not found:
        raise UnknownNameError("result", label, _all())
    return found[0]


def match(patterns: Sequence[str]) -> list[Result]:
    """Return the results whose label matches one of the shell-style patterns, in order; small letters will do.

    Args:
        patterns: labels or patterns, such as "A4" or "A*".

    Raises:
        UnknownNameError: a pattern that matches no label.
        ArgumentError: one text, whose letters would be patterns.
    """
    if isinstance(patterns, str):
        raise ArgumentError("patterns", expected="a list of labels or patterns", received=repr(patterns))
    for pattern in patterns:
        if not isinstance(pattern, str) or not any(matches(label, [pattern]) for label in _all()):
            raise UnknownNameError("result", pattern, _all())
    return [result for label, result in _all().items() if matches(label, patterns)]
