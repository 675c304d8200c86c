import numpy as np
import pytest
import sympy as sp
from scipy import integrate, special, stats

from warptheory.results._setting import TAU
from warptheory.results.backward._gaussian_slopes import (
    COSINE,
    JACOBIAN,
    OrientedNormalMean,
    SlopeMean,
    SmoothIntegral,
    in_tails,
    integrate_erf,
    mean_determinant,
    normal_direction_weight,
)
from warptheory.symbolic import evaluate
from warptheory.symbolic.gaussian import gaussian_mean, normal_density, normal_tail

SAMPLES = 400_000
ALLOWED = 4.5  # standard errors: one false alarm in 150,000 comparisons


def sampled_determinants(mean, tau, seed):
    generator = np.random.default_rng(seed)
    dim = len(mean)
    return np.linalg.det(np.asarray(mean, float) + tau * generator.standard_normal((SAMPLES, dim, dim)))


def standard_error(values):
    return values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(
    ("function", "of_sample"),
    [
        (sp.Heaviside(-JACOBIAN), lambda j: (j < 0).astype(float)),
        (JACOBIAN, lambda j: j),
        (sp.Abs(JACOBIAN), np.abs),
    ],
    ids=["negative", "value", "absolute"],
)
def test_quadrature_over_the_cofactors_agrees_with_sampled_matrices(dim, function, of_sample):
    tau = 0.7
    sample = of_sample(sampled_determinants(np.eye(dim), tau, seed=dim))
    found = evaluate(SlopeMean(function, dim, TAU), {"tau": tau})
    assert abs(found - sample.mean()) < ALLOWED * standard_error(sample)
    # The comparison sees slopes that are five percent too steep, except in E J, which does not depend on them.
    wrong = evaluate(SlopeMean(function, dim, TAU), {"tau": 1.05 * tau})
    assert function == JACOBIAN or abs(wrong - sample.mean()) > ALLOWED * standard_error(sample)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("tau", [0.15, 0.5, 0.9, 2.0])
def test_tail_and_density_of_chi_square(dim, tau):
    """P(J < 0) = ½P(χ²_d > 1/τ²) and p_J(0) = f(1/τ²)/τ²; both sides are good to rounding, over 10² to 10⁵ terms."""
    below = evaluate(SlopeMean(sp.Heaviside(-JACOBIAN), dim, TAU), {"tau": tau})
    assert below == pytest.approx(stats.chi2.sf(1 / tau**2, dim) / 2, rel=1e-12)
    at_zero = evaluate(SlopeMean(sp.DiracDelta(JACOBIAN), dim, TAU), {"tau": tau})
    assert at_zero == pytest.approx(stats.chi2.pdf(1 / tau**2, dim) / tau**2, rel=1e-12)


@pytest.mark.parametrize("tau", [0.2, 0.5, 1.0])
def test_law_of_the_unit_normal(tau):
    """Its density integrates to one, and its mean is that of c/|c| for sampled rows."""
    one, cosine = (OrientedNormalMean(f, COSINE, TAU) for f in (sp.Integer(1), COSINE))
    assert evaluate(one, {"tau": tau}) == pytest.approx(1.0, rel=1e-12)
    generator = np.random.default_rng(5)
    rows = np.eye(3)[1:] + tau * generator.standard_normal((SAMPLES, 2, 3))
    cofactors = np.cross(rows[:, 0], rows[:, 1])
    sample = cofactors[:, 0] / np.linalg.norm(cofactors, axis=1)
    assert abs(evaluate(cosine, {"tau": tau}) - sample.mean()) < ALLOWED * standard_error(sample)
    tail = OrientedNormalMean(normal_tail(COSINE / TAU), COSINE, TAU)
    below = evaluate(SlopeMean(sp.Heaviside(-JACOBIAN), 3, TAU), {"tau": tau})
    assert evaluate(tail, {"tau": tau}) == pytest.approx(below, rel=1e-11)


def test_the_weight_of_a_direction_is_what_the_quadrature_uses():
    """With E|det N|/2 over both orientations in place of E(det N)⁺ it is a density again."""
    tau = 0.6
    weight = sp.lambdify(COSINE, normal_direction_weight(sp.Integer(1)).subs(TAU, tau))

    def density(u):
        return weight(u) * np.abs(sampled_determinants(np.diag([1.0, u]), tau, seed=3)).mean() / 2

    nodes, weights = np.polynomial.legendre.leggauss(16)
    total = sum(w * density(u) for u, w in zip(nodes, weights, strict=True))
    # The same numbers at every node: relative error of a mean of |det| of spread about its size, 1/√(4·10⁵) = 0.16 %.
    assert total == pytest.approx(1.0, abs=ALLOWED * 0.0016)


def test_gaussian_mean():
    x, y = sp.symbols("x y", real=True)
    assert gaussian_mean(3 + x**4 * y**2 + 7 * x**3, {x: TAU**2, y: sp.Integer(5)}) == 3 + 15 * TAU**4


def test_mean_squared_determinant():
    tau, u = 0.8, 0.3
    sample = sampled_determinants(np.diag([1.0, u]), tau, seed=2) ** 2
    found = evaluate(mean_determinant(sp.diag(1, COSINE), 2), {"u": u, "tau": tau})
    assert abs(found - sample.mean()) < ALLOWED * standard_error(sample)


def test_integration_by_parts():
    u = COSINE
    integrand = (u + 2 * u**3) * sp.exp(u**2 / (2 * TAU**2)) * sp.erf(u / (sp.sqrt(2) * TAU)) + u**2
    found = evaluate(integrate_erf(integrand, u, sp.Integer(0), sp.Integer(1)), {"tau": 0.7})
    assert found == pytest.approx(integrate.quad(sp.lambdify(u, integrand.subs(TAU, 0.7)), 0, 1)[0], rel=1e-10)


def test_normal_density_is_scipys():
    value = evaluate(normal_density(COSINE, sp.Integer(1), TAU**2), {"u": 0.3, "tau": 0.7})
    assert value == pytest.approx(stats.norm.pdf(0.3, 1, 0.7), rel=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_mean_of_the_inverse_is_infinite(dim):
    assert evaluate(SlopeMean(1 / sp.Abs(JACOBIAN), dim, TAU), {"tau": 0.5}) == np.inf


def test_smooth_integral():
    u = COSINE
    found = SmoothIntegral(sp.exp(-u / TAU) * sp.erf(u), u, sp.Integer(-1), TAU)
    expected = integrate.quad(lambda x: np.exp(-x / 0.7) * special.erf(x), -1, 0.7)[0]
    assert evaluate(found, {"tau": 0.7}) == pytest.approx(expected, rel=1e-13)
    assert found.free_symbols == {TAU}


def test_tails_keep_their_digits():
    """Φ(−9) ~ 10⁻¹⁹ is lost in (1 − erf)/2."""
    found = evaluate(in_tails(normal_tail(1 / TAU)), {"tau": 1 / 9})
    assert found == pytest.approx(stats.norm.sf(9), rel=1e-13)
