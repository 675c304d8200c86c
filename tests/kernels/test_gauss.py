"""The normalised Gaussian: DCLS, limits of wide and narrow σ, and its support."""

import math

import numpy as np
import pytest
import torch

from warptheory import kernels
from warptheory.kernels import tap_weights

SIZE = 17


@pytest.mark.parametrize("position", [0.0, 0.25, 0.5, -1.3])
@pytest.mark.parametrize("sigma", [0.27, 0.5, 0.8])
def test_weights_are_those_of_dcls(sigma, position):
    """DCLS's σ is |SIG| + 0.27 (version "gauss"); its sum runs over all pixels of the dense kernel."""
    dcls = pytest.importorskip("DCLS.construct.modules", reason="the extra `peers` is not installed")
    layer = dcls.Dcls1d(1, 1, kernel_count=1, dilated_kernel_size=SIZE, version="gauss", bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.P.fill_(position)
        layer.SIG.fill_(sigma - 0.27)
    theirs = layer.DCK(layer.weight, layer.P, layer.SIG).detach().flatten()
    ours = torch.zeros(SIZE)
    whole = math.floor(position)
    for tap, weight in tap_weights(kernels.get(f"gauss({sigma})"), torch.tensor(position - whole)):
        if 0 <= SIZE // 2 + whole + tap < SIZE:
            ours[SIZE // 2 + whole + tap] += weight
    # DCLS adds 1e-7 to the sum that it divides by, which is at least 0.18 (σ = 0.27, half-way), and σ − 0.27 + 0.27 and
    # the square of (i − p)/σ ≤ 30 round in float32 before the exponential.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_wide_gaussians_reach_the_continuum():
    """ρ̄ = 1/(2√π σ) and δ̄ = 1/(4√π σ³) once the sum over taps is flat: its ripple is 2exp(−2π²σ²)."""
    found = kernels.get("gauss(1.5)").functionals().as_floats()
    ripple = 2 * math.exp(-2 * math.pi**2 * 1.5**2)
    assert found["rho_bar"] == pytest.approx(1 / (2 * math.sqrt(math.pi) * 1.5), rel=ripple + 1e-12)
    assert found["delta_bar"] == pytest.approx(1 / (4 * math.sqrt(math.pi) * 1.5**3), rel=1e-12)


def test_gradient_is_smaller_than_the_linear_kernels_from_two_fifths_of_a_pixel():
    """δ̄ passes below 2 at σ ≈ 0.40."""
    slopes = [kernels.get(f"gauss({sigma})").functionals().as_floats()["delta_bar"] for sigma in ("0.39", "0.41")]
    assert slopes[0] > 2 > slopes[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", ["0.001", "0.01", "0.1", "0.18", "0.3"])
def test_narrow_gaussians_stay_finite(sigma, dtype):
    """No overflow and no 0/0, also in the gradient, down to what is nearest-neighbour interpolation."""
    fraction = torch.tensor([0.0, 0.3, 0.5, 0.9, 1.0], dtype=dtype, requires_grad=True)
    for order in (0, 1, 2):
        weights = torch.stack([weight for _, weight in tap_weights(kernels.get(f"gauss({sigma})"), fraction, order)])
        (gradient,) = torch.autograd.grad((weights**2).sum() if order == 0 else weights.sum(), fraction)
        assert torch.isfinite(weights).all()
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("sigma", ["0.3", "0.5", "1.1"])
def test_what_the_support_leaves_out_is_below_rounding(sigma):
    """The same quotient with ten more pixels on either side differs by less than two units of 2⁻⁵³."""
    kernel = kernels.get(f"gauss({sigma})")
    fractions = np.linspace(0, 1, 11)
    pixels = np.arange(min(kernel.taps) - 10, max(kernel.taps) + 11)
    bumps = np.exp(-(((fractions[:, None] - pixels) / float(sigma)) ** 2) / 2)
    exact = dict(zip(pixels.tolist(), (bumps / bumps.sum(1, keepdims=True)).T, strict=True))
    ours = dict(tap_weights(kernel, torch.from_numpy(fractions)))
    for pixel, weight in exact.items():
        found = ours[pixel].numpy() if pixel in ours else 0.0
        # Plus the rounding of exponents up to 37 (= 53 ln 2), which the exponential turns into relative errors.
        np.testing.assert_allclose(found, weight, atol=2**-52, rtol=40 * 2**-52)


@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.1])
def test_functionals_of_a_narrow_step(sigma):
    """Two taps share the weight as p(1 − p), p′ = p(1 − p)/σ²: δ̄ = 1/3σ² and ρ̄ = 1 − 2σ², but for exp(−1/2σ²).

    The quadrature is asked for 1e-13 of each of its panels.
    """
    found = kernels.get(f"gauss({sigma})").functionals().as_floats()
    assert found["delta_bar"] == pytest.approx(1 / (3 * sigma**2), rel=1e-11)
    assert found["rho_bar"] == pytest.approx(1 - 2 * sigma**2, abs=1e-12)
