"""Offset fields: their laws, mixtures, what they share, how they are correlated and displaced."""

import itertools

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from tests.symbolic.enumeration import EXACT, VALUES, joint_cumulant, kernel_function, quadrature, step_values
from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.fields.laws.mixture import mixture
from warptheory.symbolic import (
    Cov,
    Cumulant,
    IIDField,
    NotConverged,
    OffsetField,
    Var,
    Variance,
    evaluate,
    splat,
    warp,
)

X = IIDField("x", law="two_point")
HALF, QUARTER = sp.Rational(1, 2), sp.Rational(1, 4)


def sides():
    """A mixture of laws with atoms; `enumeration.ATOMS` lists its values and probabilities once more."""
    parts = (("1/5", laws.get("constant").at("-1/4", 1)), ("3/10", laws.get("rademacher").at(0, 1)))
    return mixture((*parts, (HALF, laws.get("two_point").at(HALF, QUARTER))), name="sides")


DISCRETE = {
    "constant": OffsetField("constant", location="-13/10"),
    "rademacher": OffsetField("rademacher", location="1/5", scale="7/10"),
    "two_point": OffsetField("two_point", location="3/10", scale="8/5"),
    "mixture": OffsetField(sides(), location="1/10", scale="6/5"),
}


@pytest.mark.parametrize("law", DISCRETE)
@pytest.mark.parametrize("shared", [False, True])
def test_laws_with_atoms(law, shared):
    base = DISCRETE[law]
    eps = OffsetField(base.law, location=base.location, scale=base.scale, shared=shared)
    y, z = warp(X, eps), splat(X, eps)
    groups = [(y[0], y[0]), (y[0], y[1], y[1]), (y[0], X[1]), (z[0], X[-1])]
    groups += [] if law == "mixture" and not shared else [(z[0], z[0]), (z[0], z[1], z[0])]
    for values in groups:
        assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


@pytest.mark.parametrize("kernel", ["linear", "keys"])
def test_a_mixture_of_densities_and_atoms(kernel):
    """Half an atom at 3/10, half a normal law of deviation 2/5: E ρ(ε) is half of each."""
    law = mixture(((HALF, laws.get("constant").at("3/10", 1)), (HALF, laws.get("normal").at(0, "2/5"))))
    eps = OffsetField(law, scale=1)
    points, weights = quadrature(stats.norm(scale=0.4))
    points, weights = np.append(points, 0.3), np.append(weights / 2, 0.5)
    k = kernel_function(kernel)(points - np.arange(-26, 27)[:, None])
    sigma = VALUES["sigma"]
    # Poisson sums are promised to a relative 1e-9.
    assert evaluate(Var(warp(X, eps, kernel)[0]), VALUES) == pytest.approx(sigma**2 * np.sum(k**2 @ weights), rel=2e-9)
    smoothed = k @ weights
    exact = sigma**2 * np.sum(smoothed[1:] * smoothed[:-1])
    assert evaluate(Cov(warp(X, eps, kernel)[0], warp(X, eps, kernel)[1]), VALUES) == pytest.approx(exact, rel=1e-9)


def test_the_contaminated_normal_law():
    eps = OffsetField("mixture", scale="3/10")
    parts = [quadrature(stats.norm(scale=scale)) for scale in (0.3, 0.9)]
    exact = sum(
        share * np.sum(kernel_function("linear")(points - np.arange(-26, 27)[:, None]) ** 2 @ weights)
        for share, (points, weights) in zip((0.75, 0.25), parts, strict=True)
    )
    assert evaluate(Var(warp(IIDField(deviation=1), eps)[0]), {}) == pytest.approx(exact, rel=2e-9)


