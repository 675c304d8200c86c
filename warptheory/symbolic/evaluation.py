"""Numbers from expressions: closed forms, series, and every intermediate step of a derivation."""

import math
from collections.abc import Callable, Mapping, Set
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from numpy import ndarray
from scipy import special

from warptheory.core.checks import as_float
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_symbols
from warptheory.core.expressions import expression as read
from warptheory.core.text import shown
from warptheory.kernels import FractionSymbol
from warptheory.symbolic.nodes import KernelValue, Node, OffsetAverage
from warptheory.symbolic.quadrature import Environment, NotConverged, quadrature
from warptheory.symbolic.values import RandomAtom

_BLOCK_ELEMENTS = 2**20
_FIRST_BLOCK = 64
_MOST_TERMS = 2**22
# Blocks of terms double in length, so for terms that fall as fast as 1/j² the tail is at most twice the last
# block's sum of absolute values. A series is summed until that is negligible; if terms run out first, its
# limit has to be clear to the accepted accuracy.
_NEGLIGIBLE = 1e-13
_ACCEPTED = 1e-9


def check_values(symbols: Set[str], values: Mapping[str, float]) -> None:
    """Check that every symbol has a number.

    Args:
        symbols: names of the symbols.
        values: numbers, by name.

    Raises:
        ArgumentError: a symbol that has none, or one that is no number.
    """
    if not isinstance(values, Mapping):
        raise ArgumentError("values", expected="numbers by the names of symbols", received=shown(values))
    missing = sorted(symbols - set(values))
    if missing:
        raise ArgumentError(
            "values",
            expected=f"a number for {', '.join(missing)}",
            received=f"values for {', '.join(sorted(map(str, values))) or 'nothing'}",
        )
    for name in symbols:
        if not _is_number(values[name]):
            raise ArgumentError("values", expected=f"a number for {name}", received=shown(values[name]))


def _is_number(value: object) -> bool:
    if isinstance(value, sp.Expr):  # such as pi/3; others are symbols, or complex
        return bool(value.is_comparable) or value in (sp.oo, -sp.oo)
    number = as_float(value)
    return not math.isnan(number) and (math.isfinite(number) or isinstance(value, float))


def evaluate(expression: Any, values: Mapping[str, float]) -> float:
    """Return the value of an expression.

    Args:
        expression: a closed form, or any step of a derivation without random variables.
        values: a number for every free symbol, by the symbol's name; others are ignored.

    Raises:
        ArgumentError: a symbol has no value, or one that it cannot have, such as a scale of zero or a
            fraction of 1.3; or the expression is still random. The message names it.
        NotConverged: an infinite series did not settle to a relative 1e-9.
    """
    if not isinstance(expression, sp.Expr):
        expected = "a sympy expression (of a statistic: its .doit())"
        if isinstance(expression, str):
            raise ArgumentError("expression", expected=expected, received=shown(expression))
        expression = read("expression", expression, expected)
    if expression.atoms(RandomAtom):
        raise ArgumentError(
            "expression", expected="no random variables (take their expectation first)", received=expression
        )
    symbols = expression.free_symbols
    check_symbols("expression", symbols)
    check_values({symbol.name for symbol in symbols}, values)
    if expression.is_Number:
        return float(expression)
    environment = {symbol: float(values[symbol.name]) for symbol in symbols}
    for symbol, value in environment.items():
        _check_value(symbol, value)
    return float(_value(expression, environment))


def _check_value(symbol: sp.Symbol, value: float) -> None:
    """Refuse a number that a symbol cannot stand for: formulas were simplified for the others."""
    if isinstance(symbol, FractionSymbol):
        allowed, range_ = 0 <= value < 1, "in [0, 1)"
    elif symbol.is_integer and not value.is_integer():
        allowed, range_ = False, "that is a whole number"
    elif symbol.is_positive:
        allowed, range_ = value > 0, "> 0"
    elif symbol.is_nonnegative:
        allowed, range_ = value >= 0, "≥ 0"
    else:
        allowed, range_ = not math.isnan(value), "that is a number"
    if not allowed:
        raise ArgumentError("values", expected=f"{symbol.name} {range_}", received=value)


