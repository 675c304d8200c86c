"""What numbers the symbols of a quantity may stand for."""

from collections.abc import Callable, Mapping, Set
from types import MappingProxyType

import sympy as sp

from warptheory.core.checks import check_number
from warptheory.core.errors import ArgumentError
from warptheory.kernels import FractionSymbol

# Layers and pixels are gone through one by one, in closed forms and in experiments.
MOST_COUNTED = 2**16

# What a symbol stands for: whether a number fits, and how that is said.
_KINDS: Mapping[str, tuple[Callable[[float], bool], str]] = MappingProxyType(
    {
        "fraction": (lambda value: 0 <= value < 1, "a number in [0, 1)"),
        "positive integer": (lambda value: value > 0 and value.is_integer(), "a whole number > 0"),
        "integer": (float.is_integer, "a whole number"),
        "positive": (lambda value: value > 0, "a number > 0"),
        "nonnegative": (lambda value: value >= 0, "a number ≥ 0"),
        "real": (lambda value: True, "a number"),
    }
)


def kinds_of(form: sp.Expr, drawn: Set[str], standard: Mapping[str, float]) -> dict[str, str]:
    """Return what the symbols of a quantity stand for, by name.

    Args:
        form: its closed form.
        drawn: names of what its experiment needs.
        standard: standard values; those with a `Range` tell of symbols that are not in the form.
    """
    known = {symbol.name: _kind(symbol) for symbol in form.free_symbols}
    return {**{name: getattr(standard.get(name), "kind", "positive") for name in drawn}, **known}


def check_symbol(name: str, value: object, kind: str) -> float:
    """Return the number that a symbol is to have.

    Raises:
        ArgumentError: it is not finite, not of that kind, or counts too many.
    """
    number = check_number(name, value)
    fits, expected = _KINDS[kind]
    if not fits(number):
        raise ArgumentError(name, expected=expected, received=value)
    if kind == "positive integer" and number > MOST_COUNTED:
        raise ArgumentError(name, expected=f"{expected}, and at most {MOST_COUNTED}", received=value)
    return number


def _kind(symbol: sp.Symbol) -> str:
    if isinstance(symbol, FractionSymbol):
        return "fraction"
    if symbol.is_integer:
        return "positive integer" if symbol.is_positive else "integer"
    if symbol.is_positive:
        return "positive"
    return "nonnegative" if symbol.is_nonnegative else "real"
