"""Means of log|J|, J = det(I + A), A a matrix of independent N(0, τ²) slopes: by quadrature, by gamma laws, by series.

In the plane J = R² − S² for two plane Gaussians (B7): R²/τ² has the gamma law of shape 1 + N, N Poisson of mean 1/τ²,
and S²/τ² is exponential. An exponential variable does not age: it ends before each of the 1 + N exponential parts of
R²/τ² with probability ½, so that |J|/τ² has the gamma law of the shape K that is left: 1 + N − j with probability
2^{−(j+1)}, and 1 if S² outlasts them all.
"""

import math
from functools import cache

import mpmath
import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray
from scipy import special

from warptheory.results._setting import TAU
from warptheory.results.backward._gaussian_slopes import mean_over_plane, mean_over_space
from warptheory.results.typical._slope_length import (
    RATE,
    GammaRatio,
    PanelledIntegral,
    PoissonMean,
    exponent_steps,
    log_length_density,
)
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

_JACOBIAN = sp.Symbol("|J|", positive=True)
_SHAPE = sp.Symbol("K", integer=True, positive=True)
_NUMBER = sp.Symbol("n", integer=True, nonnegative=True)
_CHEBYSHEV = 160  # the degree that resolves a Gaussian of deviation τ ≥ 0.15 on [−1, 1]


class LogJacobianMean(Node):
    """E |J|ᵖ log|J|: args (p = 0 or 1, d, τ), by quadrature over the cofactors c, given which J ~ |c| N(u, τ²)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(|J|ᵖ log|J|)."""
        return sp.Function("E")(_JACOBIAN ** self.args[0] * sp.log(_JACOBIAN))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate over directions and lengths of the cofactors."""
        power, dim = (int(part) for part in self.args[:2])
        tau = float(evaluate(self.args[2], environment))
        if dim == 1:
            return float(_given_cofactors(np.ones(1), tau, power)[0])
        if power == 0:
            return _log_of_length(dim, tau) + _mean_of_component(dim, tau)
        return _weighted_in_the_plane(tau)


def _mean_of_component(dim: int, tau: float) -> float:
    """Return E log|w|, w ~ N(u, τ²) given the direction of c."""
    given = np.polynomial.Chebyshev.interpolate(lambda u: _given_cofactors(u, tau, 0), _CHEBYSHEV, [-1, 1])
    return mean_over_plane(1.0, 0, given, tau) if dim == 2 else mean_over_space(0, given, tau)


def _log_of_length(dim: int, tau: float) -> float:
    """Return E log|c|: c is a row in the plane, and in space r₂ × r₃, the length of r₃ times that of r₂ across it."""
    places, mass = log_length_density(dim, tau)
    along = float(np.sum(places * mass))
    if dim == 2:
        return along

    # Given the direction e of r₃, r₂ across it is N(m, τ²) in a plane, |m|² = 1 − e₂²: E log has K1's closed form.
    cosine, weight = np.polynomial.legendre.leggauss(64)
    angle = 2 * np.pi * np.arange(64) / 64
    radius = np.exp(places)[:, None]
    density = np.exp((2 * radius * cosine - radius**2 - 1) / (2 * tau**2)) / (2 * np.pi * tau**2) ** 1.5
    of_direction = weight * ((places[1] - places[0]) * radius[:, 0] ** 3 @ density) * 2 * np.pi / len(angle)
    across = 1 - (1 - cosine[:, None] ** 2) * np.cos(angle) ** 2
    logarithm = (np.log(across) + special.exp1(across / (2 * tau**2))) / 2
    return along + float(np.sum(of_direction[:, None] * logarithm))


def _given_cofactors(u: Float[ndarray, "N"], tau: float, power: int) -> Float[ndarray, "N"]:
    """Return E |w|ᵖ log|w| for w ~ N(u, τ²), shape (N,), by the trapezoid rule on log|w|."""
    spacing = min(tau / 6, 0.05)
    places = np.arange(-45.0, math.log(1 + 9 * tau) + spacing, spacing)
    size = np.exp(places)
    both = (np.exp(-(((size - sign * u[:, None]) / tau) ** 2) / 2) for sign in (1, -1))
    density = sum(both) / (tau * math.sqrt(2 * math.pi))
    return np.asarray(density @ (spacing * size ** (1 + power) * places))


def _weighted_in_the_plane(tau: float) -> float:
    """Return E |J| log|J|, |J| = |c| |w|: E |c| log|c| |w| + E |c| |w| log|w|, c in polar coordinates."""
    places, _ = log_length_density(2, tau)
    angle = 2 * np.pi * np.arange(128) / 128
    cosine, radius = np.cos(angle), np.exp(places)[:, None]
    density = np.exp((2 * radius * cosine - radius**2 - 1) / (2 * tau**2)) / (2 * np.pi * tau**2)
    mass = (places[1] - places[0]) * radius**2 * density * 2 * np.pi / len(angle)
    absolute = cosine * (2 * special.ndtr(cosine / tau) - 1) + 2 * tau * np.exp(-((cosine / tau) ** 2) / 2) / math.sqrt(
        2 * math.pi
    )
    logarithm = _given_cofactors(cosine, tau, 1)
    return float(np.sum(mass * radius * (places[:, None] * absolute + logarithm)))


class ShapeMean(Node):
    """E f(K): args (f, K, mean of N), K the shape of the gamma law of |J|/τ² in the plane."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E_K(f(K))."""
        return sp.Function("E_K")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum over all shapes that have a chance."""
        function, symbol, mean = self.args
        number, chance = _all_numbers(float(evaluate(mean, environment)))
        halves = 0.5 ** np.arange(1, len(number) + 2)
        law = np.zeros(len(number) + 1)  # of K = 1, 2, …
        for n, probability in zip(range(len(number)), chance, strict=True):
            law[: n + 1] += probability * halves[n::-1]
            law[0] += probability * halves[n]
        return float(np.sum(law * evaluate(function, {**environment, symbol: np.arange(1.0, len(law) + 1)})))


def _all_numbers(mean: float) -> tuple[Float[ndarray, "K"], Float[ndarray, "K"]]:
    number = np.arange(float(math.ceil(mean + 12 * math.sqrt(mean) + 40)))
    return number, np.exp(special.xlogy(number, mean) - mean - special.gammaln(number + 1))


class PartitionSeries(Node):
    """Σ_κ c_κ (−4a)^{|κ|} over partitions κ of up to three parts, k₃ ≤ 1 ≤ k₁: args (a,)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the series."""
        k = sp.symbols("k_1 k_2 k_3", integer=True, nonnegative=True)
        term = _coefficient(*k) * (-4 * self.args[0]) ** sum(k)
        return sp.Sum(term, (k[2], 0, 1), (k[1], k[2], k[0]), (k[0], 1, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Add the terms with digits enough for what cancels."""
        return _partition_series(float(evaluate(self.args[0], environment)))