@pytest.mark.parametrize("correlation", [-0.5, 0.3, 0.8])
@pytest.mark.parametrize("kernel", ["linear", "keys"])
def test_correlated_axes(correlation, kernel):
    """Var y = σ² E ρ(ε₁)ρ(ε₂), by Gauss–Legendre panels between knots against SciPy's density of both offsets."""
    scale = 0.35
    eps = OffsetField("normal", 2, scale=scale, correlation=correlation)
    nodes, node_weights = np.polynomial.legendre.leggauss(24)
    edges = np.arange(-4, 4.1, 0.5)
    points = ((edges[1:] + edges[:-1])[:, None] / 2 + nodes / 4).ravel()
    weights = np.tile(node_weights / 4, len(edges) - 1)
    grid = np.stack(np.meshgrid(points, points, indexing="ij"), axis=-1)
    covariance = scale**2 * np.array([[1, correlation], [correlation, 1]])
    density = stats.multivariate_normal(np.zeros(2), covariance).pdf(grid)
    assert weights @ density @ weights == pytest.approx(1.0, abs=1e-12)
    k = kernel_function(kernel)(points - np.arange(-8, 9)[:, None])
    rho = np.sum(k**2, axis=0) * weights
    found = Variance(warp(X, eps, kernel)[0])
    # The Fourier coefficients are cut where χ < 1e-16.
    assert evaluate(found.doit(), VALUES) == pytest.approx(VALUES["sigma"] ** 2 * (rho @ density @ rho), rel=1e-10)
    # Earlier steps average sums over pairs of taps, which are slow; the last ones have functionals.
    assert step_values_from(found, -2) == pytest.approx([evaluate(found.doit(), VALUES)] * 2, rel=1e-9)


def step_values_from(statistic, start):
    return [evaluate(step.expression, VALUES) for step in statistic.derive().steps[start:]]


@pytest.mark.parametrize("correlation", [0, 1])
def test_correlations_nought_and_one_are_limits(correlation):
    """Normal offsets of correlation r tend to those of correlation 0, smoothly; and to equal offsets."""
    near = {0: 1e-6, 1: 0.999}[correlation]
    x = IIDField(deviation=1)
    exact, close = (
        evaluate(Var(warp(x, OffsetField("normal", 2, scale="1/2", correlation=r))[0]), {}) for r in (correlation, near)
    )
    # The series' terms change by at most 4π²s²|Δr| j₁j₂ of themselves.
    assert close == pytest.approx(exact, rel={0: 1e-5, 1: 1e-2}[correlation])


def test_nearly_equal_offsets_need_too_fine_a_grid():
    found = Var(warp(IIDField(), OffsetField("normal", 2, scale="1/10", correlation="9999/10000"))[0])
    with pytest.raises(NotConverged, match="too large"):
        evaluate(found, VALUES)


@settings(max_examples=4)
@given(st.integers(-6, 6), st.sampled_from(["normal", "uniform", "two_point"]), st.booleans())
def test_displacement_is_a_location(halves, law, shared):
    moved = sp.Rational(halves, 2)
    eps = OffsetField(law, scale="3/5", shared=shared)
    placed = OffsetField(law, scale="3/5", location=moved, shared=shared)
    for operator in (warp, splat):
        first, second = operator(X, eps + moved), operator(X, placed)
        found, exact = (evaluate(Cov(f[0], f[1]), VALUES) for f in (first, second))
        assert found == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_whole_displacements_are_pixels():
    eps = OffsetField("normal")
    y, moved = warp(X, eps), warp(X, eps + 2)
    assert Var(y[0]) == Var(moved[0])
    shared = OffsetField("normal", shared=True)
    assert Var(warp(X, shared + 2)[0] - warp(X, shared)[2]) == 0
    assert Var(splat(X, shared + 2)[2] - splat(X, shared)[0]) == 0


def test_displacements_add_and_cancel():
    eps = OffsetField("normal", 2)
    assert eps + 1 - 1 == eps
    assert (eps + ("1/2", 0) + (0, "1/3")).displacement == (HALF, sp.Rational(1, 3))  # noqa: RUF005
    assert (eps - ("1/2", 0)).displacement == (-HALF, 0)
    assert (eps + 1).source == eps
    assert eps.line == OffsetField("normal")
    assert not eps.is_shared
    assert OffsetField("constant").is_shared


