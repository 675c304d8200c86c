"""A10 and B3 with a covariance, B6 with slopes off the diagonal, A12's necessity: sums and integrals of SciPy's."""

import itertools
import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, special, stats

from warptheory import results, warping
from warptheory.results._setting import Setting
from warptheory.results.backward.jensen import CrossSlopes
from warptheory.results.iid import variance_preserving
from warptheory.results.iid.knots import GaussianError
from warptheory.symbolic import NotReducible, evaluate

SIGMA, LENGTH = 1.3, 1.8


def covariance(distance):
    return SIGMA**2 * np.exp(-(np.asarray(distance) ** 2) / (2 * LENGTH**2))


@pytest.mark.parametrize(("dim", "h"), [(1, 0.4), (1, 1.2), (2, 1.2)])
def test_knots_with_a_covariance(dim, h):
    """By hand, from the pixels that each derivative reads at a knot."""
    zero, one, two = covariance([0, h, 2 * h])
    expected = {
        "variance of the right-hand derivative": 2 * (zero - one) / h**2,
        "variance of the central derivative": (zero - two) / (2 * h**2),
        "variance of the jump": (6 * zero - 8 * one + 2 * two) / h**2,
    }
    for name, value in expected.items():
        found = results.get("A10").evaluate(f"{name}, correlated input", dim=dim, h=h, sigma=SIGMA, l=LENGTH)
        assert found == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize(
    ("name", "transfer"),
    [("right-hand", lambda w: np.exp(1j * w) - 1), ("central", lambda w: 1j * np.sin(w))],
)
def test_knot_errors_with_a_covariance(dim, name, transfer):
    """∫ S |T(hω)/h − iω|² dω/2π by SciPy's quadrature; the other axes do not enter."""
    h = 1.2
    law = stats.norm(scale=1 / LENGTH)
    exact = SIGMA**2 * integrate.quad(lambda w: law.pdf(w) * abs(transfer(h * w) / h - 1j * w) ** 2, -10, 10)[0]
    quantity = f"squared error of the {name} derivative, correlated input"
    found = results.get("A10").evaluate(quantity, dim=dim, h=h, sigma=SIGMA, l=LENGTH, standard=True)
    assert found == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("dim", [1, 2])
def test_orders_in_the_spacing(dim):
    """h²λ₄/4 and h⁴λ₆/36 with the spectral moments 3/ℓ⁴ and 15/ℓ⁶ of the Gaussian covariance."""
    h, length = 0.25, 10.0
    expected = {"right-hand": h**2 * 3 / length**4 / 4, "central": h**4 * 15 / length**6 / 36}
    for name, value in expected.items():
        quantity = f"squared error of the {name} derivative, fine grid"
        found = results.get("A10").evaluate(quantity, dim=dim, h=h, l=length, sigma=SIGMA)
        assert found == pytest.approx(SIGMA**2 * value, rel=1e-12)


@pytest.mark.parametrize("knot", ["right", "central"])
def test_the_weights_of_random_waves_keep_the_mean(knot):
    """Rows drawn by importance against waves drawn as they are, by NumPy, d = 1."""
    h, rows = 1.2, 100_000
    values = {"sigma": SIGMA, "l": LENGTH, "h": h}
    found = GaussianError(Setting(), knot).sample(np.random.default_rng(0), 4000, values).numpy()
    generator = np.random.default_rng(1)
    frequency, phase = h / LENGTH * generator.standard_normal(rows), 2 * np.pi * generator.random(rows)
    ahead, behind = np.cos(phase + frequency), np.cos(phase - frequency)
    slope = ahead - np.cos(phase) if knot == "right" else (ahead - behind) / 2
    plain = 2 * SIGMA**2 / h**2 * (slope + frequency * np.sin(phase)) ** 2
    error = math.hypot(found.std() / math.sqrt(len(found)), plain.std() / math.sqrt(rows))
    assert abs(found.mean() - plain.mean()) < 4.5 * error
    assert found.std() / math.sqrt(len(found)) < 0.1 * plain.std() / math.sqrt(len(found))


