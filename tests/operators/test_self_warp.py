import numpy as np
import pytest
import torch

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.operators import SelfWarp1d, SelfWarp2d
from warptheory.stability import fold_fraction


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = SelfWarp2d(4, groups=2, scale=0.5).double()
    torch.nn.init.normal_(layer.head.weight, std=0.3)
    return layer


X = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_new_layer_is_the_identity():
    layer = SelfWarp2d(4).double()
    torch.testing.assert_close(layer(X), X, rtol=0, atol=0)
    statistics = layer.statistics(X)
    assert (statistics.forward_gain, statistics.dead_share, statistics.offset_deviation) == (1.0, 0.0, 0.0)


def test_gradients_reach_input_and_head(layer):
    assert torch.autograd.gradcheck(layer, (X[:1].clone().requires_grad_(),))
    layer(X).square().sum().backward()
    assert layer.head.weight.grad.abs().max() > 0


def test_signals_are_warped_too():
    """A head that reads the signal itself: y(t) = x(t + αx(t)), by NumPy's interpolation."""
    layer = SelfWarp1d(1, kernel_size=1, scale=0.4).double()
    torch.nn.init.ones_(layer.head.weight)
    x = X[:, :1, 0]
    expected = [np.interp(np.arange(5) + 0.4 * row, np.arange(5), row) for row in x[:, 0].numpy()]
    torch.testing.assert_close(layer(x)[:, 0], torch.from_numpy(np.stack(expected)), rtol=0, atol=1e-14)
    assert layer.offsets(x).shape == (2, 1, 1, 5)


@pytest.mark.parametrize(("groups", "count"), [(1, 1), (2, 2), ("channels", 4)])
def test_channels_of_a_group_share_their_offsets(groups, count):
    """Channels that hold one image come out alike where they share offsets, and nowhere else."""
    torch.manual_seed(0)
    layer = SelfWarp2d(4, groups, head_gain=1.0).double()
    x = X[:, :1].expand(-1, 4, -1, -1)
    assert layer.offsets(x).shape == (2, count, 2, 6, 5)
    y = layer(x)
    alike = torch.tensor([[torch.equal(y[:, i], y[:, j]) for i in range(4)] for j in range(4)])
    group = torch.arange(4) // (4 // count)
    assert torch.equal(alike, group[:, None] == group)


def test_filters_have_the_gain_asked_for():
    """E‖w‖² = h² for each component; ‖w‖² of n weights has a relative deviation √(2/n)."""
    torch.manual_seed(0)
    for layer, weights in ((SelfWarp2d(64, 8, 5, head_gain=0.5), 1600), (SelfWarp1d(64, 8, 5, head_gain=0.5), 320)):
        energies = layer.head.weight.square().flatten(1).sum(1)
        assert energies.mean().item() == pytest.approx(0.25, rel=5 * (2 / weights / len(energies)) ** 0.5)
        assert layer.head.bias.abs().max() == 0


def test_heads_are_drawn_by_the_generator():
    layers = [SelfWarp2d(2, head_gain=1.0) for _ in range(2)]
    for layer in layers:
        layer.reset_head(torch.Generator().manual_seed(5))
    assert torch.equal(layers[0].head.weight, layers[1].head.weight)


def test_gradient_energy_of_the_second_path():
    """F3: white features that share their offsets add 2α²‖w‖² to the gain of a signal's gradient."""
    generator = torch.Generator().manual_seed(0)
    layer = SelfWarp1d(16, kernel_size=1, scale=0.3, boundary="periodic", head_gain=1.0).double()
    layer.reset_head(generator)
    x, g = (torch.randn(256, 16, 64, generator=generator, dtype=torch.float64) for _ in range(2))
    x.requires_grad_()
    (whole,) = torch.autograd.grad(layer(x), x, g)
    second = whole - warping.splat(g, layer.offsets(x).detach(), boundary="periodic")
    gains = second.square().mean((1, 2))
    expected = 2 * 0.3**2 * layer.head.weight.square().sum().item()
    assert gains.mean().item() == pytest.approx(expected, abs=4 * gains.std().item() / 16)


def test_gradient_scale_weakens_the_second_path_alone(layer):
    """The gradient to the input is that of the warp, plus m times that through the offsets."""
    x = X.clone().requires_grad_()
    parameters = (x, layer.head.weight)
    g = torch.randn(X.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def gradients(scale):
        layer.field.gradient_scale = scale
        return torch.autograd.grad(layer(x), parameters, g)

    (none, _), (some, some_head), (all_of_it, whole_head) = (gradients(scale) for scale in (0.0, 0.25, 1.0))
    torch.testing.assert_close(none, warping.splat(g, layer.offsets(x).detach(), boundary="border"), rtol=0, atol=1e-13)
    torch.testing.assert_close(some - none, 0.25 * (all_of_it - none), rtol=0, atol=1e-12)
    torch.testing.assert_close(some_head, 0.25 * whole_head, rtol=0, atol=1e-12)


def test_hooks_see_the_offsets_that_are_used():
    torch.manual_seed(0)
    layer = SelfWarp2d(4, scale=0.7, lipschitz=0.5, smoothing=1.0, head_gain=1.0).double()
    seen = []
    layer.field.register_forward_hook(lambda module, inputs, output: seen.append(output))
    y = layer(X)
    assert torch.equal(y, warping.warp(X, seen[0], boundary="border"))
    assert len(seen) == 1
    assert fold_fraction(seen[0].flatten(0, 1)) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 3}, '^groups: expected a divisor of the 4 channels, or "channels", got 3$'),
        ({"groups": "all"}, "^groups: expected a divisor"),
        ({"groups": True}, "^groups: expected a positive integer, got True$"),
        ({"kernel_size": True}, "^kernel_size: expected a positive integer, got True$"),
        ({"kernel": "foo"}, "^kernel: expected "),
        ({"boundary": "foo"}, "^boundary: expected one of border, .* got 'foo'$"),
        ({"kernel": "sinc"}, "^boundary: expected 'periodic': kernel 'sinc' reads the whole axis, got 'border'$"),
        ({"kernel_size": 2}, "^kernel_size: expected an odd"),
        ({"head_gain": -1.0}, "^head_gain: expected a finite number ≥ 0"),
        ({"lipschitz": -1.0}, "^lipschitz: expected"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        SelfWarp2d(4, **arguments)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(1, 4, 5, 5).double(),
            r"^x: expected dtype torch.float32, as the layer's parameters have",
        ),
        (torch.zeros(1, 5, 5, 5), r"^x: expected shape \(B, 4, \*S\) with 2 axes S"),
        (torch.zeros(1, 4, 5, 5, 5), r"^x: expected shape \(B, 4, \*S\) with 2 axes S"),
        (torch.zeros(1, 4, 0, 5), r"^x: expected no empty spatial axis, got"),
        ([1.0], r"^x: expected a tensor, got list$"),
    ],
)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        SelfWarp2d(4)(x)


@pytest.mark.usefixtures("as_users_call")
def test_a_signal_layer_takes_signals_only():
    with pytest.raises(ArgumentError, match=r"^x: expected shape \(B, 4, \*S\) with 1 axes S, got \(1, 4, 5, 5\)$"):
        SelfWarp1d(4)(torch.zeros(1, 4, 5, 5))
