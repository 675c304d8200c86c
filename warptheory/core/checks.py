"""Checks of single arguments, which many rooms make alike."""

import math
from numbers import Integral, Real

from warptheory.core.errors import ArgumentError


def check_integer(argument: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`, both included; NumPy's are taken, True and False are not.

    Raises:
        ArgumentError: anything else.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if whole and int(value) >= least and (most is None or int(value) <= most):  # type: ignore[call-overload]
        return int(value)  # type: ignore[call-overload]
    if most is not None:
        expected = f"an integer in {least} … {most}"
    else:
        expected = "a positive integer" if least == 1 else f"an integer ≥ {least}"
    raise ArgumentError(argument, expected=expected, received=repr(value))


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
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    fits = (
        (least is None or number >= least) and (above is None or number > above) and (below is None or number < below)
    )
    if math.isfinite(number) and fits:
        return number
    bounds = ((" ≥ ", least), (" > ", above), (" < ", below))
    told = " and".join(f"{sign}{bound:g}" for sign, bound in bounds if bound is not None)
    raise ArgumentError(argument, expected=f"a finite number{told}", received=repr(value))


def check_flag(argument: str, value: object) -> bool:
    """Return True or False; the text "no" would count as true.

    Raises:
        ArgumentError: anything else.
    """
    if not isinstance(value, bool):
        raise ArgumentError(argument, expected="True or False", received=repr(value))
    return value
