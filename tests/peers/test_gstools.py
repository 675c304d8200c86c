"""Covariances against GSTools, after its conventions: its Gaussian has a length of √(π/2)·ℓ, its Matérn √2·… less.

GSTools' spectral densities are normalised by (2π)⁻ᵈ and to a variance of one.
"""

import math

import numpy as np
import pytest
import sympy as sp

from warptheory.fields import Exponential, Matern, RationalQuadratic, SquaredExponential

gstools = pytest.importorskip("gstools", reason="not run: needs the extra 'peers'")

LENGTH, VARIANCE = 3.0, 1.7
# Ours, and GSTools' model with the length that its own formula of the correlation asks for.
PAIRS = {
    "gaussian": (
        lambda dim: SquaredExponential(length=LENGTH, variance=VARIANCE, dim=dim),
        lambda dim: gstools.Gaussian(dim=dim, var=VARIANCE, len_scale=LENGTH * math.sqrt(math.pi / 2)),
    ),
    "exponential": (
        lambda dim: Exponential(length=LENGTH, variance=VARIANCE, dim=dim),
        lambda dim: gstools.Exponential(dim=dim, var=VARIANCE, len_scale=LENGTH),
    ),
    "matern 3/2": (
        lambda dim: Matern(length=LENGTH, variance=VARIANCE, dim=dim, nu="3/2"),
        lambda dim: gstools.Matern(dim=dim, var=VARIANCE, len_scale=LENGTH / math.sqrt(2), nu=1.5),
    ),
    "matern 0.8": (
        lambda dim: Matern(length=LENGTH, variance=VARIANCE, dim=dim, nu="4/5"),
        lambda dim: gstools.Matern(dim=dim, var=VARIANCE, len_scale=LENGTH / math.sqrt(2), nu=0.8),
    ),
    "rational": (
        lambda dim: RationalQuadratic(length=LENGTH, variance=VARIANCE, dim=dim, alpha="9/4"),
        lambda dim: gstools.Rational(dim=dim, var=VARIANCE, len_scale=LENGTH * math.sqrt(2), alpha=2.25),
    ),
}
RADII = np.array([0.0, 0.1, 0.7, 1.0, 2.5, 6.0, 11.0])
WAVENUMBERS = np.array([0.05, 0.2, 0.6, 1.3])


@pytest.fixture(params=PAIRS)
def pair(request):
    return PAIRS[request.param]


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_covariance_and_variogram(pair, dim):
    ours, theirs = (make(dim) for make in pair)
    np.testing.assert_allclose(ours(RADII), theirs.covariance(RADII), atol=1e-6)
    np.testing.assert_allclose(VARIANCE - ours(RADII), theirs.variogram(RADII), atol=1e-6)
    np.testing.assert_allclose(ours(RADII) / VARIANCE, theirs.correlation(RADII), atol=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_spectral_density(pair, dim):
    ours, theirs = (make(dim) for make in pair)
    rest = [0] * (dim - 1)
    found = [float(ours.spectral_density(sp.Float(k), *rest)) for k in WAVENUMBERS]
    wanted = (2 * math.pi) ** dim * VARIANCE * density(theirs)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def density(model):
    """Its spectral density; where that is Ogata's rule, with smaller steps and extrapolated to the step 0."""
    if model.name != "Rational":
        return model.spectral_density(WAVENUMBERS)
    coarse, fine = (
        gstools.Rational(
            dim=model.dim,
            var=model.var,
            len_scale=model.len_scale,
            alpha=model.alpha,
            hankel_kw={"N": 20000, "h": step},
        ).spectral_density(WAVENUMBERS)
        for step in (2e-4, 1e-4)
    )
    return 2 * fine - coarse


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_integral_scale(pair, dim):
    ours, theirs = (make(dim) for make in pair)
    assert float(ours.integral_scale) == pytest.approx(theirs.integral_scale, rel=1e-6)


@pytest.mark.parametrize("nu", ["1/2", "4/5", "1"])
def test_rough_fields_have_no_gradient(nu):
    """Theory D3: the continuous gradient variance of Matérn ν ≤ 1 and of the exponential is infinite."""
    assert Matern(length=3, nu=nu).second_moment() == sp.oo
    assert Exponential(length=3).second_moment() == sp.oo
    assert Matern(length=3, nu="11/10").second_moment() != sp.oo
