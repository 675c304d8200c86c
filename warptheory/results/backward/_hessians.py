"""The law of the slopes of gradient offsets: ε = ∇Ψ, Ψ an isotropic Gaussian field, slopes ∂ⱼεᵢ = ∂ᵢ∂ⱼΨ.

Isotropy leaves one number: E HᵢⱼHₖₗ = c (δᵢⱼδₖₗ + δᵢₖδⱼₗ + δᵢₗδⱼₖ), c = dτ²/(d + 2) where τ² is the mean of the d²
squared slopes. So H = √c (G + ξI), G of the Gaussian orthogonal ensemble (variance 1 off the diagonal and 2 on it) and
ξ ~ N(0, 1) independent of it. The eigenvalues of G are √2 x with a joint density proportional to Π|xᵢ − xⱼ| Π w(xᵢ),
w(x) = exp(−x²/2) (M. L. Mehta, Random Matrices, chapter 3). Means of products Π g(xᵢ) are Pfaffians of double
integrals (N. G. de Bruijn, J. Indian Math. Soc. 19, 1955); with g = a below a threshold y and b above it they generate
the probabilities of k eigenvalues below. The threshold of −1 for H is y = −(1/√c + ξ)/√2 ~ N(−1/√(2c), ½), that of 0
has mean 0.
"""

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy import ndarray
from scipy import special

from warptheory.results._setting import TAU
from warptheory.results.backward._gaussian_slopes import JACOBIAN
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

BELOW, ABOVE = sp.symbols("a b", real=True)
_Y = sp.Symbol("y", real=True)
_X = sp.Symbol("x", real=True)
_VARIANCE = sp.Rational(1, 2)  # of the threshold
# The first are orthogonal with weight w², up to signs, which leaves few terms.
_POLYNOMIALS = (sp.Integer(1), _X, _X**2 - 1)
_HALF_LINE = 9.0
_POINTS = 60


def component_variance(dim: int) -> sp.Expr:
    """Return c, the variance of a slope across, for slopes of the mean square τ²."""
    variance: sp.Expr = dim * TAU**2 / (dim + 2)
    return variance


@cache
def below_generator(dim: int) -> sp.Expr:
    """Return Σₖ P(k of the d eigenvalues x lie below y) aᵏ bᵈ⁻ᵏ, an expression in y, a and b."""
    weights = (BELOW, ABOVE)
    lower, upper = ((-sp.oo, _Y), (_Y, sp.oo))
    gaussian = sp.exp(-(_X**2) / 2)

    def over(part: tuple[sp.Expr, sp.Expr], integrand: sp.Expr) -> sp.Expr:
        return sp.Add(*(_gaussian_moment(term, *part) for term in sp.Add.make_args(sp.expand(integrand))))

    def single(place: int) -> Any:
        return sum(
            weight * over(part, _POLYNOMIALS[place] * gaussian)
            for weight, part in zip(weights, (lower, upper), strict=True)
        )

    def double(first: int, second: int) -> sp.Expr:
        # ∫ p g w F, F(x) = ∫ sgn(x′ − x) q(x′) g(x′) w(x′) dx′; q w is a derivative for every q but the constant.
        primitive = sp.simplify(sp.integrate(sp.expand(_POLYNOMIALS[second] * gaussian), _X))
        at_threshold = primitive.subs(_X, _Y)
        below = (BELOW - ABOVE) * at_threshold - 2 * BELOW * primitive
        above = (ABOVE - BELOW) * -at_threshold - 2 * ABOVE * primitive + 2 * (ABOVE - BELOW) * at_threshold
        return over(lower, _POLYNOMIALS[first] * gaussian * BELOW * below) + over(
            upper, _POLYNOMIALS[first] * gaussian * ABOVE * above
        )

    pairs = {(i, j): double(i, j) for i, j in itertools.combinations(range(dim), 2)}
    if dim % 2:
        pairs |= {(i, dim): single(i) for i in range(dim)}
    pfaffian = _pfaffian(pairs, dim + dim % 2)
    total = pfaffian.subs({BELOW: 1, ABOVE: 1})
    return sp.expand(sp.expand(pfaffian) / sp.simplify(total))


