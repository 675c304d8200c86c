"""Two walkers: one step of the random walk by which a warp averages the covariance of its input (D6).

Pixels n and n + Δ of y = Wx are read at p and p + Δ + η, η = ε(n + Δ) − ε(n). If every fraction of p is equally
likely whatever η is, E over the fraction and over x leaves

    C_y(Δ) = Σ_δ M(Δ, δ) C(δ),   M(Δ, δ) = ∏ᵢ E a(Δᵢ + ηᵢ − δᵢ),   a(z) = ∫k(u) k(u + z) du,

η ~ N(0, v) along each axis, v = 2(K(0) − K(Δ)). The integer translates of a sum to one, and so does each row of M.
The weight of a step along one axis is here in three forms, each with a number of its own.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import cast

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.fields import laws
from warptheory.kernels import (
    POSITION,
    Kernel,
    NoClosedFormError,
    Piece,
    Pieces,
    PiecewiseKernel,
    are_polynomial,
    reproduced_degree,
    taps_of,
)
from warptheory.symbolic import NotConverged
from warptheory.symbolic.gaussian import normal_density
from warptheory.symbolic.nodes import KernelValue, Node, edges_of, kernel_argument, kernel_label
from warptheory.symbolic.quadrature import Environment, Evaluate, quadrature
from warptheory.symbolic.values import Argument

_SHIFT = sp.Symbol("z", real=True)
_VARIANCE = sp.Symbol("v", positive=True)
_GAUSS_POINTS = 8  # exact for products of two pieces up to degree 7
_MOST_LAGS: Mapping[int, int] = {1: 4096, 2: 1024, 3: 64}  # by axes: boxes of at most 4 million points
_SETTLED = 1e-14


@cache
def autocorrelation(kernel: Kernel) -> PiecewiseKernel:
    """Return a(z) = ∫k(u) k(u + z) du as a kernel, whose partition of unity is checked when it is built.

    Raises:
        NoClosedFormError: a kernel without finitely many polynomial pieces.
    """
    pieces = polynomial_kernel(kernel).correlation_pieces(0, 0)
    degree = reproduced_degree(taps_of(pieces))
    return PiecewiseKernel(f"the autocorrelation of {kernel.name}", pieces, degree, kernel.source)


def polynomial_kernel(kernel: Kernel) -> PiecewiseKernel:
    """Return a kernel that is made of finitely many polynomials.

    Raises:
        NoClosedFormError: a kernel that is not made of finitely many polynomials.
    """
    if not isinstance(kernel, PiecewiseKernel) or not are_polynomial(kernel.pieces):
        raise NoClosedFormError(f"the autocorrelation of {kernel.name} as polynomial pieces")
    return kernel


@cache
def kernel_variance(kernel: Kernel) -> sp.Expr:
    """Return κ = ∫u² a(u) du, the variance that a layer adds to the distance of two walkers, in pixels²."""
    pieces = autocorrelation(kernel).pieces
    primitives = [(p, sp.Poly(POSITION**2 * p.expression, POSITION).integrate()) for p in pieces]
    return sp.Add(*(primitive.eval(p.upper) - primitive.eval(p.lower) for p, primitive in primitives))


class StepWeight(Node):
    """The weight of a step along one axis: args (kernel k, z = Δ − δ, v = Var η)."""

    kernel = Argument[Kernel](0)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Return the weights, of the shape of z."""
        z = np.asarray(evaluate(self.args[1], environment), dtype=float)
        weights = self.weights(z.ravel(), float(evaluate(self.args[2], environment))).reshape(z.shape)
        return weights if weights.ndim else float(weights)

    def weights(self, z: ndarray, v: float) -> ndarray:
        """Return the weights at whole z, shape (N,)."""
        raise NotImplementedError(type(self).__name__)


class PairWeight(StepWeight):
    """E Σₘ k(u − m) k(u + z + η − m), u uniform over a pixel; its number by quadrature over u and η."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(Σₘ k(u − m) k(u + z + η − m))."""
        u, eta, m = POSITION, sp.Symbol("eta", real=True), sp.Symbol("m", integer=True)
        first, second = (KernelValue(self.args[0], 0, place - m, 0) for place in (u, u + self.args[1] + eta))
        return sp.Function("E_u,eta" if latex else "E_u,η")(sp.Sum(first * second, (m, -sp.oo, sp.oo)))

    def weights(self, z: ndarray, v: float) -> ndarray:
        """Sum over Gauss–Legendre panels, which for each η end where one of the kernels has a knot; shape (N,)."""
        knots = edges_of(self.kernel)
        eta, mass = _normal_points(v, {(a - b) % 1.0 for a in knots for b in knots})
        ends = [np.full_like(eta, knot) for knot in (*knots, 1.0)] + [(knot - eta) % 1.0 for knot in knots]
        panels = np.sort(np.stack(ends, axis=1), axis=1)
        nodes, unit = np.polynomial.legendre.leggauss(_GAUSS_POINTS)
        half = np.diff(panels, axis=1)[..., None] / 2
        u, weight = panels[:, :-1, None] + half * (nodes + 1), half * unit * mass[:, None, None]
        first, total = _value(self.kernel), np.zeros_like(z)
        for tap in self.kernel.taps:
            weighted = weight * first(u - tap)
            moved = u + eta[:, None, None] - tap
            total += np.array([np.sum(weighted * first(moved + shift)) for shift in z])
        return total