@pytest.mark.parametrize("law", ["rademacher", "two_point", "constant"])
def test_offsets_beyond_a_pixel(law):
    """At a scale of 1.7 pixels the fraction is 0.7: a symbol that is positive is no fraction."""
    place = {"location": sp.Symbol("r", positive=True)} if law == "constant" else {}
    y = warp(IIDField(mean=0, deviation=1), OffsetField(law, **place))
    values = {"rademacher": (0.7, 0.3), "two_point": (0.0, 0.0, 0.0, 0.7), "constant": (0.7,)}[law]
    exact = np.mean([1 - 2 * fraction * (1 - fraction) for fraction in values])
    assert evaluate(Var(y[0]), {"r": 1.7}) == pytest.approx(exact, rel=1e-12)


def test_knots_of_the_kernel_that_are_not_at_half_pixels():
    """Cov(y[0], y[1]) through triangle(1.25): Σ w(m) w(m + 1), w by SciPy over the pieces between its knots."""
    kernel, law = kernels.get("triangle(1.25)"), stats.norm(scale=0.6)
    value = sp.lambdify([kernels.POSITION], kernel.value(), "numpy")

    def smoothed(m):
        edges = np.arange(-16, 17) / 4 + m
        return sum(
            integrate.quad(lambda u: float(value(u - m)) * law.pdf(u), a, b, epsabs=1e-14)[0]
            for a, b in itertools.pairwise(edges)
        )

    w = np.array([smoothed(m) for m in range(-9, 10)])
    y = warp(IIDField(mean=0, deviation=1), OffsetField("normal", scale="3/5"), "triangle(1.25)")
    assert evaluate(Cov(y[0], y[1]), {}) == pytest.approx(float(w[1:] @ w[:-1]), rel=1e-9)


def test_fields_of_different_names_are_independent():
    first, second = warp(X, OffsetField())[0], warp(IIDField("h"), OffsetField(name="eta"))[0]
    assert Cov(first**2, second**2) == 0
    same = warp(IIDField("h"), OffsetField())[0]
    assert evaluate(Cov(first**2, same**2), {**VALUES, "s": 0.3}) > 1e-3


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OffsetField("uniform", 2, correlation="1/2"), r"^correlation: expected 0 or 1 for uniform offsets"),
        (lambda: OffsetField("normal", 2, correlation="3/2"), "^correlation: expected a number in"),
        (lambda: OffsetField("normal", 3, correlation="-3/5"), "^correlation: expected a number in"),
        (lambda: OffsetField("normal", 2).__add__((1, 2, 3)), "^displacement: expected one number, or 2, got"),
        (lambda: OffsetField("normal", 2) - (1, 2, 3), "^displacement: expected one number, or 2, got"),
        (lambda: OffsetField("normal", 2, displacement=(sp.Integer(1),)), "^displacement: expected 2 numbers, got"),
        (lambda: warp(IIDField(), OffsetField()).diff(0, "middle"), "^knot: expected right, left or central"),
        (lambda: (OffsetField() + "1/3").fraction, "^offsets: expected offsets that are not displaced"),
        (lambda: OffsetField() + sp.Symbol("epsilon", real=True), "^name: expected a name that is not one of"),
        (lambda: warp(IIDField() + IIDField("h"), OffsetField()), "^field: expected an input field, or a warped"),
        (lambda: warp(IIDField(), OffsetField())[sp.Rational(1, 2)], "^index: expected whole numbers"),
        (lambda: warp(IIDField(), OffsetField())[0.0], "^index: expected whole numbers"),
        (lambda: IIDField()["k"], "^index: expected whole numbers"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_steps_of_shared_and_equal_offsets_agree():
    eps = OffsetField("two_point", 2, location="3/10", scale="6/10", shared=True, correlation=1)
    numbers = step_values(Variance(warp(X, eps)[0, 0] - warp(X, eps)[0, 1]), VALUES)
    assert len(numbers) >= 3
    assert numbers == pytest.approx([numbers[-1]] * len(numbers), **EXACT)
