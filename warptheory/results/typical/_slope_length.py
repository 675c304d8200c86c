"""The law of r = ‖u + τg‖, what a layer makes of a slope of length one: u a unit vector, g standard normal in d axes.

r² is τ² times a noncentral χ² of d degrees of freedom: of a Poisson number N of mean a = 1/2τ² given, r²/2τ² has the
gamma law of shape d/2 + N. Every mean has thus two numbers that share nothing: by quadrature over r and the direction,
and by summing over N.
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
from warptheory.results._special_functions import Dawson
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import AsIntegral, Node
from warptheory.symbolic.quadrature import Environment, Evaluate, gauss_legendre

LENGTH = sp.Symbol("r", positive=True)
RATE = 1 / (2 * TAU**2)  # a, the mean of N
_NUMBER = sp.Symbol("n", integer=True, nonnegative=True)
_ORDER = sp.Symbol("s", real=True)

_LOWEST = -45.0  # of log r; the density of log r is a multiple of rᵈ below one
_DEVIATIONS = 9.0  # of a normal variable, beyond which there is no mass
_DIRECTIONS = 128  # resolve exp(r cos θ/τ²) for τ ≥ 0.1


class SlopeLengthMean(Node):
    """E f(r): args (f, r, d, τ), by quadrature over log r, on which densities are smooth, and over the direction."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(f(‖u + τg‖))."""
        return sp.Function("E")(self.args[0].subs(self.args[1], sp.Symbol("‖u + τg‖", positive=True)))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate f against the density of log r."""
        function, symbol, dim, scale = self.args
        logarithm, mass = log_length_density(int(dim), float(evaluate(scale, environment)))
        values = np.asarray(evaluate(function, {**environment, symbol: np.exp(logarithm)}))
        return float(np.sum(mass * values))


@cache
def log_length_density(dim: int, tau: float) -> tuple[Float[ndarray, "K"], Float[ndarray, "K"]]:
    """Return places of log r at equal distances, and the mass at each: the trapezoid rule; shape (K,) each.

    It converges exponentially: the density is analytic, and nothing is left at the ends.
    """
    spacing = min(tau / 5, 0.06)
    places = np.arange(_LOWEST, math.log(1 + _DEVIATIONS * tau) + spacing, spacing)
    radius = np.exp(places)[:, None]
    cosine, weight = _directions(dim)
    exponent = (2 * radius * cosine - radius**2 - 1) / (2 * tau**2)
    density = (np.exp(exponent) @ weight) / (2 * math.pi * tau**2) ** (dim / 2)
    return places, spacing * radius[:, 0] ** dim * density


def _directions(dim: int) -> tuple[Float[ndarray, "N"], Float[ndarray, "N"]]:
    """Return cosines of directions against u, and the part of the sphere of each, shape (N,)."""
    if dim == 1:
        return np.array([1.0, -1.0]), np.ones(2)
    if dim == 2:
        return np.cos(2 * math.pi * np.arange(_DIRECTIONS) / _DIRECTIONS), np.full(
            _DIRECTIONS, 2 * math.pi / _DIRECTIONS
        )
    cosine, weight = np.polynomial.legendre.leggauss(_DIRECTIONS)
    return cosine, 2 * math.pi * weight


class PoissonMean(Node):
    """E f(N), N a Poisson number: args (f, n, mean)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum over n."""
        function, number, mean = self.args
        return sp.Sum(sp.exp(-mean) * mean**number / sp.factorial(number) * function, (number, 0, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum over all numbers that have a chance."""
        function, symbol, mean = self.args
        number, chance = poisson_law(float(evaluate(mean, environment)))
        return float(np.sum(chance * evaluate(function, {**environment, symbol: number})))


def poisson_law(mean: float) -> tuple[Float[ndarray, "K"], Float[ndarray, "K"]]:
    """Return the numbers that a Poisson variable may be, and their probabilities, shape (K,)."""
    reach = 12 * math.sqrt(mean) + 40  # 1e-17 and less beyond
    number = np.arange(max(0.0, math.floor(mean - reach)), math.ceil(mean + reach))
    return number, np.exp(special.xlogy(number, mean) - mean - special.gammaln(number + 1))


