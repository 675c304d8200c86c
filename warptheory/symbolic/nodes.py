"""The intermediate expressions of a derivation: what stands between E(y[n]²) and its closed form.

Each node prints like the formula in the theory and can be given a number by a route of its own, so
that a test can hold every step of a derivation against the step before.
"""

import itertools
import operator
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from functools import cache, cached_property, reduce
from typing import Any, ClassVar, cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.definition import identity
from warptheory.core.expressions import as_argument
from warptheory.kernels import POSITION, Kernel, NoClosedFormError, PeriodicFunction
from warptheory.symbolic._display import Displayed, written
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.quadrature import (
    CorrelatedNormal,
    Environment,
    Evaluate,
    correlated_average,
    gauss_legendre,
    quadrature,
    tensor_grid,
)
from warptheory.symbolic.values import Argument

_FRACTION_NODES = 24  # of half a pixel: exact to rounding for polynomials, and for covariances smooth over a pixel


class Side(IntEnum):
    """From which side a derivative at a knot is taken; both: the mean of the two."""

    RIGHT = 0
    LEFT = 1
    BOTH = 2


class Opaque(sp.Atom):
    """A Python object (a kernel, an offset field) as an argument of a sympy node; its symbols are the object's own."""

    content: Any

    def __new__(cls, content: Any) -> "Opaque":
        """Wrap `content`."""
        atom = super().__new__(cls)
        atom.content = content
        return atom

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Those of an object that says which it has, such as a law."""
        return set(getattr(self.content, "free_symbols", ()))

    # sympy compares by it again and again.
    @cached_property
    def _text(self) -> str:
        return identity(self.content)

    def _hashable_content(self) -> tuple[str, ...]:
        return (self._text,)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.content,)


class Node(Displayed, sp.Expr):
    """An unevaluated quantity of a derivation.

    Attributes:
        bound: the places of arguments that are symbols over which the node averages, sums, maximises, and so on.
    """

    is_commutative = True
    is_real = True
    bound: ClassVar[slice] = slice(0)

    def __new__(cls, *args: Any) -> "Node":
        """Make the node; plain numbers become sympy numbers."""
        return super().__new__(cls, *map(as_argument, args))

    def part(self, place: int) -> Any:
        """Return an argument, an object that is wrapped as itself."""
        found = self.args[place]
        return found.content if isinstance(found, Opaque) else found

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the arguments, without those that are bound."""
        found: set[sp.Symbol] = super().free_symbols
        return found.difference(self.args[self.bound])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Return the node's value, a scalar, or an array of shape (*grid) where the environment has arrays.

        Args:
            environment: a number or array for each free symbol.
            evaluate: evaluates a sub-expression in an environment.
        """
        raise NotImplementedError(type(self).__name__)


class AsIntegral(Node):
    """A node that prints as an integral, which sympy may do."""

    @property
    def integral(self) -> sp.Expr:
        """The integral, to be done."""
        raise NotImplementedError(type(self).__name__)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        return self.integral


class ExpectedValue(Node):
    """E[monomial] of random variables, before anything is known about it: args (monomial,)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(monomial)."""
        return sp.Function("E")(self.args[0])


class PixelMoment(Node):
    """E ∏ᵢ x[mᵢ] of independent pixels: args (name of x, cumulants, m₁, m₂, …)."""

    args: tuple[Any, ...]

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(x[m₁] x[m₂] …)."""
        x = sp.IndexedBase(self.args[0].content)
        return sp.Function("E")(sp.Mul(*(sp.Indexed(x, *index) for index in self.args[2:])))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Multiply the raw moments of the pixels that occur, each to its multiplicity."""
        raw = _raw_moments([float(evaluate(c, environment)) for c in self.args[1]])
        coordinates = [np.asarray(evaluate(i, environment)) for index in self.args[2:] for i in index]
        together = np.stack(np.broadcast_arrays(*coordinates), axis=-1)
        pixels = together.reshape(-1, len(self.args) - 2, len(self.args[2]))
        moments = [np.prod([raw[count] for count in Counter(map(tuple, taps)).values()]) for taps in pixels.tolist()]
        return np.reshape(moments, together.shape[:-1])


class KernelValue(Node):
    """k⁽ᵒʳᵈᵉʳ⁾(u): args (kernel, order, u, side); the `Side` is that of the derivative at a knot."""

    kernel = Argument[Kernel](0)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return k(u), or k′(u) for a derivative."""
        prime = "'" if latex else "′"
        side = ("_-" if latex else "₋") if self.args[3] == Side.LEFT else ""
        return sp.Function("k" + prime * int(self.args[1]) + side + kernel_label(self.kernel))(self.args[2])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Evaluate the kernel's definition; the left-hand side at u is the mirror image's right-hand one at −u."""
        order = int(self.args[1])
        position = np.asarray(evaluate(self.args[2], environment), dtype=float)
        if self.args[3] == Side.RIGHT:
            return kernel_function(self.kernel, order)(position)
        return kernel_function(self.kernel, order)(np.asarray(np.nextafter(position, -np.inf)))


class TapSum(Node):
    """F(f) = Σₘ ∏ᵢ kᵢ⁽ᵒʳᵈᵉʳ⁾(f + shiftᵢ − m): args (factors, position); ρ and δ are two of them.

    A factor is a `sp.Tuple` (kernel, order, shift, side); a `Side` is that of the derivative at a knot.
    """

    factors = Argument[sp.Tuple](0)
    position = Argument[sp.Expr](1)

    @property
    def has_whole_shifts(self) -> bool:
        """Whether every shift is an integer, so that the sum is a known function of the fraction."""
        return all(shift.is_Integer for _, _, shift, _ in self.factors)

    @property
    def is_one_sided(self) -> bool:
        """Whether left-hand derivatives occur, whose value at knots is another one."""
        return any(side != Side.RIGHT for *_, side in self.factors)

    @property
    def function(self) -> PeriodicFunction:
        """The function of the fraction, exactly, away from knots.

        Raises:
            NoClosedFormError: shifts that are not whole pixels, or of a kernel that reads infinitely many.
        """
        if not self.has_whole_shifts:
            raise NoClosedFormError(f"{self}, a sum over taps that are no whole pixels apart, as pieces of a pixel")
        return tap_sum(tuple((kernel.content, int(order), int(shift)) for kernel, order, shift, _ in self.factors))

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ρ(f), δ(f), or the sum itself."""
        kernels, orders, shifts, sides = zip(*self.factors, strict=True)
        is_plain = len(set(kernels)) == 1 and not any(shifts) and not any(sides)
        name = _FUNCTIONAL_NAMES.get(tuple(map(int, orders))) if is_plain else None
        if name is not None:
            return sp.Function(name + kernel_label(kernels[0].content))(self.position)
        m = sp.Symbol("m", integer=True)
        values = (
            KernelValue(kernel, order, self.position + shift - m, side) for kernel, order, shift, side in self.factors
        )
        return sp.Sum(sp.Mul(*values), (m, -sp.oo, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Evaluate the exact pieces at the fraction of the position; sum the taps where there are none."""
        if not self.has_whole_shifts or self.is_one_sided:
            return cast("float | ndarray", evaluate(self.display(latex=False), environment))
        position = np.asarray(evaluate(self.position, environment), dtype=float)
        return _periodic_function(self.function)(position - np.floor(position))


class OffsetAverage(Node):
    """E over the offsets of an expression in their symbols: args (expression, offsets)."""

    offsets = Argument[OffsetField](1)

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the expression and of the law, without the averaged offsets."""
        own = self.offsets.axis_law.free_symbols | self.offsets.correlation.free_symbols
        return (self.args[0].free_symbols - set(self.offsets.symbols)) | own

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E_ε(expression), by the offset's name."""
        return sp.Function(f"E_{written(self.offsets.name, latex=latex)}")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate against the law's density, or sum over its atoms, on a tensor grid; a scalar or an array."""
        knots = self._knots(environment, evaluate)
        correlation = float(evaluate(self.offsets.correlation, environment))
        if correlation in (0, 1):
            points, weights = quadrature(self.offsets.axis_law, environment, evaluate, knots)
            dim, grid, mass = tensor_grid(points, weights, self.offsets.dim, equal=correlation == 1)
        else:
            law = CorrelatedNormal.of(self.offsets, environment, evaluate)
            if law.has_series and self._is_periodic():
                return correlated_average(self.args[0], self.offsets.symbols, law, knots, environment, evaluate)
            (grid, mass), dim = law.quadrature(knots), law.dim
        # What is fixed while the offsets are averaged, such as the taps of a sum, keeps its axes in front.
        fixed = {
            symbol: value[(..., *[None] * dim)] if isinstance(value, ndarray) else value
            for symbol, value in environment.items()
        }
        inner: Environment = {**fixed, **dict(zip(self.offsets.symbols, grid, strict=True))}
        averaged = np.sum(mass * evaluate(self.args[0], inner), axis=tuple(range(-dim, 0)))
        return averaged if averaged.ndim else float(averaged)

    def _is_periodic(self) -> bool:
        """Whether the expression is of period one: a value at a given pixel, or a covariance at a lag, is not."""
        fractions = {node: sp.Dummy() for node in self.args[0].atoms(TapSum, sp.frac)}
        rest: sp.Expr = self.args[0].xreplace(fractions)
        return not rest.free_symbols & set(self.offsets.symbols)

    def _knots(self, environment: Environment, evaluate: Evaluate) -> set[float]:
        """Return the fractions of the offset at which a kernel has a knot, in [0, 1)."""
        own = set(self.offsets.symbols)
        read = [(node.kernel, node.args[2]) for node in self.args[0].atoms(KernelValue)]
        for node in self.args[0].atoms(TapSum):
            read += [(kernel.content, node.position + shift) for kernel, _, shift, _ in node.factors]
        found = {0.0, 0.5}
        for kernel, position in {(kernel, position) for kernel, position in read if position.free_symbols & own}:
            # Summation indices are whole pixels, and the offset itself is what the fractions are of.
            whole = {s: sp.Integer(0) for s in position.free_symbols if s in own or s.is_integer}
            move = float(evaluate(position.xreplace(whole), environment))
            found |= {(edge - move) % 1.0 for edge in edges_of(kernel)}
        inner = {0.0, *_inner_knots(self.args[0])}
        for position in {node.args[0] for node in self.args[0].atoms(sp.frac)}:
            move = float(evaluate(position.xreplace(dict.fromkeys(own, sp.Integer(0))), environment))
            found |= {(edge - move) % 1.0 for edge in inner}
        return found


class FractionMean(AsIntegral):
    """∫ of an expression over fractions in [0, 1)ᵈ: args (expression, f₁, …, f_d)."""

    bound = slice(1, None)

    @property
    def integral(self) -> sp.Integral:
        """The integral as sympy writes it."""
        return sp.Integral(self.args[0], *((f, 0, 1) for f in self.args[1:]))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate by Gauss–Legendre panels of half a pixel, cut where kernels have knots; a scalar."""
        grid, mass = _fraction_grid(len(self.args) - 1, tuple(sorted(_inner_knots(self.args[0]))))
        inner = {**environment, **dict(zip(self.args[1:], grid, strict=True))}
        return float(np.sum(mass * evaluate(self.args[0], inner)))


def kernel_argument(kernel: Kernel) -> Opaque:
    """Wrap a kernel as an argument of `KernelValue` and `TapSum`."""
    return Opaque(kernel)


def tap_sum(factors: tuple[tuple[Kernel, int, int], ...]) -> PeriodicFunction:
    """Return F(f) = Σₘ ∏ᵢ kᵢ⁽ᵒʳᵈᵉʳ⁾(f + shiftᵢ − m) as a function of the fraction.

    Args:
        factors: (kernel, order, shift in whole pixels) of each factor.

    Raises:
        NoClosedFormError: different shifts or kernels, one of which reads infinitely many pixels.
    """
    first = factors[0]
    # Only differences of shifts matter, and the order of the factors does not.
    moved = ((kernel, order, shift - first[2]) for kernel, order, shift in factors)
    return _tap_sum(tuple(sorted(moved, key=lambda factor: (_kernel_text(factor[0]), *factor[1:]))))


# A kernel writes all its pieces, which takes a thousand times as long as to find its text again.
_kernel_text = cache(repr)


@cache
def _tap_sum(factors: tuple[tuple[Kernel, int, int], ...]) -> PeriodicFunction:
    kernels = {kernel for kernel, _, _ in factors}
    if len(kernels) == 1 and not any(shift for _, _, shift in factors):
        return next(iter(kernels)).tap_sum([order for _, order, _ in factors])
    for kernel in kernels:
        if not kernel.is_compact or kernel.prefilter is not None:
            raise NoClosedFormError(f"sums over neighbouring taps of {kernel.name}, which reads infinitely many pixels")
    weights = [{tap + shift: weight for tap, weight in kernel.taps.items()} for kernel, _, shift in factors]
    orders = [order for _, order, _ in factors]
    common = set.intersection(*(set(taps) for taps in weights))
    return PeriodicFunction.sum(
        reduce(operator.mul, (w[m].product_of_derivatives([o]) for w, o in zip(weights, orders, strict=True)))
        for m in sorted(common)
    )


def sided_tap_sum(factors: sp.Tuple, position: sp.Expr) -> sp.Expr:
    """Return Σₘ ∏ᵢ kᵢ⁽ᵒʳᵈᵉʳ⁾(p + shiftᵢ − m) at a position that is a number, each factor from its own side.

    Args:
        factors: (kernel, order, shift, side), as in `TapSum`.
        position: a rational number.
    """
    tables = [
        _taps_at(kernel.content, int(order), position + shift, int(side)) for kernel, order, shift, side in factors
    ]
    common = set.intersection(*(set(taps) for taps in tables))
    return sp.Add(*(sp.Mul(*(taps[m] for taps in tables)) for m in common))


def _taps_at(kernel: Kernel, order: int, position: sp.Expr, side: int) -> dict[int, sp.Expr]:
    """Return k⁽ᵒʳᵈᵉʳ⁾(position − m) by pixel m, from one side."""
    whole = sp.floor(position) if side == Side.RIGHT else sp.ceiling(position) - 1
    fraction = position - whole
    values = {}
    for tap, weight in kernel.taps.items():
        derivative = weight
        for _ in range(order):
            derivative = derivative.differentiate()
        values[int(whole) + tap] = derivative.at(fraction) if side == Side.RIGHT else derivative.from_left(fraction)
    return values


_FUNCTIONAL_NAMES: dict[tuple[int, ...], str] = {(0, 0): "rho", (1, 1): "delta"}


def kernel_label(kernel: Kernel) -> str:
    """Return the index that tells functions of a kernel from those of the linear one, which has none."""
    return "" if kernel.name == "linear" else f"_{kernel.name}"


def _inner_knots(expression: sp.Expr) -> set[float]:
    """Return the numbers in (0, 1) at which the pieces of an expression in fractions change."""
    sides = {side for condition in expression.atoms(sp.core.relational.Relational) for side in condition.args}
    return {float(side) for side in sides if side.is_number and 0 < side < 1}


@cache
def _fraction_grid(dim: int, knots: tuple[float, ...]) -> tuple[tuple[ndarray, ...], ndarray]:
    """Return fractions along each axis on a tensor grid, with panels cut at the knots, and the mass of its points."""
    points, weights = gauss_legendre(np.array(sorted({0.0, 0.5, 1.0, *knots})), _FRACTION_NODES)
    _, grid, mass = tensor_grid(points.ravel(), weights.ravel(), dim, equal=False)
    return grid, mass


@cache
def edges_of(kernel: Kernel) -> tuple[float, ...]:
    """Return where in a pixel the kernel's weights change their expression."""
    if not kernel.is_compact:
        return (0.0,)
    return tuple(sorted({float(cell.lower) for weight in kernel.taps.values() for cell in weight.cells}))


@cache
def kernel_function(kernel: Kernel, order: int) -> Callable[[ndarray], ndarray]:
    """Return a derivative of a kernel as a function of arrays of positions in pixels, of one shape (*S,)."""
    compiled = sp.lambdify([POSITION], kernel.value(POSITION, order), "numpy")
    # Far out the kernel is zero, but the expressions of its pieces, of which one is selected, may overflow.
    end = kernel.reach + 1.0 if kernel.reach is not None else np.inf

    def value(position: ndarray) -> ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.broadcast_to(compiled(np.clip(position, -end, end)), position.shape)

    return value


@cache
def _periodic_function(function: PeriodicFunction) -> Callable[[ndarray], ndarray]:
    fraction = sp.Symbol("fraction", nonnegative=True)
    compiled = sp.lambdify([fraction], function.at(fraction), "numpy")
    return lambda values: np.broadcast_to(compiled(values), values.shape)


def _raw_moments(cumulants: list[float]) -> list[float]:
    """Return E x⁰ … E xʳ from κ₁ … κᵣ by mₙ = Σₖ C(n−1, k−1) κₖ mₙ₋ₖ."""
    moments = [1.0]
    for n in range(1, len(cumulants) + 1):
        moments.append(
            sum(float(sp.binomial(n - 1, k - 1)) * cumulants[k - 1] * moments[n - k] for k in range(1, n + 1))
        )
    return moments


def pairings(items: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """Return every partition of the items into pairs and single ones."""
    return [partition for partition in set_partitions(items) if all(len(block) <= 2 for block in partition)]


def set_partitions(items: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """Return every partition of the items into non-empty blocks."""
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    partitions = []
    for size in range(len(rest) + 1):
        for companions in itertools.combinations(rest, size):
            remaining = tuple(item for item in rest if item not in companions)
            partitions += [[(first, *companions), *others] for others in set_partitions(remaining)]
    return partitions
