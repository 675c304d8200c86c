"""F3, F4 and F5 against the module itself, exact small cases, the smooth limit, and where they do not hold."""

import itertools
import math

import numpy as np
import pytest
import torch

from warptheory import results, warping
from warptheory.core.streams import Stream
from warptheory.operators.self_warp import SelfWarp1d
from warptheory.results._setting import Setting
from warptheory.results.selfwarp._forced_stack import ForcedStack
from warptheory.results.selfwarp.two_paths import BothPaths

F3, F4, F5, F9 = map(results.get, ("F3", "F4", "F5", "F9"))


def test_the_experiment_differentiates_a_self_warp():
    """Away from the edges, where the head of the module is given zeros."""
    values = {"alpha": 0.4, "w": 0.5}
    experiment = BothPaths(Setting("linear", 1))
    generator = torch.Generator().manual_seed(0)
    x, sent = (torch.randn(3, 2, 60, generator=generator, dtype=torch.float64) for _ in range(2))
    layer = SelfWarp1d(2, kernel_size=13, scale=0.4, boundary="periodic").double()
    with torch.no_grad():
        layer.head.weight[0, :, 0], layer.head.weight[0, :, 12] = 0.5 * 0.6, 0.5 * 0.8
    leaf = x.clone().requires_grad_()
    (whole,) = torch.autograd.grad((sent * layer(leaf)).sum(), leaf)
    received = experiment._received(x, sent, 2, values)
    torch.testing.assert_close(received[..., 12:-12], whole[..., 12:-12])


def by_taps(sigma, alpha, place):
    """Mean square of the gradient of Σ g y for white g of deviation one and a head of one tap, drawn at leisure."""
    rng = np.random.default_rng(3)
    x = torch.from_numpy(sigma * rng.standard_normal((1500, 1, 128))).requires_grad_()
    g = torch.from_numpy(1.0 - 2.0 * rng.integers(0, 2, x.shape))
    y = warping.warp(x, alpha * x.roll(-place, 2), "linear", "periodic")
    (found,) = torch.autograd.grad((g * y).sum(), x)
    energies = found.square().flatten(1).mean(1)
    return float(energies.mean()), float(energies.std()) / math.sqrt(len(energies))


def test_f3_holds_far_away_and_fails_at_the_own_pixel():
    """The paths of a head that reads its own pixel have much in common: F9 counts it, F3 is too large by half."""
    alpha = 0.3
    added = F3.evaluate("energy by both paths", C=1, alpha=alpha, w=1, sigma=1, sigma_g=1)
    mean, error = by_taps(1.0, alpha, 9)
    assert mean == pytest.approx(added, abs=4 * error)
    own = F9.evaluate("gain, own pixel", alpha=alpha)
    mean, error = by_taps(1.0, alpha, 0)
    assert mean == pytest.approx(own, abs=4 * error)
    assert added > 1.4 * own
    assert (added - mean) / error > 20


def test_f4_of_smooth_fields_is_that_of_the_continuum():
    """For slopes of variance σ²/ℓ² each: E λ = dσ²/ℓ², E λ² = (E λ)²(1 + 2/(Cd))."""
    for dim, channels in ((1, 1), (2, 3)):
        values = {"C": channels, "kappa": 2.0, "l": 200.0, "sigma": 150.0, "sigma_g": 0.7}
        slope = dim * (150 / 200) ** 2
        expected = channels * 0.49 * (slope + 2 * slope**2 * (1 + 2 / (channels * dim)))
        assert F4.evaluate("received energy", dim=dim, **values) == pytest.approx(expected, rel=1e-4)
    ratio = F4.evaluate("received energy over spatial averages", **{**values, "kappa": 1e6, "C": 1})
    assert ratio == pytest.approx(3.0, rel=1e-4)  # E λ²/(E λ)² of a square of one normal number


def test_f4_without_correlation_of_energy_and_roughness_is_the_law_of_averages():
    values = {"C": 2, "l": 1.5, "sigma": 1.3}
    assert F4.evaluate("received energy over spatial averages", kappa=1e-9, **values) == pytest.approx(1, abs=1e-7)


def test_f5_where_all_positions_are_alike_is_f3():
    """Without a shortcut's half a layer multiplies by b times F3's factor."""
    alpha, sigma, branch, layers = 0.4, 1.2, 0.5, 3
    for dim in (1, 2):
        factor = F3.evaluate("growth over L layers, unit heads", dim=dim, L=1, alpha=alpha, sigma=sigma)
        for share in (1e-12, 0.4):
            found = F5.evaluate(
                "growth of the energy", dim=dim, L=layers, alpha=alpha, b=branch, q=share, r=1.0, sigma=sigma
            )
            assert found == pytest.approx((0.5 + branch * factor) ** layers, rel=1e-10)


def test_f5_gathers_energy_and_exceeds_the_product_of_means():
    values = {"alpha": 0.5, "b": 0.4, "q": 0.3, "r": 0.3, "sigma": 1.2}
    one = F5.evaluate("growth of the energy", dim=2, L=1, **values)
    growths = [F5.evaluate("growth of the energy", dim=2, L=layers, **values) for layers in (2, 4, 8)]
    shares = [F5.evaluate("share of the energy at rough positions", L=layers, **values) for layers in (2, 8, 64)]
    assert all(growth > one**layers for growth, layers in zip(growths, (2, 4, 8), strict=True))
    assert 0.3 < shares[0] < shares[1] < shares[2]
    assert shares[2] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dim", [1, 2])
def test_a_layer_that_is_forced_has_the_derivative_of_a_self_warp(dim):
    """Its Jacobian is W plus the slopes times the head's filters, pixel by pixel."""
    stack = ForcedStack.draw(Setting("linear", dim), Stream(0, "forced").generator(), 1, 1, 0.5, "cpu")
    (layer,) = stack.layers
    alpha, branch, deviation = 0.7, 0.6, 1.3
    features = deviation * layer.features
    sent = math.sqrt(branch) * layer.signs * stack.sent
    held = warping.splat(sent, layer.offsets, kernel="linear", boundary="periodic")
    slopes = warping.warp_gradient(features, layer.offsets, "linear", "periodic")
    at_offsets = (sent[:, :, None] * slopes).sum(1)
    axes = list(range(2, 2 + dim))
    by_head = torch.zeros_like(sent)
    for place in itertools.product(range(3), repeat=dim):
        taps = layer.filters[(..., *place)]
        moved = at_offsets.roll([one - 1 for one in place], axes)
        by_head += alpha * torch.einsum("dc,rd...->rc...", taps, moved)
    expected = layer.mask * stack.sent + held + by_head
    found = stack.gains(alpha, branch, deviation)
    torch.testing.assert_close(found, expected.square().flatten(1).mean(1))
