"""Which pixels a position reads, and what the outputs together do to one pixel.

A position p reads the pixel m when p − m lies in the support S of the kernel along every axis. One pixel
is watched, and since offsets are alike at every pixel it may be the one at the origin: output n reads it
when n + ε(n) ∈ S.
"""

from functools import cache
from typing import Any, cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.core.errors import ArgumentError
from warptheory.fields.laws import ARGUMENT, Law
from warptheory.kernels import FRACTION, Kernel, PeriodicFunction, Piece, PiecewiseKernel, taps_of
from warptheory.symbolic import NotReducible, OffsetField
from warptheory.symbolic.nodes import Node, Opaque, kernel_function
from warptheory.symbolic.quadrature import Environment, Evaluate, quadrature

OUTPUT = sp.Symbol("n", integer=True)

# Equal cells of the fraction; the knots of kernels lie at multiples of 1/60 or few pixels of that.
_CELLS = 60 * 2**8

# Exponents of the scales from which a limit is extrapolated, by the number of axes; windows bound the largest.
_SCALES = {1: (3, 11), 2: (2, 8), 3: (1, 5)}


def support(kernel: Kernel) -> tuple[Piece, ...]:
    """Return the indicator function of the support {u : k(u) ≠ 0}, one piece for each interval of it.

    Single points at which k vanishes inside a piece are of no account.

    Raises:
        NotReducible: the kernel reads every pixel (sinc, or behind a prefilter).
    """
    if not isinstance(kernel, PiecewiseKernel):
        raise NotReducible(sp.Symbol(kernel.name), "it reads every pixel, so no input is dead and no support finite")
    merged: list[Piece] = []
    for piece in kernel.pieces:
        if piece.expression == 0:
            continue
        if merged and merged[-1].upper == piece.lower:
            merged[-1] = merged[-1]._replace(upper=piece.upper)
        else:
            merged.append(Piece(piece.lower, piece.upper, sp.Integer(1)))
    return tuple(merged)


@cache
def pixels_read(kernel: Kernel) -> PeriodicFunction:
    """Return N(f), the number of pixels along an axis that a position with fraction f reads."""
    return PeriodicFunction.sum(taps_of(support(kernel)).values())


def support_size(kernel: Kernel) -> sp.Expr:
    """Return |S| = ∫₀¹ N(f) df in pixels, the length of the support along an axis."""
    return pixels_read(kernel).mean()


def reading_probability(kernel: Kernel, law: Law, output: sp.Expr = OUTPUT) -> sp.Expr:
    """Return P(n + ε ∈ S) along one axis by the distribution function F of ε: Σ F(b − n) − F(a − n) over [a, b) of S.

    Args:
        kernel: the interpolation kernel, of support S.
        law: the law of the offset ε along an axis, in pixels.
        output: the pixel n.

    Raises:
        NotReducible: a law with atoms, for which it matters on which side of a knot they lie.
    """
    if law.density is None:
        raise NotReducible(sp.Symbol(law.name), "a law with a density is needed, without which knots have weight")
    return sp.Add(
        *(
            DistributionValue(Opaque(law), piece.upper - output) - DistributionValue(Opaque(law), piece.lower - output)
            for piece in support(kernel)
        )
    )


class MeanPixelsRead(Node):
    """∫₀¹ N(f) df: args (kernel,)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        return sp.Integral(pixels_read(self.args[0].content).at(FRACTION), (FRACTION, 0, 1))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Count the weights that are not zero, at fractions in the middles of equal cells; a scalar."""
        kernel = self.args[0].content
        taps = np.arange(min(kernel.taps), max(kernel.taps) + 1)
        fractions = (np.arange(_CELLS) + 0.5) / _CELLS
        return float(_is_read(kernel, fractions[:, None] - taps).sum() / _CELLS)


