"""Expressions in offsets that a head computes: covariances with it, and integrals against their normal density."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.kernels import FRACTION, Kernel
from warptheory.symbolic._display import written
from warptheory.symbolic.head_laws import FixedSum
from warptheory.symbolic.input_fields import IIDField
from warptheory.symbolic.nodes import (
    KernelValue,
    Node,
    Opaque,
    Side,
    TapSum,
    edges_of,
    kernel_argument,
    kernel_function,
)
from warptheory.symbolic.quadrature import Environment, Evaluate, NotConverged, gauss_legendre
from warptheory.symbolic.values import Argument, Index, derivative_marks

_REACH = 9.0  # deviations of a normal law; the fourth derivative of its density is below 1e−14 of its largest there
_PANEL = 0.75  # deviations, over which twelve Gauss–Legendre points integrate the density to rounding
_MOST_POINTS = 2**23
_MOST_PANELS = 2**14


class MovingCovariance(Node):
    """c_k(u) = Σₘ c(m) k(u − m), the covariance of a fixed sum with the value that is read at u, or a derivative in u.

    Args: (fixed sum, kernel, orders, u); u is counted from the output's pixel. Without a kernel, the number 0 in its
    place, it is c(u) itself.
    """

    fixed = Argument[FixedSum](0)

    @property
    def kernel(self) -> Kernel | None:
        """The kernel; None between the pixels."""
        found = self.part(1)
        return found if isinstance(found, Kernel) else None

    @property
    def orders(self) -> tuple[int, ...]:
        """Order of the derivative along each axis."""
        return tuple(map(int, self.args[2]))

    @property
    def place(self) -> Index:
        """Where it is read, u."""
        return tuple(self.args[3])

    def display(self, *, latex: bool) -> sp.Expr:
        """Return c_k(u), or c(u) without a kernel, with ∂ᵢ for derivatives and the name of the sum."""
        index = ("k" if self.kernel is not None else "") + self.fixed.name.removeprefix("h").removeprefix("_")
        name = written(f"c_{index}" if index else "c", latex=latex)
        return sp.Function(derivative_marks(self.orders, latex=latex) + name)(*self.place)

    def explicit(self) -> sp.Expr:
        """Return it as covariances at places, or for independent pixels by values of the kernel; else itself."""
        fixed, kernel = self.fixed, self.kernel
        if kernel is None:
            return fixed.covariance(self.place, self.orders)
        if not isinstance(fixed.field, IIDField):
            return self
        opaque = kernel_argument(kernel)
        total: sp.Expr = sp.Integer(0)
        for tap in fixed.taps:
            axes = zip(self.orders, self.place, tap.place, strict=True)
            values = (KernelValue(opaque, order, u - m, Side.RIGHT) for order, u, m in axes)
            total += tap.weight * fixed.field.deviation**2 * sp.Mul(*values)
        return total

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Sum over the taps of the kernel of the covariance with what each reads."""
        kernel = self.kernel
        if kernel is None or isinstance(self.fixed.field, IIDField):
            return cast("float | ndarray", evaluate(self.explicit(), environment))
        places = [np.asarray(evaluate(part, environment), dtype=float) for part in self.place]
        whole = [np.floor(place) for place in places]
        symbols = tuple(sp.Dummy(integer=True) for _ in places)
        covariance = self.fixed.covariance(symbols, (0,) * len(symbols))
        total: Any = 0.0
        for tap in itertools.product(kernel.taps, repeat=len(places)):
            weight: Any = 1.0
            for order, place, low, m in zip(self.orders, places, whole, tap, strict=True):
                weight = weight * kernel_function(kernel, order)(np.asarray(place - low - m))
            read: dict[sp.Expr, Any] = {symbol: low + m for symbol, low, m in zip(symbols, whole, tap, strict=True)}
            inner: Environment = {**environment, **read}
            total = total + weight * evaluate(covariance, inner)
        return cast("float | ndarray", total)


