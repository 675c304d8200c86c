"""The integrals of B7: steps from a mean over the matrix of slopes to closed forms, by the number d of axes."""

from collections.abc import Callable
from functools import cache

import sympy as sp

from warptheory.results._setting import TAU
from warptheory.results.backward._gaussian_slopes import (
    COSINE,
    JACOBIAN,
    OrientedNormalMean,
    SlopeMean,
    SmoothIntegral,
    even_part,
    in_tails,
    integrate_erf,
    mean_determinant,
    normal_direction_weight,
)
from warptheory.results.backward._lag_sums import LagSumGrowth
from warptheory.symbolic import Step
from warptheory.symbolic.gaussian import normal_density, normal_tail

_Z = sp.Symbol("z", real=True)
_DELTA = sp.Symbol("delta", positive=True)
_RING = sp.Symbol("R", positive=True)
_BY_COFACTORS = "all entries but the first row given, J = r₁·c, c the cofactors; a mean over the matrix"


def fold_probability_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to P(J < 0)."""
    whole = Step("Mean", _BY_COFACTORS, SlopeMean(sp.Heaviside(-JACOBIAN), dim, TAU))
    if dim == 1:
        integral = sp.Integral(normal_density(_Z, sp.Integer(0), sp.Integer(1)), (_Z, -sp.oo, -1 / TAU))
        return whole, Step("Density", "J = 1 + τz, z ~ N(0, 1)", integral), _closed(integral)
    if dim == 2:
        return (whole, *_by_rotation(_ring_tail(sp.Integer(1))))
    density = normal_direction_weight((sp.Function("D")(COSINE) + COSINE) / 2)
    by_parity = _fold_probability_by_parity(density)
    return (
        whole,
        Step(
            "Condition on two rows",
            "given r₂, r₃ with unit normal n, P(J < 0) = Φ(−u/τ), u = n₁; n, oriented so that the minor N of the "
            "rows in their plane has det N > 0, has density exp(−(1 − u²)/2τ²) E(det N)⁺/τ² (Blaschke–Petkantschin)",
            OrientedNormalMean(normal_tail(COSINE / TAU), COSINE, TAU),
        ),
        Step(
            "Use parity",
            "E(det N)⁺ = (D + u)/2, D = E|det N| even in u; against the odd part of Φ only u counts, and the even "
            "part, 1/2, meets the whole density, which integrates to one",
            by_parity,
        ),
        Step(
            "Integrate",
            "by parts: the error function is differentiated",
            _integrate_halves(by_parity),
        ),
    )


def _fold_probability_by_parity(density: sp.Expr) -> sp.Expr:
    """Return ½ + 2∫₀¹ of what is left of density·Φ(−u/τ) once half the density is taken off."""
    even = sp.Function("D")

    def part(expression: sp.Expr) -> sp.Expr:
        return even_part(expression, COSINE).subs(even(-COSINE), even(COSINE))

    left = sp.simplify(part(density * normal_tail(COSINE / TAU)) - part(density) / 2)
    if left.has(even):
        raise ArithmeticError(f"D has to drop out of {left}")
    return sp.Rational(1, 2) + 2 * SmoothIntegral(left, COSINE, 0, 1)


def preimages_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to E|J|."""
    whole = Step("Mean", _BY_COFACTORS, SlopeMean(sp.Abs(JACOBIAN), dim, TAU))
    if dim == 1:
        integrand = (1 + TAU * _Z) * normal_density(_Z, sp.Integer(0), sp.Integer(1))
        folded = sp.Integral(-integrand, (_Z, -sp.oo, -1 / TAU))
        split = mean_determinant(sp.eye(1)) + 2 * folded
        return whole, Step("Split", "|J| = J + 2 J⁻, J = 1 + τz, z ~ N(0, 1)", split), _closed(split)
    if dim == 2:
        radius = sp.Symbol("r", positive=True)
        excess = _ring_tail(radius**2 - _RING**2, radius)
        mean = mean_determinant(sp.eye(2))
        steps = _by_rotation(excess, lambda negative: mean + 2 * negative)
        return (whole, *steps)
    # |c| = |det N|, which meets the density's own factor: E|det N|² is left, and both orientations count.
    density = normal_direction_weight(mean_determinant(sp.diag(1, COSINE), 2) / 2)
    absolute = COSINE * sp.erf(COSINE / (TAU * sp.sqrt(2))) + 2 * TAU**2 * normal_density(COSINE, sp.Integer(0), TAU**2)
    integrand = sp.simplify(density * absolute)
    if sp.simplify(even_part(integrand, COSINE) - integrand) != 0:
        raise ArithmeticError(f"{integrand} has to be even")
    by_parity = 2 * SmoothIntegral(integrand, COSINE, 0, 1)
    return (
        whole,
        Step(
            "Condition on two rows",
            "given r₂, r₃ with unit normal n, J = |c| N(u, τ²), u = n₁, |c| = |det N|; the density of n brings "
            "another |det N|, so that E(det N)² = u² + τ²(1 + u²) + 2τ⁴ is left",
            SmoothIntegral(integrand, COSINE, -1, 1),
        ),
        Step("Use parity", "the integrand is even", by_parity),
        Step("Integrate", "by parts: the error function is differentiated", _integrate_halves(by_parity)),
    )


