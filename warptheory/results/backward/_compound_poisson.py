"""The law of the sum of the kernel's weights that reach one pixel, when positions are uniform over a torus.

Each of many outputs reads the pixel with the same small probability, at a uniform place of the support. The number
R of readings is binomial, Poisson in the limit of a large torus, and the sum S = W₁ + … + W_R of their independent
weights is then compound Poisson. P(S > t) is taken

- by Fourier transforms on a lattice of weights, for every kernel;
- by conditioning on R, where the sum of R weights has a density in closed form: weights that are constant (nearest)
  or uniform (linear, on one axis).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.kernels import POSITION, Kernel, Piece, PiecewiseKernel, convolve
from warptheory.results.backward._reading import kernel_values, support, support_size
from warptheory.symbolic import NotReducible, Step
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

SIZE = sp.Symbol("N", integer=True, positive=True)  # pixels along an axis of the torus
THRESHOLD = sp.Symbol("t", nonnegative=True)


class ColumnTail(Node):
    """P(S > t) for the sum S of the weights that reach a pixel: args (kernel, dim, t, pixels).

    Each of `pixels` outputs reads it with probability |S|ᵈ/pixels, with weight ∏k(Uᵢ), U uniform on the
    support; infinitely many pixels make their number Poisson.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return P(S > t), S a sum over the pixels, or over R readings where these are Poisson."""
        n, pixels = sp.Symbol("n", integer=True), self.args[3]
        number = sp.Symbol("R", integer=True) if pixels == sp.oo else pixels
        read = sp.Function("k")(sp.IndexedBase("U")[n] if pixels == sp.oo else sp.IndexedBase("p")[n])
        return sp.Function("P")(sp.Gt(sp.Sum(read, (n, 1, number)), self.args[2], evaluate=False))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Transform the law of a weight on two lattices of weights, and extrapolate to a fine one; a scalar.

        The error of a lattice of step h is of order h² (t is not to be an atom). About 1e-7 remains, and 1e-5 on
        three axes, where the support is divided into few cells.
        """
        kernel, dim = self.args[0].content, int(self.args[1])
        threshold = float(evaluate(self.args[2], environment))
        pixels = math.inf if self.args[3] == sp.oo else float(evaluate(self.args[3], environment))
        coarse, fine = (1 - _lattice_distribution(kernel, dim, threshold, pixels, 2**p) for p in (9, 10))
        return (4 * fine - coarse) / 3


_LARGEST_SUM = 32  # column sums have mean one; the share beyond is far below rounding
_CELLS_PER_PIXEL = {1: 2**16, 2: 2**9, 3: 2**6}  # of the support, as memory allows


def _lattice_distribution(kernel: Kernel, dim: int, threshold: float, pixels: float, per_unit: int) -> float:
    """Return P(S ≤ t) with weights on a lattice of step 1/per_unit; half the mass at t counts."""
    readings = float(support_size(kernel)) ** dim
    excess = readings * (np.fft.rfft(_lattice_weights(kernel, dim, per_unit)) - 1)
    transform = np.exp(excess) if math.isinf(pixels) else (1 + excess / pixels) ** pixels
    masses = np.fft.irfft(transform)
    place = threshold * per_unit
    below = int(np.floor(place))
    # The distribution function is linear between the middles of the lattice's cells.
    return float(masses[:below].sum() + masses[below] * min(1.0, place - below + 0.5) + _next_share(masses, place))


def _next_share(masses: ndarray, place: float) -> float:
    beyond = place - np.floor(place) - 0.5
    return float(masses[int(np.floor(place)) + 1] * beyond) if beyond > 0 else 0.0


@cache
def _lattice_weights(kernel: Kernel, dim: int, per_unit: int) -> ndarray:
    """Return the law of ∏k(Uᵢ) on multiples of 1/per_unit, mass shared between the two neighbours."""
    count = _CELLS_PER_PIXEL[dim]
    line = np.concatenate([_midpoint_values(kernel, piece, count) for piece in support(kernel)])
    weights = np.ones(())
    for _ in range(dim):
        weights = weights[..., None] * line
    places = weights.ravel() * per_unit
    length = _LARGEST_SUM * per_unit
    lower = np.floor(places).astype(int)
    share = places - lower
    masses = np.bincount(lower % length, weights=1 - share, minlength=length)
    masses += np.bincount((lower + 1) % length, weights=share, minlength=length)
    return cast("ndarray", masses / masses.sum())