class GammaRatio(Node):
    """Γ(x)/Γ(y): args (x, y)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the quotient."""
        return sp.gamma(self.args[0]) / sp.gamma(self.args[1])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Return the quotient, a scalar or of the shape (*N) of x and y, by logarithms, which do not overflow."""
        above, below = (special.gammaln(evaluate(part, environment)) for part in self.args)
        return np.asarray(np.exp(above - below))


class ConfluentSeries(Node):
    """F₁ or F₂, coefficients of ₁F₁(−s; b; −a) = 1 − F₁s + F₂s² − …: args (1 or 2, b, a).

    (−s)_k/k! = −(s/k) ∏ (1 − s/j) over j < k = −s/k + s² H_{k−1}/k − …, H_k the harmonic numbers.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the series."""
        order, shape, rate = self.args
        k = sp.Symbol("k", integer=True, positive=True)
        numerator = (-rate) ** k * (sp.harmonic(k - 1) if order == 2 else 1)
        return sp.Sum(numerator / (k * sp.gamma(shape + k) / sp.gamma(shape)), (k, 1, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Return its number: of the series where a is small, and of its asymptotic one where that has all digits."""
        shape, rate = (float(evaluate(part, environment)) for part in self.args[1:])
        if rate > _ASYMPTOTIC_FROM:
            return _asymptotic_series(int(self.args[0]), shape, rate)
        return _confluent_series(int(self.args[0]), shape, rate)


_ASYMPTOTIC_FROM = 60.0  # the smallest term is about e⁻ᵃ


@cache
def _confluent_series(order: int, shape: float, rate: float) -> float:
    """Add the terms, which alternate and grow as eᵃ before they fall, with as many digits more."""
    with mpmath.workdps(20 + math.ceil(rate)):
        power, harmonic, total, k = mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0), 1
        while True:
            power *= -mpmath.mpf(rate) / (mpmath.mpf(shape) + k - 1)
            term = power / k * (harmonic if order == 2 else 1)
            total += term
            if k > rate and abs(term) < mpmath.mpf(10) ** -18 and k > 2:
                return float(total)
            harmonic += mpmath.mpf(1) / k
            k += 1


def _asymptotic_series(order: int, shape: float, rate: float) -> float:
    """Expand ₁F₁(−s; b; −a) ~ Γ(b)/Γ(b + s) aˢ Σ (−s)ₙ(1 − b − s)ₙ/(n! aⁿ) to the second order in s (DLMF 13.7.1)."""
    term, total = np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])
    for n in range(1, int(_ASYMPTOTIC_FROM)):
        factor = np.polynomial.polynomial.polymul([n - 1, -1], [n - shape, -1]) / (n * rate)
        term = np.polynomial.polynomial.polymul(term, factor)[:3]
        total += term
    first = math.log(rate) - float(special.digamma(shape))
    power = np.array([1.0, first, (first**2 - float(special.polygamma(1, shape))) / 2])
    product = np.polynomial.polynomial.polymul(power, total)
    return float(-product[1] if order == 1 else product[2])


class PanelledIntegral(AsIntegral):
    """The integral of a smooth function from 0: args (function, variable, end), panels of a quarter at most."""

    bound = slice(1, 2)

    @property
    def integral(self) -> sp.Integral:
        """The integral, to be done."""
        function, symbol, end = self.args
        return sp.Integral(function, (symbol, 0, end))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum over the nodes of Gauss and Legendre's rule."""
        function, symbol, end = self.args
        last = float(evaluate(end, environment))
        points, weights = gauss_legendre(np.linspace(0, last, 4 * math.ceil(last) + 1))
        return float(np.sum(weights * evaluate(function, {**environment, symbol: points})))


def mean_of_logarithm(dim: int) -> Step:
    """Return the first step to E log r."""
    reason = (
        "∇(x∘φ) = (I + A)ᵀ(∇x)∘φ, A the slopes of the offsets, whose law no rotation changes: whatever ∇x, its length "
        "is multiplied by r = ‖u + τg‖, u a unit vector and g standard normal, independent of all other layers"
    )
    return Step("Mean", reason, SlopeLengthMean(sp.log(LENGTH), LENGTH, dim, TAU))


