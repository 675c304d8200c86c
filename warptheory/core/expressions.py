"""Numbers and expressions that callers give: read without running anything.

SymPy's own reader evaluates text as Python. Here text is a decimal or a ratio of two, "2", "-1e-3", "1/2"; other
numbers are Python's and NumPy's; expressions are SymPy's; and what is anything else is refused by the argument's
name. Only this module may hand to SymPy's reader what a caller gave.
"""

import math
import re
import sys
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Rational, Real
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown

Number = int | float | str | Fraction | Decimal | sp.Rational

_DECIMAL = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_TEXT = re.compile(rf"\s*({_DECIMAL})\s*(?:/\s*({_DECIMAL})\s*)?", re.ASCII)
_LONGEST_TEXT = 100
_LEAST, _MOST = sp.Rational(5e-324), sp.Rational(sys.float_info.max)
_MARKUP = frozenset("<>&\\{}$%")


def expression(argument: str, value: Any, expected: str = "a number or a sympy expression") -> sp.Expr:
    """Return a finite number or an expression as SymPy has it; a float stays a float, text and decimals are exact.

    Args:
        argument: name of the argument, as the caller wrote it.
        value: a number, a sympy expression, or text such as "1/2", "0.3" or "-1e-3".
        expected: what would have been accepted, for the error.

    Raises:
        ArgumentError: something else, or a number that is infinite, NaN, or beyond those of double precision.
    """
    read = _read(value)
    if read is None:
        raise ArgumentError(argument, expected=expected, received=shown(value))
    return read


def real(argument: str, value: Any, without: tuple[type[sp.Basic], ...] = ()) -> sp.Expr:
    """Return a real parameter as an expression; a float stays a float.

    Args:
        argument: name of the argument, as the caller wrote it.
        value: a number, a sympy expression, or text such as "1/2".
        without: kinds of symbols that it must not contain.

    Raises:
        ArgumentError: something else, or a number that is not real and finite.
    """
    expected = "a real number or a sympy expression"
    read = expression(argument, value, expected)
    if read.is_real is False or (without and read.atoms(*without)):
        raise ArgumentError(argument, expected=expected, received=shown(value))
    return read


def positive(argument: str, value: Any) -> sp.Expr:
    """Return a positive parameter as an exact expression; 0.1 is 1/10.

    Args:
        argument: name of the argument, as the caller wrote it.
        value: a number, a sympy expression, or text such as "1/2".

    Raises:
        ArgumentError: something else, or a number that is not positive and finite.
    """
    expected = "a positive number or a sympy expression"
    is_number = isinstance(value, Real) and not isinstance(value, sp.Basic)
    read = _exact(value) if is_number else _read(value)
    if read is None or read.is_positive is False:
        raise ArgumentError(argument, expected=expected, received=shown(value))
    return read


def rational(argument: str, value: Any, expected: str = "a finite number") -> sp.Rational:
    """Return a number as an exact rational: 0.7, the shortest text of a float, is 7/10.

    Args:
        argument: name of the argument, as the caller wrote it.
        value: an integer, a rational, a finite float, or text such as "0.7" or "-3/4".
        expected: what would be accepted, for the error.

    Raises:
        ArgumentError: anything else.
    """
    read = _exact(value)
    if read is None:
        raise ArgumentError(argument, expected=expected, received=shown(value))
    return read


def number(argument: str, value: sp.Expr) -> float:
    """Return the number that a parameter is.

    Raises:
        ArgumentError: it has symbols, or is no real number.
    """
    if value.free_symbols or not value.is_number or value.is_real is False:
        raise ArgumentError(argument, expected="a number, to compute with", received=shown(value))
    return float(value)