def _midpoint_values(kernel: Kernel, piece: Piece, count: int) -> ndarray:
    """Return k at the middles of equal cells of an interval, `count` for each pixel."""
    cells = int(count * (piece.upper - piece.lower))
    return kernel_values(kernel, float(piece.lower) + (np.arange(cells) + 0.5) / count)


class MixtureTail(Node):
    """Σᵣ e^{−λ}λʳ/r! P(W₁ + … + Wᵣ > t), W of the kernel's weights: args (kernel, dim, t)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        r, i = sp.symbols("r i", integer=True)
        mean = support_size(self.args[0].content) ** self.args[1]
        total = sp.Sum(sp.IndexedBase("W")[i], (i, 1, r))
        tail = sp.Function("P")(sp.Gt(total, self.args[2], evaluate=False))
        return sp.Sum(sp.exp(-mean) * mean**r / sp.factorial(r) * tail, (r, 0, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Convolve the density of a weight with itself exactly, piece by piece; a scalar."""
        kernel, threshold = self.args[0].content, float(evaluate(self.args[2], environment))
        mean, law = float(support_size(kernel)) ** int(self.args[1]), weight_law(kernel, int(self.args[1]))
        below, r, poisson = 0.0, 0, math.exp(-mean)
        while poisson > 1e-18 or r < mean:
            share = _share_below(r, threshold, law)
            below, r, poisson = below + poisson * share, r + 1, poisson * mean / (r + 1)
            if share * poisson < 1e-18 and r > threshold:
                break
        return 1 - below


@dataclass(frozen=True)
class WeightLaw:
    """A weight that is uniform on (0, top), or always `top`."""

    top: sp.Expr
    is_constant: bool


def weight_law(kernel: Kernel, dim: int) -> WeightLaw:
    """Read the law of a weight ∏k(Uᵢ) off the kernel's pieces.

    Raises:
        NotReducible: the weights are neither constant nor, on one axis, uniform from zero.
    """
    if not isinstance(kernel, PiecewiseKernel):
        raise NotReducible(sp.Symbol(kernel.name), "it reads every pixel")
    pieces = [piece for piece in kernel.pieces if piece.expression != 0]
    slopes = [sp.diff(piece.expression, POSITION) for piece in pieces]
    ends = {
        tuple(sorted(piece.expression.subs(POSITION, edge) for edge in (piece.lower, piece.upper))) for piece in pieces
    }
    if len(ends) == 1 and all(slope.is_number for slope in slopes):
        low, top = ends.pop()
        if low == top:
            return WeightLaw(top**dim, is_constant=True)
        if low == 0 and dim == 1:
            return WeightLaw(top, is_constant=False)
    raise NotReducible(sp.Symbol(kernel.name), f"no closed form of the sum of its weights in {dim} axes")


def _share_below(readings: int, threshold: float, law: WeightLaw) -> float:
    """Return P(W₁ + … + Wᵣ ≤ t)."""
    top = float(law.top)
    if readings == 0 or law.is_constant:
        return float(readings * top <= threshold)
    pieces = _sum_density(readings, math.ceil(threshold / top))
    total = sp.Integer(0)
    for piece in pieces:
        upper = min(piece.upper, sp.Rational(threshold / top))
        if piece.lower < upper:
            total += sp.Poly(piece.expression, POSITION).integrate().eval(upper)
            total -= sp.Poly(piece.expression, POSITION).integrate().eval(piece.lower)
    return float(total)


@cache
def _sum_density(terms: int, limit: int) -> tuple[Piece, ...]:
    """Return the density of the sum of uniform variables on (0, 1), on (0, limit)."""
    box = (Piece(sp.Integer(0), sp.Integer(1), sp.Integer(1)),)
    if terms == 1:
        return box
    return tuple(piece for piece in convolve(_sum_density(terms - 1, limit), box) if piece.upper <= limit)


