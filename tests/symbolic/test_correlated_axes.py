"""Offsets correlated along the axes, against SciPy's integrals of the bivariate normal density."""

import itertools

import numpy as np
import pytest
import sympy as sp
from scipy import integrate, stats

from warptheory.symbolic import Cov, E, IIDField, NotConverged, OffsetField, Var, evaluate, splat, warp

X = IIDField("x", mean=0, deviation=1)
SCALE, CORRELATION = 0.5, 0.7
EPS = OffsetField("normal", dim=2, scale="1/2", correlation="7/10")
# SciPy's cubature is asked for 1e-10, and quadrature here is exact to rounding.
EXACT = {"abs": 1e-8}


def hat(position):
    return max(0.0, 1.0 - abs(position))


def density(first, second, scale, correlation):
    along = stats.norm.pdf(first, scale=scale)
    return along * stats.norm.pdf(second, correlation * first, scale * np.sqrt(1 - correlation**2))


def weight(pixel, scale=SCALE, correlation=CORRELATION):
    """E k(ε₁ − i) k(ε₂ − j), cell by cell."""
    i, j = pixel
    cells = itertools.product((i - 1, i), (j - 1, j))
    return sum(
        integrate.dblquad(
            lambda v, u: hat(u - i) * hat(v - j) * density(u, v, scale, correlation),
            *(low, low + 1, left, left + 1),
            epsabs=1e-10,
        )[0]
        for low, left in cells
    )


@pytest.mark.parametrize("pixel", [(0, 0), (1, 0), (1, 1), (-1, 1)])
def test_a_value_and_a_pixel(pixel):
    """E y[0] x[m] is the mean weight of pixel m: no function of the fractions, so it has no Fourier series."""
    assert evaluate(E(warp(X, EPS)[0, 0] * X[pixel]), {}) == pytest.approx(weight(pixel), **EXACT)


@pytest.mark.parametrize("pixel", [(0, 0), (1, 0), (1, 1)])
def test_a_splat_by_one_offset_and_a_pixel(pixel):
    """A shared offset carries x[m] to the origin with weight k(m + ε)."""
    shared = OffsetField("normal", dim=2, scale="1/2", correlation="7/10", shared=True)
    mirrored = tuple(-i for i in pixel)
    assert evaluate(E(splat(X, shared)[0, 0] * X[pixel]), {}) == pytest.approx(weight(mirrored), **EXACT)


@pytest.mark.parametrize("correlation", [-0.6, 0.97])
def test_weights_sum_to_one(correlation):
    eps = OffsetField("normal", dim=2, scale="1/5", correlation=correlation)
    pixels = list(itertools.product(range(-2, 3), repeat=2))
    total = sum(E(warp(X, eps)[0, 0] * X[pixel]) for pixel in pixels)
    # Beyond 2 pixels, ten deviations, there is no mass.
    assert evaluate(total, {}) == pytest.approx(1, abs=1e-12)


def sawtooth_product(scale, correlation, displacement):
    """E (2f₁ − 1)(2f₂ − 1), the covariance of both derivatives for the linear kernel, f the fractions of ε + Δ."""
    spread = scale * np.sqrt(1 - correlation**2)

    def inner(first):
        """E[2f₂ − 1 | ε₁]: partial moments of a normal variable over whole cells."""
        mean = correlation * first + displacement[1]
        edges = np.arange(np.floor(mean - 12 * spread), np.ceil(mean + 12 * spread) + 1)
        mass = np.diff(stats.norm.cdf(edges, mean, spread))
        slope = -(spread**2) * np.diff(stats.norm.pdf(edges, mean, spread))
        return float(np.sum(2 * (mean * mass + slope - edges[:-1] * mass) - mass))

    def outer(first):
        fraction = (first + displacement[0]) % 1.0
        return (2 * fraction - 1) * inner(first) * stats.norm.pdf(first, scale=scale)

    knots = np.arange(-3, 4) - displacement[0] % 1.0
    ends = np.unique(np.concatenate([knots[abs(knots) < 9 * scale], np.linspace(-9, 9, 19) * scale]))
    return sum(integrate.quad(outer, low, high, epsabs=1e-12)[0] for low, high in itertools.pairwise(ends))


@pytest.mark.parametrize(
    ("scale", "displacement"), [("1/20", ("37/100", "49/50")), ("1/10", ("37/100", "11/100")), ("2/5", ("1/3", "0"))]
)
def test_displaced_derivatives(scale, displacement):
    """Displacements move the jumps of a derivative to other fractions along each axis."""
    eps = OffsetField("normal", dim=2, scale=scale, correlation="7/10") + displacement
    y = warp(X, eps)
    exact = sawtooth_product(float(sp.Rational(scale)), 0.7, [float(sp.Rational(d)) for d in displacement])
    assert evaluate(Cov(y.diff(0)[0, 0], y.diff(1)[0, 0]), {}) == pytest.approx(exact, abs=1e-9)


def test_limits_of_the_correlation():
    """As r → 0 and r → 1 the average tends to those of independent and of equal offsets, linearly in r and 1 − r."""
    variances = {
        r: evaluate(Var(warp(X, OffsetField("normal", 2, scale="1/5", correlation=r))[0, 0]), {})
        for r in (0, "1/1000", "999/1000", 1)
    }
    assert variances["1/1000"] == pytest.approx(variances[0], abs=1e-3)
    assert variances["999/1000"] == pytest.approx(variances[1], abs=1e-3)
    symbol = OffsetField("normal", 2, scale="1/5", correlation=sp.Symbol("r", real=True))
    for r in (0, 1):
        assert evaluate(Var(warp(X, symbol)[0, 0]), {"r": float(r)}) == pytest.approx(variances[r], abs=1e-12)


def test_nearly_equal_axes_are_refused():
    eps = OffsetField("normal", dim=3, scale="1/100", correlation="99999/100000")
    with pytest.raises(NotConverged, match="of scale 0.01 and correlation 0.99999: a grid of .* is too large"):
        evaluate(E(warp(X, eps)[0, 0, 0] * X[0, 0, 0]), {})
