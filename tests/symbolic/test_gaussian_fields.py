"""Gaussian fields by Wick's theorem, against matrices of the covariance over the taps, and against the operator."""

import itertools

import numpy as np
import pytest
import sympy as sp

from warptheory import kernels, montecarlo
from warptheory.core.errors import ArgumentError
from warptheory.fields import Exponential, ImageSpectrum, Matern, SquaredExponential
from warptheory.symbolic import (
    Cov,
    Covariance,
    Cumulant,
    E,
    ExcessKurtosis,
    GaussianField,
    IIDField,
    NotReducible,
    OffsetField,
    Var,
    Variance,
    evaluate,
    splat,
    warp,
)

X = GaussianField()
LENGTH = sp.Symbol("l", positive=True)
C = sp.Function("C")


def pixel_wide(dim=1):
    """Offsets for which every fraction is equally likely."""
    return OffsetField("uniform", dim=dim, scale="1/2")


def printed(expression):
    """The expression with C as an ordinary function, as it prints."""
    return sp.sympify(str(expression), locals={"C": C, "rho": sp.Function("rho")})


def test_bilinear_interpolation_on_a_grid():
    """Theory C4, d = 1 and 2: the variance of a value and of its derivative, for any covariance."""
    line, plane = warp(X, pixel_wide()), warp(X, pixel_wide(2))
    assert sp.expand(printed(Var(line[0])) - (C(0) - (C(0) - C(1)) / 3)) == 0
    assert sp.expand(printed(Var(line.diff(0)[0])) - 2 * (C(0) - C(1))) == 0
    found = printed(Var(plane[0, 0]))
    assert sp.expand(found - (4 * C(0, 0) + 4 * C(1, 0) + C(1, 1)) / 9) == 0
    gradient = sp.Rational(4, 3) * (C(0, 0) - C(1, 0)) + sp.Rational(2, 3) * (C(1, 0) - C(1, 1))
    assert sp.expand(printed(Var(plane.diff(0)[0, 0])) - gradient) == 0


def weights(kernel, position):
    """Pixels and weights of a value at a position along one axis, by the kernel's definition."""
    reach = kernels.get(kernel).reach
    value = sp.lambdify([kernels.POSITION], kernels.get(kernel).value(), "numpy")
    pixels = np.arange(np.floor(position) - reach, np.floor(position) + reach + 2)
    return pixels, np.asarray(value(position - pixels), dtype=float) * np.ones_like(pixels)


@pytest.mark.parametrize("kernel", ["linear", "keys", "triangle(1.25)", "gauss(0.5)"])
@pytest.mark.parametrize("covariance", [Exponential(length=2, dim=1), Matern(length=3, nu=2, dim=1)])
def test_covariance_of_two_values_given_the_fraction(kernel, covariance):
    """wᵀC(m − m′)w′ over the taps of positions f and f + 2 + 1/3, one shared offset."""
    field = GaussianField(covariance=covariance)
    shared = OffsetField("normal", shared=True)
    first, second = warp(field, shared, kernel)[0], warp(field, shared + sp.Rational(1, 3), kernel)[2]
    found = Cov(first, second | shared.fraction)
    for fraction in (0.0, 0.2, 0.71):
        (m, w), (n, v) = weights(kernel, fraction), weights(kernel, fraction + 2 + 1 / 3)
        exact = w @ covariance(m[:, None] - n) @ v
        # Sums of products of float64 weights; both sides round.
        assert evaluate(found, {"f": fraction}) == pytest.approx(exact, abs=1e-12)


def test_moments_follow_wick():
    """E x⁴ = 3C(0)², a Gaussian value has no fourth cumulant, and a random fraction gives it one: 3 Var(Var(y | f))."""
    y = warp(X, pixel_wide())
    assert printed(E(X[0] ** 4)) == 3 * C(0) ** 2
    assert printed(E(X[0] * X[1] * X[2] * X[4])) == C(1) * C(2) + C(2) * C(3) + C(4) * C(1)
    assert Cumulant(*[X[0]] * 4) == 0
    f = OffsetField("uniform", scale="1/2").fraction
    assert sp.expand(E(y[0] ** 4 | f) - 3 * Var(y[0] | f) ** 2) == 0
    given = GaussianField(covariance=SquaredExponential(length=2, dim=1))
    kurtosis = ExcessKurtosis(warp(given, pixel_wide())[0]).doit()
    c = float(SquaredExponential(length=2, dim=1)(1.0))
    # Var(y | f) = 1 − 2f(1 − f)(1 − c); E f(1 − f) = 1/6 and E f²(1 − f)² = 1/30.
    variance, square = 1 - (1 - c) / 3, 1 - 2 * (1 - c) / 3 + 4 * (1 - c) ** 2 / 30
    assert evaluate(kurtosis, {}) == pytest.approx(3 * (square / variance**2 - 1), abs=1e-12)