class DistributionValue(Node):
    """F(x), the distribution function of an offset: args (law, x)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the distribution function at x, written out."""
        law: Law = self.args[0].content
        return law.distribution.subs(ARGUMENT, (self.args[1] - law.location) / law.scale)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Evaluate the integral that sympy found of the density; a scalar."""
        law: Law = self.args[0].content
        location, scale = float(evaluate(law.location, environment)), float(evaluate(law.scale, environment))
        argument = np.asarray(evaluate(self.args[1], environment), dtype=float)
        found: ndarray = _distribution(law)((argument - location) / scale)
        return found


class ReadingProbability(Node):
    """P(k(n + ε) ≠ 0) along one axis: args (kernel, law, n)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return P(k(n + ε) ≠ 0)."""
        position = self.args[2] + sp.Symbol("epsilon", real=True)
        return sp.Function("P")(sp.Ne(sp.Function("k")(position), 0, evaluate=False))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate the density where the kernel's definition is not zero; n is a number or of shape (W,)."""
        points, weights = quadrature(self.args[1].content, environment, evaluate)
        outputs = np.asarray(evaluate(self.args[2], environment), dtype=float)
        found: ndarray = _is_read(self.args[0].content, outputs[..., None] + points) @ weights
        return found


class OverOutputs(Node):
    """A function of what all outputs do: args (p(n), n, kernel, law, dim, period).

    p(n) is the probability that output n reads the pixel along one axis. The outputs lie on Zᵈ where the
    period is infinite, else on a torus with that many pixels along each axis.
    """

    bound = slice(1, 2)

    @property
    def dim(self) -> int:
        """Number d of axes."""
        return int(self.args[4])

    @property
    def outputs(self) -> tuple[sp.Symbol, ...]:
        """The coordinates of n."""
        if self.dim == 1:
            return (cast("sp.Symbol", self.args[1]),)
        return tuple(sp.Symbol(f"{self.args[1]}_{axis + 1}", integer=True) for axis in range(self.dim))

    @property
    def limits(self) -> list[tuple[sp.Symbol, sp.Expr, sp.Expr]]:
        """The range of each coordinate of n."""
        period = self.args[5]
        low, high = (-sp.oo, sp.oo) if period == sp.oo else (sp.Integer(0), period - 1)
        return [(output, low, high) for output in self.outputs]

    @property
    def joint(self) -> sp.Expr:
        """∏ᵢ p(nᵢ), the probability that output n reads the pixel."""
        return sp.Mul(*(self.args[0].subs(self.args[1], output) for output in self.outputs))

    def probabilities(self, environment: Environment, evaluate: Evaluate) -> ndarray:
        """Return ∏ᵢ p(nᵢ) for every output that can read the pixel, shape (W, …, W)."""
        kernel, law, period = self.args[2].content, self.args[3].content, self.args[5]
        window = reading_window(kernel, law, environment, evaluate)
        line = np.broadcast_to(evaluate(self.args[0], {**environment, self.args[1]: window}), window.shape)
        if period != sp.oo:
            line = np.bincount(window % int(period), weights=line, minlength=int(period))
        joint = np.ones(())
        for _ in range(self.dim):
            joint = joint[..., None] * line
        return joint


class UnreadProbability(OverOutputs):
    """∏ₙ (1 − p(n)) over every output n: the probability that none reads the pixel."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the product."""
        return sp.Product(1 - self.joint, *self.limits)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Multiply over the outputs that can read the pixel; a scalar."""
        # In extended precision, since 1 − p rounds small p away, and there may be millions of them.
        return float(np.prod(1 - self.probabilities(environment, evaluate).astype(np.longdouble)))


class LogUnread(OverOutputs):
    """Σₙ log(1 − p(n)) over every output n."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        return sp.Sum(sp.log(1 - self.joint), *self.limits)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Add over the outputs that can read the pixel; a scalar."""
        return float(np.sum(np.log1p(-self.probabilities(environment, evaluate))))


class ExpectedReadings(OverOutputs):
    """Σₙ p(n) over every output n: the expected number of outputs that read the pixel."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        return sp.Sum(self.joint, *self.limits)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Add over the outputs that can read the pixel; a scalar."""
        return float(np.sum(self.probabilities(environment, evaluate)))


