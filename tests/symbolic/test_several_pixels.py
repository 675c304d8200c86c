"""Values at several pixels, and pixels of the input beside them: enumeration and SciPy."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.interpolate import BSpline

from tests.symbolic.enumeration import (
    EXACT,
    VALUES,
    expectation,
    joint_cumulant,
    kernel_function,
    quadrature,
    step_values,
)
from warptheory.symbolic import (
    Cov,
    Covariance,
    Cumulant,
    E,
    IIDField,
    JointCumulant,
    OffsetField,
    Var,
    Variance,
    evaluate,
    warp,
)

X = IIDField("x", law="two_point")  # skewed, and its mean is not zero
H = IIDField("h", law="rademacher")
WITHIN_A_PIXEL = OffsetField("two_point", location="3/10", scale="6/10")
ACROSS_PIXELS = OffsetField("rademacher", location="1/5", scale="7/10")
FAR = OffsetField("two_point", location="-1/2", scale="5/2")
KNOTS = OffsetField("rademacher", scale=1)
SECOND = OffsetField("two_point", location="-2/5", scale="7/10", name="eta")
DISPLACEMENT = sp.Symbol("Delta", real=True)

STATISTICS = {
    "neighbours": lambda y: (y[0], y[1]),
    "three apart": lambda y: (y[3], y[0]),
    "third": lambda y: (y[0], y[0], y[1]),
    "three pixels": lambda y: (y[0], y[1], y[2]),
    "fourth": lambda y: (y[0], y[0], y[1], y[1]),
    "four pixels": lambda y: (y[0], y[1], y[2], y[-1]),
    "squares": lambda y: (y[0] ** 2, y[1]),
    "own pixel": lambda y: (y[0], X[0]),
    "two pixels": lambda y: (y[0], X[0], X[1]),
    "values and pixels": lambda y: (y[0], y[1], X[0], X[1]),
    "square of a pixel": lambda y: (y[0] ** 2, X[1] ** 2),
    "slope beside": lambda y: (y.diff()[0], y[1]),
    "slopes": lambda y: (y.diff()[0], y.diff()[1], X[1]),
}


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("kernel", "offsets"), [("linear", FAR), ("keys", ACROSS_PIXELS)])
def test_cumulants_of_one_field(kernel, offsets, statistic):
    values = STATISTICS[statistic](warp(X, offsets, kernel))
    assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


@pytest.mark.parametrize("knot", ["right", "left", "central"])
@pytest.mark.parametrize("statistic", ["slope beside", "slopes", "variance", "neighbours", "third", "with right"])
def test_derivatives_at_knots(statistic, knot):
    """Offsets ±1 lie on knots, where the left-hand derivative is another one."""
    y = warp(X, KNOTS)
    slope = y.diff(0, knot)
    values = {
        "slope beside": (slope[0], y[1]),
        "slopes": (slope[0], X[1]),
        "variance": (slope[0], slope[0]),
        "neighbours": (slope[0], slope[1]),
        "third": (slope[0], slope[0], y[1]),
        "with right": (slope[0], y.diff(0, "right")[0]),
    }[statistic]
    assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


GROUPS = {
    "two kernels": (warp(X, FAR)[0], warp(X, FAR, "keys")[1]),
    "two kernels at a pixel": (warp(X, FAR)[0], warp(X, FAR, "nearest")[0], warp(X, FAR)[0]),
    "two offset fields": (warp(X, FAR)[0], warp(X, SECOND)[0]),
    "two offset fields, fourth": (warp(X, FAR)[0], warp(X, FAR)[1], warp(X, SECOND)[1], warp(X, SECOND)[1]),
    "squares of two inputs": (warp(X, FAR)[0] ** 2, warp(H, FAR)[0] ** 2),
    "inputs apart": (warp(X, FAR)[0] ** 2, warp(H, FAR)[1] ** 2),
    "displaced": (warp(X, FAR)[0], warp(X, FAR + "1/3")[1]),
    "displaced by a symbol": (warp(X, FAR)[0], warp(X, FAR + DISPLACEMENT)[1]),
    "displaced, fourth": (warp(X, FAR)[0], warp(X, FAR - "1/3")[0], warp(X, FAR)[1], X[0]),
    "sum of fields": ((2 * warp(X, FAR) + warp(H, FAR) / 3)[0], (1 - warp(X, FAR))[1] ** 2),
    "slope of a sum": ((warp(X, FAR).diff() * warp(H, FAR))[0], (-warp(X, FAR))[1] * warp(H, SECOND)[2]),
}


@pytest.mark.parametrize("group", GROUPS)
def test_fields_together(group):
    values = GROUPS[group]
    assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


@pytest.mark.parametrize("kind", ["independent", "equal along the axes", "shared"])
@pytest.mark.parametrize("statistic", ["neighbours", "diagonal", "with a pixel", "a lone index", "slope", "displaced"])
def test_two_axes(kind, statistic):
    eps = OffsetField(
        "two_point",
        2,
        location="3/10",
        scale="6/10",
        shared=kind == "shared",
        correlation=int(kind == "equal along the axes"),
    )
    y = warp(X, eps)
    moved = warp(X, eps + (sp.Rational(1, 3), 0))  # noqa: RUF005 -- no tuple is added to
    values = {
        "neighbours": (y[0, 0], y[0, 1]),
        "diagonal": (y[0, 0], y[1, 1]),
        "with a pixel": (y[0, 0], X[0, 1]),
        "a lone index": (y[0], X[1]),
        "slope": (y.diff(1)[0, 0], y[0, 1]),
        "displaced": (y[0, 0], moved[0, 0]),
    }[statistic]
    assert evaluate(Cumulant(*values), VALUES) == pytest.approx(joint_cumulant(*values, values=VALUES), **EXACT)


def test_one_pixel_has_two_names_in_the_plane():
    x, eps = IIDField(), OffsetField("normal", 2)
    assert E(x[0] * x[0, 0]) == E(x[0] ** 2)
    assert Var(warp(x, eps)[3] - warp(x, eps)[3, 0]) == 0


@pytest.mark.parametrize(
    "given_part",
    ["offsets", "fraction"],
)
@pytest.mark.parametrize("statistic", ["variance", "neighbours", "third", "with a pixel"])
def test_given_a_shared_offset(statistic, given_part):
    """An offset within one pixel, so that its fraction says where it is; beside a pixel that would not be enough."""
    if statistic == "with a pixel" and given_part == "fraction":
        pytest.skip("refused: the whole part of the offset is not given")
    eps = OffsetField("two_point", location="3/10", scale="6/10", shared=True)
    values = {"f": 0.3, "epsilon": 0.3, **VALUES}
    y = warp(X, eps)
    expressions = {
        "variance": (y[0], y[0]),
        "neighbours": (y[0], y[1]),
        "third": (y[0], y[1], y[1]),
        "with a pixel": (y[0], X[1]),
    }[statistic]
    condition = eps if given_part == "offsets" else eps.fraction
    found = evaluate(Cumulant(*expressions, given=condition), values)
    assert found == pytest.approx(joint_cumulant(*expressions, values=values, given=condition), **EXACT)


LAWS = {
    "normal": stats.norm(scale=0.6),
    "laplace": stats.laplace(scale=0.6),
    "uniform": stats.uniform(-0.6, 1.2),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kernel", ["linear", "keys"])
def test_neighbours_against_quadrature(kernel, law):
    """A6 for independent offsets: Cov(y[0], y[j]) = σ² Σₘ E k(ε − m) E k(ε + j − m)."""
    points, weights = quadrature(LAWS[law], [-0.6, 0.6])
    smoothed = kernel_function(kernel)(points - np.arange(-28, 29)[:, None]) @ weights
    y = warp(X, OffsetField(law, scale="6/10"), kernel)
    for j in (1, 2, 5):
        exact = VALUES["sigma"] ** 2 * np.sum(smoothed[j:] * smoothed[:-j])
        # both sides are Gauss–Legendre sums with the error of rounding
        assert evaluate(Cov(y[0], y[j]), VALUES) == pytest.approx(exact, rel=1e-10, abs=1e-13)


def test_neighbours_against_a_double_integral():
    """The same as σ² ∬ Σₘ k(u − m) k(v + 1 − m) q(u) q(v) du dv over two independent offsets, uniform on (0, 1/2)."""
    eps = OffsetField("uniform", location="1/4", scale="1/4")
    y = warp(IIDField(deviation=1), eps)

    def both(u, v):
        return sum(max(0.0, 1 - abs(u - m)) * max(0.0, 1 - abs(v + 1 - m)) for m in range(-1, 4))

    # On this square no kernel has a knot: the integrand is a polynomial, exact for QUADPACK.
    exact, _ = integrate.dblquad(lambda v, u: 4 * both(u, v), 0, 0.5, 0, 0.5, epsabs=1e-12)
    assert evaluate(Cov(y[0], y[1]), {}) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("displacement", [0.0, 0.35, 0.8, 1.0, 1.6, 2.3, -0.45])
def test_one_random_shift_gives_the_cubic_spline(displacement):
    """A6, phase averaged: Cov(y(p), y(p + Δ)) = σ² a_k(Δ), for linear interpolation the cubic B-spline; d = 1, 2."""
    spline = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    exact = float(np.nan_to_num(spline(displacement)))
    for dim in (1, 2):
        eps = OffsetField("uniform", dim, scale="1/2", shared=True)
        found = Cov(warp(X, eps)[0], warp(X, eps + DISPLACEMENT)[0])
        values = {**VALUES, "Delta": displacement}
        assert evaluate(found, values) == pytest.approx(VALUES["sigma"] ** 2 * exact**dim, rel=1e-12, abs=1e-13)


def test_pixel_beside_a_value_against_quadrature():
    """E x[1] y[0] = μ² + σ² E k(ε − 1), and E x[1]² y[0]² from the moments of normal pixels."""
    points, weights = quadrature(stats.norm(scale=0.6))
    k = kernel_function("linear")(points - np.arange(-28, 29)[:, None])
    x = IIDField("x", law="normal")
    y = warp(x, OffsetField("normal", scale="6/10"))
    mean, variance = VALUES["mu"], VALUES["sigma"] ** 2
    at = k[29]  # the pixel m = 1
    assert evaluate(E(x[1] * y[0]), VALUES) == pytest.approx(mean**2 + variance * (at @ weights), **EXACT)
    # Given ε, x[1] and y[0] are jointly normal with covariance σ²k and means μ: E a²b² by Isserlis' theorem.
    power = np.sum(k**2, axis=0) * variance
    cross = at * variance
    given_offset = (mean**2 + variance) * (mean**2 + power) + 4 * mean**2 * cross + 2 * cross**2
    assert evaluate(E(x[1] ** 2 * y[0] ** 2), VALUES) == pytest.approx(given_offset @ weights, rel=2e-9)


@pytest.mark.parametrize(
    "statistic",
    [
        Covariance(warp(X, ACROSS_PIXELS)[0], warp(X, ACROSS_PIXELS)[1]),
        Covariance(warp(X, ACROSS_PIXELS)[0], X[1]),
        Variance(warp(X, KNOTS).diff(0, "central")[0]),
        JointCumulant(warp(X, ACROSS_PIXELS)[0], warp(X, ACROSS_PIXELS)[0], warp(X, ACROSS_PIXELS)[1]),
        Covariance(warp(X, FAR)[0], warp(X, FAR + "1/3")[0]),
        Covariance(warp(X, FAR)[0], warp(X, SECOND)[1]),
        Covariance(warp(X, OffsetField("normal", scale="2/5"))[0], warp(X, OffsetField("normal", scale="2/5"))[1]),
        Covariance(*(warp(X, OffsetField("two_point", location="1/5", scale=1, shared=True))[i] for i in (0, 1))),
    ],
    ids=str,
)
def test_steps_agree(statistic):
    numbers = step_values(statistic, VALUES)
    assert len(numbers) >= 3
    # Sums over taps, finite sums and Gauss–Legendre sums, all to rounding.
    assert numbers == pytest.approx([numbers[-1]] * len(numbers), rel=1e-9, abs=1e-12)


@settings(max_examples=6)
@given(
    st.sampled_from([WITHIN_A_PIXEL, ACROSS_PIXELS, FAR, KNOTS]),
    st.sampled_from(["linear", "keys"]),
    st.integers(-3, 3),
    st.integers(-20, 20),
    st.integers(-9, 9).filter(bool),  # what no random value is left in has no covariance
)
def test_algebra_of_covariances(eps, kernel, distance, start, factor):
    """Linear, symmetric, and the same wherever it is looked at."""
    a, b = sp.Rational(factor, 4), sp.Rational(3, 7)
    y = warp(X, eps, kernel)
    first, second = y[start], y[start + distance]
    assert evaluate(E(a * first + b * X[start]), VALUES) == pytest.approx(
        float(a + b) * VALUES["mu"], rel=1e-14, abs=1e-15
    )
    assert Cov(first, second) == Cov(second, first)
    assert evaluate(Cov(y[0], y[distance]), VALUES) == pytest.approx(evaluate(Cov(first, second), VALUES), rel=1e-13)
    assert evaluate(Var(a * first), VALUES) == pytest.approx(float(a) ** 2 * evaluate(Var(first), VALUES), rel=1e-13)
    bilinear = Cov(a * first + second, X[0] + b * second) - a * Cov(first, X[0]) - Cov(second, X[0])
    bilinear -= a * b * Cov(first, second) + b * Cov(second, second)
    assert evaluate(bilinear, VALUES) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "keys", "bspline3", "nearest", "gauss(0.5)"])
@pytest.mark.parametrize("shared", [False, True])
def test_constants_pass_unchanged(kernel, shared):
    """W1 = 1 for every partition of unity: no variance at a pixel, and none of a difference."""
    x = IIDField("x", law="normal", mean=1, deviation=0)
    ones = warp(x, OffsetField("normal", shared=shared), kernel)
    assert E(ones[0]) == 1
    assert Var(ones[0]) == 0
    assert Cumulant(ones[0], ones[1], ones[1]) == 0


@pytest.mark.parametrize("kernel", ["lanczos3"])
def test_taps_that_do_not_sum_to_one(kernel):
    """The mean passes with what the taps sum to, and constants gain variance."""
    y = warp(X, ACROSS_PIXELS, kernel)
    assert evaluate(E(y[0]), VALUES) == pytest.approx(expectation(y[0], VALUES), **EXACT)
    assert evaluate(Cov(y[0], y[1]), VALUES) == pytest.approx(joint_cumulant(y[0], y[1], values=VALUES), **EXACT)
    constant = warp(IIDField("x", mean=1, deviation=0), ACROSS_PIXELS, kernel)[0]
    assert evaluate(Var(constant), {}) == pytest.approx(joint_cumulant(constant, constant, values={}), rel=1e-9)
