"""The intermediate expressions of a derivation: what stands between E(y[n]²) and its closed form.

Each node prints like the formula in the theory and can be given a number by a route of its own, so
that a test can hold every step of a derivation against the step before.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.fields.laws import ARGUMENT, Law
from warptheory.kernels import POSITION, Kernel, PeriodicFunction
from warptheory.symbolic._display import Displayed
from warptheory.symbolic._variables import OffsetField

Environment = Mapping[sp.Symbol, Any]
Evaluate = Callable[[sp.Expr, Environment], Any]


class Opaque(sp.Atom):
    """A Python object (a kernel, an offset field) as an argument of a sympy node."""

    def __new__(cls, content: Any) -> "Opaque":
        """Wrap `content`."""
        atom: Opaque = super().__new__(cls)
        atom.content = content
        return atom

    def _hashable_content(self) -> tuple[str, ...]:
        return (str(self.content),)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.content,)


class Node(Displayed, sp.Expr):
    """An unevaluated quantity of a derivation."""

    is_commutative = True
    is_real = True

    def __new__(cls, *args: Any) -> "Node":
        """Make the node; plain numbers become sympy numbers."""
        node: Node = super().__new__(cls, *map(sp.sympify, args))
        return node

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Return the node's value.

        Args:
            environment: a number or array for each free symbol.
            evaluate: evaluates a sub-expression in an environment.
        """
        raise NotImplementedError(type(self).__name__)


class ExpectedValue(Node):
    """E[monomial] of random variables, before anything is known about it: args (monomial,)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(monomial)."""
        return sp.Function("E")(self.args[0])


class PixelMoment(Node):
    """E ∏ᵢ x[mᵢ] of independent pixels: args (name of x, cumulants, m₁, m₂, …)."""

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
    """k⁽ᵒʳᵈᵉʳ⁾(u): args (kernel, order, u)."""

    @property
    def kernel(self) -> Kernel:
        """The kernel."""
        return self.args[0].content

    def display(self, *, latex: bool) -> sp.Expr:
        """Return k(u), or k′(u) for a derivative."""
        prime = "'" if latex else "′"
        return sp.Function("k" + prime * int(self.args[1]))(self.args[2])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Evaluate the kernel's definition."""
        return _kernel_function(self.kernel, int(self.args[1]))(np.asarray(evaluate(self.args[2], environment)))


class TapSum(Node):
    """F(f) = Σₘ ∏ᵢ k⁽ᵒʳᵈᵉʳˢ⁽ⁱ⁾⁾(f − m): args (kernel, orders, f); ρ for (0,0) and δ for (1,1)."""

    @property
    def function(self) -> PeriodicFunction:
        """The function of the fraction, exactly."""
        return self.args[0].content.tap_sum([int(order) for order in self.args[1]])

    @property
    def position(self) -> sp.Expr:
        """The position whose fraction is meant."""
        return self.args[2]

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ρ(f), δ(f), or the sum itself."""
        orders = tuple(int(order) for order in self.args[1])
        if orders in _FUNCTIONAL_NAMES:
            return sp.Function(_FUNCTIONAL_NAMES[orders])(self.position)
        m = sp.Symbol("m", integer=True)
        factors = [KernelValue(self.args[0], order, self.position - m) for order in orders]
        return sp.Sum(sp.Mul(*factors), (m, -sp.oo, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Evaluate the exact pieces at the fraction of the position."""
        position = np.asarray(evaluate(self.position, environment), dtype=float)
        return _periodic_function(self.function)(position - np.floor(position))


class OffsetAverage(Node):
    """E over the offsets of an expression in their symbols: args (expression, offsets)."""

    @property
    def offsets(self) -> OffsetField:
        """The offset field that is averaged over."""
        return self.args[1].content

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the expression and of the law, without the averaged offsets."""
        return (self.args[0].free_symbols - set(self.offsets.symbols)) | _law_symbols(self.offsets.axis_law)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E_ε(expression)."""
        return sp.Function("E_" + ("epsilon" if latex else "ε"))(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate against the law's density, or sum over its atoms, on a tensor grid."""
        points, weights = quadrature(self.offsets.axis_law, environment, evaluate)
        dim = self.offsets.dim
        grid = np.meshgrid(*[points] * dim, indexing="ij")
        mass = np.prod(np.meshgrid(*[weights] * dim, indexing="ij"), axis=0)
        inner = {**environment, **dict(zip(self.offsets.symbols, grid, strict=True))}
        return float(np.sum(mass * evaluate(self.args[0], inner)))


def kernel_argument(kernel: Kernel) -> Opaque:
    """Wrap a kernel as an argument of `KernelValue` and `TapSum`."""
    return Opaque(kernel)


def quadrature(law: Law, environment: Environment, evaluate: Evaluate) -> tuple[ndarray, ndarray]:
    """Return points and weights that integrate functions with knots at half-integers against a law.

    Gauss–Legendre panels end at every half-integer (knots of the kernels) and at every half scale of
    the law, out to 45 scales; panels without mass are dropped.
    """
    location, scale = float(evaluate(law.location, environment)), float(evaluate(law.scale, environment))
    if law.atoms:
        values = [location + scale * float(value) for value, _ in law.atoms]
        return np.array(values), np.array([float(probability) for _, probability in law.atoms])
    low, high = location - _REACH * scale, location + _REACH * scale
    half_integers = np.arange(np.ceil(2 * low), np.floor(2 * high) + 1) / 2
    edges = np.unique(np.concatenate([half_integers, location + scale * np.arange(-2 * _REACH, 2 * _REACH + 1) / 2]))
    nodes, node_weights = np.polynomial.legendre.leggauss(12)
    centres, halves = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    points = centres[:, None] + halves[:, None] * nodes
    density = sp.lambdify([ARGUMENT], law.density, "numpy")((points - location) / scale) / scale
    weights = halves[:, None] * node_weights * density
    heavy = weights.sum(axis=1) > 1e-18
    return points[heavy].ravel(), weights[heavy].ravel()


_FUNCTIONAL_NAMES = {(0, 0): "rho", (1, 1): "delta"}
_REACH = 45  # scales; exp(−45) < 3e−20 is the heaviest tail in the catalogue (Laplace)


def _law_symbols(law: Law) -> set[sp.Symbol]:
    return law.location.free_symbols | law.scale.free_symbols


@cache
def _kernel_function(kernel: Kernel, order: int) -> Callable[[ndarray], ndarray]:
    compiled = sp.lambdify([POSITION], kernel.value(POSITION, order), "numpy")
    return lambda position: np.broadcast_to(compiled(position), position.shape)


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