class DensityIntegral(Node):
    """∫ F(u) ∂^orders q(u) du, q the density of a normal law: args (F, u, means, covariance, orders).

    The means and the rows of the covariance are tuples.
    """

    @property
    def body(self) -> sp.Expr:
        """F, an expression in u."""
        return self.args[0]

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The variables u."""
        return tuple(self.args[1])

    @property
    def means(self) -> Index:
        """The means of u."""
        return tuple(self.args[2])

    @property
    def covariance(self) -> tuple[Index, ...]:
        """The covariance of u, a row for each component."""
        return tuple(map(tuple, self.args[3]))

    @property
    def orders(self) -> tuple[int, ...]:
        """Order of the derivative of the density in each variable."""
        return tuple(map(int, self.args[4]))

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of F and of the law, without the variables."""
        law = {symbol for part in (self.args[2], self.args[3]) for symbol in part.free_symbols}
        return (self.body.free_symbols - set(self.symbols)) | law

    def with_body(self, body: sp.Expr) -> "DensityIntegral":
        """Return the same integral of another F."""
        return type(self)(body, *self.args[1:])

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        density = sp.Function(derivative_marks(self.orders, latex=latex) + "q")(*self.symbols)
        return sp.Integral(self.body * density, *((symbol, -sp.oo, sp.oo) for symbol in self.symbols))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate by Gauss–Legendre panels that end at the kernel's knots, on a tensor grid; a scalar.

        Raises:
            NotConverged: components so nearly dependent, so wide or so many that the grid would not fit.
        """
        law = _Normal(
            np.array([float(evaluate(part, environment)) for part in self.means]),
            np.array([[float(evaluate(part, environment)) for part in row] for row in self.covariance]),
        )
        rules = [self._rule(axis, law, environment, evaluate) for axis in range(len(self.symbols))]
        if np.prod([float(len(points)) for points, _ in rules]) > _MOST_POINTS:
            raise NotConverged(f"{self}: a grid of {' × '.join(str(len(points)) for points, _ in rules)} points")
        grid = np.meshgrid(*(points for points, _ in rules), indexing="ij", sparse=True)
        values = evaluate(self.body, {**environment, **dict(zip(self.symbols, grid, strict=True))})
        total = np.asarray(values) * law.density(grid, self.orders)
        for _, weights in reversed(rules):
            total = total @ weights
        return float(total)

    def _rule(self, axis: int, law: "_Normal", environment: Environment, evaluate: Evaluate) -> tuple[ndarray, ndarray]:
        """Return points and weights along one axis."""
        mean, deviation = law.means[axis], np.sqrt(law.covariance[axis, axis])
        low, high = mean - _REACH * deviation, mean + _REACH * deviation
        panels = np.ceil(2 * _REACH * deviation / (_PANEL * law.narrowest))
        knots = [
            self._knots(factor, move, edges, low, high)
            for factor, move, edges in self._reads(axis, environment, evaluate)
        ]
        if not panels + sum(map(len, knots)) < _MOST_PANELS:
            raise NotConverged(f"{self}: {panels:g} panels along an axis; its components are nearly dependent, or wide")
        ends = np.unique(np.concatenate([np.linspace(low, high, int(panels) + 1), *knots]))
        points, weights = gauss_legendre(ends)
        return points.ravel(), weights.ravel()

    def _reads(
        self, axis: int, environment: Environment, evaluate: Evaluate
    ) -> Iterator[tuple[float, float, tuple[float, ...]]]:
        """Yield how positions that a kernel is read at depend on a variable, au + b, and where the kernel has knots."""
        found: set[tuple[float, float, tuple[float, ...]]] = set()
        for kernel, position in self._positions():
            factor = position.coeff(self.symbols[axis])
            if factor != 0:
                rest = position.xreplace(dict.fromkeys(self.symbols, sp.Integer(0)))
                edges = (*edges_of(kernel), 0.0, 0.5)
                found.add((float(evaluate(factor, environment)), float(evaluate(rest, environment)), edges))
        yield from found

    def _positions(self) -> Iterator[tuple[Kernel, sp.Expr]]:
        for node in self.body.atoms(MovingCovariance):
            if node.kernel is not None:
                yield from ((node.kernel, sp.expand(part)) for part in node.place)
        for node in self.body.atoms(KernelValue):
            yield node.kernel, sp.expand(node.args[2])
        for node in self.body.atoms(TapSum):
            yield from ((kernel.content, sp.expand(node.position + shift)) for kernel, _, shift, _ in node.factors)

    @staticmethod
    def _knots(factor: float, move: float, edges: Sequence[float], low: float, high: float) -> ndarray:
        """Return the u between two ends at which au + b is a knot."""
        first, last = sorted((factor * low + move, factor * high + move))
        if last - first > _MOST_PANELS:
            raise NotConverged(f"offsets that extend over {last - first:.3g} pixels are not integrated pixel by pixel")
        whole = np.arange(np.floor(first), np.ceil(last) + 1)
        knots = (np.concatenate([whole + edge for edge in edges]) - move) / factor
        return knots[(knots > low) & (knots < high)]


class MeanOfDerivative(DensityIntegral):
    """E ∂^orders F(u) of a normal u, derivatives of F in the sense of distributions; args as `DensityIntegral`."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(∂F), or E(F) without a derivative."""
        marks = derivative_marks(self.orders, latex=latex)
        return sp.Function("E")(sp.Function(marks)(self.body) if marks else self.body)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Move the derivatives onto the density, each with a minus sign."""
        return cast("float", (-1) ** sum(self.orders) * super().numeric(environment, evaluate))


class ConditionedMean(DensityIntegral):
    """E over the offsets of a moment F given them: args as `DensityIntegral`, and what the moment is of."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E of the values, written out."""
        return sp.Function("E")(cast("Written", self.part(5)).expression)


