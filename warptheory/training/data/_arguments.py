"""Checks of options that several data sets take."""

from numbers import Integral, Real
from typing import Any

from warptheory.core.errors import ArgumentError


def check_integer(argument: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Raise ArgumentError unless a value is an integer from `least` to `most`, both included."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        expected = f"an integer ≥ {least}" if most is None else f"an integer in {least} … {most}"
        raise ArgumentError(argument, expected=expected, received=repr(value))


def check_share(argument: str, value: Any) -> None:
    """Raise ArgumentError unless a value is a number strictly between 0 and 1."""
    if not isinstance(value, Real) or not 0 < float(value) < 1:
        raise ArgumentError(argument, expected="a number between 0 and 1, both excluded", received=repr(value))


def check_flag(argument: str, value: Any) -> None:
    """Raise ArgumentError unless a value is True or False: the text "no" would count as true."""
    if not isinstance(value, bool):
        raise ArgumentError(argument, expected="True or False", received=repr(value))
