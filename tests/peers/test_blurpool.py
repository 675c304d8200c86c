"""BlurPool (R. Zhang, ICML 2019, antialiased-cnns) rebuilt: warps that read every stride-th pixel through a filter."""

import itertools

import numpy as np
import pytest
import torch

import warptheory as wt
from warptheory.core.tolerances import rounding

blurpool = pytest.importorskip("antialiased_cnns.blurpool", reason="the extra `peers` is not installed")
BOUNDARIES = {"reflect": "mirror", "replicate": "border", "zero": "zeros"}


def case(dim):
    return torch.randn(2, 3, *(11, 8)[:dim], generator=torch.Generator().manual_seed(dim))


def reads(y, stride, shift):
    """Offsets from pixel n of the outcome to pixel stride·n + shift of the image."""
    grid = torch.stack(torch.meshgrid(*map(torch.arange, y.shape[2:]), indexing="ij"))
    moved = (stride - 1) * grid + torch.tensor(shift).reshape(-1, *[1] * len(shift))
    return moved.float().expand(len(y), *moved.shape)


def assert_equal(found, expected, taps):
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(torch.float32, 2 * taps, 4.0).absolute)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", BOUNDARIES)
@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 7])
def test_sum_of_warps(size, padding, stride):
    x = case(2)
    theirs = blurpool.BlurPool(3, pad_type=padding, filt_size=size, stride=stride)(x)
    binomial = np.poly1d([0.5, 0.5]) ** (size - 1)
    terms = [
        float(binomial[i] * binomial[j])
        * wt.warp(x, reads(theirs, stride, (i - (size - 1) // 2, j - (size - 1) // 2)), "nearest", BOUNDARIES[padding])
        for i, j in itertools.product(range(size), repeat=2)
    ]
    assert_equal(sum(terms), theirs, size**2)


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
@pytest.mark.parametrize("dim", [1, 2])
def test_three_taps_are_one_warp(dim, padding):
    """The triangle two pixels wide weighs 1/4, 1/2, 1/4 at whole positions."""
    x, build = case(dim), blurpool.BlurPool1D if dim == 1 else blurpool.BlurPool
    theirs = build(3, pad_type=padding, filt_size=3, stride=2)(x)
    ours = wt.warp(x, reads(theirs, 2, (0,) * dim), "triangle(2)", BOUNDARIES[padding])
    assert_equal(ours, theirs, 3**dim)