def _gaussian_moment(term: sp.Expr, lower: sp.Expr, upper: sp.Expr) -> sp.Expr:
    """Integrate a constant times xⁿ exp(−κx²), by parts until no power of x is left."""
    constant, rest = sp.expand(term, power_exp=True).as_independent(_X, as_Add=False)
    rate = -sum((f.exp for f in sp.Mul.make_args(rest) if isinstance(f, sp.exp)), sp.Integer(0)).coeff(_X, 2)
    gaussian = sp.exp(-rate * _X**2)
    power = sp.degree(sp.powsimp(rest / gaussian), _X)

    def moment(order: int) -> sp.Expr:
        if order == 0:
            ends = [sp.erf(sp.sqrt(rate) * end) if end == _Y else sp.sign(end) for end in (lower, upper)]
            return sp.sqrt(sp.pi / rate) * (ends[1] - ends[0]) / 2
        boundary = [(_X ** (order - 1) * gaussian).subs(_X, end) if end == _Y else 0 for end in (lower, upper)]
        rest_of_it = (order - 1) * moment(order - 2) if order > 1 else 0
        return sp.expand((boundary[0] - boundary[1] + rest_of_it) / (2 * rate))

    return constant * moment(int(power))


def _pfaffian(entries: Mapping[tuple[int, int], sp.Expr], size: int) -> sp.Expr:
    if size == 2:
        return entries[0, 1]
    return entries[0, 1] * entries[2, 3] - entries[0, 2] * entries[1, 3] + entries[0, 3] * entries[1, 2]


class CountBelow(Node):
    """E of a polynomial that counts eigenvalues below the threshold: args (function of a and b, d, m).

    Π g(xᵢ) with g = a below y and b above; the function is a linear map of Σₖ Pₖ aᵏbᵈ⁻ᵏ, written as the sum over k of a
    weight times Pₖ: a sp.Tuple of weights. y ~ N(m, ½). Its number comes from quadratures: the Pfaffian's integrals
    over both half-lines, for every y.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return Σ weight P(k below)."""
        weights, _, mean = self.args
        probability = sp.Function("P_x" if mean == 0 else "P_H")
        return sp.Add(*(weight * probability(sp.Integer(k)) for k, weight in enumerate(weights) if weight != 0))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Average over y by the Gauss–Hermite rule."""
        weights, dim, mean = self.args
        nodes, mass = np.polynomial.hermite_e.hermegauss(_POINTS)
        thresholds = float(evaluate(mean, environment)) + nodes * np.sqrt(float(_VARIANCE))
        given = np.array([_probabilities(int(dim), float(y)) for y in thresholds])
        return float(mass @ given @ np.array(weights, dtype=float) / np.sum(mass))


@cache
def _probabilities(dim: int, threshold: float) -> ndarray:
    """Return P(k below) for k = 0 … d, from values of the generator at d + 1 pairs (a, b)."""
    values = [_product_mean(dim, threshold, float(a), 1.0) for a in range(dim + 1)]
    powers = np.vander(np.arange(dim + 1, dtype=float), increasing=True)
    return np.asarray(np.linalg.solve(powers, values))


def _product_mean(dim: int, threshold: float, below: float, above: float) -> float:
    """Return E Π g(xᵢ) by quadrature."""
    return _numeric_pfaffian(dim, threshold, below, above) / _numeric_pfaffian(dim, threshold, 1.0, 1.0)


@cache
def _rule() -> tuple[ndarray, ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    return nodes, weights


def _numeric_pfaffian(dim: int, threshold: float, below: float, above: float) -> float:
    nodes, weights = _rule()
    threshold = float(np.clip(threshold, -_HALF_LINE + 1, _HALF_LINE - 1))
    panels = [(-_HALF_LINE, threshold, below), (threshold, _HALF_LINE, above)]
    entries: dict[tuple[int, int], float] = {}
    powers = range(dim)

    def moments(low: float, high: float) -> ndarray:
        x = low + (high - low) * (nodes + 1) / 2
        return np.array([(high - low) / 2 * np.sum(weights * x**i * np.exp(-(x**2) / 2)) for i in powers])

    whole = [level * moments(low, high) for low, high, level in panels]
    total = np.sum(whole, axis=0)
    double = np.zeros((dim, dim))
    passed = np.zeros(dim)
    for (low, high, level), part in zip(panels, whole, strict=True):
        x, weight = low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2
        # ∫ from the panel's start to each x, by the rule on that part
        inside = low + (x[:, None] - low) * (nodes + 1) / 2
        mass = (x[:, None] - low) / 2 * weights * np.exp(-(inside**2) / 2)
        before = np.stack([(mass * inside**i).sum(1) for i in powers], axis=1)
        inner = total - 2 * (passed + level * before)
        double += np.vander(x, dim, increasing=True).T @ (inner * (weight * level * np.exp(-(x**2) / 2))[:, None])
        passed = passed + part
    for i, j in itertools.combinations(powers, 2):
        entries[i, j] = double[i, j]
    if dim % 2:
        entries |= {(i, dim): float(total[i]) for i in powers}
    return float(_pfaffian(entries, dim + dim % 2))  # type: ignore[arg-type]


class ThresholdMean(Node):
    """E f(y), y ~ N(m, ½): args (f in y, m). Its number comes from the Gauss–Hermite rule."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of m; y is averaged over."""
        return self.args[1].free_symbols

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E_y(f(y))."""
        return sp.Function("E_y")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Sum over the nodes."""
        nodes, mass = np.polynomial.hermite_e.hermegauss(_POINTS)
        points = float(evaluate(self.args[1], environment)) + nodes * np.sqrt(float(_VARIANCE))
        values = [float(evaluate(self.args[0], {**environment, _Y: float(y)})) for y in points]
        return float(np.dot(mass, values) / np.sum(mass))