def as_poisson_mean(dim: int) -> Step:
    """Return the step to a mean over a Poisson number."""
    reason = (
        "r² is τ² times a noncentral χ² of d degrees of freedom: given N, Poisson of mean 1/2τ², r²/2τ² has the gamma "
        "law of shape d/2 + N, the mean of whose logarithm is ψ(d/2 + N)"
    )
    digamma = PoissonMean(sp.polygamma(0, sp.Rational(dim, 2) + _NUMBER), _NUMBER, RATE)
    return Step("Noncentral χ²", reason, (sp.log(2 * TAU**2) + digamma) / 2)


def log_moment(shape: sp.Expr) -> sp.Expr:
    """Return log E r²ˢ up to the order s², by F₁ and F₂."""
    first, second = (ConfluentSeries(order, shape, RATE) for order in (1, 2))
    confluent = sp.log(1 - first * _ORDER + second * _ORDER**2)
    moment: sp.Expr = _ORDER * sp.log(2 * TAU**2) + sp.loggamma(shape + _ORDER) - sp.loggamma(shape) + confluent
    return moment


_BY_DERIVATIVE = (
    "log E r²ˢ = s log 2τ² + log Γ(d/2 + s)/Γ(d/2) + log ₁F₁(−s; d/2; −1/2τ²) generates the cumulants of 2 log r; its "
    "{which} derivative at s = 0"
)


def exponent_by_series(dim: int) -> Step:
    """Return the step to λ_d by F₁."""
    slope = sp.diff(log_moment(sp.Rational(dim, 2)), _ORDER).subs(_ORDER, 0) / 2
    return Step("Differentiate the moments", _BY_DERIVATIVE.format(which="first"), slope)


def spread_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to v_d = Var log r."""
    logarithm = sp.log(LENGTH)
    mean, square = (SlopeLengthMean(logarithm**power, LENGTH, dim, TAU) for power in (1, 2))
    shape = sp.Rational(dim, 2)
    digamma, trigamma = (sp.polygamma(order, shape + _NUMBER) for order in (0, 1))
    within = PoissonMean(trigamma, _NUMBER, RATE)
    between = PoissonMean(digamma**2, _NUMBER, RATE) - PoissonMean(digamma, _NUMBER, RATE) ** 2
    curvature = sp.diff(log_moment(shape), _ORDER, 2).subs(_ORDER, 0) / 4
    return (
        Step("Moments", "the variance of log r, r = ‖u + τg‖ (K1)", square - mean**2),
        Step(
            "Noncentral χ²",
            "given N the logarithm of a gamma variable of shape d/2 + N has the variance ψ′; the variance of its mean "
            "ψ over N is added",
            (within + between) / 4,
        ),
        Step("Differentiate the moments", _BY_DERIVATIVE.format(which="second"), curvature),
    )


def exponent_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to the top exponent λ_d = E log r."""
    return (mean_of_logarithm(dim), *{1: _on_a_line, 2: _in_the_plane, 3: _in_space}[dim]())


def _on_a_line() -> tuple[Step, ...]:
    by_series = exponent_by_series(1)
    (series,) = by_series.expression.atoms(ConfluentSeries)
    return (
        as_poisson_mean(1),
        by_series,
        Step(
            "Dawson's integral",
            "dF₁/da = (₁F₁(1; ½; −a) − 1)/a = −2 D(√a)/√a, integrated with a = u²/2",
            sp.expand_log(sp.expand(by_series.expression.xreplace({series: -2 * sp.sqrt(2) * _integral_of_dawson()}))),
        ),
    )


def _integral_of_dawson() -> sp.Expr:
    """Return ∫₀^{1/τ} D(u/√2) du.

    Raises:
        ArithmeticError: the derivative of F₁ for b = ½ is another one.
    """
    t, u = sp.symbols("t u", positive=True)
    derivative = (sp.hyperexpand(sp.hyper([1], [sp.Rational(1, 2)], -t)) - 1) / t
    dawson = sp.sqrt(sp.pi) / 2 * sp.exp(-t) * sp.erfi(sp.sqrt(t))
    if sp.simplify((derivative + 2 * dawson / sp.sqrt(t)).rewrite(sp.erf)) != 0:
        raise ArithmeticError(f"{derivative} has to be −2 D(√t)/√t")
    return PanelledIntegral(Dawson(u / sp.sqrt(2)), u, 1 / TAU)