def signed_preimages_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to E J."""
    return (
        Step("Mean", "∫ ds Σ sign J = ∫ dt |J| sign J = ∫ dt J", SlopeMean(JACOBIAN, dim, TAU)),
        Step(
            "Expand",
            "J = Σ over permutations of products, one entry from each row: independent, of mean δᵢⱼ",
            mean_determinant(sp.eye(dim)),
        ),
    )


@cache
def density_at_zero_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to p_J(0)."""
    whole = Step("Mean", _BY_COFACTORS, SlopeMean(sp.DiracDelta(JACOBIAN), dim, TAU))
    if dim == 1:
        return whole, Step("Density", "J ~ N(1, τ²)", normal_density(sp.Integer(0), sp.Integer(1), TAU**2))
    if dim == 2:
        return (whole, *_by_rotation(-sp.diff(_ring_tail(sp.Integer(1)), _RING) / (2 * _RING)))
    density = normal_direction_weight(sp.Rational(1, 2)) * normal_density(COSINE, sp.Integer(0), TAU**2)
    integral = sp.Integral(density, (COSINE, -1, 1))
    return (
        whole,
        Step(
            "Condition on two rows",
            "given r₂, r₃ the density of J at 0 is that of N(u, τ²) over |c| = |det N|, which cancels the factor "
            "that the density of the normal has; both orientations count",
            integral,
        ),
        _closed(integral),
    )


def logarithm_coefficient(density: sp.Expr) -> sp.Expr:
    """Return the coefficient of log(1/δ) in E[1/|J|; |J| > δ] as δ → 0, twice the density of J at 0.

    Args:
        density: the density of J, an expression in the symbol J.
    """
    both = (density + density.subs(JACOBIAN, -JACOBIAN)) / JACOBIAN
    truncated = sp.Integral(both, (JACOBIAN, _DELTA, sp.oo))
    per_logarithm = sp.simplify(-_DELTA * sp.diff(truncated, _DELTA))
    return per_logarithm.subs(_DELTA, 0)