def _coefficient(first: sp.Expr, second: sp.Expr, third: sp.Expr) -> sp.Expr:
    differences = (2 * first - 2 * second + 1) * (2 * first - 2 * third + 2) * (2 * second - 2 * third + 1)
    factorials = sp.factorial(2 * first + 2) * sp.factorial(2 * second + 1) * sp.factorial(2 * third)
    half = sp.Rational(1, 2)
    pochhammer = sp.gamma(second - half) / sp.gamma(-half) * (-1) ** third
    coefficient: sp.Expr = sp.factorial(first - 1) * pochhammer * differences / factorials
    return coefficient


@cache
def _partition_series(rate: float) -> float:
    with mpmath.workdps(30 + math.ceil(1.6 * rate)):
        x, total, smallest = -4 * mpmath.mpf(rate), mpmath.mpf(0), mpmath.mpf(10) ** -25
        start = mpmath.mpf(1)  # (k₁ − 1)! x^k₁/(2k₁ + 2)!
        for first in range(1, math.ceil(8 * rate) + 200):
            start = x / 24 if first == 1 else start * x * (first - 1) / ((2 * first + 2) * (2 * first + 1))
            row, power = mpmath.mpf(0), mpmath.mpf(1)  # (−½)_k₂ x^k₂/(2k₂ + 1)!
            for second in range(first + 1):
                if second:
                    power *= x * (second - mpmath.mpf(3) / 2) / ((2 * second + 1) * (2 * second))
                inner = (2 * first + 2) * (2 * second + 1)
                if second:
                    inner -= x * first * (2 * second - 1)  # k₃ = 1: −x/2! times (2k₁)(2k₂ − 1)
                row += power * (2 * first - 2 * second + 1) * inner
            total += start * row
            if first > rate and abs(start * row) < smallest:
                return float(total)
        raise ArithmeticError(f"the series over partitions at a = {rate:g} did not settle")