def test_white_noise_is_the_independent_field():
    """C(Δ) = 0 beyond a pixel: A4's gain, and A7."""
    white = {C(0): 1, C(1): 0, C(2): 0, C(3): 0}
    for kernel, statistic in itertools.product(("linear", "keys"), (lambda y: y[0], lambda y: y.diff(0)[0])):
        correlated = printed(Var(statistic(warp(X, pixel_wide(), kernel)))).xreplace(white)
        assert correlated == Var(statistic(warp(IIDField(mean=0, deviation=1), pixel_wide(), kernel)))


def test_a_mean_is_kept():
    """A partition of unity keeps the mean; moments about it do not see it."""
    shifted = GaussianField(mean=sp.Symbol("mu", real=True))
    y = warp(shifted, pixel_wide())
    assert E(y[0]) == sp.Symbol("mu", real=True)
    assert printed(Var(y[0])) == printed(Var(warp(X, pixel_wide())[0]))


def test_measured_spectra_of_one_size_are_told_apart():
    """The variance is C(0) − (C(0) − C(1))/3 of its own spectrum, whichever was asked for before."""
    wavenumbers = np.array([0.1, 1.0, 3.0])
    for density in ([[9.0, 3.0, 1.0]], [[1.0, 3.0, 9.0]]):
        spectrum = ImageSpectrum(wavenumbers, np.array(density))
        found = Var(warp(GaussianField(covariance=spectrum), OffsetField("constant", dim=2, location="1/2"))[0, 0])
        corners = spectrum.at(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
        assert float(found) == pytest.approx(corners.mean(), rel=1e-12)


STATISTICS = {
    "variance": lambda field: Variance(warp(field, OffsetField("normal"), "linear")[0]),
    "derivative": lambda field: Variance(warp(field, OffsetField("normal"), "keys").diff(0)[0]),
    "shared neighbours": lambda field: Covariance(
        *(warp(field, OffsetField("normal", shared=True))[i] for i in (0, 1))
    ),
    "shared splat": lambda field: Variance(splat(field, OffsetField("normal", shared=True))[0]),
    "plane": lambda field: Variance(warp(field, OffsetField("normal", dim=2))[0, 0]),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_the_operator_agrees(name):
    """The same statistic run with `warp` and `splat` on sampled fields, seed 3, within five standard errors."""
    covariance = SquaredExponential(length=LENGTH, variance=2, dim=2 if name == "plane" else 1)
    statistic = STATISTICS[name](GaussianField(covariance=covariance))
    values = {"l": 1.5, "s": 0.4}
    estimate = montecarlo.estimate(statistic, values, rtol=1e-2, seed=3)
    assert abs(estimate.value - evaluate(statistic.doit(), values)) < 5 * estimate.stderr


@pytest.mark.parametrize("name", STATISTICS)
def test_steps_agree(name):
    """Every step has a number of its own; quadrature between knots is exact to rounding."""
    covariance = SquaredExponential(length=LENGTH, variance=2, dim=2 if name == "plane" else 1)
    steps = STATISTICS[name](GaussianField(covariance=covariance)).derive().steps
    # In the plane, averages of sums over pairs of taps take minutes, so that the comparison starts with functionals;
    # a splat's expanded sums are still random.
    first = {"plane": 3, "shared splat": 2}.get(name, 1)
    numbers = [evaluate(step.expression, {"l": 1.5, "s": 0.4}) for step in steps[first:]]
    np.testing.assert_allclose(numbers, numbers[-1], rtol=1e-9)


REFUSED = {
    "offsets of their own": (lambda: Cov(*(warp(X, OffsetField())[i] for i in (0, 1))), "that needs shared offsets"),
    "beside a pixel": (lambda: Cov(warp(X, OffsetField())[0], X[0]), "beside a pixel"),
    "independent splats": (lambda: Var(splat(X, OffsetField())[0]), "splats of a Gaussian field by independent"),
    "every pixel read": (lambda: Var(warp(X, OffsetField(), "sinc")[0]), "its kernel reads every pixel"),
    "a stack": (lambda: Var(warp(warp(X, OffsetField()), OffsetField(name="e2"))[0]), "independent pixels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason(case):
    call, message = REFUSED[case]
    with pytest.raises(NotReducible, match=message):
        call()


@pytest.mark.usefixtures("as_users_call")
def test_bad_input():
    with pytest.raises(ArgumentError, match="^covariance: expected a Covariance, or None, got 'exponential'"):
        GaussianField(covariance="exponential")
    with pytest.raises(ArgumentError, match="expected fields whose covariance is given"):
        evaluate(Var(warp(X, pixel_wide())[0]), {})
    with pytest.raises(ArgumentError, match="^statistic: expected Gaussian fields whose covariance is given"):
        montecarlo.estimate(Variance(warp(X, pixel_wide())[0]), {})
