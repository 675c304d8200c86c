"""The calculus of Gaussian slopes: the law of J = det(I + A) for a matrix A of independent N(0, τ²) entries.

J is linear in each row of I + A. Given all rows but the first it is r₁·c, c the vector of cofactors, so it
is Gaussian with mean |c|u and deviation |c|τ, u the first component of c/|c|. Every mean of a function of J
that scales with |c| becomes a mean over the direction and length of c.
"""

import math
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import sympy as sp
from numpy import ndarray
from scipy import special

from warptheory.results._setting import TAU
from warptheory.symbolic.gaussian import gaussian_mean, normal_density
from warptheory.symbolic.nodes import AsIntegral, Node
from warptheory.symbolic.quadrature import Environment, Evaluate

JACOBIAN = sp.Symbol("J", real=True)
COSINE = sp.Symbol("u", real=True)

# Points of each quadrature. The narrowest factor, a direction of spread τ, is resolved to rounding by the
# periodic trapezoid rule for τ ≥ 0.15; lengths end where the Gaussian is below 1e-17.
_POINTS = 64
_REACH = 9.0


def slope_matrix(dim: int) -> sp.Matrix:
    """Return A, the d × d matrix of symbols aᵢⱼ for the slopes ∂ⱼεᵢ."""
    return sp.Matrix(dim, dim, lambda i, j: sp.Symbol(f"a_{i + 1}{j + 1}", real=True))


def mean_determinant(matrix: sp.Matrix, power: int = 1) -> sp.Expr:
    """Return E det(M + A)^power for a matrix M of constants."""
    slopes = slope_matrix(matrix.shape[0])
    return gaussian_mean(sp.expand((matrix + slopes).det() ** power), dict.fromkeys(slopes, TAU**2))


class SlopeMean(Node):
    """E f(J): args (f in J, d, τ), for 1/|J| and the functions f in `_GIVEN_COFACTORS`.

    Its number comes from quadrature over the cofactors c, with the mean over the first row in closed form;
    no step of a derivation uses it.
    """

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of τ; J is averaged over."""
        return self.args[2].free_symbols

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(f(J))."""
        return sp.Function("E")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate over directions and lengths of the cofactors."""
        tau, dim = float(evaluate(self.args[2], environment)), int(self.args[1])
        if self.args[0] == 1 / sp.Abs(JACOBIAN):
            return math.inf  # given the cofactors J is Gaussian, with a positive density at 0
        power, given = _GIVEN_COFACTORS[self.args[0]]
        if dim == 1:
            return float(given(np.ones(1), tau)[0])
        if dim == 2:
            return mean_over_plane(1.0, power, lambda u: given(u, tau), tau)
        return mean_over_space(power, lambda u: given(u, tau), tau)


class OrientedNormalMean(Node):
    """E f(u), u the first component of the unit normal c/|c|, d = 3: args (f, u, τ).

    Its number comes from quadrature over u, and for each u over a row of the 2 × 2 minor in the plane.
    """

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E_u(f(u))."""
        return sp.Function("E_u")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate f against exp(−(1 − u²)/2τ²) E(det N)⁺/τ²."""
        integrand, symbol, scale = self.args
        tau = float(evaluate(scale, environment))
        points, weights = np.polynomial.legendre.leggauss(_POINTS)
        total = 0.0
        for u, weight in zip(points, weights, strict=True):
            positive = mean_over_plane(float(u), 1, lambda v: _positive_part(v, tau), tau)
            value = float(evaluate(integrand, {**environment, symbol: float(u)}))
            total += weight * np.exp((u**2 - 1) / (2 * tau**2)) / tau**2 * positive * value
        return float(total)


class SmoothIntegral(AsIntegral):
    """The integral of a smooth function over an interval: args (function, u, lower, upper).

    Its number comes from the Gauss–Legendre rule.
    """

    bound = slice(1, 2)

    @property
    def integral(self) -> sp.Integral:
        """The integral, to be done."""
        return sp.Integral(self.args[0], self.args[1:])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum over the nodes."""
        function, symbol, *ends = self.args
        lower, upper = (float(evaluate(end, environment)) for end in ends)
        nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
        points = lower + (upper - lower) * (nodes + 1) / 2
        values = [float(evaluate(function, {**environment, symbol: float(point)})) for point in points]
        return float((upper - lower) / 2 * np.dot(weights, values))


def normal_direction_weight(minor: sp.Expr) -> sp.Expr:
    """Return the density of u = n₁, n the oriented unit normal of rows 2 and 3, for d = 3.

    The rows are N(e₂, τ²I) and N(e₃, τ²I). By the formula of Blaschke and Petkantschin the density of n on
    the sphere is E(det N)⁺ times the densities of both rows across the plane, at distances n₂ and n₃; the
    angle around the first axis is free. N is the 2 × 2 matrix of the rows within the plane; its mean has
    singular values 1 and |u| and the determinant u.

    Args:
        minor: what E(det N)⁺ becomes.
    """
    angle, second, third = sp.symbols("alpha n_2 n_3", real=True)
    across = normal_density(second, sp.Integer(0), TAU**2) * normal_density(third, sp.Integer(0), TAU**2)
    radius = sp.sqrt(1 - COSINE**2)
    on_circle = sp.simplify(across.subs({second: radius * sp.cos(angle), third: radius * sp.sin(angle)}))
    return sp.integrate(on_circle, (angle, 0, 2 * sp.pi)) * minor


