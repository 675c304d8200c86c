"""float32 on wide images: positions lose nothing, because the fraction is taken from the offset."""

import pytest
import torch

import warptheory as wt
from warptheory.core.tolerances import rounding
from warptheory.paper.benchmarks.warp import grid_sample  # torch's, with the grid it needs


def errors(operator, x, offsets):
    """Return the largest error of the forward pass and of both gradients, against float64."""
    wanted = []
    for dtype in (torch.float64, torch.float32):
        image, field = (values.detach().to(dtype, copy=True).requires_grad_() for values in (x, offsets))
        function = wt.warp if dtype == torch.float64 else operator
        y = function(image, field)
        wanted.append((y.detach(), *torch.autograd.grad(y.square().sum(), (image, field))))
    return [(single - double).abs().max().item() for double, single in zip(*wanted, strict=True)]


@pytest.mark.parametrize("channels_last", [False, True])
def test_ten_times_below_grid_sample_at_1024_pixels(channels_last):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 64, 1024, generator=generator)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    offsets = 3 * torch.randn(1, 2, 64, 1024, generator=generator)
    ours, theirs = errors(wt.warp, x, offsets), errors(grid_sample, x, offsets)
    # The offsets' gradient jumps at knots, and grid_sample's rounded positions fall on their wrong side.
    assert all(10 * mine <= peer for mine, peer in zip(ours, theirs, strict=True)), (ours, theirs)
    tolerance = rounding(torch.float32, operations=12, magnitude=4 * float(x.abs().max()))
    assert ours[0] <= tolerance.absolute


def test_zero_offsets_are_the_identity_at_any_width():
    for width in (32, 1024, 8192):
        x = torch.randn(1, 3, 2, width, generator=torch.Generator().manual_seed(0))
        assert torch.equal(wt.warp(x, torch.zeros(1, 2, 2, width)), x)