# What sympy 1.14 does not know to be one of SciPy's functions.
_UNPRINTED = {
    "elliptic_e": special.ellipe,
    "elliptic_k": special.ellipk,
    "expint": special.expn,
    "Shi": lambda x: special.shichi(x)[0],
}
# Functions that NumPy does not have.
OF_SCIPY = (sp.besselj, sp.besselk, sp.elliptic_e, sp.elliptic_k, sp.erf, sp.expint, sp.Shi, sp.polygamma)


def _value(expression: sp.Expr, environment: Environment) -> Any:
    """Evaluate with scalars or arrays in the environment: nodes, sums and integrals first, then the rest at once."""
    if isinstance(expression, sp.Symbol):
        return environment[expression]
    compiled = _compiled(expression)
    numbers = dict(environment)
    for part, name in compiled.parts:
        numbers[name] = _part(part, environment)
    return compiled.function(*(numbers[argument] for argument in compiled.arguments))


class _Compiled(NamedTuple):
    """A formula as a function of numbers.

    Attributes:
        parts: nodes, sums and integrals, each with the symbol that stands for its number.
        arguments: symbols whose numbers the function takes.
        function: the function.
    """

    parts: tuple[tuple[Node | sp.Sum | sp.Integral, sp.Symbol], ...]
    arguments: tuple[sp.Symbol, ...]
    function: Callable[..., Any]


# Nodes evaluate the same formula at one number after the other, which takes less than to print and compile it.
@lru_cache(maxsize=512)
def _compiled(expression: sp.Expr) -> _Compiled:
    names: dict[Node | sp.Sum | sp.Integral, sp.Symbol] = {}
    traversal = sp.preorder_traversal(expression)
    for part in traversal:
        if isinstance(part, Node | sp.Sum | sp.Integral):
            traversal.skip()
            names.setdefault(part, sp.Dummy())
    reduced = expression.xreplace(names).rewrite(sp.floor)
    arguments = tuple(sorted(reduced.free_symbols, key=str))
    # Symbols of one name may be several: the function's own arguments are called otherwise.
    modules = [_UNPRINTED, "scipy", "numpy"] if reduced.has(*OF_SCIPY) else "numpy"
    return _Compiled(tuple(names.items()), arguments, sp.lambdify(arguments, reduced, modules, dummify=True))


def _part(part: Node | sp.Sum | sp.Integral, environment: Environment) -> Any:
    if isinstance(part, Node):
        return part.numeric(environment, _value)
    if isinstance(part, sp.Sum):
        return _sum(part, environment)
    return float(part.subs(environment))


def _sum(total: sp.Sum, environment: Environment) -> float | ndarray:
    if all(lower == -sp.oo and upper == sp.oo for _, lower, upper in total.limits):
        return _tap_sum(total, environment)
    (index, lower, upper), *rest = total.limits
    if rest or upper != sp.oo:
        raise ArgumentError("expression", expected="sums over taps, or series to infinity", received=str(total))
    return _series(total.function, index, int(lower), environment)


