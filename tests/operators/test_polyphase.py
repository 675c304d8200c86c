"""Polyphase sampling against what the originals compute, written out here, and its equivariance to shifts, exactly."""

import itertools

import pytest
import torch
from torch.nn import functional

from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import PolyphaseDown1d, PolyphaseDown2d, PolyphaseUp1d, PolyphaseUp2d

ROUNDING = rounding(torch.float64, operations=100, magnitude=10.0)
NORMS = {"l2": 2, "l1": 1, "l_infty": float("inf")}


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def images(shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ---- what the originals compute


def original_blur(x, size):
    """Their filter, over circular padding."""
    row = x.new_tensor([[1], [1, 1], [1, 2, 1], [1, 3, 3, 1], [1, 4, 6, 4, 1]][size - 1])
    kernel = (row[:, None] * row / row.sum() ** 2).expand(x.shape[1], 1, -1, -1)
    padded = functional.pad(x, ((size - 1) // 2, size // 2) * 2, mode="circular")
    return functional.conv2d(padded, kernel, groups=x.shape[1])


def original_phases(x):
    """The phases as adaptive polyphase sampling counts them, rows fastest: (B, 4, C, H/2, W/2)."""
    return torch.stack([x[:, :, i::2, j::2] for j in range(2) for i in range(2)], 1)


def original_by_norm(x, size, norm):
    phases = original_phases(original_blur(x, size))
    index = torch.norm(phases.flatten(2), dim=2, p=norm).argmax(1)
    return phases[torch.arange(len(x)), index], index


def original_scores(layer, x, size):
    """LPSLogitLayersV2: two circular convolutions, and a mean over all that they make."""
    phases = original_phases(original_blur(x, size))
    first, second = layer.score.conv1, layer.score.conv2
    one_by_one = []
    for each in phases.unbind(1):
        inner = functional.pad(each, (1, 1, 1, 1), mode="circular")
        inner = functional.relu(functional.conv2d(inner, first.weight, first.bias))
        inner = functional.pad(inner, (1, 1, 1, 1), mode="circular")
        one_by_one.append(functional.conv2d(inner, second.weight, second.bias).mean((1, 2, 3)))
    return torch.stack(one_by_one, 1), phases


def in_c_order(weights):
    """Weights (B, 4) of phases with rows fastest, in C order."""
    return weights[:, [0, 2, 1, 3]]


# ---- equal to them


def gradients(y, leaves, seed):
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    return torch.autograd.grad(y, leaves, g)


def test_norms_are_the_originals():
    """The 60 settings, on even squares and rectangles, values and gradients."""
    for seed, (size, name) in enumerate(itertools.product(range(1, 6), list(NORMS) * 4)):
        shape = (3, 2, 6 + 2 * (seed % 3), 8)
        x = images(shape, seed).requires_grad_()
        layer = PolyphaseDown2d(2, filt_size=size, phase=name).double()
        expected, index = original_by_norm(x, size, NORMS[name])
        found = layer(x)
        close(found, expected)
        close(gradients(found, x, seed)[0], gradients(expected, x, seed)[0])
        assert torch.equal(layer.phase_weights(x), in_c_order(functional.one_hot(index, 4)).double())


@pytest.mark.parametrize("mode", ["evaluation", "mixture", "gumbel", "hard"])
def test_learned_phases_are_the_originals(mode):
    """15 settings a mode, 60 in all: values, and gradients in the image and the network."""
    for seed in range(15):
        torch.manual_seed(seed)
        phase = "mixture" if mode == "mixture" else "learned"
        size, tau = 1 + seed % 5, 0.5 + 0.1 * seed
        layer = PolyphaseDown2d(2, filt_size=size, phase=phase, hid_channels=4, tau=tau, hard=mode == "hard").double()
        layer.train(mode != "evaluation")
        x = images((3, 2, 6, 8), seed).requires_grad_()
        scores, phases = original_scores(layer, x, size)
        if mode == "evaluation":
            expected = phases[torch.arange(3), scores.argmax(1)]
        elif mode == "mixture":
            expected = (phases * functional.softmax(scores / tau, 1)[..., None, None, None]).sum(1)
        else:
            torch.manual_seed(seed)
            drawn = functional.gumbel_softmax(in_c_order(scores), tau, hard=mode == "hard")
            expected = (phases * in_c_order(drawn)[..., None, None, None]).sum(1)
        torch.manual_seed(seed)
        found = layer(x)
        close(found, expected)
        leaves = [x] if mode == "evaluation" else [x, *layer.parameters()]
        for mine, other in zip(gradients(found, leaves, seed), gradients(expected, leaves, seed), strict=True):
            close(mine, other)


# ---- where they are wrong


def first_release(x, index):
    """The first release's aps_downsample_v2: the height stands for both sides."""
    n = x.shape[2]
    even, odd, rows = 2 * torch.arange(n // 2), 1 + 2 * torch.arange(n // 2), 2 * n * torch.arange(n // 2)[:, None]
    order = torch.cat([(a + b + rows).flatten() for a, b in ((even, 0), (even, n), (odd, 0), (odd, n))])
    phases = x.flatten(2).index_select(2, order).reshape(*x.shape[:2], 4, -1).permute(0, 2, 1, 3)
    return phases[torch.arange(len(x)), index].reshape(*x.shape[:2], n // 2, n // 2)


def test_norms_on_rectangles():
    """On 4 × 8 pixels the original reads 0, 2, 8, 10 for the first phase of a ramp; ours 0, 2, 4, 6, 16, … ."""
    ramp = torch.arange(32.0).reshape(1, 1, 4, 8)
    square = ramp[..., :4].contiguous()
    first = torch.zeros(1, dtype=torch.long)
    weights = functional.one_hot(first, 4).float()
    layer = PolyphaseDown2d(1, filt_size=1)
    assert torch.equal(first_release(square, first), layer(square, weights))
    assert first_release(ramp, first).flatten().tolist() == [0, 2, 8, 10]
    assert layer(ramp, weights).flatten().tolist() == [0, 2, 4, 6, 16, 18, 20, 22]
    with pytest.raises(IndexError):
        first_release(ramp.mT.contiguous(), first)
    assert layer(ramp.mT, weights).shape == (1, 1, 4, 2)


# ---- shifts


@pytest.mark.parametrize("phase", ["l2", "l1", "l_infty", "non_abs_max", "l2_min", "l1_min", "learned"])
@pytest.mark.parametrize(("dim", "stride", "size"), [(1, 3, 2), (2, 2, 3), (2, 3, 1), (2, 2, 4)])
def test_every_circular_shift_is_kept_exactly(phase, dim, stride, size):
    """A shifted input gives the outcome shifted, bit for bit, and upsampling returns both to their places."""
    torch.manual_seed(0)
    down, up = ((PolyphaseDown1d, PolyphaseUp1d), (PolyphaseDown2d, PolyphaseUp2d))[dim - 1]
    layer = down(2, filt_size=size, stride=stride, phase=phase, hid_channels=8).eval()
    back = up(2, filt_size=size, stride=stride)
    x = images((2, 2, *(12, 6)[:dim]), 1, torch.float32)
    axes = tuple(range(2, dim + 2))
    weights, y = layer.phase_weights(x), layer(x)
    restored = back(y, weights)
    start = torch.stack(torch.unravel_index(weights.argmax(1), (stride,) * dim), 1)
    for shift in itertools.product(range(stride + 1), repeat=dim):
        moved = x.roll(shift, axes)
        found, chosen = layer(moved), layer.phase_weights(moved)
        for each in range(len(x)):
            steps = [(int(p) + r) // stride for p, r in zip(start[each], shift, strict=True)]
            assert torch.equal(found[each], y[each].roll(steps, tuple(axis - 1 for axis in axes)))
        assert torch.equal(back(found, chosen), restored.roll(shift, axes))


def test_a_mixture_is_invariant_but_for_its_place():
    """The phases' weights are permuted by a shift; what is mixed moves with the phases that wrap around."""
    torch.manual_seed(0)
    layer = PolyphaseDown1d(2, phase="mixture").double()
    x = images((3, 2, 12), 0)
    close(layer.phase_weights(x.roll(1, 2)), layer.phase_weights(x).roll(1, 1))
    close(layer(x.roll(2, 2)), layer(x).roll(1, 2))


@pytest.mark.parametrize("phase", ["l2", "learned", "mixture"])
def test_weights_that_are_given_are_taken_as_they_are(phase):
    """Not the largest of them alone."""
    x, given = images((2, 1, 8), 0), torch.tensor([[0.4, 0.6], [2.0, -1.0]], dtype=torch.float64)
    layer = PolyphaseDown1d(1, filt_size=1, phase=phase).double().eval()
    expected = given[:, :1, None] * x[:, :, ::2] + given[:, 1:, None] * x[:, :, 1::2]
    close(layer(x, given), expected)
    close(layer.pattern(x, given).apply(x), expected)


def test_a_tie_goes_to_the_first_phase():
    x = torch.tensor([[[1.0, -1.0, 2.0, 2.0]]])
    assert PolyphaseDown1d(1, filt_size=1)(x).flatten().tolist() == [1, 2]


def test_the_choice_itself_has_no_gradient():
    """What is read has: ones on the chosen phase, zeros elsewhere."""
    x = torch.tensor([[[1.0, 3.0, 2.0, 2.0]]], requires_grad=True)
    PolyphaseDown1d(1, filt_size=1)(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 0, 1]


def test_an_axis_that_is_no_multiple_is_wrapped_around():
    x = torch.arange(5.0).reshape(1, 1, 5)
    layer, back = PolyphaseDown1d(1, filt_size=1, phase="non_abs_max"), PolyphaseUp1d(1, filt_size=1)
    assert layer(x).flatten().tolist() == [0, 2, 4]
    odd = torch.tensor([[0.0, 1.0]])
    assert layer(x, odd).flatten().tolist() == [1, 3, 0]
    close(back(layer(x), torch.tensor([[1.0, 0.0]]), (5,)).flatten(), torch.tensor([0.0, 0, 4, 0, 8]))
    # Pixels that are read twice come back twice: it is the adjoint, times the stride.
    close(back(layer(x, odd), odd, (5,)).flatten(), torch.tensor([0.0, 2, 0, 6, 0]))


@pytest.mark.parametrize(
    ("argument", "build"),
    [
        ("phase", lambda: PolyphaseDown2d(2, phase="l3")),
        ("tau", lambda: PolyphaseDown2d(2, tau=0)),
        ("hard", lambda: PolyphaseDown2d(2, hard="yes")),
        ("stride", lambda: PolyphaseDown2d(2, stride=0)),
        ("filt_size", lambda: PolyphaseDown2d(2, filt_size=0)),
        ("pad_type", lambda: PolyphaseDown2d(2, "mirror")),
        ("hid_channels", lambda: PolyphaseDown2d(2, hid_channels=0)),
        ("phase", lambda: PolyphaseDown2d(2)(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3))),
        ("input", lambda: PolyphaseDown2d(2)(torch.zeros(1, 3, 4, 4))),
        ("input", lambda: PolyphaseDown2d(2, phase="learned")(torch.zeros(1, 2, 4, 4, dtype=torch.float64))),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_bad_arguments(argument, build):
    with pytest.raises(ArgumentError, match=f"^{argument}"):
        build()
