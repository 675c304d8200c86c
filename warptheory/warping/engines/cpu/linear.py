"""The linear kernel on the CPU: compiled loops on torch's memory, without a copy.

Channels-last is the native layout; planes (torch's default) are packed inside the differentiating. Results keep
the layout of the image, and are the same, bit for bit, for any number of threads.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from warptheory.warping.engines.cpu import differentiating, functions
from warptheory.warping.engines.cpu.plan import BOUNDARIES
from warptheory.warping.engines.cpu.problem import Problem
from warptheory.warping.engines.layout import (
    empty_image,
    empty_offsets,
    has_dense_planes,
    is_channels_last,
    is_dense,
    pixel_stride,
    spans_pixels,
)
from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.machine.tasks import Words
from warptheory.warping.engines.machine.threads import CFunction
from warptheory.warping.shapes import GridTensor, GroupedOffsets, ImageTensor

_INDEX_LIMIT = 2**31
_WIDEST = 16  # values of the widest register, and so of a packed pixel
# Of one thread, for each of the 2ᵈ corners: of a pixel, and of a channel of it.
_SECONDS_A_PLAN, _SECONDS_A_VALUE = 1e-9, 0.12e-9
# So many images and offset groups occupy the threads, and none need be cut into stripes.
MANY_IMAGES = 4
_STRIPES = 8
# Pixels of a unit that may be staged, its least number of lines, and a bound on the pixels of these: with the
# lines around it that its offsets reach, packed, it should fit the second-level cache.
_UNIT_PIXELS = 4096
_UNIT_LINES = 16
_MOST_UNIT_PIXELS = 2**15
_SCRATCH_VALUES = 2**19


def unsupported(x: Tensor, offsets: Tensor, size: Sequence[int] | None = None) -> str | None:
    """Return why the loops cannot take an image (B, C, *S) and offsets (B, G, d, *T); None if they can.

    `size` is that of the image, where x is not the image itself but what is scattered into it.
    """
    if not x.is_cpu:
        return f"the tensors are on {x.device}"
    dtype = x.dtype
    if dtype not in tasks.DTYPES:
        return f"its kernels are for float32 and float64, not {str(dtype).removeprefix('torch.')}"
    if offsets.dtype != dtype:
        return "image and offsets differ in dtype"
    if size is None and x.numel() * _WIDEST < _INDEX_LIMIT and x.is_contiguous():
        return None
    reach = 0
    if size is None:
        reach = sum((length - 1) * stride for length, stride in zip(x.shape[2:], x.stride()[2:], strict=True))
        size = x.shape[2:]
    # The image may be read or written where it lies, as a dense copy, or packed.
    if max(reach, prod(size) * max(_WIDEST, x.shape[1])) >= _INDEX_LIMIT:
        return "an image is too large for 32-bit indices"
    return None


def gather(x: ImageTensor, offsets: GroupedOffsets, boundary: str, orders: Sequence[int] | None = None) -> GridTensor:
    """Compute ∂ᵅW x, (B, C, *T), α = `orders` or 0, in the layout of x."""
    y = empty_image(x, offsets.shape[3:])
    if y.numel() == 0:
        return y
    x, offsets = _plain(x), _plain_offsets(offsets)
    launch, words = gather_launch(y, x, offsets, boundary, orders)
    tasks.run(launch.function, launch.tasks, seconds_to_gather(y), words)
    return y


def scatter(
    g: GridTensor, offsets: GroupedOffsets, size: Sequence[int], boundary: str, orders: Sequence[int] | None = None
) -> ImageTensor:
    """Compute ∂ᵅWᵀg, (B, C, *size), α = `orders` or 0, in the layout of g."""
    image_gradient = empty_image(g, size)
    # The image itself is not read: the result stands in for it.
    _differentiate(g, image_gradient, offsets, image_gradient, None, orders, boundary, central_knots=False)
    return image_gradient


def gradients(
    g: GridTensor, x: ImageTensor, offsets: GroupedOffsets, boundary: str, knot: str, needs_x: bool, needs_offsets: bool
) -> tuple[ImageTensor | None, GroupedOffsets | None]:
    """Compute Wᵀg (B, C, *S) and Σ_c g_c ∂ᵢWx_c (B, G, d, *T) in one pass, or the one that is needed."""
    image_gradient = empty_image(x, x.shape[2:]) if needs_x else None
    offset_gradient = empty_offsets(offsets) if needs_offsets else None
    _differentiate(g, x, offsets, image_gradient, offset_gradient, None, boundary, central_knots=knot == "central")
    return image_gradient, offset_gradient


def _differentiate(
    g: Tensor,
    x: Tensor,
    offsets: Tensor,
    image_gradient: Tensor | None,
    offset_gradient: Tensor | None,
    orders: Sequence[int] | None,
    boundary: str,
    central_knots: bool,
) -> None:
    if g.numel() == 0 or (image_gradient is None and offset_gradient is None):
        for empty in (image_gradient, offset_gradient):
            if empty is not None:
                empty.zero_()
        return
    offsets = _plain_offsets(offsets)
    if image_gradient is not None or not is_dense(x):
        # The gradient is laid out as `empty_image` lays it out; positions in both images have to agree.
        x = x if is_dense(x) else empty_image(x, x.shape[2:]).copy_(x)
    g = g if spans_pixels(g) else g.contiguous()
    launch, arguments = gradients_launch(
        g, x, offsets, image_gradient, offset_gradient, boundary, central_knots, orders
    )
    images, groups, stripes = *offsets.shape[:2], launch.stripes
    seconds = seconds_to_differentiate(g)

    def run(mode: int, count: int, ranges_at: int = 0, share: float = 1.0) -> None:
        tasks.run(launch.function, count, seconds * share, (mode, ranges_at, *arguments))

    if image_gradient is None:
        run(differentiating.ANY_STRIPE, launch.tasks)
    elif images * groups >= MANY_IMAGES or stripes == 1:
        run(differentiating.WHOLE_IMAGES, images * groups)
    else:
        ranges = np.empty((images, groups, stripes, 2), np.int64)
        run(differentiating.FIND_RANGES, launch.tasks, ranges.ctypes.data, 1 / g.shape[1])  # looks at offsets alone
        run(differentiating.EVEN_STRIPES, launch.tasks, ranges.ctypes.data, 0.5)
        run(differentiating.ODD_STRIPES, launch.tasks, ranges.ctypes.data, 0.5)
        run(differentiating.DEPENDENT_IMAGES, images * groups, ranges.ctypes.data)


# What follows from shapes and strides alone is remembered: a small image costs less than working it out.


class Launch(NamedTuple):
    """A kernel, the tasks of a whole pass, the stripes of an image, and the words that hold no address."""

    function: CFunction
    tasks: int
    stripes: int
    words: Words


def gather_launch(
    y: GridTensor, x: ImageTensor, offsets: GroupedOffsets, boundary: str, orders: Sequence[int] | None = None
) -> tuple[Launch, Words]:
    """Return the launch that gathers y, (B, C, *T), and its arguments; every layout has to be one that it takes."""
    layouts = (y.stride(), x.stride(), offsets.stride())
    launch = _gather_launch(x.dtype, x.shape, offsets.shape, layouts, orders and tuple(orders), boundary)
    return launch, (y.data_ptr(), x.data_ptr(), offsets.data_ptr(), *launch.words)


def gradients_launch(
    g: GridTensor,
    x: ImageTensor,
    offsets: GroupedOffsets,
    image_gradient: ImageTensor | None,
    offset_gradient: GroupedOffsets | None,
    boundary: str,
    central_knots: bool,
    orders: Sequence[int] | None = None,
) -> tuple[Launch, Words]:
    """Return the launch that works out gradients, (B, C, *S) and (B, G, d, *T), and its arguments.

    Every layout has to be one that it takes. The mode and the address of the ranges come before the arguments.
    """
    layouts = (
        g.stride(),
        x.stride(),
        offsets.stride(),
        (x if image_gradient is None else image_gradient).stride(),
        (offsets if offset_gradient is None else offset_gradient).stride(),
    )
    launch = _gradients_launch(x.dtype, x.shape, offsets.shape, layouts, orders and tuple(orders), boundary)
    image_gradient_at = 0 if image_gradient is None else image_gradient.data_ptr()
    offset_gradient_at = 0 if offset_gradient is None else offset_gradient.data_ptr()
    tensors = (g.data_ptr(), x.data_ptr(), offsets.data_ptr(), image_gradient_at, offset_gradient_at)
    return launch, (launch.stripes, *tensors, central_knots, *launch.words)


@lru_cache(maxsize=1024)
def _gather_launch(
    dtype: torch.dtype,
    image: Words,
    offsets: Words,
    layouts: tuple[Words, Words, Words],
    orders: Words | None,
    boundary: str,
) -> Launch:
    problem = _problem(image, offsets, orders, boundary)
    units = problem.counts[0] * problem.counts[1] * -(-prod(problem.grid) // problem.unit)
    function = functions.gather_function(len(problem.grid), tasks.DTYPES[dtype])
    return Launch(function, units, 0, (*functions.problem_words(problem), *_strides(problem.grid, *layouts)))


@lru_cache(maxsize=1024)
def _gradients_launch(
    dtype: torch.dtype,
    image: Words,
    offsets: Words,
    layouts: tuple[Words, Words, Words, Words, Words],
    orders: Words | None,
    boundary: str,
) -> Launch:
    problem = _problem(image, offsets, orders, boundary)
    stripes = -(-prod(problem.grid) // problem.stripe)
    function = functions.differentiate_function(len(problem.grid), tasks.DTYPES[dtype])
    *on_grid, image_gradient, offset_gradient = layouts
    strides = (*_strides(problem.grid, *on_grid), *image_gradient, *_offset_strides(problem.grid, offset_gradient))
    return Launch(
        function,
        problem.counts[0] * problem.counts[1] * stripes,
        stripes,
        (*functions.problem_words(problem), *strides),
    )


def _problem(image: Words, offsets: Words, orders: Words | None, boundary: str) -> Problem:
    images, groups, dim, *grid = offsets
    pixels, line = prod(grid), prod(grid[1:])
    lines = max(-(-_UNIT_PIXELS // line), min(_UNIT_LINES, _MOST_UNIT_PIXELS // line))
    unit = min(pixels, lines * line if len(grid) > 1 else _UNIT_PIXELS)
    units = -(-pixels // unit)
    return Problem(
        (images, groups, image[1] // groups),
        tuple(image[2:]),
        tuple(grid),
        BOUNDARIES.index(boundary),
        orders or (0,) * dim,
        unit,
        unit * -(-units // _STRIPES),
        _SCRATCH_VALUES,
    )


def _strides(grid: Words, on_grid: Words, image: Words, offsets: Words) -> Words:
    """Return the strides of what lives on the output grid, of an image and of offsets, as the kernels read them."""
    return (*on_grid[:2], pixel_stride(grid, on_grid[2:]), *image, *_offset_strides(grid, offsets))


def _offset_strides(grid: Words, offsets: Words) -> Words:
    return (*offsets[:3], pixel_stride(grid, offsets[3:]))


def _plain(x: Tensor) -> Tensor:
    """Return an image whose channels are packed, or whose planes are dense; any other is copied."""
    return x if is_channels_last(x) or has_dense_planes(x) else x.contiguous()


def _plain_offsets(offsets: Tensor) -> Tensor:
    return offsets if spans_pixels(offsets, first_axis=3) else offsets.contiguous()


def seconds_to_gather(y: GridTensor) -> float:
    """Return about how long one thread takes to gather values (B, C, *T)."""
    return _seconds(y, _SECONDS_A_PLAN, _SECONDS_A_VALUE)


def seconds_to_differentiate(g: GridTensor) -> float:
    """Return about how long one thread takes for both gradients, given that of the result (B, C, *T)."""
    return _seconds(g, 2 * _SECONDS_A_PLAN, 3 * _SECONDS_A_VALUE)


def _seconds(values: Tensor, plan: float, value: float) -> float:
    corners: int = 2 ** (values.ndim - 2)
    return corners * (plan * values.numel() / max(values.shape[1], 1) + value * values.numel())
