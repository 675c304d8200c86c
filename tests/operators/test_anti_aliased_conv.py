"""Anti-aliased strided convolution is what the original puts together: torch's layer and antialiased-cnns' blur."""

import itertools

import pytest
import torch
from torch import nn

from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import AntiAliasedConv1d, AntiAliasedConv2d, AntiAliasedConv3d

ROUNDING = rounding(torch.float64, operations=150, magnitude=10.0)


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


def test_strided_convolution_is_the_original():
    """56 settings: Conv2d of stride 1, perhaps ReLU, then BlurPool, values and gradients."""
    for seed, (window, padding, size, stride) in enumerate(SETTINGS):
        torch.manual_seed(seed)
        arguments = {"pad_type": padding, "filt_size": size, "relu": seed % 3 > 0}
        ours = AntiAliasedConv2d(4, 4, window, stride, 1, groups=2, bias=seed % 2 == 0, **arguments).double()
        rectify = [nn.ReLU()] if ours.relu else []
        theirs = nn.Sequential(ours.convolution, *rectify, original_blur(padding, size, stride))
        check_equal(ours, theirs, image(seed))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_without_a_blur_it_is_torchs_strided_convolution(dim):
    """A filter of one pixel, 1-, 2- and 3-d."""
    x = torch.randn(2, 4, *(9, 8, 7)[:dim], generator=torch.Generator().manual_seed(dim), dtype=torch.float64)
    kind = (AntiAliasedConv1d, AntiAliasedConv2d, AntiAliasedConv3d)[dim - 1]
    ours = kind(4, 6, 3, 2, 1, filt_size=1).double()
    plain = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dim - 1](4, 6, 3, 2, 1).double()
    plain.load_state_dict(ours.convolution.state_dict())
    check_equal(ours, plain, x)


@pytest.mark.parametrize(
    ("argument", "build"),
    [
        ("groups", lambda: AntiAliasedConv2d(4, 6, 3, groups=4)),
        ("in_channels", lambda: AntiAliasedConv2d(0, 6, 3)),
        ("kernel_size", lambda: AntiAliasedConv2d(4, 6, (3, 3, 3))),
        ("relu", lambda: AntiAliasedConv2d(4, 6, 3, relu=1)),
        ("out_channels", lambda: AntiAliasedConv2d(4, 0, 3)),
        ("input", lambda: AntiAliasedConv2d(4, 6, 3)(torch.zeros(1, 3, 5, 5))),
        ("input", lambda: AntiAliasedConv2d(4, 6, 3)(torch.zeros(1, 4, 5))),
        ("input", lambda: AntiAliasedConv2d(4, 6, 3)([1.0])),
        ("input: expected dtype", lambda: AntiAliasedConv2d(4, 6, 3)(torch.zeros(1, 4, 5, 5, dtype=torch.float64))),
        ("input: expected a padded image", lambda: AntiAliasedConv2d(4, 4, 9)(torch.zeros(1, 4, 6, 5))),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_bad_arguments(argument, build):
    with pytest.raises(ArgumentError, match=f"^{argument}"):
        build()