def given_threshold(dim: int, weights: tuple[int, ...]) -> sp.Expr:
    """Return Σₖ weightₖ P(k below y), an expression in y."""
    generator = sp.Poly(below_generator(dim), BELOW, ABOVE)
    terms = (weight * generator.coeff_monomial(BELOW**k * ABOVE ** (dim - k)) for k, weight in enumerate(weights))
    return sp.expand(sp.Add(*terms))


def threshold_mean(function: sp.Expr, mean: sp.Expr) -> sp.Expr:
    """Return E f(y), y ~ N(m, ½), for sums of yⁿ exp(−κy²) times at most two error functions; two for m = 0 only."""
    return sp.Add(*(_term_mean(term) for term in sp.Add.make_args(sp.expand(function)))).subs(_MEAN, mean)


_MEAN = sp.Symbol("m", real=True)


def _term_mean(term: sp.Expr) -> sp.Expr:
    """Take the Gaussian factor into the density, then use Stein's lemma until no power of y is left."""
    constant, rest = term.as_independent(_Y, as_Add=False)
    rest = sp.powsimp(rest)
    exponent = sum((f.exp for f in sp.Mul.make_args(rest) if isinstance(f, sp.exp)), sp.Integer(0))
    rate = -sp.expand(exponent).coeff(_Y, 2)
    factor = 1 + 2 * rate * _VARIANCE
    tilted = sp.exp(-rate * _MEAN**2 / factor) / sp.sqrt(factor)
    plain = sp.powsimp(rest / sp.exp(-rate * _Y**2))
    return constant * tilted * _stein(plain, _MEAN / factor, _VARIANCE / factor)


def _stein(function: sp.Expr, mean: sp.Expr, variance: sp.Expr) -> sp.Expr:
    """Return E f(y), y ~ N(mean, variance): E y h = mean E h + variance E h′."""
    factors = sp.Mul.make_args(function)
    errors = [factor for factor in factors if isinstance(factor, sp.erf)]
    if function.has(_Y) and (quotient := sp.cancel(function / _Y)).subs(_Y, 1).is_finite and _has_power(function):
        derivative = sp.expand(sp.diff(quotient, _Y))
        inner = sum((_shifted(term, mean, variance) for term in sp.Add.make_args(derivative)), sp.Integer(0))
        return mean * _stein(quotient, mean, variance) + variance * inner
    constant: sp.Expr = function / sp.Mul(*errors)
    if constant.has(_Y):
        raise ArithmeticError(f"{function} has no mean here")
    slopes = [error.args[0].coeff(_Y) for error in errors]
    if not slopes:
        return constant
    if len(slopes) == 1:
        return constant * sp.erf(slopes[0] * mean / sp.sqrt(1 + 2 * slopes[0] ** 2 * variance))
    first, second = slopes
    spread = sp.sqrt((1 + 2 * first**2 * variance) * (1 + 2 * second**2 * variance))
    correlation = sp.simplify(2 * first * second * variance / spread)
    product: sp.Expr = constant * 2 / sp.pi * sp.asin(correlation)
    return product


def _has_power(function: sp.Expr) -> bool:
    return any(factor == _Y or (factor.is_Pow and factor.base == _Y) for factor in sp.Mul.make_args(function))


