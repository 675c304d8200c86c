"""Polyphase upsampling against what the originals compute, written out here."""

import itertools

import pytest
import torch
from torch.nn import functional

from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import PolyphaseDown2d, PolyphaseUp2d

ROUNDING = rounding(torch.float64, operations=100, magnitude=10.0)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def images(shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def original_blur(x, size, gain):
    """Their filter, over circular padding."""
    row = x.new_tensor([[1], [1, 1], [1, 2, 1], [1, 3, 3, 1], [1, 4, 6, 4, 1]][size - 1])
    kernel = (row[:, None] * row / row.sum() ** 2 * gain).expand(x.shape[1], 1, -1, -1)
    padded = functional.pad(x, ((size - 1) // 2, size // 2) * 2, mode="circular")
    return functional.conv2d(padded, kernel, groups=x.shape[1])


def gradients(y, leaves, seed):
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    return torch.autograd.grad(y, leaves, g)


def test_upsampling_is_the_originals():
    """The weights put each pixel back, or spread it, and a filter of sum 4 follows."""
    for seed, size in itertools.product(range(11), [1, 2, 3, 4, 5]):
        y, phase = images((3, 2, 3, 4), seed).requires_grad_(), images((3, 4), seed).softmax(1)
        whole = y.new_zeros(3, 2, 6, 8)
        for number, (j, i) in enumerate(itertools.product(range(2), range(2))):
            whole[:, :, i::2, j::2] = y * phase[:, [0, 2, 1, 3]][:, number, None, None, None]
        # Theirs moves even filters by half a pixel down and up again; ours takes it back.
        expected = original_blur(whole, size, 4.0).roll((1 - size % 2,) * 2, (2, 3))
        found = PolyphaseUp2d(2, filt_size=size).double()(y, phase)
        close(found, expected)
        close(gradients(found, y, seed)[0], gradients(expected, y, seed)[0])


def test_upsampling_keeps_a_constant():
    """The original's filter of sum 1 makes 1/4 of it."""
    ones, weights = torch.ones(1, 1, 4, 4), functional.one_hot(torch.tensor([3]), 4).float()
    whole = torch.zeros(1, 1, 8, 8)
    whole[:, :, 1::2, 1::2] = ones
    assert torch.equal(original_blur(whole, 3, 1.0), torch.full((1, 1, 8, 8), 0.25))
    assert torch.equal(PolyphaseUp2d(1)(ones, weights), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_it_is_the_way_down_backwards(size):
    """The adjoint of downsampling at the same phase, times the number of phases."""
    x, y = images((2, 2, 6, 8), 0), images((2, 2, 3, 4), 1)
    down, up = PolyphaseDown2d(2, filt_size=size, phase="mixture"), PolyphaseUp2d(2, filt_size=size)
    phase = images((2, 4), 2).softmax(1)
    close((up(y, phase) * x).sum(), 4 * (y * down(x, phase)).sum())


@pytest.mark.parametrize(
    ("argument", "build"),
    [
        ("stride", lambda: PolyphaseUp2d(2, stride=0)),
        ("filt_size", lambda: PolyphaseUp2d(2, filt_size=0)),
        ("pad_type", lambda: PolyphaseUp2d(2, "mirror")),
        ("phase", lambda: PolyphaseUp2d(2)(torch.zeros(1, 2, 4, 4), torch.zeros(2, 4))),
        ("size", lambda: PolyphaseUp2d(2)(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4), (8, 9))),
        ("input", lambda: PolyphaseUp2d(2)(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4))),
        ("phase", lambda: PolyphaseUp2d(2)(torch.zeros(1, 2, 4, 4), 1)),
        ("size", lambda: PolyphaseUp2d(2)(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4), 8)),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_bad_arguments(argument, build):
    with pytest.raises(ArgumentError, match=f"^{argument}"):
        build()