def check_name(argument: str, value: Any) -> str:
    """Return a name to be printed.

    Raises:
        ArgumentError: no text, none at all, or with characters that do not print, such as a line break or an escape, or
            that a page or LaTeX would take for markup.
    """
    text = value if isinstance(value, str) else ""
    if not text.strip() or not text.isprintable() or _MARKUP & set(text) or len(text) > _LONGEST_TEXT:
        expected = f"a name of printable characters, at most {_LONGEST_TEXT}, none of {' '.join(sorted(_MARKUP))}"
        raise ArgumentError(argument, expected=expected, received=shown(value))
    return text


def check_symbols(argument: str, symbols: Iterable[sp.Symbol]) -> None:
    """Check that symbols have names of their own: they are told apart by assumptions, and get numbers by names.

    Raises:
        ArgumentError: two of one name.
    """
    known: dict[str, sp.Symbol] = {}
    for symbol in symbols:
        other = known.setdefault(symbol.name, symbol)
        if other != symbol:
            both = " and ".join(sorted((_described(other), _described(symbol))))
            raise ArgumentError(argument, expected=f"one symbol by the name of {symbol.name}", received=both)


def _described(symbol: sp.Symbol) -> str:
    assumed = ", ".join(sorted(name for name, value in symbol._assumptions_orig.items() if value)) or "no assumptions"
    return f"{type(symbol).__name__} ({assumed})"


def as_argument(value: Any) -> sp.Basic:
    """Return an argument of an expression's node as SymPy has it: its own objects, and integers.

    Raises:
        ArgumentError: anything else, text above all.
    """
    if isinstance(value, sp.Basic):
        return value
    return expression("argument", value)


def _read(value: Any) -> sp.Expr | None:
    """Return a number or expression, None if it is neither or not finite."""
    if isinstance(value, sp.Basic):
        if not isinstance(value, sp.Expr) or value.has(sp.nan, sp.oo, -sp.oo, sp.zoo) or value.is_finite is False:
            return None
        return value if _is_in_range(value) else None
    if isinstance(value, Real) and not isinstance(value, Rational | bool) and not _is_truth_value(value):
        found = float(value)
        return sp.Float(found) if math.isfinite(found) else None
    return _exact(value)


def _exact(value: Any) -> sp.Rational | None:
    """Return a number as a rational, None if it is none."""
    if isinstance(value, sp.Basic):
        return value if isinstance(value, sp.Rational) and value.is_finite and _is_in_range(value) else None
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, Decimal):
        return _of_text(str(value)) if value.is_finite() else None
    if isinstance(value, bool) or _is_truth_value(value):
        return None
    if isinstance(value, Integral):
        return _in_range(Fraction(int(value)))
    if isinstance(value, Rational):
        return _in_range(Fraction(int(value.numerator), int(value.denominator)))
    if isinstance(value, Real) and math.isfinite(float(value)):
        return _of_text(repr(float(value)))
    return None


def _is_truth_value(value: Any) -> bool:
    """Return whether a value is NumPy's True or False, which it counts as numbers in some versions."""
    return type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy"


def _of_text(text: str) -> sp.Rational | None:
    match = _TEXT.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None:
        return None
    above, below = _decimal(match[1]), _decimal(match[2] or "1")
    return _in_range(above / below) if above is not None and below else None


def _decimal(text: str) -> Fraction | None:
    """Return a decimal exactly; its exponent is looked at before a power of ten is computed from it."""
    mantissa = re.split("[eE]", text)[0]
    if not mantissa.strip("+-.0"):
        return Fraction(0)
    size = abs(float(text))
    return Fraction(text) if 0 < size < math.inf else None


def _is_in_range(value: sp.Expr) -> bool:
    """Whether double precision holds the size of what SymPy has as a number; of an expression nothing is asked."""
    return not value.is_Number or bool(value.is_zero) or bool(_LEAST <= abs(value) <= _MOST)


def _in_range(value: Fraction) -> sp.Rational | None:
    """Return a rational if double precision holds its size, so that it can be computed with."""
    try:
        size = float(abs(value))
    except OverflowError:
        return None
    return sp.Rational(value.numerator, value.denominator) if (size > 0) == (value != 0) else None