def _shifted(term: sp.Expr, mean: sp.Expr, variance: sp.Expr) -> sp.Expr:
    """Return the mean of a term, whose Gaussian factor goes into the density N(mean, variance)."""
    constant, rest = term.as_independent(_Y, as_Add=False)
    exponent = sum((f.exp for f in sp.Mul.make_args(rest) if isinstance(f, sp.exp)), sp.Integer(0))
    rate = -sp.expand(exponent).coeff(_Y, 2)
    factor = 1 + 2 * rate * variance
    tilted = sp.exp(-rate * mean**2 / factor) / sp.sqrt(factor)
    return constant * tilted * _stein(rest / sp.exp(-rate * _Y**2), mean / factor, variance / factor)


class HessianMean(Node):
    """E f(J), J = det(I + H), for gradient offsets in the plane: args (f in J, d, τ).

    Its number comes from quadrature over the trace and the gap of the eigenvalues, by the rule of each region in which
    J has one sign.
    """

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of τ; J is averaged over."""
        return self.args[2].free_symbols

    def display(self, *, latex: bool) -> sp.Expr:
        """Return E(f(J))."""
        return sp.Function("E")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate over half the trace q ~ N(1, 2c) and, for each, over the half gap r on both sides of |q|."""
        tau = float(evaluate(self.args[2], environment))
        variance = tau**2 / 2
        nodes, weights = np.polynomial.legendre.leggauss(4 * _POINTS)
        reach, total = _HALF_LINE * np.sqrt(2 * variance), 0.0
        ends = sorted({1 - reach, min(max(0.0, 1 - reach), 1 + reach), 1 + reach})
        for low, high in itertools.pairwise(ends):
            q = low + (high - low) * (nodes + 1) / 2
            density = np.exp(-((q - 1) ** 2) / (4 * variance)) / np.sqrt(4 * np.pi * variance)
            inner = [self._over_gap(float(x), variance, environment, evaluate) for x in q]
            total += float((high - low) / 2 * np.sum(weights * density * inner))
        return total

    def _over_gap(self, q: float, variance: float, environment: Environment, evaluate: Evaluate) -> float:
        nodes, weights = _rule()
        total = 0.0
        top = _HALF_LINE * np.sqrt(variance)
        for low, high in ((0.0, min(abs(q), top)), (min(abs(q), top), top)):
            r = low + (high - low) * (nodes + 1) / 2
            density = r / variance * np.exp(-(r**2) / (2 * variance))
            values = evaluate(self.args[0], {**environment, JACOBIAN: q**2 - r**2})
            total += float((high - low) / 2 * np.sum(weights * density * values))
        return total


class SchurReal(Node):
    """P(all eigenvalues of a d × d matrix of independent N(0, 1) are real): args (d,).

    Its number comes from Schur's decomposition: (2π)^{−d²/2} (2π)^{d(d−1)/4} Vol O(d)/(2ᵈ d!) times Mehta's integral.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the product."""
        size = self.args[0]
        volume, integral = sp.Symbol("V"), sp.Symbol("Z")
        return (2 * sp.pi) ** (-size * (size + 1) / 4) * volume * integral / (2**size * sp.factorial(size))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Multiply the volume of the orthogonal matrices and the integral of Π|λᵢ − λⱼ| against exp(−|λ|²/2)."""
        size = int(self.args[0])
        volume = np.prod([2 * np.pi ** (n / 2) / special.gamma(n / 2) for n in range(1, size + 1)])
        # Both pairs of signs are the same: each of d! orders of the eigenvalues, and 2ᵈ signs of the vectors.
        mehta = (2 * np.pi) ** (size / 2) * np.prod(
            [special.gamma(1 + j / 2) / special.gamma(1.5) for j in range(1, size + 1)]
        )
        constant = (2 * np.pi) ** (-size * (size + 1) / 4)
        return float(constant * volume * mehta / (2**size * special.factorial(size)))


def real_share_by_schur(dim: int) -> sp.Expr:
    """Return the ratio of the constants of two densities: that of A = Q(Λ + R)Qᵀ and that of S = QΛQᵀ."""
    size = sp.Integer(dim)
    general = (2 * sp.pi) ** (-(size**2) / 2) * (2 * sp.pi) ** (size * (size - 1) / 4)
    symmetric = 1 / (2 ** (size / 2) * sp.pi ** (size * (size + 1) / 4))
    return sp.powsimp(sp.simplify(general / symmetric), force=True)
