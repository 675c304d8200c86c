"""Ideal interpolation: SciPy's Fourier resampling, and published integrals of powers of the sinc."""

import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import signal

from warptheory import kernels
from warptheory.kernels import FRACTION, tap_weights

SINC = kernels.get("sinc")


@pytest.mark.parametrize("size", [7, 8])
def test_half_pixels_are_those_of_scipys_resampling(size):
    """scipy.signal.resample doubles the grid by Fourier interpolation, with the Nyquist frequency split."""
    x = np.random.default_rng(0).normal(size=size)
    weights = tap_weights(SINC, torch.tensor([0.5], dtype=torch.float64), size=size)
    ours = [sum(float(weight) * x[(pixel + tap) % size] for tap, weight in weights) for pixel in range(size)]
    np.testing.assert_allclose(ours, signal.resample(x, 2 * size)[1::2], atol=1e-14 * size)


def test_functionals_are_the_published_integrals():
    """∫ sinc² = 1 and ∫ sinc⁴ = 2/3 (Bracewell, The Fourier Transform and Its Applications); ∫ sinc′² = π²/3."""
    found = SINC.functionals()
    assert (found.rho, found.rho_bar, found.kappa4) == (1, 1, sp.Rational(2, 3))
    assert (found.delta, found.delta_bar) == (sp.pi**2 / 3, sp.pi**2 / 3)
    assert found.are_exact


@pytest.mark.parametrize("orders", [(0,), (1,), (0, 1), (0, 2), (1, 1, 1), (0, 0, 0, 0), (0, 0, 1, 1)])
def test_tap_sums_against_sums_over_many_pixels(orders):
    """Σ over |m| ≤ M; the tail of a product of r sincs is of order 1/M^(r−1), for r = 1 it alternates."""
    most = 20000
    u = 0.3 - np.arange(-most, most + 1)
    derivative = {
        0: np.sinc(u),
        1: (np.cos(np.pi * u) - np.sinc(u)) / u,
        2: -(np.pi**2) * np.sinc(u) - 2 * (np.cos(np.pi * u) - np.sinc(u)) / u**2,
    }
    total = np.prod([derivative[order] for order in orders], axis=0).sum()
    expected = float(SINC.tap_sum(orders).at(FRACTION).subs(FRACTION, sp.Rational(3, 10)))
    assert expected == pytest.approx(total, abs=math.pi ** sum(orders) * 4 / most)


def test_weights_near_a_pixel_in_float32():
    """Where sin(πu)/(N sin(πu/N)) is 0/0: D = 1 − (N² − 1)(πu/N)²/6 for odd N."""
    fraction = torch.tensor([0.0, 1e-7, 1e-3], dtype=torch.float32, requires_grad=True)
    weight = dict(tap_weights(SINC, fraction, size=33))[0]
    expected = 1 - (33**2 - 1) / 33**2 * (math.pi * fraction.detach().double()) ** 2 / 6
    # Seventeen cosines of size 2/33, each rounded.
    torch.testing.assert_close(weight.detach().double(), expected, rtol=0, atol=17 * 2**-24)
    (slope,) = torch.autograd.grad(weight.sum(), fraction)
    expected = -(33**2 - 1) / 33**2 * math.pi**2 * fraction.detach().double() / 3
    torch.testing.assert_close(slope.double(), expected, rtol=0, atol=17 * math.pi * 2**-24)
