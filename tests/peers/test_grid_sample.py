"""Torch's `grid_sample` by `warp`, through a thin shim: values and gradients of every mode are equal."""

import itertools

import pytest
import torch
from torch.nn import functional

import warptheory as wt
from warptheory.core.tolerances import rounding

KERNELS = {"bilinear": "linear", "nearest": "nearest", "bicubic": "keys(-3/4)"}
BOUNDARIES = {
    ("zeros", False): "zeros",
    ("zeros", True): "zeros",
    ("border", False): "border",
    ("border", True): "border",
    ("reflection", False): "reflect",
    ("reflection", True): "mirror",
}
CASES = [
    (dim, mode, *rule)
    for dim, mode, rule in itertools.product((2, 3), KERNELS, BOUNDARIES)
    if mode != "bicubic" or dim == 2  # which torch has on planes alone
]


def grid_sample(image, grid, mode, padding_mode, align_corners):
    """`torch.nn.functional.grid_sample` by `warp`: positions in pixels, the axes in the order of the array's."""
    size = torch.tensor(image.shape[2:], dtype=grid.dtype)
    scaled = grid.flip(-1)
    positions = (scaled + 1) / 2 * (size - 1) if align_corners else ((scaled + 1) * size - 1) / 2
    index = torch.meshgrid(*map(torch.arange, grid.shape[1:-1]), indexing="ij")
    offsets = positions.movedim(-1, 1) - torch.stack(index)
    return wt.warp(image, offsets, KERNELS[mode], BOUNDARIES[padding_mode, align_corners])


def differentiate(function, image, grid, options):
    image, grid = image.clone().requires_grad_(), grid.clone().requires_grad_()
    y = function(image, grid, **options)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    gradients = torch.autograd.grad(y, (image, grid), weights, allow_unused=True, materialize_grads=True)
    return y.detach(), *gradients


@pytest.mark.parametrize(("dim", "mode", "padding_mode", "align_corners"), CASES)
def test_equals_torch(dim, mode, padding_mode, align_corners):
    """Drawn as torch draws for its own tests, where half the positions are outside; here axes differ in length."""
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, *(4, 5, 6)[-dim:]), (2, *(3, 4, 5)[-dim:], dim)
    image, grid = (4 * torch.rand(shape, generator=generator, dtype=torch.float64) - 2 for shape in shapes)
    options = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    ours, theirs = (differentiate(each, image, grid, options) for each in (grid_sample, functional.grid_sample))
    # Positions of up to 8 pixels are rounded a few times, weights of 4ᵈ taps change by twice that; pixels are below 2.
    # An input pixel may be read by all samples, and an offset's gradient sums three channels, times pixels per unit.
    reads = grid[0, ..., 0].numel()
    for one, other, terms in zip(ours, theirs, (1, reads, 3 * max(image.shape[2:])), strict=True):
        tolerance = rounding(torch.float64, operations=200, magnitude=16.0 * terms)
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance.absolute)
