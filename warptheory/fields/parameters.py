"""Parameters of fields: the number of axes, the spread of offsets, and symbols that stand for numbers."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import sympy as sp

from warptheory.core.checks import as_float, check_number
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown


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
    if not 0 <= as_float(spread) < math.inf:
        raise ArgumentError("spread", expected="a finite deviation ≥ 0, in pixels", received=shown(spread))


def symbols_in(value: Any) -> set[sp.Symbol]:
    """Return the symbols in an expression, and in the parts of a tuple or a data class."""
    if isinstance(value, sp.Expr):
        return set(value.free_symbols)
    parts = value if isinstance(value, tuple) else [part for _, part in _fields_of(value)]
    return set().union(*map(symbols_in, parts))


def with_numbers(value: Any, numbers: Mapping[str, float]) -> Any:
    """Insert numbers for symbols, by their names, in an expression and in the parts of a tuple or a data class."""
    if isinstance(value, sp.Expr):
        known = {s: sp.Float(check_number(s.name, numbers[s.name])) for s in value.free_symbols if s.name in numbers}
        return value.xreplace(known)
    if isinstance(value, tuple):
        return tuple(with_numbers(part, numbers) for part in value)
    parts = {name: with_numbers(part, numbers) for name, part in _fields_of(value)}
    return dataclasses.replace(value, **parts) if parts else value


def _fields_of(value: Any) -> list[tuple[str, Any]]:
    """Return names and values of a data class's fields; none of what is something else."""
    if not dataclasses.is_dataclass(value):
        return []
    return [(each.name, getattr(value, each.name)) for each in dataclasses.fields(value)]