@pytest.mark.parametrize("kernel", ["linear", "keys"])
@pytest.mark.parametrize("dim", [1, 2])
def test_splats_of_a_gaussian_field(kernel, dim):
    """Every pair of outputs by itself; weights of the real operator, averaged by SciPy."""
    spread, mean, length = 0.4, 0.7, 1.5
    reach = 5
    delta = torch.zeros(1, 1, 2 * reach + 1, dtype=torch.float64)
    delta[..., reach] = 1
    rows = []
    grid = np.linspace(-8.5, 8.5, 40_001)
    density = stats.norm.pdf(grid)
    for n in range(-reach, reach + 1):
        moved = torch.from_numpy(spread * grid + n + reach).reshape(-1, 1, 1)
        rows.append(warping.warp(delta.expand(len(grid), 1, -1), moved, kernel)[:, 0, 0].numpy())
    weights = np.array(rows)
    smoothed = integrate.simpson(weights * density, x=grid, axis=1)
    energy = integrate.simpson(weights**2 * density, x=grid, axis=1).sum()
    places = list(itertools.product(range(2 * reach + 1), repeat=dim))
    w = np.array([np.prod([smoothed[i] for i in place]) for place in places])
    square = np.sum((np.array(places)[:, None] - np.array(places)[None]) ** 2, axis=-1)
    moments = SIGMA**2 * np.exp(-square / (2 * length**2)) + mean**2
    pairs = w @ moments @ w - np.sum(w**2) * (SIGMA**2 + mean**2)
    exact = (SIGMA**2 + mean**2) * energy**dim + pairs - mean**2
    name = "variance, Gaussian gradients"
    found = results.get("B3").evaluate(name, kernel=kernel, dim=dim, s=spread, mu=mean, sigma=SIGMA, l=length)
    assert found == pytest.approx(exact, rel=1e-6)  # Simpson's rule at the kernel's kinks


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_smooth_gradients_are_the_limit_of_long_ones(dim, spread):
    """From below as σ² d v/ℓ²: half the mean square distance of two pixels that are read, of variance v along an axis.

    v is s² and what linear interpolation adds to a square, f(1 − f). The next term is smaller by a few v/ℓ².
    """
    law = stats.norm(scale=spread)
    added = integrate.quad(lambda e: law.pdf(e) * (e % 1) * (1 - e % 1), -4, 4, points=range(-4, 5), limit=200)[0]
    place = spread**2 + added
    given = {"dim": dim, "s": spread, "mu": 0.7, "sigma": SIGMA}
    limit = results.get("B3").evaluate("variance, smooth Gaussian gradients", **given)
    for length in (20.0, 60.0):
        long = results.get("B3").evaluate("variance, Gaussian gradients", l=length, **given)
        assert limit - long == pytest.approx(SIGMA**2 * dim * place / length**2, rel=10 * place / length**2)
    ones = results.get("B3").evaluate("variance of the response to ones", dim=dim, s=spread)
    assert limit == pytest.approx(SIGMA**2 + (SIGMA**2 + 0.7**2) * ones, rel=1e-12)


def test_splats_of_a_constant_field_are_those_of_ones():
    """A field as long as can be is a constant, of second moment σ² + μ²; the length's own term falls as 1/ℓ²."""
    b3 = results.get("B3")
    ones = b3.evaluate("variance of the response to ones", standard=True)
    found = b3.evaluate("variance, Gaussian gradients", l=3000.0, mu=0.7, sigma=1.3, standard=True)
    assert found == pytest.approx((1.3**2 + 0.7**2) * ones + 1.3**2, rel=1e-6)


@pytest.mark.parametrize("tau", [0.3, 0.7, 0.9])
def test_cross_slopes(tau):
    """⟨1/J⟩ by SciPy's double integral, and its elliptic integral; the second order is that of no divergence, 0."""
    steps = CrossSlopes(Setting(dim=2)).derive().steps
    exact = integrate.dblquad(lambda a, b: 1 / (1 - tau**2 * np.cos(a) * np.cos(b)), 0, np.pi, 0, np.pi)[0] / np.pi**2
    for step in steps:
        assert evaluate(step.expression, {"tau": tau}) == pytest.approx(exact, rel=1e-7)
    assert evaluate(steps[-1].expression, {"tau": tau}) == pytest.approx(2 / np.pi * special.ellipk(tau**4), rel=1e-14)
    symbol = sp.Symbol("tau", positive=True)
    assert sp.series(steps[-1].expression, symbol, 0, 6).removeO() == 1 + symbol**4 / 4


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("share", [0.05, 1.0])
def test_every_offset_off_the_pixels_costs_variance(dim, share):
    """E(1 − ∏ρ), ρ = 1 − 2f(1 − f), over a binomial number of coordinates by SciPy."""
    f, counts = 0.3, np.arange(dim + 1)
    lost = stats.binom.pmf(counts, dim, share) @ (1 - (1 - 2 * f * (1 - f)) ** counts)
    name = "deficit of a share of other offsets"
    found = results.get("A12").evaluate(name, dim=dim, q=share, f=f, sigma=SIGMA)
    assert found == pytest.approx(SIGMA**2 * lost, rel=1e-12)
    assert found > 0


@pytest.mark.parametrize("kernel", ["sinc", "nearest"])
def test_kernels_that_keep_the_variance_off_the_pixels_are_refused(kernel):
    with pytest.raises(NotReducible):
        variance_preserving.Deficit(Setting(kernel=kernel)).derive()