def mean_inverse_jacobian_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to E 1/|J|, which is infinite."""
    unknown = sp.Function("p_J", positive=True)
    both = (unknown(JACOBIAN) + unknown(-JACOBIAN)) / JACOBIAN
    truncated = sp.Integral(both, (JACOBIAN, _DELTA, sp.oo))
    at_zero = density_at_zero_steps(dim)[-1].expression
    coefficient = logarithm_coefficient(unknown(JACOBIAN)).subs(unknown(0), at_zero)
    diverging = sp.Symbol("C", real=True) + coefficient * sp.log(1 / _DELTA)
    return (
        Step("Mean", "J = det(I + A)", SlopeMean(1 / sp.Abs(JACOBIAN), dim, TAU)),
        Step("Cut off", "|J| > δ, δ → 0", sp.Limit(truncated, _DELTA, 0)),
        Step(
            "Leading term",
            "d/d log(1/δ) of the integral is p_J(δ) + p_J(−δ) → 2 p_J(0), and the density of J at 0 is positive: it "
            "grows like 2 p_J(0) log(1/δ), up to a constant C",
            sp.Limit(diverging, _DELTA, 0),
        ),
        Step(
            "Limit",
            "the density of J at 0 is positive: log-divergence. No sample can confirm an infinite mean; checked are "
            "p_J(0), and that a grid, which cuts |J| off at δ, finds a mean that grows with log(1/δ)",
            sp.limit(diverging, _DELTA, 0, "+"),
        ),
    )


def growth_per_doubling_steps(dim: int) -> tuple[Step, ...]:
    """Return the steps to the growth of E (Wᵀ1)² from spacing h to h/2, h → 0."""
    distance = sp.Symbol("r", positive=True)
    along, across = (normal_density(part, sp.Integer(0), (TAU * distance) ** 2) for part in (distance, sp.Integer(0)))
    sphere = 2 * sp.pi ** sp.Rational(dim, 2) / sp.gamma(sp.Rational(dim, 2))
    shell = sp.Integral(
        sp.simplify(sphere * distance ** (dim - 1) * along * across ** (dim - 1)), (distance, _DELTA / 2, _DELTA)
    )
    closed, at_zero = sp.simplify(shell.doit()), density_at_zero_steps(dim)[-1].expression
    by_caustics = 2 * sp.log(2) * at_zero
    if sp.simplify(closed - by_caustics) != 0:
        raise ArithmeticError(f"{closed} has to be {by_caustics}")
    return (
        Step(
            "Sum over pairs",
            "E (Wᵀ1)² = Σ_r E ∏ a(rᵢ + Δᵢ) over the distance r of two outputs, whose offsets differ by Δ ~ N(0, v_r I) "
            "with v_r = 2(K(0) − K(r)), a function of r over the length ℓ of the offsets; a(u) = ∫k(t)k(t + u)dt, of "
            "integral one, is the mean over the phase of a position",
            LagSumGrowth(sp.Integer(dim), TAU),
        ),
        Step(
            "Far pairs",
            "a term of r ≫ 1 is the density of r + Δ at 0, |r|⁻ᵈ times a function of r/ℓ, and the sum an integral; "
            "doubling ℓ adds a shell |r| ∈ (δℓ, 2δℓ), δ → 0, on which v_r = τ²|r|², as near pairs have already",
            shell,
        ),
        Step("Integrate", "δ drops out", closed),
        Step(
            "Read it as caustics",
            "the same as 2 p_J(0) log 2: beside a fold each s has two preimages of one |J|, so that ∫ds (Σ 1/|J|)² is "
            "2∫dt 1/|J|, which over |J| > δ grows as 4 p_J(0) log(1/δ); |J| falls as the root of the distance from the "
            "fold, so that a grid twice as fine resolves it to δ/√2",
            by_caustics,
        ),
    )


def _ring_tail(function: sp.Expr, radius: sp.Symbol | None = None) -> sp.Expr:
    """Return E f(S); S > R, S the length of a plane Gaussian of variance τ²/2 per axis: S² is exponential."""
    r = radius or sp.Symbol("r", positive=True)
    variance = TAU**2 / 2
    on_rings = 2 * sp.pi * r * normal_density(r, sp.Integer(0), variance) / sp.sqrt(2 * sp.pi * variance)
    return sp.simplify(sp.integrate(function * on_rings, (r, _RING, sp.oo)))


def _by_rotation(given_length: sp.Expr, then: Callable[[sp.Expr], sp.Expr] = lambda mean: mean) -> tuple[Step, Step]:
    """Return the steps, d = 2, for a function of R whose mean is wanted.

    With a, b = (m₁₁ + m₂₂)/2, (m₂₁ − m₁₂)/2 and c, e = (m₁₁ − m₂₂)/2, (m₁₂ + m₂₁)/2 for the entries m of I + A, all
    independent with variance τ²/2, of means 1, 0, 0, 0: J = R² − S², R² = a² + b², S² = c² + e².

    Args:
        given_length: the mean over S, a function of R.
        then: what is made of its mean.
    """
    a, b, c, e = sp.symbols("a b c e", real=True)
    rotated = sp.expand(sp.Matrix([[a + c, e - b], [e + b, a - c]]).det())
    length = rotated.subs({c: 0, e: 0})
    parts = given_length.subs(_RING, sp.sqrt(length))
    constant, in_a, in_b = _separate(sp.expand(parts, power_exp=True), a, b)
    width = TAU / sp.sqrt(2)
    normal = normal_density(_Z, sp.Integer(0), sp.Integer(1))
    first = sp.Integral(sp.simplify(in_a.subs(a, 1 + width * _Z) * normal), (_Z, -sp.oo, sp.oo))
    second = sp.Integral(sp.simplify(in_b.subs(b, width * _Z) * normal), (_Z, -sp.oo, sp.oo))
    integrals = then(constant * first * second)
    reason = (
        "J = R² − S², R and S the lengths of independent plane Gaussians of variance τ²/2 per axis and means (1, 0) "
        "and 0; S² is exponential, and integrated out; the two coordinates of R remain"
    )
    return Step("Rotate the slopes", reason, integrals), _closed(integrals)


def _separate(product: sp.Expr, first: sp.Symbol, second: sp.Symbol) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Split a product into a constant, a function of the first symbol, and one of the second."""
    constant, rest = product.as_independent(first, second, as_Add=False)
    in_second, in_first = rest.as_independent(first, as_Add=False)
    return constant, in_first, in_second


def _closed(expression: sp.Expr) -> Step:
    return Step("Integrate", "Gaussian integrals", in_tails(sp.simplify(expression.doit())))


def _integrate_halves(expression: sp.Expr) -> sp.Expr:
    integrals = {part: integrate_erf(*part.args) for part in expression.atoms(SmoothIntegral)}
    return in_tails(sp.simplify(expression.xreplace(integrals)))
