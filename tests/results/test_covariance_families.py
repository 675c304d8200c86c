"""Results on fields of any covariance, against direct averages over lags and fractions by SciPy and NumPy."""

import math

import numpy as np
import pytest
from scipy import integrate, special

from warptheory import results
from warptheory.fields import ImageSpectrum, PowerLaw

SIGMA, LENGTH = 1.1, 2.7
VALUES = {"sigma": SIGMA, "l": LENGTH}
SHAPES = {"Matérn": {"nu": 2.2}, "rational quadratic": {"alpha": 3.5}, "power law": {"beta": 4.2, "w": 1.3}}


def matern(r):
    z = math.sqrt(2 * 2.2) * np.maximum(r, 1e-12) / LENGTH
    return SIGMA**2 * 2 ** (1 - 2.2) / special.gamma(2.2) * z**2.2 * special.kv(2.2, z)


def rational_quadratic(r):
    return SIGMA**2 * (1 + r**2 / (2 * 3.5 * LENGTH**2)) ** -3.5


def power_law(dim):
    """The transform of its spectrum, by QUADPACK."""

    def spectrum(k):
        return (1 / LENGTH**2 + k**2) ** (-4.2 / 2) * np.exp(-((k * 1.3) ** 2) / 2) * k ** (dim - 1)

    def value(r):
        wave = (lambda k: np.cos(k * r)) if dim == 1 else (lambda k: special.j0(k * r))
        return integrate.quad(lambda k: spectrum(k) * wave(k), 0, 12, epsabs=1e-13, limit=400)[0]

    at_zero = value(0.0)
    return np.vectorize(lambda r: SIGMA**2 * value(r) / at_zero)


FORMULAS = {
    "Matérn": lambda dim: matern,
    "rational quadratic": lambda dim: rational_quadratic,
    "power law": power_law,
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dim", [1, 2])
def test_covariance_after_offsets_by_an_average_over_the_lag(name, dim):
    """E C(τ + η), η ~ N(0, v): Gauss–Hermite, whose 48 nodes leave 1e-7 for Matérn fields of two derivatives."""
    lag, spread, offset_length = np.array([1.3, -0.7])[:dim], 0.9, 3.1
    variance = 2 * spread**2 * (1 - math.exp(-(lag @ lag) / (2 * offset_length**2)))
    nodes, weights = special.roots_hermitenorm(48 if name != "power law" else 16)
    moved = np.stack(np.meshgrid(*(part + math.sqrt(variance) * nodes for part in lag), indexing="ij"))
    mass = np.prod(np.meshgrid(*[weights / weights.sum()] * dim, indexing="ij"), axis=0)
    expected = np.sum(mass * FORMULAS[name](dim)(np.sqrt((moved**2).sum(0))))
    lags = {"t": lag[0]} if dim == 1 else {"t_1": lag[0], "t_2": lag[1]}
    values = {"s": spread, "l_e": offset_length, **lags, **VALUES, **SHAPES[name]}
    found = results.get("C2").evaluate(f"covariance, {name}", dim=dim, **values)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_error_of_linear_interpolation_by_lags(name):
    """D1 averaged over the fraction: 5/3 C(0) − 4∫(1 − f)C(fh) df + C(h)/3, for a covariance that is smooth there."""
    spacing, covariance = 1.4, FORMULAS[name](1)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    fraction = (nodes + 1) / 2
    mean = 2 * np.sum(weights * (1 - fraction) * covariance(fraction * spacing))
    expected = 5 / 3 * covariance(0.0) - mean + covariance(spacing) / 3
    found = results.get("D4").evaluate(f"mean error, {name}", h=spacing, **VALUES, **SHAPES[name])
    assert found == pytest.approx(float(expected), rel=2e-6)


def test_error_of_the_gradient_by_lags():
    """(x₁ − x₀)/h is the mean of x′ over the pixel, so that its variance 2(C(0) − C(h))/h² is what λ₂ exceeds."""
    spacing, covariance = 1.4, rational_quadratic
    second = SIGMA**2 / LENGTH**2
    expected = second - 2 * (covariance(0.0) - covariance(spacing)) / spacing**2
    found = results.get("D5").evaluate("mean error, rational quadratic", h=spacing, **VALUES, alpha=3.5)
    assert found == pytest.approx(expected, rel=1e-9)


IMAGE = ImageSpectrum.of_photograph("camera")


def test_waves_of_a_photograph():
    """Sums over the waves are its covariance, its moments, and its mean over offsets, each by a route of its own."""
    omega, weights = IMAGE.wave_quadrature(14.0)
    assert weights.sum() == pytest.approx(float(IMAGE.variance), rel=1e-12)
    lag = np.array([3.0, -5.5])
    assert weights @ np.cos(omega * lag[:, None]).prod(0) == pytest.approx(float(IMAGE.at(lag)), rel=1e-10)
    assert weights @ (omega[0] ** 2 * omega[1] ** 2) == pytest.approx(float(IMAGE.spectral_moment(2, 2)), rel=1e-10)
    damped = np.exp(-(1.4**2) * (omega**2).sum(0) / 2)
    assert weights @ damped == pytest.approx(IMAGE.mean_over_offsets(1.4), rel=1e-10)


def test_range_of_a_photograph():
    lags = np.zeros((200, 2))
    lags[:, 1] = np.arange(200)
    correlated = np.flatnonzero(np.abs(IMAGE.at(lags)) > 0.02 * float(IMAGE.variance))
    assert IMAGE.range(0.02) == correlated[-1] + 1


def test_photographs_against_sums_over_the_lag():
    """C2 by 24 × 24 Gauss–Hermite lags of the covariance itself, D4 by D1's lags in the plane at given fractions."""
    lag, spread, offset_length = np.array([1.6, 0.8]), 1.2, 2.5
    variance = 2 * spread**2 * (1 - math.exp(-(lag @ lag) / (2 * offset_length**2)))
    nodes, weights = special.roots_hermitenorm(24)
    moved = np.stack(np.meshgrid(*(part + math.sqrt(variance) * nodes for part in lag), indexing="ij"), -1)
    mass = np.multiply.outer(weights, weights) / weights.sum() ** 2
    assert results.get("C2").evaluate("covariance, image spectrum", standard=True) == pytest.approx(
        np.sum(mass * IMAGE.at(moved)), rel=1e-6
    )
    spacing = 0.8
    nodes, weights = np.polynomial.legendre.leggauss(8)
    taps = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    total = 0.0
    for f, first in zip((nodes + 1) / 2, weights / 2, strict=True):
        for g, second in zip((nodes + 1) / 2, weights / 2, strict=True):
            share = np.array([(1 - f) * (1 - g), (1 - f) * g, f * (1 - g), f * g])
            pairs = IMAGE.at(spacing * (taps[:, None] - taps).astype(float))
            reads = IMAGE.at(spacing * (taps - np.array([f, g])))
            total += first * second * (share @ pairs @ share - 2 * share @ reads + float(IMAGE.variance))
    assert results.get("D4").evaluate("mean error, image spectrum", h=spacing) == pytest.approx(total, rel=1e-6)


def test_power_law_with_decimal_parameters():
    """Numbers that symbols are given are no ratios; C(0) is the integral of S all the same."""
    law = PowerLaw(length=3.3, exponent=4.7, inner=1.1, dim=1)
    total = integrate.quad(lambda k: float(law.spectral_density(k)), 0, 12)[0] / math.pi
    assert total == pytest.approx(1.0, rel=1e-9)
