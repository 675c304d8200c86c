"""Parameters of fields: what sympy reads, checked, and the number of axes."""

import math
from numbers import Real
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError


def real(name: str, value: Any, without: tuple[type[sp.Basic], ...] = ()) -> sp.Expr:
    """Return a real parameter as an expression; a float stays a float.

    Args:
        name: the argument that it came by.
        value: a number, a sympy expression, or text that sympy reads, such as "1/2".
        without: kinds of symbols that it must not contain.

    Raises:
        ArgumentError: something else, or a number that is not real and finite.
    """
    expression = _read(value)
    if expression is None or expression.is_real is False or (without and expression.atoms(*without)):
        raise ArgumentError(name, expected="a real number or a sympy expression", received=repr(value))
    return expression


def positive(name: str, value: Any) -> sp.Expr:
    """Return a positive parameter as an exact expression; 0.1 is 1/10.

    Args:
        name: the argument that it came by.
        value: a number, a sympy expression, or text that sympy reads.

    Raises:
        ArgumentError: something else, or a number that is not positive and finite.
    """
    expression = _read(repr(float(value)) if isinstance(value, float) and math.isfinite(value) else value)
    if expression is None or expression.is_positive is False:
        raise ArgumentError(name, expected="a positive number or a sympy expression", received=repr(value))
    return expression


def number(name: str, value: sp.Expr) -> float:
    """Return the number that a parameter is.

    Raises:
        ArgumentError: it has symbols.
    """
    if value.free_symbols:
        raise ArgumentError(name, expected="a number, to compute with", received=value)
    return float(value)


def check_dim(dim: Any) -> None:
    """Refuse a number of axes that no field has.

    Raises:
        ArgumentError: not 1, 2 or 3.
    """
    if type(dim) is not int or dim not in (1, 2, 3):
        raise ArgumentError("dim", expected="1, 2 or 3", received=dim)


def check_spread(spread: Any) -> None:
    """Refuse what is no standard deviation of offsets.

    Raises:
        ArgumentError: negative, not finite, or no number.
    """
    if not isinstance(spread, Real) or not 0 <= float(spread) < math.inf:
        raise ArgumentError("spread", expected="a finite deviation ≥ 0, in pixels", received=spread)


def _read(value: Any) -> sp.Expr | None:
    """Return what sympy makes of a value, None if that is no finite expression."""
    try:
        expression = sp.sympify(value, rational=True, strict=not isinstance(value, str))
    except (sp.SympifyError, TypeError):
        return None
    is_finite = isinstance(expression, sp.Expr) and not expression.has(sp.nan, sp.oo, -sp.oo, sp.zoo)
    return expression if is_finite and expression.is_finite is not False else None