class CellMoment(Node):
    """∫ fᵖ q(j + f) df over a part of the cell j: args (p, j, from, to, mean, variance), q a normal density."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        power, cell, low, high = self.args[:4]
        return sp.Integral(FRACTION**power * sp.Function("q")(cell + FRACTION), (FRACTION, low, high))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate by Gauss–Legendre panels of half a deviation; an array where the cells are one."""
        power, cell, low, high, mean, variance = (evaluate(part, environment) for part in self.args)
        panels = int(np.ceil(float(high - low) / (_PANEL * np.sqrt(variance)))) + 1
        if panels > _MOST_PANELS:
            raise NotConverged(f"{self}: offsets of deviation {np.sqrt(variance):.3g}, narrow against a pixel")
        points, weights = (part.ravel() for part in gauss_legendre(np.linspace(low, high, panels + 1)))
        places = np.asarray(cell, dtype=float)[..., None] + points - mean
        density = np.exp(-(places**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        return cast("float | ndarray", (density * points**power) @ weights)


class CellSum(Node):
    """Σ over all cells j of a term that falls with the density of N(mean, variance): args (term, j, mean, variance)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        return sp.Sum(self.args[0], (self.args[1], -sp.oo, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Sum over the cells that the law reaches; a scalar."""
        mean, deviation = (
            float(evaluate(self.args[2], environment)),
            np.sqrt(float(evaluate(self.args[3], environment))),
        )
        low, high = np.floor(mean - _REACH * deviation) - 2, np.ceil(mean + _REACH * deviation) + 2
        if high - low > _MOST_POINTS:
            raise NotConverged(f"{self}: offsets of deviation {deviation:.3g} reach too many cells")
        return float(np.sum(evaluate(self.args[0], {**environment, self.args[1]: np.arange(low, high + 1)})))


@dataclass(frozen=True)
class _Normal:
    """A normal law with numbers.

    Attributes:
        means: shape (d,).
        covariance: shape (d, d).
    """

    means: ndarray
    covariance: ndarray

    @property
    def narrowest(self) -> float:
        """The smallest deviation in any direction."""
        least = float(np.linalg.eigvalsh(self.covariance)[0])
        return float(np.sqrt(max(least, 0.0))) or np.finfo(float).tiny

    def density(self, grid: Sequence[ndarray], orders: tuple[int, ...]) -> ndarray:
        """Return a derivative of the density on a grid, an array for each component."""
        precision = np.linalg.inv(self.covariance)
        scale = np.sqrt(np.linalg.det(2 * np.pi * self.covariance))
        moved = [points - mean for points, mean in zip(grid, self.means, strict=True)]
        return cast("ndarray", _density_derivative(orders)(*moved, *precision.ravel()) / scale)


@cache
def _density_derivative(orders: tuple[int, ...]) -> Callable[..., ndarray]:
    """Return ∂^orders exp(−zᵀWz/2) as a function of z and of the entries of W."""
    dim = len(orders)
    z = sp.symbols(f"z:{dim}", real=True)
    matrix = sp.Matrix(dim, dim, sp.symbols(f"w:{dim * dim}", real=True))
    vector = sp.Matrix(z)
    density: sp.Expr = sp.exp(-(vector.T * matrix * vector)[0] / 2)
    for symbol, order in zip(z, orders, strict=True):
        density = sp.diff(density, symbol, order)
    return cast("Callable[..., ndarray]", sp.lambdify([*z, *matrix], density, "numpy", cse=True))


def opaque_kernel(kernel: Kernel | None) -> sp.Basic:
    """Return the second argument of a `MovingCovariance`."""
    return sp.Integer(0) if kernel is None else Opaque(kernel)


@dataclass(frozen=True)
class Written:
    """An expression that is only printed.

    Attributes:
        expression: the expression.
    """

    expression: sp.Expr

    def __str__(self) -> str:
        return str(self.expression)
