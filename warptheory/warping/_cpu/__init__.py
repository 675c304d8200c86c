"""The CPU backend of the linear kernel: numba kernels on torch's memory, without a copy.

Channels-last is the native layout; planes (torch's default) are packed inside the kernels. Results keep
the layout of the image, and are the same, bit for bit, for any number of threads.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.warping._cpu import _kernels as kernels
from warptheory.warping._cpu._kernels import Gradients, Problem, Values
from warptheory.warping._cpu._plan import BOUNDARIES
from warptheory.warping._layout import (
    empty_image,
    empty_offsets,
    has_dense_planes,
    is_channels_last,
    is_dense,
    pixel_stride,
    spans_pixels,
)

_REAL = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}
_INDEX_LIMIT = 2**31
_WIDEST = 16  # values of the widest register, and so of a packed pixel
# Fewer values than this are not worth waking threads for.
_SERIAL_VALUES = 20_000
# So many images and offset groups occupy the threads, and none need be cut into stripes.
_MANY_IMAGES = 4
_STRIPES = 8
# Pixels of a unit that may be staged, and its least number of lines: with the lines around it that its
# offsets reach, packed, it should fit the second-level cache.
_UNIT_PIXELS = 4096
_UNIT_LINES = 16
_SCRATCH_VALUES = 2**19

_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


# GNU OpenMP does not survive a fork: a forked child that entered it would be killed. Children work on
# one thread, as torch's own data-loading workers do.
os.register_at_fork(after_in_child=_after_fork)


def unsupported(x: Tensor, offsets: Tensor) -> str | None:
    """Return why the kernels cannot take these tensors; None if they can."""
    if x.device.type != "cpu":
        return f"the tensors are on {x.device}"
    if x.dtype not in _REAL:
        return f"its kernels are for float32 and float64, not {str(x.dtype).removeprefix('torch.')}"
    if offsets.dtype != x.dtype:
        return "image and offsets differ in dtype"
    if x.is_contiguous() and x.numel() * _WIDEST < _INDEX_LIMIT:
        return None
    reach = sum((length - 1) * stride for length, stride in zip(x.shape[2:], x.stride()[2:], strict=True))
    if reach >= _INDEX_LIMIT or prod(x.shape[2:]) * _WIDEST >= _INDEX_LIMIT:
        return "an image is too large for 32-bit indices"
    return None


def computes(orders: Sequence[int], knot: str) -> bool:
    """Return whether gather and scatter take these derivatives; at knots theirs is the right-hand one."""
    return not any(orders) or (knot == "right" and max(orders) <= 1)


def gather(
    x: Float[Tensor, "B C *S"], offsets: Float[Tensor, "B G d *T"], boundary: str, orders: Sequence[int] | None = None
) -> Float[Tensor, "B C *T"]:
    """Compute ∂ᵅW x, α = `orders` or 0; the result has the layout of x."""
    y = empty_image(x, offsets.shape[3:])
    if y.numel() == 0:
        return y
    x, offsets = _plain(x), _plain_offsets(offsets)
    problem = _problem(x, offsets, orders, boundary)
    units = problem.counts[0] * problem.counts[1] * -(-prod(problem.grid) // problem.unit)
    arguments = (_grid_values(y), Values(x.data_ptr(), x.stride()), _offset_values(offsets))
    threads = _threads(units, y.numel())
    if threads == 1:
        kernels.gather_units(0, units, problem, *arguments, _REAL[x.dtype])
    else:
        flat = [field for values in arguments for field in values]
        with _numba_threads(threads):
            kernels.gather_parallel(threads, units, *problem, *flat, _REAL[x.dtype])
    return y


def scatter(
    g: Float[Tensor, "B C *T"],
    offsets: Float[Tensor, "B G d *T"],
    size: Sequence[int],
    boundary: str,
    orders: Sequence[int] | None = None,
) -> Float[Tensor, "B C *S"]:
    """Compute ∂ᵅWᵀg, α = `orders` or 0; the result has the layout of g."""
    image_gradient = empty_image(g, size)
    # The image itself is not read: the result stands in for it.
    _differentiate(g, image_gradient, offsets, image_gradient, None, orders, boundary, central_knots=False)
    return image_gradient


def gradients(
    g: Float[Tensor, "B C *T"],
    x: Float[Tensor, "B C *S"],
    offsets: Float[Tensor, "B G d *T"],
    boundary: str,
    knot: str,
    needs_x: bool,
    needs_offsets: bool,
) -> tuple[Float[Tensor, "B C *S"] | None, Float[Tensor, "B G d *T"] | None]:
    """Compute Wᵀg and ∂L/∂εᵢ = Σ_c g_c ∂ᵢWx_c in one pass, or the one that is needed."""
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
    problem = _problem(x, offsets, orders, boundary)
    task = Gradients(
        _grid_values(g),
        Values(x.data_ptr(), x.stride()),
        _offset_values(offsets),
        _image_values(image_gradient, like=x),
        _offset_values(offsets if offset_gradient is None else offset_gradient),
        image_gradient is not None,
        offset_gradient is not None,
        central_knots,
    )
    images, groups, _ = problem.counts
    stripes = -(-prod(problem.grid) // problem.stripe)

    def run(mode: int, tasks: int, ranges: np.ndarray) -> None:
        threads = _threads(tasks, g.numel())
        if threads == 1:
            kernels.differentiate_tasks(0, tasks, mode, ranges, problem, task, _REAL[x.dtype])
            return
        flat = [field for values in task[:5] for field in values]
        with _numba_threads(threads):
            kernels.differentiate_parallel(threads, tasks, mode, ranges, *problem, *flat, *task[5:], _REAL[x.dtype])

    if image_gradient is None:
        run(kernels.ANY_STRIPE, images * groups * stripes, _NO_RANGES)
    elif images * groups >= _MANY_IMAGES or stripes == 1:
        run(kernels.WHOLE_IMAGES, images * groups, _NO_RANGES)
    else:
        ranges = np.empty((images, groups, stripes, 2), np.int64)
        run(kernels.FIND_RANGES, images * groups * stripes, ranges)
        run(kernels.EVEN_STRIPES, images * groups * stripes, ranges)
        run(kernels.ODD_STRIPES, images * groups * stripes, ranges)
        run(kernels.DEPENDENT_IMAGES, images * groups, ranges)


_NO_RANGES = np.empty((0, 0, 0, 2), np.int64)


def _problem(x: Tensor, offsets: Tensor, orders: Sequence[int] | None, boundary: str) -> Problem:
    images, groups, _, *grid = offsets.shape
    pixels, line = prod(grid), prod(grid[1:])
    unit = min(pixels, max(-(-_UNIT_PIXELS // line), _UNIT_LINES) * line if len(grid) > 1 else _UNIT_PIXELS)
    units = -(-pixels // unit)
    return Problem(
        (images, groups, x.shape[1] // groups),
        tuple(x.shape[2:]),
        tuple(grid),
        BOUNDARIES.index(boundary),
        tuple(orders or (0,) * len(grid)),
        unit,
        unit * -(-units // _STRIPES),
        _SCRATCH_VALUES,
    )


def _plain(x: Tensor) -> Tensor:
    """Return an image whose channels are packed, or whose planes are dense; any other is copied."""
    return x if is_channels_last(x) or has_dense_planes(x) else x.contiguous()


def _plain_offsets(offsets: Tensor) -> Tensor:
    return offsets if spans_pixels(offsets, first_axis=3) else offsets.contiguous()


def _grid_values(values: Tensor) -> Values:
    return Values(values.data_ptr(), (*values.stride()[:2], pixel_stride(values, 2)))


def _offset_values(offsets: Tensor) -> Values:
    return Values(offsets.data_ptr(), (*offsets.stride()[:3], pixel_stride(offsets, 3)))


def _image_values(image: Tensor | None, like: Tensor) -> Values:
    return Values(0, like.stride()) if image is None else Values(image.data_ptr(), image.stride())


def _threads(tasks: int, values: int) -> int:
    if _forked or values < _SERIAL_VALUES:
        return 1
    return max(1, min(torch.get_num_threads(), tasks, numba.config.NUMBA_NUM_THREADS))


@contextmanager
def _numba_threads(threads: int) -> Iterator[None]:
    """Let numba wake so many threads and no more; what the caller had set comes back."""
    before = numba.get_num_threads()
    if before == threads:
        yield
        return
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)
