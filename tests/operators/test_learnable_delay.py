import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory import operators
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import LearnableDelay1d, SigmaAnnealing

ROUNDING = rounding(torch.float64, operations=100, magnitude=10)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


@pytest.mark.parametrize("version", ["v1", "max", "gauss"])
def test_it_is_that_of_snn_delays(version):
    """Dcls1d with one weight a synapse, on a signal padded at its beginning; dcls adds 1e-7 to the sums of taps."""
    dcls = pytest.importorskip("DCLS.construct.modules", reason="the extra `peers` is not installed")
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        largest, channels, outcomes = (int(n) for n in torch.randint(1, 6, (3,), generator=generator))
        ours = LearnableDelay1d(channels, outcomes, largest, version=version).double()
        theirs = dcls.Dcls1d(channels, outcomes, 1, dilated_kernel_size=largest + 1, version=version).double()
        with torch.no_grad():
            share = 0.02 + 0.96 * torch.rand(ours.delay.shape, generator=generator, dtype=torch.float64)
            ours.delay.copy_(largest * share)
            theirs.P[0, ..., 0] = largest - ours.delay - (largest + 1) // 2
            theirs.weight[..., 0] = ours.weight
            theirs.bias.copy_(ours.bias)
            if ours.SIG is not None:
                ours.SIG.uniform_(0.1, 2, generator=generator)
                theirs.SIG[..., 0] = ours.SIG
        x = torch.randn(2, channels, 9, generator=generator, dtype=torch.float64)
        found, expected = ours(x), theirs(functional.pad(x, (largest, 0)))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        g = torch.randn(found.shape, generator=generator, dtype=torch.float64)
        found.backward(g)
        expected.backward(g)
        torch.testing.assert_close(ours.delay.grad, -theirs.P.grad[0, ..., 0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad[..., 0], rtol=1e-5, atol=1e-5)
        if ours.SIG is not None:
            torch.testing.assert_close(ours.SIG.grad, theirs.SIG.grad[..., 0], rtol=1e-5, atol=1e-5)


def test_delays_between_steps_are_read_linearly():
    """By NumPy's interpolation of the signal in the past, where it is zero before it begins."""
    torch.manual_seed(0)
    layer = LearnableDelay1d(3, 2, 4, version="v1").double()
    x = torch.randn(1, 3, 7, dtype=torch.float64)
    times = np.arange(-6, 7)
    past = np.concatenate([np.zeros((3, 6)), x[0].numpy()], 1)
    expected = np.zeros((2, 7))
    for o, c in np.ndindex(2, 3):
        read = np.interp(np.arange(7) - layer.delay[o, c].item(), times, past[c])
        expected[o] += layer.weight[o, c].item() * read
    close(layer(x)[0], torch.from_numpy(expected))


def test_each_channel_has_a_delay_of_its_own():
    layer = LearnableDelay1d(3, 3, 5, groups=3, bias=False, version="v1")
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.delay.copy_(torch.tensor([[0.0], [2.0], [5.0]]))
    x = torch.randn(2, 3, 8)
    y = layer(x)
    for channel, delay in enumerate((0, 2, 5)):
        assert torch.equal(y[:, channel, delay:], x[:, channel, : 8 - delay])
        assert y[:, channel, :delay].abs().sum() == 0


@pytest.mark.parametrize("version", ["v1", "gauss", "lorentz", "sinc"])
def test_nothing_of_the_future_is_read(version):
    torch.manual_seed(0)
    layer = LearnableDelay1d(2, 3, 6, version=version)
    if layer.SIG is not None:
        nn.init.constant_(layer.SIG, 4.0)
    x = torch.randn(1, 2, 12)
    changed = x.clone()
    changed[..., 7:] += 1
    assert torch.equal(layer(x)[..., :7], layer(changed)[..., :7])


@pytest.mark.parametrize(("delay", "towards"), [(0.0, 1), (4.0, -1)])
def test_delays_leave_the_ends(delay, towards):
    """A loss that asks for the step inside has a derivative there, also at an end to which a delay was moved."""
    layer = LearnableDelay1d(1, 1, 4, bias=False, version="v1")
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.delay.fill_(delay - 3 * towards)
    layer.clamp_parameters()
    assert layer.delay.item() == delay
    x = torch.zeros(1, 1, 9)
    x[..., 0] = 1
    layer(x)[0, 0, int(delay) + towards].backward()
    assert layer.delay.grad.item() == towards


def test_it_starts_within_and_keeps_the_size_of_rectified_signals():
    torch.manual_seed(0)
    layer = LearnableDelay1d(200, 300, 10)
    assert layer.delay.min() >= 0
    assert layer.delay.max() <= 10
    # Uniform over 0 … 10, of 60 000: the mean's standard error is 10/√12/√60000 = 0.012.
    assert layer.delay.mean().item() == pytest.approx(5, abs=0.06)
    assert layer.weight.var().item() == pytest.approx(2 / 200, rel=0.05)
    assert layer.SIG.unique().tolist() == pytest.approx([0.23])


# ---- annealing


def test_widths_follow_the_published_schedule():
    """SNN-delays multiplies SIG by (0.23/σ_0)^(1/E) after each of E epochs."""
    model = nn.Sequential(LearnableDelay1d(2, 3, 24), nn.ReLU(), LearnableDelay1d(3, 2, 24))
    annealing = SigmaAnnealing(model, initial=12.0, epochs=37)
    width = 12.0
    for epoch in range(45):
        assert annealing.sigma == pytest.approx(width, rel=1e-12)
        for layer in (model[0], model[2]):
            assert layer.SIG.unique().tolist() == pytest.approx([width], rel=1e-6)
            assert not layer.SIG.requires_grad
        if epoch < 37:
            width *= (0.23 / 12.0) ** (1 / 37)
        annealing.step()
    assert annealing.sigma == pytest.approx(0.23)


def test_annealing_goes_on_from_its_state():
    layers = [operators.LearnableSpacingConv2d(1, 1, 1, dilated_kernel_size=9) for _ in range(2)]
    first, second = (SigmaAnnealing(layer, 4.0, 10) for layer in layers)
    for _ in range(3):
        first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        assert second.sigma == first.sigma
        assert torch.equal(layers[0].SIG, layers[1].SIG)
        first.step()
        second.step()


def test_what_is_no_width_is_left_alone():
    layer = operators.LearnableSpacingConv2d(1, 1, 1, dilated_kernel_size=5, version="correlated-gauss")
    with torch.no_grad():
        layer.SIG[2] = 0.7
    SigmaAnnealing(layer, 2.0, 5)
    assert layer.SIG.flatten().tolist() == pytest.approx([2.0, 2.0, 0.7])


def test_layers_of_dcls_are_annealed_too():
    dcls = pytest.importorskip("DCLS.construct.modules", reason="the extra `peers` is not installed")
    layer = dcls.Dcls1d(1, 1, 1, dilated_kernel_size=9)
    annealing = SigmaAnnealing(layer, 4.0, 1)
    assert layer.SIG.item() == 4
    annealing.step()
    assert layer.SIG.item() == pytest.approx(0.23)


def learned_delay(annealed):
    """Return the delay that gradient descent finds for white noise that is 19 steps late, from a start at 4."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 1, 80, generator=generator)
    target = functional.pad(x, (19, 0))[..., :80]
    layer = LearnableDelay1d(1, 1, 24, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.delay.fill_(4)
    layer.weight.requires_grad_(False)
    annealing = SigmaAnnealing(layer, 12.0 if annealed else 0.23, 60)
    optimizer = torch.optim.Adam([layer.delay], lr=0.4)
    for _ in range(100):
        optimizer.zero_grad()
        (layer(x) - target).square().mean().backward()
        optimizer.step()
        layer.clamp_parameters()
        annealing.step()
    return layer.delay.item()


def test_annealing_finds_a_delay_that_a_narrow_width_does_not():
    assert learned_delay(annealed=True) == pytest.approx(19, abs=0.2)
    assert abs(learned_delay(annealed=False) - 19) > 5


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_delay": 0}, "^max_delay: expected a positive integer, got 0$"),
        ({"groups": 3}, "^groups: expected a divisor of 2 and 4, got 3$"),
        ({"version": "foo"}, "^version: expected one of "),
        ({"version": "rotated-gauss"}, "^version: expected one for 1 axes, got 'rotated-gauss'$"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        LearnableDelay1d(**{"in_channels": 2, "out_channels": 4, "max_delay": 3, **arguments})


def test_bad_annealing():
    layer = LearnableDelay1d(1, 1, 3)
    for argument in ("initial", "final"):
        for sigma in (0.0, -1.0):
            with pytest.raises(ArgumentError, match=rf"^{argument}: expected a finite number > 0, got {sigma}$"):
                SigmaAnnealing(layer, **{"initial": 2.0, "epochs": 4, argument: sigma})
    with pytest.raises(ArgumentError, match=r"^epochs: expected a positive integer, got 0$"):
        SigmaAnnealing(layer, 2.0, 0)
    with pytest.raises(ArgumentError, match=r"^model: expected a layer with widths, SIG, got Linear$"):
        SigmaAnnealing(nn.Linear(1, 1), 2.0, 4)
    assert layer.SIG.requires_grad


def test_bad_inputs(as_users_call):
    with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, 2, \*S\) with 1 axes S"):
        LearnableDelay1d(2, 3, 4)(torch.randn(1, 3, 9))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(1, 4, 5).double(),
            r"^input: expected dtype torch.float32, as the layer's parameters have",
        ),
        (torch.zeros(1, 4, 0), r"^input: expected no empty spatial axis, got"),
        ([1.0], r"^input: expected a tensor \(B, C, \*S\), got list$"),
    ],
)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        LearnableDelay1d(4, 6, 2)(x)
