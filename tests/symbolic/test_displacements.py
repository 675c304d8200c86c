"""Displaced offsets: whole pixels change nothing but the index, and sums over pixels find where the values are."""

import itertools

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from warptheory.symbolic import (
    Cov,
    Covariance,
    E,
    Expectation,
    IIDField,
    OffsetField,
    Var,
    Variance,
    WideOffsets,
    evaluate,
    splat,
    warp,
)

X = IIDField("x")
VALUES = {"mu": 0.7, "sigma": 1.3, "kappa_3": 0.0, "kappa_4": 0.0}
DELTA = sp.Symbol("Delta", real=True)
LAWS = {"uniform": "7/3", "normal": "2/3", "laplace": "1/2", "two_point": "3/2"}


@settings(max_examples=25)
@given(law=st.sampled_from(sorted(LAWS)), shift=st.integers(-60, 60), far=st.booleans())
def test_whole_pixels_only_move_the_index(law, shift, far):
    """Statistics of splats, and of values that two independent fields have moved, do not see a common shift."""
    one, other = (OffsetField(law, scale=LAWS[law], name=name) for name in ("e1", "e2"))
    displacement, values = (DELTA, {**VALUES, "Delta": float(shift)}) if far else (shift, VALUES)
    statistics = {
        "splat": lambda d: Var(splat(X, one + d)[0]),
        "two fields": lambda d: Cov(warp(X, one + d)[0], warp(X, other + d)[0]),
        "pixel": lambda d: E(warp(X, one + d)[0] * X[shift if d is displacement else 0]),
    }
    for name, statistic in statistics.items():
        # Sums over pixels and quadrature are exact to rounding; positions of 60 pixels lose two digits of it.
        assert evaluate(statistic(displacement), values) == pytest.approx(evaluate(statistic(0), VALUES), abs=1e-10), (
            name
        )


def test_variance_of_a_displaced_splat():
    """σ² E ρ + μ² (E ρ − Σ q²) with q(m) = E k(ε − m), by SciPy's quadrature; theory B3."""
    half_width, centre = 3.0, 10.5

    def hat(u):
        return max(0.0, 1 - abs(u))

    def mean(function):
        ends = np.unique(np.concatenate([[centre - half_width, centre + half_width], np.arange(8, 14)]))
        return sum(integrate.quad(function, a, b)[0] for a, b in itertools.pairwise(ends)) / (2 * half_width)

    gain = mean(lambda u: 1 - 2 * (u % 1) * (1 - u % 1))
    squares = sum(mean(lambda u, m=m: hat(u - m)) ** 2 for m in range(6, 16))
    exact = 1.3**2 * gain + 0.7**2 * (gain - squares)
    found = Var(splat(X, OffsetField("uniform", scale=3) + sp.Rational(21, 2))[0])
    assert evaluate(found, VALUES) == pytest.approx(exact, abs=1e-10)


A = sp.Symbol("a", positive=True)
WIDE = OffsetField("uniform", scale=A)


@pytest.mark.parametrize("kernel", ["linear", "keys", "nearest", "triangle(1.25)"])
@pytest.mark.parametrize("displacement", ["1/3", "-7/5", DELTA])
def test_wide_limit_of_two_displaced_values(kernel, displacement):
    """At whole half-widths every fraction is equally likely, which is what the limit is."""
    y, moved = warp(X, WIDE, kernel)[0], warp(X, WIDE + displacement, kernel)[0]
    z, other = warp(IIDField("v"), WIDE, kernel)[0], warp(IIDField("w"), WIDE + displacement, kernel)[0]
    values = {**VALUES, "Delta": 0.4, "a": 16.0}
    for statistic in (Covariance(y, moved), Expectation(z**2 * other**2)):
        limit = evaluate(WideOffsets(statistic, A).doit(), values)
        # Quadrature over 32 pixels with both kernels' knots is exact to rounding for polynomial pieces; the
        # normalised triangle's are rational, where 12 points a quarter pixel leave 1e-12.
        assert limit == pytest.approx(evaluate(statistic.doit(), values), rel=1e-9)


def test_the_autocorrelation_of_the_kernel_is_the_limit():
    """Theory A6: σ² a_k(Δ), the cubic B-spline (4 − 6Δ² + 3|Δ|³)/6 for linear."""
    limit = WideOffsets(Covariance(warp(X, WIDE)[0], warp(X, WIDE + sp.Rational(1, 3))[0]), A).doit()
    assert limit == sp.Rational(31, 54) * sp.Symbol("sigma", positive=True) ** 2


def test_the_scale_of_a_limit_has_to_occur():
    statistic = Variance(splat(X, OffsetField("normal"))[0])
    for scale in (sp.Symbol("s"), sp.Symbol("q", positive=True), sp.Symbol("sigma", positive=True)):
        with pytest.raises(ValueError, match=r"^scale: expected the symbol in a scale .*: s \(positive\), got"):
            WideOffsets(statistic, scale)
    with pytest.raises(ValueError, match="there is none"):
        WideOffsets(Variance(X[0]), sp.Symbol("s", positive=True))