def _tap_sum(total: sp.Sum, environment: Environment) -> float | ndarray:
    """Sum over every tap near the positions; kernels vanish, or are negligible, beyond their reach."""
    indices = [index for index, _, _ in total.limits]
    ranges = _ranges(total, environment)
    low, high = _window(total, set(indices), ranges)
    windows = np.meshgrid(*[np.arange(low, high + 1)] * len(indices), indexing="ij")
    combinations = np.stack([window.ravel() for window in windows])
    # Taps are a leading axis in front of the positions' own; blocks bound the memory of the product.
    positions = [np.asarray(value) for symbol, value in environment.items() if total.function.has(symbol)]
    averaged = [_points(node, environment) for node in total.function.atoms(OffsetAverage)]
    most = max(1, _BLOCK_ELEMENTS // max([p.size for p in (*positions, *averaged)], default=1))
    dimensions = max((p.ndim for p in positions), default=0)
    result: float | ndarray = 0.0
    for start in range(0, combinations.shape[1], most):
        block = combinations[:, start : start + most]
        taps = dict(zip(indices, (row.reshape(-1, *[1] * dimensions) for row in block), strict=True))
        result = result + np.sum(_value(total.function, {**environment, **taps}), axis=0)
    return result


def _points(node: OffsetAverage, environment: Environment) -> ndarray:
    """Return the offsets at which an average is computed."""
    return quadrature(node.offsets.axis_law, environment, _value)[0]


Interval = tuple[float, float]


def _ranges(total: sp.Sum, environment: Environment) -> dict[sp.Expr, Interval]:
    """Return between which values each symbol of a sum lies: what is given, and what is averaged over."""
    ranges = {symbol: (float(np.min(value)), float(np.max(value))) for symbol, value in environment.items()}
    for node in total.function.atoms(OffsetAverage):
        points = _points(node, environment)
        ranges |= dict.fromkeys(node.offsets.symbols, (float(points.min()), float(points.max())))
    return ranges


def _window(total: sp.Sum, indices: set[sp.Symbol], ranges: Mapping[sp.Expr, Interval]) -> tuple[int, int]:
    """Return the first and the last pixel at which some factor k(p − m) may be other than zero."""
    low, high = np.inf, -np.inf
    for node in total.function.atoms(KernelValue):
        position = sp.expand(node.args[2])
        if not position.free_symbols & indices:
            continue
        if node.kernel.reach is None:
            raise NotConverged(f"{total}: the kernel {node.kernel.name} decays too slowly to be summed term by term")
        lowest, highest = _range(position.subs(dict.fromkeys(indices, 0)), ranges)
        low, high = min(low, lowest - node.kernel.reach), max(high, highest + node.kernel.reach)
    return math.floor(low), math.ceil(high)


def _range(position: sp.Expr, ranges: Mapping[sp.Expr, Interval]) -> Interval:
    """Return between which values a linear function of the symbols lies."""
    symbols = sorted(position.free_symbols, key=str)
    low = high = float(position.subs(dict.fromkeys(symbols, 0)))
    for symbol in symbols:
        ends = sorted(float(position.coeff(symbol)) * end for end in ranges[symbol])
        low, high = low + ends[0], high + ends[1]
    return low, high


def _series(summand: sp.Expr, index: sp.Symbol, first: int, environment: Environment) -> float:
    """Sum a series in blocks that double, until a block no longer matters or the limit is clear."""
    parts, arguments, term = _term(summand, index)
    known = dict(environment)
    known.update({name: _part(part, environment) for part, name in parts})
    numbers = [known[argument] for argument in arguments]
    partial, start, length, size = [0.0], first, _FIRST_BLOCK, 0.0
    while start <= _MOST_TERMS:
        block = np.broadcast_to(term(np.arange(start, start + length, dtype=float), *numbers), (length,))
        partial.append(partial[-1] + float(block.sum()))
        share = float(np.abs(block).sum())
        size = max(size, share)
        if share <= _NEGLIGIBLE * size:
            return partial[-1]
        start, length = start + length, 2 * length
    limit, before = _extrapolate(partial[-3:]), _extrapolate(partial[-4:-1])
    if limit is None or before is None or abs(limit - before) > _ACCEPTED * size:
        raise NotConverged(
            f"Σ {summand} over {index}: after {start} terms the limit is not clear, {partial[-1]:.6g} so far"
        )
    return limit


@lru_cache(maxsize=128)
def _term(
    summand: sp.Expr, index: sp.Symbol
) -> tuple[tuple[tuple[Node, sp.Symbol], ...], tuple[sp.Symbol, ...], Callable[..., Any]]:
    """Return the nodes of a summand, each with the symbol that stands for its number, and as what `_Compiled` has."""
    names = {node: sp.Dummy() for node in summand.atoms(Node)}
    reduced = summand.xreplace(names)
    arguments = tuple(sorted(reduced.free_symbols - {index}, key=str))
    return tuple(names.items()), arguments, sp.lambdify([index, *arguments], reduced, "numpy", dummify=True)


def _extrapolate(partial: list[float]) -> float | None:
    """Return the limit of three partial sums at doubling lengths (Aitken), None if they do not settle.

    A tail of order 1/Nᵖ makes the differences a geometric sequence of ratio 2⁻ᵖ; a tail that oscillates is
    far smaller than that already.
    """
    first, second = partial[1] - partial[0], partial[2] - partial[1]
    if abs(second) <= _NEGLIGIBLE * abs(partial[2]):
        return partial[2]
    if first == 0.0 or abs(second) > 0.6 * abs(first):
        return None
    return partial[2] + second**2 / (first - second)