def _in_the_plane() -> tuple[Step, ...]:
    t = sp.Symbol("t", positive=True)
    return (
        as_poisson_mean(2),
        Step(
            "Average over the direction",
            "log|z| is harmonic: its mean over a circle about u of radius ρ = τ‖g‖ is log max(1, ρ). Slopes below one "
            "do nothing; ρ² exceeds t with probability exp(−t/2τ²), and E log⁺ρ = ½∫ P(ρ² > t) dt/t over t > 1",
            _OuterIntegral(sp.exp(-RATE * t) / t, t) / 2,
        ),
        Step("Integrate", "the definition of the exponential integral E₁(1/2τ²)", sp.expint(1, RATE) / 2),
    )


class _OuterIntegral(AsIntegral):
    """The integral of a function that falls exponentially, from 1 to ∞: args (function, variable)."""

    bound = slice(1, 2)

    @property
    def integral(self) -> sp.Integral:
        """The integral, to be done."""
        return sp.Integral(self.args[0], (self.args[1], 1, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate over log t with the trapezoid rule of a double exponential (tanh–sinh) substitution."""
        function, symbol = self.args
        places = np.linspace(-4.5, 4.5, 181)
        points = 1 + np.exp(np.pi / 2 * np.sinh(places))
        weights = (places[1] - places[0]) * np.pi / 2 * np.cosh(places) * (points - 1)
        return float(np.sum(weights * evaluate(function, {**environment, symbol: points})))


def _in_space() -> tuple[Step, ...]:
    one_axis = exponent_steps(1)[-1].expression
    return (
        as_poisson_mean(3),
        Step(
            "Lower the dimension",
            "ψ(3/2 + N) = ψ(1/2 + N) + 1/(1/2 + N): two axes more add E 1/(d + 2N)",
            one_axis + PoissonMean(1 / (_NUMBER + sp.Rational(1, 2)), _NUMBER, RATE) / 2,
        ),
        Step(
            "Dawson's integral",
            "Σ e^{−a} aⁿ/n!(n + ½) = 2∫₀¹ exp(−a(1 − w²)) dw = 2 D(√a)/√a",
            one_axis + _mean_reciprocal(1) / 2,
        ),
    )


def _mean_reciprocal(dim: int) -> sp.Expr:
    """Return E 1/(d/2 + N) = ∫₀¹ w^{d/2 − 1} exp(−a(1 − w)) dw, from two axes less by parts."""
    if dim == 1:
        return 2 * sp.sqrt(2) * TAU * Dawson(1 / (sp.sqrt(2) * TAU))
    if dim == 2:
        return (1 - sp.exp(-RATE)) / RATE
    return (1 - sp.Rational(dim - 2, 2) * _mean_reciprocal(dim - 2)) / RATE


def exponent(dim: int) -> sp.Expr:
    """Return λ_d for any number of axes: λ_{d+2} = λ_d + E 1/(d + 2N)."""
    if dim <= 2:
        return exponent_steps(dim)[-1].expression
    return exponent(dim - 2) + _mean_reciprocal(dim - 2) / 2


def entropy_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to the relative entropy E w log w of the energy that a layer brings, w = r²/E r²."""
    mean = 1 + dim * TAU**2
    shape, number = sp.Rational(dim, 2), _NUMBER
    weighted = PoissonMean((shape + number) * sp.polygamma(0, shape + number + 1), number, RATE)
    share = LENGTH**2 / mean
    return (
        Step(
            "Mean",
            "of w = r²/(1 + dτ²), the energy of a position against its mean after one layer (C3)",
            SlopeLengthMean(share * sp.log(share), LENGTH, dim, TAU),
        ),
        Step(
            "Noncentral χ²",
            "E γ log γ = k ψ(k + 1) for a gamma variable of shape k = d/2 + N (K1); E r² = 1 + dτ² multiplies log 2τ²",
            2 * TAU**2 * weighted / mean + sp.log(2 * TAU**2) - sp.log(mean),
        ),
        Step(
            "Add axes",
            "E N f(N) = a E f(N + 1): weighting with the energy is the mean in two or four axes more, "
            "E r² log r = dτ² λ_{d+2} + λ_{d+4}",
            sp.expand(2 * (dim * TAU**2 * exponent(dim + 2) + exponent(dim + 4))) / mean - sp.log(mean),
        ),
    )
