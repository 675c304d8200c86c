"""Inside of the context, `grid_sample` is `warp`: the same outcome and gradients, or another kernel's."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory.core.errors import UnknownNameError
from warptheory.core.tolerances import rounding
from warptheory.operators import convert_grid_sample
from warptheory.warping import warp

ROUNDING = rounding(torch.float64, operations=200, magnitude=100)
MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
KINDS = [
    (dim, *options)
    for dim, *options in itertools.product((2, 3), MODES, PADDINGS, (False, True))
    if dim == 2 or options[0] != "bicubic"
]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def call(seed, dim, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    size = torch.randint(1, 6, (2 * dim,), generator=generator).tolist()
    x = torch.randn(2, 3, *size[:dim], generator=generator, dtype=dtype)
    return x, 3 * torch.rand(2, *size[dim:], dim, generator=generator, dtype=dtype) - 1.5


def differentiated(x, grid, **options):
    leaves = [x.clone().requires_grad_(), grid.clone().requires_grad_()]
    y = functional.grid_sample(*leaves, **options)
    g = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y.detach(), *torch.autograd.grad(y, leaves, g, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize(("dim", "mode", "padding_mode", "align_corners"), KINDS)
def test_it_is_the_same(dim, mode, padding_mode, align_corners):
    """Values and gradients, three random calls of each of thirty kinds."""
    options = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    for seed in range(3):
        x, grid = call(seed, dim)
        expected = differentiated(x, grid, **options)
        with convert_grid_sample() as conversion:
            found = differentiated(x, grid, **options)
        assert len(conversion.changes) == 1
        for each, other in zip(found, expected, strict=True):
            close(each, other)


def test_halves_go_to_the_even_pixel():
    """With mode nearest, as in torch: at −0.5, 0.5, 1.5, … of eight pixels."""
    x = torch.arange(1.0, 9).reshape(1, 1, 1, 8)
    for padding_mode in PADDINGS:
        grid = torch.zeros(1, 1, 9, 2)
        grid[..., 0] = torch.arange(9) / 4 - 1
        options = {"mode": "nearest", "padding_mode": padding_mode, "align_corners": False}
        with convert_grid_sample():
            found = functional.grid_sample(x, grid, **options)
        assert torch.equal(found, functional.grid_sample(x, grid, **options))


@pytest.mark.parametrize("name", ["grid_sampler", "grid_sampler_2d", "grid_sampler_3d"])
def test_what_torch_calls_by_numbers(name):
    dim = 3 if name.endswith("3d") else 2
    x, grid = call(0, dim)
    for mode, padding in itertools.product(range(5 - dim), range(3)):
        expected = getattr(torch, name)(x, grid, mode, padding, True)
        with convert_grid_sample() as conversion:
            close(getattr(torch, name)(x, grid, mode, padding, align_corners=True), expected)
        (change,) = conversion.changes
        assert (change.mode, change.padding_mode) == (MODES[mode], PADDINGS[padding])


def test_it_says_what_it_replaced():
    x, grid = call(1, 2)
    with convert_grid_sample() as conversion:
        functional.grid_sample(x, grid, padding_mode="reflection", align_corners=True)
        functional.grid_sample(x, grid, mode="bicubic", align_corners=False)
        functional.relu(x)
    first, second = conversion.changes
    assert (first.input, first.grid) == (tuple(x.shape), tuple(grid.shape))
    assert (first.kernel, first.boundary, first.align_corners) == ("bilinear", "mirror", True)
    assert (second.mode, second.kernel, second.boundary) == ("bicubic", "bicubic", "zeros")
    functional.grid_sample(x, grid, align_corners=False)
    assert len(conversion.changes) == 2


def test_another_kernel():
    """A layer that samples linearly samples with cubic convolution instead."""

    class Sampler(nn.Module):
        def forward(self, x, grid):
            return functional.grid_sample(x, grid, align_corners=True, padding_mode="border")

    x = torch.randn(1, 2, 6, 5, dtype=torch.float64)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 6), torch.linspace(-1, 1, 5), indexing="ij")
    grid = torch.stack([columns, rows], -1)[None].double() + 0.2
    offsets = torch.tensor([0.2 * 2.5, 0.2 * 2]).double().view(1, 2, 1, 1).expand(1, 2, 6, 5)
    with convert_grid_sample("keys") as conversion:
        found = Sampler()(x, grid)
    torch.testing.assert_close(found, warp(x, offsets, "keys", "border"), rtol=1e-6, atol=1e-6)  # a grid of floats
    assert conversion.changes[0].kernel == "keys"
    with pytest.raises(UnknownNameError):
        convert_grid_sample("none")


def test_places_that_are_no_numbers():
    """As torch with an edge to read; 0 where torch has NaN. Their gradient is zero."""
    x = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    for bad in (math.nan, math.inf, -math.inf):
        grid = torch.tensor([[[[bad, 0.1], [0.1, bad]]]])
        for mode in ("bilinear", "nearest"):
            options = {"mode": mode, "align_corners": False}
            with convert_grid_sample():
                found, _, gradient = differentiated(x, grid, **options)
                edge = functional.grid_sample(x, grid, padding_mode="border", **options)
            assert found.eq(0).all()
            assert gradient.eq(0).all()
            torch.testing.assert_close(edge, functional.grid_sample(x, grid, padding_mode="border", **options))
        assert functional.grid_sample(x, grid, align_corners=False).isnan().all()


def test_what_torch_refuses_it_refuses():
    x, grid = call(0, 3)
    for arguments, options in (
        ((x, grid), {"mode": "bicubic"}),
        ((x, grid), {"mode": "cubic"}),
        ((x, grid), {"padding_mode": "wrap"}),
        ((x, grid[..., :2]), {}),
        ((x, grid.float()), {}),
        ((x[:1], grid), {}),
    ):
        for context in (torch.no_grad(), convert_grid_sample()):
            with context, pytest.raises((RuntimeError, ValueError)):
                functional.grid_sample(*arguments, align_corners=False, **options)


def test_half_precision_under_autocast():
    x, grid = call(5, 2, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        expected = functional.grid_sample(x.bfloat16(), grid, align_corners=False)
        with convert_grid_sample() as conversion:
            found = functional.grid_sample(x.bfloat16(), grid, align_corners=False)
    assert len(conversion.changes) == 1
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)


def test_a_call_without_images_or_places():
    for x, grid in (
        (torch.zeros(0, 3, 4, 4), torch.zeros(0, 2, 2, 2)),
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 0, 2, 2)),
    ):
        with convert_grid_sample():
            found = functional.grid_sample(x, grid, align_corners=False)
        assert found.shape == (len(x), 3, *grid.shape[1:3])