def even_part(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """Return (f(u) + f(−u))/2, whose integral over a symmetric interval is that of f."""
    return (expression + expression.subs(symbol, -symbol)) / 2


def in_tails(expression: sp.Expr) -> sp.Expr:
    """Return a sum in terms of erfc = 1 − erf, which keeps its digits where it is small."""
    return sp.expand(expression.replace(sp.erf, lambda argument: 1 - sp.erfc(argument)))


def integrate_erf(integrand: sp.Expr, symbol: sp.Symbol, lower: sp.Expr, upper: sp.Expr) -> sp.Expr:
    """Integrate a sum of terms q(u) exp(au²) erf(bu)ⁿ, n = 0 or 1, by parts: the erf is differentiated."""
    total = sp.Integer(0)
    for function, factor in sp.collect(sp.expand(integrand), sp.erf(sp.Wild("z")), evaluate=False).items():
        primitive = sp.integrate(sp.powsimp(sp.expand(factor)), symbol)
        ends = (primitive * function).subs(symbol, upper) - (primitive * function).subs(symbol, lower)
        rest = sp.powsimp(sp.expand(primitive * sp.diff(function, symbol)), force=True)
        total += ends - sp.integrate(rest, (symbol, lower, upper))
    return sp.simplify(total)


def _positive_part(v: ndarray, tau: float) -> ndarray:
    return v * special.ndtr(v / tau) + tau * _standard_density(v / tau)


def _mean_root(u: ndarray, tau: float) -> ndarray:
    """Return E √|u + τz|, z a standard normal variable, by Kummer's function."""
    scale = np.sqrt(tau / np.pi) * 2**0.25 * special.gamma(0.75)
    return np.asarray(scale * special.hyp1f1(-0.25, 0.5, -((u / tau) ** 2) / 2))


def _standard_density(x: ndarray) -> ndarray:
    return cast("ndarray", np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


# Function of J → (p, g): its mean given the cofactors is |c|ᵖ g(u), since J ~ |c| N(u, τ²).
_GIVEN_COFACTORS: Mapping[sp.Expr, tuple[float, Callable[[ndarray, float], ndarray]]] = {
    sp.Heaviside(-JACOBIAN): (0, lambda u, tau: special.ndtr(-u / tau)),
    JACOBIAN: (1, lambda u, tau: u),
    sp.Abs(JACOBIAN): (1, lambda u, tau: 2 * _positive_part(u, tau) - u),
    sp.sqrt(sp.Abs(JACOBIAN)): (0.5, lambda u, tau: _mean_root(u, tau)),
    sp.DiracDelta(JACOBIAN): (-1, lambda u, tau: _standard_density(u / tau) / tau),
}


def _angles() -> ndarray:
    return 2 * np.pi * np.arange(_POINTS) / _POINTS


def _radial(projection: ndarray, length: ndarray | float, axes: int, power: float, tau: float) -> ndarray:
    """Return ∫ ρ^(axes − 1 + power) n(ρ) dρ along a ray, n the density of N(m, τ²I) on `axes` axes.

    Args:
        projection: component of m along the ray, shape (*S,).
        length: |m|, a scalar or of shape (*S,).
        axes: the number of axes.
        power: the power of ρ that is averaged.
        tau: the deviation.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    top = 1.0 + _REACH * tau
    radii, mass = top * (nodes + 1) / 2, top * weights / 2
    exponent = (2 * radii * np.asarray(projection)[..., None] - radii**2 - np.asarray(length)[..., None] ** 2) / 2
    return cast(
        "ndarray", np.exp(exponent / tau**2) @ (mass * radii ** (axes - 1 + power)) / (2 * np.pi * tau**2) ** (axes / 2)
    )


def mean_over_plane(mean: float, power: float, given: Callable[[ndarray], ndarray], tau: float) -> float:
    """Return E |c|ᵖ g(c₁/|c|) for c ~ N((mean, 0), τ²I) in the plane."""
    cosine = np.cos(_angles())
    weight = _radial(mean * cosine, abs(mean), 2, power, tau) * 2 * np.pi / _POINTS
    return float(np.sum(weight * given(cosine)))


def mean_over_space(power: float, given: Callable[[ndarray], ndarray], tau: float) -> float:
    """Return E |c|ᵖ g(c₁/|c|) for c = r₂ × r₃, r₂ ~ N(e₂, τ²I), r₃ ~ N(e₃, τ²I).

    |c| is the length of r₃ times that of the part of r₂ across r₃; given the direction e of r₃ that part is
    Gaussian in the plane across e.
    """
    heights, height_weights = np.polynomial.legendre.leggauss(_POINTS)
    along = height_weights * _radial(heights, 1.0, 3, power, tau)
    azimuth, angle = _angles()[:, None], _angles()
    total = 0.0
    for e3, weight in zip(heights, along, strict=True):
        ring = np.sqrt(1 - e3**2)
        e1, e2 = ring * np.cos(azimuth), ring * np.sin(azimuth)
        length = np.sqrt(1 - e2**2)
        u = (np.cos(angle) * e3 - np.sin(angle) * e1 * e2) / length
        across = _radial(length * np.cos(angle), length, 2, power, tau)
        total += float(weight * np.sum(across * given(np.clip(u, -1.0, 1.0))))
    return total * (2 * np.pi / _POINTS) ** 2