class UnreadEvent(OverOutputs):
    """E ∏ₙ 1[∏ᵢ k(nᵢ + εᵢ(n)) = 0]: the probability that no output reads the pixel, before anything is used."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the expectation of the product of indicators."""
        offset = sp.IndexedBase("epsilon")
        taps = sp.Mul(
            *(
                sp.Function("k")(n + offset[(*([axis + 1] if self.dim > 1 else []), *self.outputs)])
                for axis, n in enumerate(self.outputs)
            )
        )
        unread = sp.Function(r"\mathbb{1}" if latex else "1")(sp.Eq(taps, 0, evaluate=False))
        return sp.Function("E")(sp.Product(unread, *self.limits))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate each output's indicator against the joint density of its offsets; d ≤ 2; a scalar."""
        if self.dim > 2 or self.args[5] != sp.oo:
            raise ArgumentError("dim", expected="1 or 2 axes without a period", received=str(self))
        kernel, law = self.args[2].content, self.args[3].content
        points, weights = quadrature(law, environment, evaluate)
        window = reading_window(kernel, law, environment, evaluate)
        rows = kernel_values(kernel, window[:, None] + points)
        if self.dim == 1:
            return float(np.prod([weights[row == 0].sum() for row in rows]))
        mass = weights[:, None] * weights
        return float(np.prod([mass[row[:, None] * other == 0].sum() for row in rows for other in rows]))


class WideLimit(Node):
    """The limit of an expression as the scale of the offsets grows: args (expression, scale, dim)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the limit."""
        return sp.Limit(self.args[0], self.args[1], sp.oo)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Extrapolate from scales that double: a series in 1/scale whose first power is the d-th; a scalar."""
        dim = int(self.args[2])
        scales = 2.0 ** np.arange(*_SCALES[dim])
        values = [float(evaluate(self.args[0], {**environment, self.args[1]: scale})) for scale in scales]
        powers = np.array([0, *range(dim, dim + len(scales) - 1)])
        # Scaled columns keep the system well conditioned; the constant is the limit.
        matrix = (scales[0] / scales)[:, None] ** powers
        return float(np.linalg.solve(matrix, values)[0])


def reading_window(kernel: Kernel, law: Law, environment: Environment, evaluate: Evaluate) -> ndarray:
    """Return every n with P(n + ε ∈ S) above 1e-18, shape (W,), ascending integers."""
    low, high = offset_range(law, environment, evaluate)
    pieces = support(kernel)
    return np.arange(np.floor(float(pieces[0].lower) - high), np.ceil(float(pieces[-1].upper) - low) + 1).astype(int)


def offset_range(law: Law, environment: Environment, evaluate: Evaluate) -> tuple[float, float]:
    """Return the interval, in pixels, outside which an offset lies with probability below 1e-18."""
    location, scale = float(evaluate(law.location, environment)), float(evaluate(law.scale, environment))
    low, high = _canonical_range(law.at(0, 1))
    return location + scale * low, location + scale * high


def kernel_values(kernel: Kernel, positions: ndarray) -> ndarray:
    """Return k at positions of shape (*P), by its definition."""
    with np.errstate(divide="ignore"):  # pieces are evaluated everywhere, also where they do not hold
        return kernel_function(kernel, 0)(positions)


def watch(
    node: type[OverOutputs], probability: sp.Expr, kernel: Kernel, offsets: OffsetField, period: Any = sp.oo
) -> OverOutputs:
    """Return a node over all outputs.

    Args:
        node: what to form over the outputs.
        probability: p(n) along one axis, in `OUTPUT`.
        kernel: the interpolation kernel.
        offsets: the offset field, independent over pixels and axes.
        period: number of pixels along each axis of a torus; infinite for Zᵈ.
    """
    found: OverOutputs = node(probability, OUTPUT, Opaque(kernel), Opaque(offsets.axis_law), offsets.dim, period)
    return found


def _is_read(kernel: Kernel, positions: ndarray) -> ndarray:
    return cast("ndarray", kernel_values(kernel, positions) != 0)


@cache
def _distribution(law: Law) -> Any:
    return sp.lambdify([ARGUMENT], law.distribution, "scipy")


@cache
def _canonical_range(law: Law) -> tuple[float, float]:
    points, _ = quadrature(law, {}, lambda expression, environment: float(expression))
    return float(points.min()) - 0.5, float(points.max()) + 0.5