class WalkingWeight(StepWeight):
    """E a(z + η), a the autocorrelation of the kernel; its number by quadrature over η."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(a(z + η))."""
        eta = sp.Symbol("eta", real=True)
        a = sp.Function("a" + kernel_label(self.kernel))
        return sp.Function("E_eta" if latex else "E_η")(a(self.args[1] + eta))

    def weights(self, z: ndarray, v: float) -> ndarray:
        """Sum over Gauss–Legendre panels between the knots of a; shape (N,)."""
        a = autocorrelation(self.kernel)
        eta, mass = _normal_points(v, edges_of(a))
        return cast("ndarray", _value(a)(z[:, None] + eta) @ mass)


class SmoothedWeight(StepWeight):
    """a_v(z) = E a(z + η) in closed form: truncated moments of the normal law, piece by piece."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return a_v(z)."""
        return sp.Function("a_v" + kernel_label(self.kernel))(self.args[1])

    def weights(self, z: ndarray, v: float) -> ndarray:
        """Evaluate the closed form, shape (N,)."""
        return smoothed(autocorrelation(self.kernel), z, np.array(v))


def smoothed(a: PiecewiseKernel, z: ndarray, v: ndarray) -> ndarray:
    """Return E a(z + √v Z), Z standard normal, from error functions; z and v broadcast, v ≥ 0."""
    still = np.broadcast_to(v == 0, np.broadcast_shapes(z.shape, v.shape))
    wandering = _compiled_mean(a)(z, np.where(v == 0, 1.0, v))
    return np.where(still, _value(a)(z), wandering)


def normal_mean(pieces: Pieces, z: sp.Expr, v: sp.Expr) -> sp.Expr:
    """Return E F(z + √v Z) for a function of polynomial pieces, zero outside them, in error functions.

    With I_n = ∫ wⁿ φ(w) dw over a piece, φ the density of N(z, v), (w − z)φ = −vφ′ and partial integration give
    I_n = z I_{n−1} + (n − 1)v I_{n−2} − v [w^{n−1} φ].
    """
    return sp.Add(*(_mean_over(piece, z, v) for piece in pieces))


def _mean_over(piece: Piece, z: sp.Expr, v: sp.Expr) -> sp.Expr:
    coefficients = sp.Poly(piece.expression, POSITION).all_coeffs()[::-1]
    ends = (piece.upper, piece.lower)
    upper, lower = (sp.erf((end - z) / sp.sqrt(2 * v)) for end in ends)
    moments = [sp.Integer(0), (upper - lower) / 2]  # I₋₁, which the recursion multiplies by zero, and I₀
    for order in range(1, len(coefficients)):
        high, low = (end ** (order - 1) * normal_density(end, z, v) for end in ends)
        moments.append(z * moments[-1] + (order - 1) * v * moments[-2] - v * (high - low))
    return sp.Add(*(c * moment for c, moment in zip(coefficients, moments[1:], strict=True)))


@cache
def _compiled_mean(a: PiecewiseKernel) -> Callable[[ndarray, ndarray], ndarray]:
    return sp.lambdify([_SHIFT, _VARIANCE], normal_mean(a.pieces, _SHIFT, _VARIANCE), ["scipy", "numpy"], cse=True)


@cache
def _value(kernel: Kernel) -> Callable[[ndarray], ndarray]:
    u = sp.Symbol("u", real=True)
    node = KernelValue(kernel_argument(kernel), 0, u, 0)
    return lambda positions: np.asarray(node.numeric({u: positions}, lambda part, environment: environment[part]))


def _normal_points(v: float, knots: set[float] | tuple[float, ...]) -> tuple[ndarray, ndarray]:
    """Return points and masses for N(0, v), in panels that end at some fractions."""
    law = laws.get("normal").at(0, sp.Float(math.sqrt(v)))
    return quadrature(law, {}, lambda part, _: float(part), {0.0, *knots})


class LatticeSum(Node):
    """Σ over all whole lags: args (term, δ₁, …, δ_d), for terms that fall off fast."""

    bound = slice(1, None)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum."""
        return sp.Sum(self.args[0], *((lag, -sp.oo, sp.oo) for lag in self.args[1:]))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum over boxes that double until nothing is added.

        Raises:
            NotConverged: the terms do not fall off within 4096 pixels, 1024 on two axes, 64 on three.
        """
        term, *lags = self.args
        before, reach, most = math.nan, 16, _MOST_LAGS[len(lags)]
        while reach <= most:
            box = np.meshgrid(*[np.arange(-reach, reach + 1)] * len(lags), indexing="ij", sparse=True)
            total = float(np.sum(evaluate(term, {**environment, **dict(zip(lags, box, strict=True))})))
            if abs(total - before) <= _SETTLED * abs(total):
                return total
            before, reach = total, 2 * reach
        raise NotConverged(f"{self}: its terms do not fall off within {most} pixels")
