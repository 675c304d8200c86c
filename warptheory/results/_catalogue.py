"""The catalogue of results: one file each, found by looking in the folders of their sections."""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from warptheory.core.catalogue import Catalogue
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.text import matches
from warptheory.results._result import Result

# What asks for a result; a label may be a pattern where several are asked for.
ResultOrLabel = str | Result

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


def get(label: ResultOrLabel) -> Result:
    """Return a result by its label, small letters will do; one of the catalogue is returned as it is.

    Raises:
        UnknownNameError: no result of that label.
        ArgumentError: a result that is not in the catalogue.
    """
    if isinstance(label, Result):
        if _all().get(label.label) is not label:
            raise ArgumentError("result", expected="a result of the catalogue, or its label", received=label)
        return label
    found = [each for each in _all().values() if isinstance(label, str) and each.label.lower() == label.lower()]
    if not found:
        raise UnknownNameError("result", label, _all())
    return found[0]


def match(patterns: ResultOrLabel | Sequence[ResultOrLabel]) -> list[Result]:
    """Return the results whose label matches a shell-style pattern, in small letters too, in the catalogue's order.

    Args:
        patterns: a label or pattern, such as "A4" or "A*", a result, or several of them.

    Raises:
        UnknownNameError: a pattern that matches no label.
        ArgumentError: a result that is not in the catalogue.
    """
    found = {result.label for result in matched(patterns)}
    return [result for label, result in _all().items() if label in found]


def matched(patterns: ResultOrLabel | Sequence[ResultOrLabel]) -> list[Result]:
    """Return what `match` does, each result once, in the order in which they are asked for."""
    several = patterns if isinstance(patterns, Iterable) and not isinstance(patterns, str) else [patterns]
    found = {result.label: result for pattern in several for result in _of(pattern)}
    return list(found.values())


def _of(pattern: ResultOrLabel) -> list[Result]:
    if isinstance(pattern, Result):
        return [get(pattern)]
    found = [result for label, result in _all().items() if isinstance(pattern, str) and matches(label, [pattern])]
    if not found:
        raise UnknownNameError("result", pattern, _all())
    return found
