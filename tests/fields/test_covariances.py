"""What holds of single covariances, and of their sums and products, beyond the contract of all."""

import itertools
import math

import numpy as np
import pytest
import sympy as sp

from tests.contracts.test_covariance_contract import LENGTH, RADIAL, SHEAR, VARIANCE, density_is_the_transform
from warptheory.core.errors import ArgumentError
from warptheory.fields import covariance
from warptheory.fields.covariance import CovarianceFunction


def build(name, dim, length=LENGTH, **parameters):
    return covariance.get(name)(length=length, variance=VARIANCE, dim=dim, **parameters)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(
    ("covariance_class", "nu"),
    [("exponential", None), ("matern", "1/2"), ("matern", "4/5"), ("matern", "1"), ("matern", "3/2"), ("matern", "2")],
)
def test_rough_fields_have_no_derivatives(covariance_class, nu, dim):
    """λ₂ is ∞ for ν ≤ 1, λ₄ for ν ≤ 2, and so is that of a sum and of a product with a smooth field."""
    found = build(covariance_class, dim, **({} if nu is None else {"nu": nu}))
    smooth = build("squared_exponential", dim)
    for rough in (found, found + smooth, found * smooth):
        for axis in range(dim):
            assert (rough.second_moment(axis) == sp.oo) == (nu not in ("3/2", "2"))
            assert rough.fourth_moment(axis) == sp.oo


@pytest.mark.parametrize("exponent", [3, 7, 19, 41])
def test_steep_power_laws_are_matern_covariances(exponent):
    """Without an inner scale ν = (β − d)/2 and ℓ√(2ν); w = 1e-6 changes C by shares of w²/ℓ²."""
    nu = sp.Rational(exponent - 2, 2)
    steep = covariance.get("power_law")(length=2, exponent=exponent, inner=1e-6)
    wanted = covariance.get("matern")(length=2 * sp.sqrt(2 * nu), nu=nu)
    distances = np.array([0.5, 2.0, 5.0, 12.0])
    np.testing.assert_allclose(steep(distances), wanted(distances), rtol=1e-6 if exponent == 3 else 1e-10)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_mean_over_offsets_without_isotropy(dim):
    """The determinant of squared exponentials against the mean over the lags; sums and products of them."""
    first, second = (build("squared_exponential", dim, length, anisotropy=SHEAR[dim]) for length in (3, 4))
    exact = first.mean_over_offsets(2.0)
    accuracy = 1e-8 * float(VARIANCE) ** 2
    assert CovarianceFunction._mean_over_offsets(first, 2.0) == pytest.approx(exact, abs=accuracy)
    added = first + second + covariance.get("white")(dim=dim)
    assert added.mean_over_offsets(2.0) == pytest.approx(exact + second.mean_over_offsets(2.0), rel=1e-14)
    assert added.mean_over_offsets(0.0) == pytest.approx(float(added.variance), rel=1e-14)
    both = build("squared_exponential", dim, sp.Rational(12, 5), anisotropy=SHEAR[dim])  # 1/ℓ² = 1/3² + 1/4²
    wanted = float(VARIANCE) * both.mean_over_offsets(2.0)
    assert (first * second).mean_over_offsets(2.0) == pytest.approx(wanted, abs=accuracy)


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(RADIAL, 2)))
def test_sums_and_products(first, second):
    a, b = build(first, 1), build(second, 1, length=5)
    lag = 1.7
    assert (a + b)(lag) == pytest.approx(float(a(lag) + b(lag)), rel=1e-14)
    assert (a * b)(lag) == pytest.approx(float(a(lag) * b(lag)), rel=1e-14)
    for order in (2, 4):
        moments = (a + b).spectral_moment(order), (a * b).spectral_moment(order)
        parts = [(c.spectral_moment(order), c.spectral_moment(2)) for c in (a, b)]
        rough = any(moment == sp.oo for moment, _ in parts)
        assert (moments[0] == sp.oo) == (moments[1] == sp.oo) == rough
        if not rough:
            leibniz = float(VARIANCE) * float(parts[0][0] + parts[1][0])
            leibniz += 6 * float(parts[0][1] * parts[1][1]) if order == 4 else 0
            assert float(moments[1]) == pytest.approx(leibniz, rel=1e-12)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"inner": 0}, "^inner: expected a positive number or a sympy expression, got 0$"),
        ({"exponent": 2, "inner": 0}, "^inner: expected a positive number .*, got 0$"),
        ({"inner": -1}, "^inner: expected a positive number .*, got -1$"),
        ({"exponent": 0}, "^exponent: expected a positive number .*, got 0$"),
        ({"length": sp.oo}, "^length: expected a positive number .*, got oo$"),
        ({"length": math.inf}, "^length: expected a positive number .*, got inf$"),
    ],
)
def test_power_laws_without_a_variance_are_refused(parameters, message):
    """Without an inner scale ∫ S diverges at high frequencies for β ≤ d, without an outer one at low ones for β ≥ d."""
    with pytest.raises(ArgumentError, match=message):
        covariance.get("power_law")(**parameters)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_spectrum_of_a_rational_quadratic_that_is_finite_at_zero(dim):
    """As it is for α > d/2."""
    density_is_the_transform(build("rational_quadratic", dim, alpha="9/4"))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_white_noise_moved_by_offsets(dim):
    """On the grid it has no values between the pixels."""
    white = covariance.get("white")(variance=VARIANCE, dim=dim)
    assert white.mean_over_offsets(0.4) == CovarianceFunction._mean_over_offsets(white, 0.4) == 0
    assert white.mean_over_offsets(0.0) == float(VARIANCE)
