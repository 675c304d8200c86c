"""Where samples lie without offsets: as torch's convolutions, resizes and grids have it."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tests.patterns.settings import close, normal
from warptheory.patterns import Lattice, SamplingPattern
from warptheory.patterns.layouts import NormalisedGrid, OffsetOutput, PixelOffsets

ONE_OR_TWO = st.integers(1, 2)


@given(st.integers(1, 3), st.data())
@settings(max_examples=25)
def test_a_convolution_is_that_of_torch(dim, data):
    stride, dilation = ([data.draw(ONE_OR_TWO) for _ in range(dim)] for _ in range(2))
    padding = [data.draw(st.integers(0, 2)) for _ in range(dim)]
    kernel_size = [data.draw(st.integers(1, 3)) for _ in range(dim)]
    size = [data.draw(st.integers(5, 7)) for _ in range(dim)]
    x, weight = normal(0, 2, 4, *size), normal(1, 6, 2, *kernel_size)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[dim - 1]
    expected = convolve(x, weight, None, stride, padding, dilation, groups=2)
    lattice = Lattice.of_convolution(kernel_size, (stride, padding, dilation), 1)
    taps = len(lattice.origins)
    offsets = torch.zeros(2, taps, dim, *expected.shape[2:], dtype=torch.float64)
    found = SamplingPattern(tuple(size), 4, offsets, lattice, taps, filters=weight.flatten(2))
    close(found.apply(x), expected)
    close(found.positions(), lattice.identity(offsets).expand_as(offsets))


@given(st.lists(st.integers(1, 6), min_size=4, max_size=4), st.booleans())
@settings(max_examples=30)
def test_a_resize_is_the_identity_of_affine_grid(sides, align_corners):
    size, grid = tuple(sides[:2]), tuple(sides[2:])
    assume(not align_corners or 1 not in size + grid)  # an axis of one pixel has no spacing
    raw = functional.affine_grid(torch.eye(2, 3).unsqueeze(0).double(), [1, 1, *grid], align_corners=align_corners)
    layout = NormalisedGrid(size, align_corners)
    offsets = layout.offsets(raw)
    close(offsets, torch.zeros_like(offsets))


@given(st.lists(st.integers(2, 6), min_size=4, max_size=4), st.booleans(), st.sampled_from(["zeros", "border"]))
@settings(max_examples=20)
def test_a_grid_is_read_as_grid_sample_reads_it(sides, align_corners, boundary):
    """Values, and gradients per pixel."""
    size, grid = tuple(sides[:2]), tuple(sides[2:])
    raw, x = (0.8 * normal(0, 2, *grid, 2)).requires_grad_(), normal(1, 2, 3, *size)
    options = {"padding_mode": boundary, "align_corners": align_corners}
    expected = functional.grid_sample(x, raw, "bilinear", **options)
    layout = NormalisedGrid(size, align_corners)
    offsets = layout.offsets(raw.detach()).requires_grad_()
    lattice = Lattice.of_resize(size, grid, align_corners)
    found = SamplingPattern(size, 3, offsets, lattice, boundary=boundary).apply(x)
    close(found, expected)
    g = normal(2, *found.shape)
    (per_pixel,), (per_unit,) = torch.autograd.grad(found, offsets, g), torch.autograd.grad(expected, raw, g)
    close(layout.gradient(per_unit), per_pixel)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("order", ["pairs", "planes"])
@pytest.mark.parametrize("last_axis_first", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_layouts_undo_how_offsets_are_laid_out(dim, order, last_axis_first, channels_last):
    fields = normal(0, 2, 3, dim, *(4, 5, 2)[:dim])
    raw = fields.flip(2) if last_axis_first else fields
    raw = (raw if order == "pairs" else raw.transpose(1, 2)).flatten(1, 2) / 0.5
    raw = torch.cat([raw, torch.ones_like(raw[:, :1])], 1)
    raw = raw.movedim(1, -1) if channels_last else raw
    layout = OffsetOutput(order, last_axis_first, (0, 3 * dim), channels_last, 0.5, dim)
    close(layout.offsets(raw), fields)
    # By the chain rule: a pixel is 1 / scale units.
    leaf = raw.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layout.offsets(leaf).square().sum(), leaf)
    close(layout.gradient(gradient), 2 * fields)


def test_pixels_with_and_without_groups():
    plain, grouped = normal(0, 2, 2, 4, 5), normal(0, 2, 3, 2, 4, 5)
    close(PixelOffsets(2).offsets(plain), plain.unsqueeze(1))
    close(PixelOffsets(2).gradient(grouped), grouped)


@pytest.mark.parametrize("lattice", [Lattice.unit(2), Lattice.free(2), Lattice((2.0, 0.5), ((1.0, 2.0), (0.0, 3.0)))])
def test_displacement_is_the_position_from_the_pixel(lattice):
    like = torch.zeros(1, 1, 2, 3, 4, dtype=torch.float64)
    places = torch.stack(torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij")).double()
    found = (lattice.displacement(like) + places).broadcast_to(lattice.identity(like).shape)
    close(found, lattice.identity(like))
