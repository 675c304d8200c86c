"""Anti-aliased pooling is what the original puts together: a torch layer at stride 1 and antialiased-cnns' blur."""

import itertools

import pytest
import torch
from torch import nn

from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import (
    AntiAliasedAvgPool1d,
    AntiAliasedAvgPool2d,
    AntiAliasedAvgPool3d,
    AntiAliasedMaxPool1d,
    AntiAliasedMaxPool2d,
    AntiAliasedMaxPool3d,
    BlurPool2d,
)

ROUNDING = rounding(torch.float64, operations=150, magnitude=10.0)
MAX = (AntiAliasedMaxPool1d, AntiAliasedMaxPool2d, AntiAliasedMaxPool3d)
AVERAGE = (AntiAliasedAvgPool1d, AntiAliasedAvgPool2d, AntiAliasedAvgPool3d)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def check_equal(ours, theirs, x):
    found, expected = [], []
    for layer, into in ((ours, found), (theirs, expected)):
        image = x.clone().requires_grad_()
        y = layer(image)
        g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
        into += [y.detach(), *torch.autograd.grad(y, [image, *layer.parameters()], g)]
    for mine, other in zip(found, expected, strict=True):
        close(mine, other)


def image(seed):
    size = torch.randint(8, 13, (2,), generator=torch.Generator().manual_seed(seed)).tolist()
    return torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def original_blur(padding, size, stride):
    blurpool = pytest.importorskip("antialiased_cnns.blurpool", reason="the extra `peers` is not installed")
    return blurpool.BlurPool(4, padding, size, stride).double()


SETTINGS = list(itertools.product([2, 3], ["reflect", "zero"], range(1, 8), [2, 3]))


def test_max_pooling_is_the_original():
    """The 56 settings: MaxPool2d of stride 1, then BlurPool, values and gradients."""
    for seed, (window, padding, size, stride) in enumerate(SETTINGS):
        theirs = nn.Sequential(nn.MaxPool2d(window, 1, seed % 2), original_blur(padding, size, stride))
        ours = AntiAliasedMaxPool2d(4, window, stride, seed % 2, pad_type=padding, filt_size=size).double()
        check_equal(ours, theirs, image(seed))


def test_average_pooling_is_the_original():
    for seed, (window, padding, size, stride) in enumerate(SETTINGS):
        theirs = nn.Sequential(nn.AvgPool2d(window, 1), original_blur(padding, size, stride))
        ours = AntiAliasedAvgPool2d(4, window, stride, pad_type=padding, filt_size=size).double()
        check_equal(ours, theirs, image(seed))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_without_a_blur_it_is_torchs_strided_layer(dim):
    """A filter of one pixel: MaxPool and AvgPool with a stride, 1-, 2- and 3-d."""
    x = torch.randn(2, 4, *(9, 8, 7)[:dim], generator=torch.Generator().manual_seed(dim), dtype=torch.float64)
    plain = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[dim - 1](3, 2, 1, 2)
    check_equal(MAX[dim - 1](4, 3, 2, 1, 2, filt_size=1), plain, x)
    plain = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[dim - 1](3, 2)
    check_equal(AVERAGE[dim - 1](4, 3, filt_size=1), plain, x)


def test_a_box_of_two_is_a_binomial():
    """[1, 1]/2 convolved with the binomial filter of f pixels is that of f + 1."""
    x = image(0)
    found = AntiAliasedAvgPool2d(4, 2, 1, pad_type="circular", filt_size=3).double()(x)
    expected = BlurPool2d(4, "circular", 4, 1).double()(x)
    close(found[:, :, 1:-1, 1:-1], expected[:, :, 1:-2, 1:-2])


def test_shifts_are_kept_better():
    """The wobble of max pooling under a shift by one pixel falls with the filter's size: 1.07, 0.72, …, 0.26."""
    x = torch.randn(4, 2, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def wobble(size):
        layer = AntiAliasedMaxPool2d(2, 2, pad_type="circular", filt_size=size).double()
        first, second = layer(x), layer(x.roll(1, -1))
        return float((first - second)[..., 2:-2, 2:-2].square().mean() / first.var())

    found = [wobble(size) for size in (1, 2, 3, 5, 7)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 4 * found[-1]


@pytest.mark.parametrize(
    ("argument", "build"),
    [
        ("padding", lambda: AntiAliasedMaxPool2d(2, 2, padding=2)),
        ("kernel_size", lambda: AntiAliasedMaxPool2d(2, 0)),
        ("kernel_size", lambda: AntiAliasedAvgPool2d(2, (2, 2, 2))),
        ("channels", lambda: AntiAliasedAvgPool2d(0)),
        ("filt_size", lambda: AntiAliasedMaxPool2d(2, filt_size=0)),
        ("input", lambda: AntiAliasedMaxPool2d(4, 3)(torch.zeros(1, 4, 2, 5))),
        ("input", lambda: AntiAliasedAvgPool2d(4, 3)(torch.zeros(1, 4, 5))),
        ("input", lambda: AntiAliasedMaxPool2d(4, 3)(torch.zeros(1, 3, 5, 5))),
        ("input", lambda: AntiAliasedMaxPool2d(4, 3)([1.0])),
        (r"input: expected shape \(B, 4, ", lambda: AntiAliasedAvgPool2d(4).pattern(torch.zeros(4, 5, 5))),
        (r"input: expected shape \(B, 4, ", lambda: AntiAliasedAvgPool2d(4).pattern(torch.zeros(1, 6, 5, 5))),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_bad_arguments(argument, build):
    with pytest.raises(ArgumentError, match=f"^{argument}"):
        build()
