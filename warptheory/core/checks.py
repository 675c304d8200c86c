"""Checks of single arguments, which many rooms make alike."""

import math
import os
from collections.abc import Collection
from numbers import Integral, Real
from typing import TypeGuard

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.text import shown


def check_integer(argument: str, value: object, least: int | None = 1, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`, both included; NumPy's are taken, True and False are not.

    Args:
        argument: name of the argument, as the caller wrote it.
        value: what came.
        least: the least that is taken; None sets no bound.
        most: the largest that is taken; None sets no bound.

    Raises:
        ArgumentError: anything else.
    """
    if is_whole(value):
        number = int(value)
        if (least is None or number >= least) and (most is None or number <= most):
            return number
    raise ArgumentError(argument, expected=_whole_numbers(least, most), received=shown(value))


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number; NumPy's are, True and False are not."""
    return isinstance(value, int | Integral) and not isinstance(value, bool)


def check_known(argument: str, name: object, known: Collection[str]) -> None:
    """Check that a name is one of those that there are.

    Raises:
        UnknownNameError: it is not; the message lists them.
    """
    if name not in tuple(known):  # a mapping would refuse what cannot be hashed in its own way
        raise UnknownNameError(argument, name, known)


def check_number(
    argument: str,
    value: object,
    *,
    least: int | float | None = None,
    above: int | float | None = None,
    below: int | float | None = None,
) -> float:
    """Return a finite number as a float: of at least `least`, above `above`, below `below`; True is no number.

    Raises:
        ArgumentError: anything else.
    """
    number = as_float(value)
    fits = (
        (least is None or number >= least) and (above is None or number > above) and (below is None or number < below)
    )
    if math.isfinite(number) and fits:
        return number
    bounds = ((" ≥ ", least), (" > ", above), (" < ", below))
    told = " and".join(f"{sign}{bound:g}" for sign, bound in bounds if bound is not None)
    raise ArgumentError(argument, expected=f"a finite number{told}", received=shown(value))


def as_float(value: object) -> float:
    """Return a real number in double precision: infinite beyond it, and NaN for what is none, such as True."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def check_flag(argument: str, value: object) -> bool:
    """Return True or False; the text "no" would count as true.

    Raises:
        ArgumentError: anything else.
    """
    if not isinstance(value, bool):
        raise ArgumentError(argument, expected="True or False", received=shown(value))
    return value


def check_fits(argument: str, value: object, size: int) -> None:
    """Check that what a size asks for could be held in this machine's memory, before it is begun.

    Args:
        argument: name of the argument that asks for it.
        value: what came.
        size: bytes that are needed at the least.

    Raises:
        ArgumentError: more than there are in all.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        expected = f"a size that fits into {memory / 2**30:.3g} GiB of memory"
        raise ArgumentError(argument, expected=expected, received=f"{shown(value)}, which takes {size / 2**30:.3g} GiB")


def _whole_numbers(least: int | None, most: int | None) -> str:
    if least is not None and most is not None:
        return f"an integer in {least} … {most}"
    if least == 1:
        return "a positive integer"
    bounds = ("" if least is None else f" ≥ {least}") + ("" if most is None else f" ≤ {most}")
    return f"an integer{bounds}"