def log_jacobian_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to E log|J|, at a position that is drawn uniformly from those that read."""
    if dim == 1:
        return exponent_steps(1)
    reason = "J is linear in its first row: given the cofactors c it is |c| N(u, τ²), u the first component of c/|c|"
    whole = Step("Mean", reason, LogJacobianMean(0, dim, TAU))
    return (whole, *(_in_the_plane() if dim == 2 else _in_space()))


def _in_the_plane() -> tuple[Step, ...]:
    y = sp.Symbol("y", positive=True)
    first = sp.expint(1, 1 / TAU**2)
    integral = PanelledIntegral(sp.sinh(RATE * y) / y, y, sp.Integer(1))
    return (
        _rotated(sp.log(TAU**2) + sp.polygamma(0, _SHAPE)),
        Step(
            "Average over S first",
            "in units of τ² E log|X − Y| over an exponential Y is log X − e^{−X}Ei(X), X = R², and e^{−X}Ei(X) the "
            "principal value of ∫ e^{−Xp}/(1 − p) dp over p > 0; E e^{−Xp} = exp(−p/τ²(1 + p))/(1 + p) makes it "
            "e^{−1/2τ²} ∫₀¹ sinh(y/2τ²)/y dy with y = (1 − p)/(1 + p), and E log R² = E₁(1/τ²) as in K1",
            first - sp.exp(-RATE) * integral,
        ),
        Step("Integrate", "the hyperbolic sine integral", first - sp.exp(-RATE) * sp.Shi(RATE)),
    )


def _rotated(given_shape: sp.Expr) -> Step:
    reason = (
        "J = R² − S², R and S the lengths of independent plane Gaussians of variance τ²/2 per axis and means (1, 0) "
        "and 0 (B7): S²/τ² is exponential, R²/τ² a sum of 1 + N exponential variables, N Poisson of mean 1/τ², each "
        "of which outlasts what is left of S²/τ² with probability ½: |J|/τ² has the gamma law of the shape K then left"
    )
    return Step("Rotate the slopes", reason, ShapeMean(given_shape, _SHAPE, 1 / TAU**2))


def _in_space() -> tuple[Step, ...]:
    constant = sp.Add(*(sp.polygamma(0, sp.Rational(number, 2)) for number in (1, 2, 3)))
    return (
        Step(
            "Zonal polynomials",
            "E|J|²ʰ = (2τ²)³ʰ Γ₃(3/2 + h)/Γ₃(3/2) · ₁F₁(−h; 3/2; −aI), the moment of a noncentral Wishart matrix's "
            "determinant (Constantine 1963), a = 1/2τ², with the hypergeometric function of a matrix, a sum over "
            "partitions κ; half its derivative at h = 0, where (−h)_κ is −h (k₁ − 1)! (−½)_k₂ (−1)_k₃, zero beyond "
            "k₃ = 1, and C_κ(I)/(3/2)_κ a ratio of factorials (Muirhead 1982)",
            sp.expand_log(3 * sp.log(2 * TAU**2) / 2 + constant / 2 - PartitionSeries(RATE) / 2),
        ),
    )


def weighted_log_jacobian_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to E |J| log|J|, the mean of log|J| over what reads a uniformly drawn input, d = 1, 2."""
    whole = Step(
        "Change variables",
        "∫ ds Σ log|J| over the positions that read s is ∫ dt |J| log|J|; given the cofactors c J is |c| N(u, τ²)",
        LogJacobianMean(1, dim, TAU),
    )
    if dim == 2:
        log_gamma = _SHAPE * (sp.log(TAU**2) + sp.polygamma(0, _SHAPE + 1))
        rotated = _rotated(log_gamma)
        return whole, Step(rotated.name, f"{rotated.reason}; E γ log γ = K ψ(K + 1)", TAU**2 * rotated.expression)
    half = sp.Rational(1, 2)
    moment = GammaRatio(_NUMBER + 1, _NUMBER + half)
    given = moment * (sp.log(2 * TAU**2) + sp.polygamma(0, _NUMBER + 1)) / 2
    return whole, Step(
        "Noncentral χ²",
        "J²/2τ² has the gamma law of shape ½ + N, N Poisson of mean 1/2τ², of which E √γ log γ = ψ(1 + N) Γ(1 + N)/"
        "Γ(½ + N)",
        sp.sqrt(2) * TAU * PoissonMean(given, _NUMBER, RATE),
    )