class KnotSum(Node):
    """Σ_{j=0}^{⌊t/step⌋} of a term that may hold series and Bessel functions: args (term, j, t, step)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        term, index, threshold, step = self.args
        return sp.Sum(term, (index, 0, sp.floor(threshold / step)))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Add the terms in multiple precision, which sums their series to the last digit; a scalar."""
        term, index, threshold, step = self.args
        numbers = {symbol: sp.Rational(float(value)) for symbol, value in environment.items() if term.has(symbol)}
        last = int(sp.floor(sp.Rational(float(evaluate(threshold, environment))) / step))
        return float(sum(term.subs(index, j).subs(numbers).evalf(20) for j in range(last + 1)))


def equal_weights_steps(mean: sp.Expr, top: sp.Expr) -> tuple[Step, ...]:
    """Return the step for weights that are all `top`: the number of readings decides."""
    r = sp.Symbol("r", integer=True, nonnegative=True)
    return (
        Step(
            "Equal weights",
            "the sum of r weights is r times one of them",
            1 - KnotSum(sp.exp(-mean) * mean**r / sp.factorial(r), r, THRESHOLD, top),
        ),
    )


def uniform_weights_steps(mean: sp.Expr, top: sp.Expr) -> tuple[Step, ...]:
    """Invert the Laplace transform of the distribution function term by term, and add the terms up."""
    rate, time, weight = sp.symbols("theta T w", positive=True)
    j, q = sp.symbols("j q", integer=True, nonnegative=True)
    r = j + q
    one = sp.expand(sp.integrate(sp.exp(-rate * weight) / top, (weight, 0, top)))  # a transform of one weight
    delayed = one.coeff(sp.exp(-top * rate))
    prompt = one - delayed * sp.exp(-top * rate)
    # (prompt + delayed e^{−rate·top})^r / rate, its j-th binomial term; both factors are constants over the rate.
    constant = (prompt * rate) ** q * (delayed * rate) ** j * sp.binomial(r, j).rewrite(sp.factorial)
    power = sp.inverse_laplace_transform(rate ** (-q - j - 1), rate, time).rewrite(sp.factorial)
    term = sp.exp(-mean) * mean**r / sp.factorial(r) * constant * power
    elapsed = THRESHOLD - top * j
    series = sp.Sum(sp.simplify(term), (q, 0, sp.oo))
    closed = sp.simplify(sp.summation(sp.simplify(term), (q, 0, sp.oo)))
    return (
        Step(
            "Invert the transform",
            "E e^{−θS}/θ = Σᵣ e^{−λ}λʳ/r! ((1 − e^{−θ})/θ)ʳ/θ; the j-th binomial term is a power, delayed by j weights",
            1 - KnotSum(series.subs(time, elapsed), j, THRESHOLD, top),
        ),
        Step(
            "Add the series",
            "over r it is that of a modified Bessel function",
            1 - KnotSum(closed.subs(time, elapsed), j, THRESHOLD, top),
        ),
    )


_PANEL, _NEGLIGIBLE = 0.5, 1e-6


class PoissonMaximum(Node):
    """E max of Nᵈ column sums that are large independently of each other: args (P(S > t), t, Nᵈ)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ∫ (1 − exp(−Nᵈ P(S > t))) dt."""
        tail, threshold, number = self.args
        return sp.Integral(1 - sp.exp(-number * tail), (threshold, 0, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate by panels of half a unit, up to where the tail is negligible."""
        tail, threshold, number = self.args
        count = float(evaluate(number, environment))
        nodes, weights = np.polynomial.legendre.leggauss(4)
        total, start, panel = 0.0, 0.0, 0.0
        while start < 4 or panel > _NEGLIGIBLE * _PANEL:
            points = start + _PANEL * (nodes + 1) / 2
            tails = [float(evaluate(tail, {**environment, threshold: float(point)})) for point in points]
            panel = float(_PANEL / 2 * np.dot(weights, -np.expm1(-count * np.array(tails))))
            total, start = total + panel, start + _PANEL
        return total
