"""The intermediate expressions of a derivation: what stands between E(y[n]²) and its closed form.

Each node prints like the formula in the theory and can be given a number by a route of its own, so
that a test can hold every step of a derivation against the step before.
"""

import itertools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, reduce
from typing import Any

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.fields.laws import ARGUMENT, Law
from warptheory.kernels import POSITION, Kernel, NoClosedFormError, PeriodicFunction
from warptheory.symbolic._display import Displayed
from warptheory.symbolic._variables import Index, OffsetField

Environment = Mapping[sp.Symbol, Any]
Evaluate = Callable[[sp.Expr, Environment], Any]


class NotConverged(WarpTheoryError):  # noqa: N818 -- reads as what it says
    """A series was not summed to the accuracy that is promised."""


class Side(IntEnum):
    """From which side a derivative at a knot is taken; both: the mean of the two."""

    RIGHT = 0
    LEFT = 1
    BOTH = 2


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
        """Return the node's value, a scalar, or an array of shape (*grid) where the environment has arrays.

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
    """k⁽ᵒʳᵈᵉʳ⁾(u): args (kernel, order, u, side); the `Side` is that of the derivative at a knot."""

    @property
    def kernel(self) -> Kernel:
        """The kernel."""
        return self.args[0].content

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
            return _kernel_function(self.kernel, order)(position)
        return _kernel_function(self.kernel, order)(np.asarray(np.nextafter(position, -np.inf)))


class TapSum(Node):
    """F(f) = Σₘ ∏ᵢ kᵢ⁽ᵒʳᵈᵉʳ⁾(f + shiftᵢ − m): args (factors, position); ρ and δ are two of them.

    A factor is a `sp.Tuple` (kernel, order, shift, side); a `Side` is that of the derivative at a knot.
    """

    @property
    def position(self) -> sp.Expr:
        """The position whose fraction is meant."""
        return self.args[1]

    @property
    def factors(self) -> tuple[sp.Tuple, ...]:
        """The factors (kernel, order, shift, side)."""
        return tuple(self.args[0])

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
            return evaluate(self.display(latex=False), environment)
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
        own = _law_symbols(self.offsets.axis_law) | self.offsets.correlation.free_symbols
        return (self.args[0].free_symbols - set(self.offsets.symbols)) | own

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E_ε(expression)."""
        return sp.Function("E_" + ("epsilon" if latex else "ε"))(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate against the law's density, or sum over its atoms, on a tensor grid."""
        knots = self._knots(environment, evaluate)
        correlation = float(evaluate(self.offsets.correlation, environment))
        if correlation in (0, 1):
            points, weights = quadrature(self.offsets.axis_law, environment, evaluate, knots)
            dim, grid, mass = _tensor_grid(points, weights, self.offsets.dim, equal=correlation == 1)
        else:
            pair = _CorrelatedNormal.of(self.offsets, environment, evaluate)
            # A function of period one has a Fourier series; a value at a given pixel has none.
            if not self.args[0].has(KernelValue) and pair.harmonics <= _MOST_HARMONICS[pair.dim]:
                return correlated_average(self.args[0], self.offsets.symbols, pair, knots, environment, evaluate)
            (grid, mass), dim = pair.quadrature(knots), pair.dim
        # What is fixed while the offsets are averaged, such as the taps of a sum, keeps its axes in front.
        fixed = {
            symbol: value[(..., *[None] * dim)] if isinstance(value, ndarray) else value
            for symbol, value in environment.items()
        }
        inner = {**fixed, **dict(zip(self.offsets.symbols, grid, strict=True))}
        averaged = np.sum(mass * evaluate(self.args[0], inner), axis=tuple(range(-dim, 0)))
        return averaged if averaged.ndim else float(averaged)

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
            found |= {(edge - move) % 1.0 for edge in _edges(kernel)}
        return found


def _tensor_grid(
    points: ndarray, weights: ndarray, dim: int, *, equal: bool
) -> tuple[int, tuple[ndarray, ...], ndarray]:
    """Return the number of axes of the grid, the offset along each axis on it, and the mass of its points."""
    if equal:
        return 1, (points,) * dim, weights
    mass = np.prod(np.meshgrid(*[weights] * dim, indexing="ij"), axis=0)
    return dim, tuple(np.meshgrid(*[points] * dim, indexing="ij")), mass


@dataclass(frozen=True)
class _CorrelatedNormal:
    """Normal offsets along d axes, N(l, s²R) with Rᵢⱼ = r for i ≠ j.

    Attributes:
        dim: number d of axes.
        location: l, in pixels.
        scale: s, in pixels.
        correlation: r.
    """

    dim: int
    location: float
    scale: float
    correlation: float

    @classmethod
    def of(cls, offsets: OffsetField, environment: Environment, evaluate: Evaluate) -> "_CorrelatedNormal":
        law = offsets.axis_law
        numbers = (float(evaluate(part, environment)) for part in (law.location, law.scale, offsets.correlation))
        return cls(offsets.dim, *numbers)

    @property
    def matrix(self) -> ndarray:
        """R, shape (d, d)."""
        return (1 - self.correlation) * np.eye(self.dim) + self.correlation

    @property
    def narrowest(self) -> float:
        """The deviation along the axis of R that has the smallest, in pixels."""
        return self.scale * float(np.sqrt(max(np.linalg.eigvalsh(self.matrix)[0], 0.0)))

    @property
    def harmonics(self) -> float:
        """The largest |jᵢ| for which χ(2πj) ≤ exp(−2π² narrowest² |j|²) exceeds 1e-16."""
        decay = 2 * np.pi**2 * self.narrowest**2
        return float(np.ceil(np.sqrt(_LAST_EXPONENT / decay))) if decay > 0 else np.inf

    def characteristic_function(self, j: ndarray) -> ndarray:
        """Return χ(2πj) for j of shape (d, *J)."""
        quadratic = np.einsum("a...,ab,b...->...", j, self.matrix, j)
        return np.exp(2j * np.pi * self.location * j.sum(0) - 2 * np.pi**2 * self.scale**2 * quadratic)

    def quadrature(self, knots: Iterable[float]) -> tuple[tuple[ndarray, ...], ndarray]:
        """Return a grid and its masses: Gauss–Legendre panels of the narrowest deviation, split at the knots.

        Raises:
            NotConverged: the axes are so nearly dependent, or the offsets so wide, that the grid would not fit.
        """
        reach = _NORMAL_REACH * self.scale
        count = 2 * reach / self.narrowest if self.narrowest > 0 else np.inf
        count += 2 * reach * len(set(knots))
        if (12 * count) ** self.dim > _MOST_POINTS:
            raise NotConverged(
                f"correlated offsets of scale {self.scale:g} and correlation {self.correlation:g}: a grid of "
                f"{12 * count:.3g} points along each of {self.dim} axes is too large"
            )
        ends = np.linspace(self.location - reach, self.location + reach, int(np.ceil(2 * reach / self.narrowest)) + 1)
        points, weights = (part.ravel() for part in _gauss_legendre(_split(ends, knots)))
        grid = np.meshgrid(*[points] * self.dim, indexing="ij")
        moved = (np.stack(grid) - self.location) / self.scale
        quadratic = np.einsum("a...,ab,b...->...", moved, np.linalg.inv(self.matrix), moved)
        constant = (2 * np.pi) ** (self.dim / 2) * self.scale**self.dim * np.sqrt(np.linalg.det(self.matrix))
        masses = np.prod(np.meshgrid(*[weights] * self.dim, indexing="ij"), axis=0)
        return tuple(grid), masses * np.exp(-quadratic / 2) / constant


def correlated_average(
    expression: sp.Expr,
    symbols: Index,
    offsets: _CorrelatedNormal,
    knots: Iterable[float],
    environment: Environment,
    evaluate: Evaluate,
) -> float:
    """Average a function of period one in each offset over correlated normal offsets, by its Fourier series.

    E F(ε) = Σ_j c_j χ(2πj) over j ∈ Zᵈ; the coefficients come from Gauss–Legendre panels between the knots, and
    frequencies are kept while χ exceeds 1e-16.
    """
    harmonics = int(offsets.harmonics)
    coefficients = _fourier_coefficients(expression, symbols, harmonics, knots, environment, evaluate)
    j = np.stack(np.meshgrid(*[np.arange(-harmonics, harmonics + 1)] * offsets.dim, indexing="ij"))
    return float(np.real(np.sum(coefficients * offsets.characteristic_function(j))))


def _fourier_coefficients(
    expression: sp.Expr,
    symbols: Index,
    harmonics: int,
    knots: Iterable[float],
    environment: Environment,
    evaluate: Evaluate,
) -> ndarray:
    """Return ∫ F(f) e^{−2πij·f} df over [0, 1)ᵈ for |jᵢ| ≤ harmonics."""
    panels = max(2, 2 * int(np.ceil(harmonics / 8)))
    points, weights = (part.ravel() for part in _gauss_legendre(_split(np.linspace(0, 1, panels + 1), knots), 24))
    grid = np.meshgrid(*[points] * len(symbols), indexing="ij")
    values = np.asarray(evaluate(expression, {**environment, **dict(zip(symbols, grid, strict=True))}))
    values = np.broadcast_to(values, grid[0].shape)
    waves = weights * np.exp(-2j * np.pi * np.outer(np.arange(-harmonics, harmonics + 1), points))
    for _ in symbols:  # each pass transforms the first axis and moves it to the end
        values = np.tensordot(values, waves, axes=(0, 1))
    return values


def kernel_argument(kernel: Kernel) -> Opaque:
    """Wrap a kernel as an argument of `KernelValue` and `TapSum`."""
    return Opaque(kernel)


def quadrature(
    law: Law, environment: Environment, evaluate: Evaluate, knots: Iterable[float] = (0.0, 0.5)
) -> tuple[ndarray, ndarray]:
    """Return points and weights that integrate functions with knots at some fractions against a law.

    Gauss–Legendre panels end at these fractions of every pixel and at every half scale of the law, out to 45
    scales; panels without mass are dropped.

    Args:
        law: the law.
        environment: a number for each symbol of the law.
        evaluate: evaluates an expression in an environment.
        knots: fractions in [0, 1).
    """
    rules = [
        (float(probability), *_quadrature_of_part(part, environment, evaluate, knots))
        for probability, part in law.parts
    ]
    return np.concatenate([points for _, points, _ in rules]), np.concatenate([p * w for p, _, w in rules])


def spread_of(law: Law, number: Callable[[sp.Expr], float], tail: float) -> float:
    """Return the width of the interval that holds a law's values but for a share `tail` on each side.

    Args:
        law: the law.
        number: gives the number of a location or scale.
        tail: the share.
    """
    points, weights = quadrature(law, {}, lambda expression, _: number(expression))
    order = np.argsort(points)
    below = np.cumsum(weights[order])
    inside = points[order][(below > tail) & (below < 1 - tail)]
    return float(inside[-1] - inside[0]) if len(inside) else 0.0


def _quadrature_of_part(
    law: Law, environment: Environment, evaluate: Evaluate, knots: Iterable[float]
) -> tuple[ndarray, ndarray]:
    location, scale = float(evaluate(law.location, environment)), float(evaluate(law.scale, environment))
    if scale < 0:
        raise ArgumentError("values", expected=f"a scale {law.scale} ≥ 0 of the {law.name} law", received=scale)
    if law.atoms or scale == 0:
        atoms = law.atoms or ((0, 1),)
        values = [location + scale * float(value) for value, _ in atoms]
        return np.array(values), np.array([float(probability) for _, probability in atoms])
    ends = location + scale * _massive_interval(law.density)
    if ends[-1] - ends[0] > _MOST_PIXELS:
        raise NotConverged(
            f"{law.name} offsets of scale {scale:g} extend over {ends[-1] - ends[0]:.3g} pixels, and averages over "
            f"more than {_MOST_PIXELS} are not integrated pixel by pixel; `WideOffsets` takes the limit"
        )
    points, lengths = _gauss_legendre(_split(ends, knots))
    weights = lengths * _compiled(law.density)((points - location) / scale) / scale
    heavy = weights.sum(axis=1) > _NO_MASS
    return points[heavy].ravel(), weights[heavy].ravel()


def _split(ends: ndarray, knots: Iterable[float]) -> ndarray:
    """Return the ends of the panels between `ends`, in ascending order, split at some fractions of every pixel."""
    pixels = np.arange(np.floor(ends[0]) - 1, np.ceil(ends[-1]) + 1)
    breaks = np.concatenate([pixels + knot for knot in sorted(set(knots))])
    return np.unique(np.concatenate([breaks[(breaks >= ends[0]) & (breaks <= ends[-1])], ends]))


def _gauss_legendre(edges: ndarray, count: int = 12) -> tuple[ndarray, ndarray]:
    """Return points and weights for the panels between edges, each of shape (panels, count)."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    centres, halves = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    return centres[:, None] + halves[:, None] * nodes, halves[:, None] * weights


@cache
def _massive_interval(density: sp.Expr) -> ndarray:
    """Return the ends of the half scales about a law's centre, from the first to the last that has mass."""
    ends = np.arange(-2 * _REACH, 2 * _REACH + 1) / 2
    points, lengths = _gauss_legendre(ends)
    heavy = np.flatnonzero((lengths * _compiled(density)(points)).sum(axis=1) > _NO_MASS)
    return ends[heavy[0] : heavy[-1] + 2]


def tap_sum(factors: tuple[tuple[Kernel, int, int], ...]) -> PeriodicFunction:
    """Return F(f) = Σₘ ∏ᵢ kᵢ⁽ᵒʳᵈᵉʳ⁾(f + shiftᵢ − m) as a function of the fraction.

    Args:
        factors: (kernel, order, shift in whole pixels) of each factor.

    Raises:
        NoClosedFormError: different shifts or kernels, one of which reads infinitely many pixels.
    """
    first = factors[0]
    # Only differences of shifts matter, and the order of the factors does not.
    moved = sorted(((kernel, order, shift - first[2]) for kernel, order, shift in factors), key=str)
    return _tap_sum(tuple(moved))


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


def sided_tap_sum(factors: tuple[sp.Tuple, ...], position: sp.Expr) -> sp.Expr:
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
_NO_MASS = 1e-18
_LAST_EXPONENT = 37.0  # exp(−37) < 1e−16
_MOST_HARMONICS = {2: 256, 3: 48}
_NORMAL_REACH = 8.5  # deviations; what lies beyond has a probability below 1e−16
_MOST_POINTS = 2**24
_MOST_PIXELS = 2**16  # 12 points for each piece of each: below a gigabyte
_REACH = 45  # scales; exp(−45) < 3e−20 is the heaviest tail in the catalogue (Laplace)


def _law_symbols(law: Law) -> set[sp.Symbol]:
    return law.location.free_symbols | law.scale.free_symbols


def kernel_label(kernel: Kernel) -> str:
    """Return the index that tells functions of a kernel from those of the linear one, which has none."""
    return "" if kernel.name == "linear" else f"_{kernel.name}"


@cache
def _edges(kernel: Kernel) -> tuple[float, ...]:
    """Return where in a pixel the kernel's weights change their expression."""
    if not kernel.is_compact:
        return (0.0,)
    return tuple(sorted({float(cell.lower) for weight in kernel.taps.values() for cell in weight.cells}))


@cache
def _compiled(density: sp.Expr) -> Callable[[ndarray], ndarray]:
    return sp.lambdify([ARGUMENT], density, "numpy")


@cache
def _kernel_function(kernel: Kernel, order: int) -> Callable[[ndarray], ndarray]:
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
