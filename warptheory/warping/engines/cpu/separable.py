"""The CPU backend of every compact kernel and every derivative: the reference's taps, summed by a compiled loop.

A tap of a position is a product of one tap along each axis. So only these are worked out, K for each axis
and position, by torch; the loop multiplies them, Kᵈ products that are never stored. It sums an image axis
by axis, from the last to the first, always in the same order: results are the same, bit for bit, for any
number of threads.

The functions take what those of the reference do; what they return is contiguous.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import carray
from torch import Tensor

from warptheory.kernels import polynomial_taps
from warptheory.warping.engines.cpu.plan import BOUNDARIES
from warptheory.warping.engines.cpu.polynomials import bases_and_weights
from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.machine.compilation import c_function, callee
from warptheory.warping.engines.machine.memory import as_pointer
from warptheory.warping.engines.machine.threads import CFunction
from warptheory.warping.interpolation import Interpolation, Orders
from warptheory.warping.reference import weighted_taps
from warptheory.warping.shapes import GridTensor, GroupedOffsets, ImageTensor

_DIM = 3  # of the loops; axes that an image lacks have one tap
_ZEROS, _BORDER, _REFLECT, _PERIODIC, _MIRROR = range(len(BOUNDARIES))
# Weights worked out at a time: what torch makes of them on the way should stay in the cache.
_PIECE_VALUES = 2**20
_BLOCK = 128  # positions whose taps are sorted out at a time
_SECONDS_A_PRODUCT = 1.3e-9  # on one thread


def gather(x: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, orders: Orders) -> GridTensor:
    """Gather (B, C, *T): (∂ᵅW x)[n] = Σₘ ∂ᵅk(p(n) − m) x[m], α = `orders`."""
    x = x.contiguous()
    y = x.new_empty(*x.shape[:2], *offsets.shape[3:])
    for piece, axes in _pieces(offsets, x.shape[2:], interpolation, orders):
        positions = len(piece) * prod(offsets.shape[3:])
        _run(_gather_function(x.dtype), -(-positions // _BLOCK), y, x, piece, offsets, interpolation, axes)
    return y


def scatter(
    g: GridTensor, offsets: GroupedOffsets, size: Sequence[int], interpolation: Interpolation, orders: Orders
) -> ImageTensor:
    """Scatter (B, C, *size): (∂ᵅWᵀg)[m] = Σₙ ∂ᵅk(p(n) − m) g[n], α = `orders`."""
    g = g.contiguous()
    found = g.new_zeros(*g.shape[:2], *size)
    for piece, axes in _pieces(offsets, size, interpolation, orders):
        _run(_scatter_function(g.dtype), len(piece), found, g, piece, offsets, interpolation, axes)
    return found


class AxisTaps(NamedTuple):
    """The taps of every position along one axis, before the boundary rule.

    Attributes:
        size: the number of pixels.
        taps: the K taps.
        bases: the pixel from which they are counted at each position; two rows where both sides of a knot count.
        weights: their weights, K rows for each row of `bases`.
    """

    size: int
    taps: np.ndarray
    bases: Int[Tensor, "sides N"]
    weights: Float[Tensor, "sidesK N"]


def _pieces(
    offsets: GroupedOffsets, size: Sequence[int], interpolation: Interpolation, orders: Orders
) -> Iterator[tuple[range, list[AxisTaps]]]:
    """Yield the taps of some fields of offsets after the other, with the fields' numbers, b·G + g."""
    fields = offsets.flatten(0, 1).unsqueeze(1)
    step = max(1, _PIECE_VALUES // (prod(offsets.shape[2:]) * len(interpolation.kernel.taps)))
    for first in range(0, len(fields), step):
        piece = fields[first : first + step]
        axes = [
            _axis_taps(piece[:, :, axis], axis, size[axis], interpolation, order) for axis, order in enumerate(orders)
        ]
        yield range(first, first + len(piece)), axes


def _axis_taps(
    offset: Float[Tensor, "N 1 *T"], axis: int, size: int, interpolation: Interpolation, order: int
) -> AxisTaps:
    """Return the taps of one axis, to which the loop applies the boundary rule."""
    polynomials = polynomial_taps(interpolation.kernel, order)
    if polynomials is not None:
        sides = 2 if order > 0 and interpolation.knot == "central" else 1
        found = bases_and_weights(polynomials, offset, axis, size, interpolation.boundary, sides, order)
        return AxisTaps(size, polynomials.taps, *found)
    by_side = list(weighted_taps(offset, axis, size, interpolation, order))
    taps = np.array([tap for tap, _ in by_side[0][1]], np.int64)
    bases = torch.stack([base for base, _ in by_side])
    weights = torch.stack([weight for _, pairs in by_side for _, weight in pairs])
    return AxisTaps(size, taps, bases.flatten(1), weights.flatten(1))


def _run(
    function: CFunction,
    count: int,
    target: Float[Tensor, "B C *L"],
    source: Float[Tensor, "B C *M"],
    piece: range,
    offsets: GroupedOffsets,
    interpolation: Interpolation,
    axes: list[AxisTaps],
) -> None:
    """Call a compiled loop, of so many tasks, for the channels that belong to some fields of offsets."""
    if target.numel() == 0:
        return
    channels, positions = source.shape[1] // offsets.shape[1], prod(offsets.shape[3:])
    words = [
        *(_address(tensor, piece.start * channels) for tensor in (target, source)),
        *(len(piece), channels, positions, BOUNDARIES.index(interpolation.boundary.name)),
        *(1, 0, 0, 0, 0, 0) * (_DIM - len(axes)),
    ]
    for size, taps, bases, weights in axes:
        words += [size, len(taps), len(bases), taps.ctypes.data, bases.data_ptr(), weights.data_ptr()]
    products = len(piece) * positions * channels * prod(len(axis.weights) for axis in axes)
    tasks.run(function, count, _SECONDS_A_PRODUCT * products, words)


def _address(tensor: Float[Tensor, "B C *L"], channel: int) -> int:
    """Return where a channel begins, counted through all images, of a contiguous tensor."""
    return tensor.data_ptr() + channel * prod(tensor.shape[2:]) * tensor.element_size()


# ---- compiled ---------------------------------------------------------------------------------------


@callee
def _pixel(index: Any, size: Any, boundary: Any) -> Any:
    """Return the pixel that an index reads by the rules of `warping.boundaries`, −1 if it does not exist."""
    if 0 <= index < size:
        return index
    if boundary == _ZEROS:
        return -1
    if boundary == _BORDER:
        return 0 if index < 0 else size - 1
    if boundary == _PERIODIC:
        return index % size
    last = 2 * size - 1 - (boundary == _MIRROR)  # phase `last` − m reads pixel m again
    phase = index % max(last + (boundary == _REFLECT), 1)
    return phase if phase < size else last - phase


@callee
def _take_axis(words: Any, at: Any, total: Any, real: Any) -> Any:
    """Read a size and the arrays of `AxisTaps` from the words."""
    size, count, sides = words[at], words[at + 1], words[at + 2]
    taps = carray(as_pointer(words[at + 3]), (count,), np.int64)
    bases = carray(as_pointer(words[at + 4]), (sides, total), np.int64)
    weights = carray(as_pointer(words[at + 5]), (sides * count, total), real.dtype)
    return size, taps, bases, weights


@callee
def _plan_axis(axis: Any, first: Any, last: Any, boundary: Any, stride: Any, plan: Any) -> None:
    """Write the taps that exist of some positions: where their pixels lie, their weights, and how many they are.

    One that does not exist is left out: a weight of zero would make NaN of an infinite pixel.
    """
    size, taps, bases, table = axis
    pixels, weights, counts = plan
    if taps.size == 0:
        return
    lowest, highest = taps.min(), taps.max()
    for n in range(first, last):
        place, count = n - first, 0
        for side in range(bases.shape[0]):
            base = bases[side, n]
            if base + lowest >= 0 and base + highest < size:  # as nearly all are: nothing to foresee
                for tap in range(taps.size):
                    pixels[place, count] = (base + taps[tap]) * stride
                    weights[place, count] = table[side * taps.size + tap, n]
                    count += 1
            else:
                for tap in range(taps.size):
                    pixel = _pixel(base + taps[tap], size, boundary)
                    pixels[place, count] = pixel * stride
                    weights[place, count] = table[side * taps.size + tap, n]
                    count += pixel >= 0
        counts[place] = count


@callee
def _scratch(axis: Any, real: Any) -> Any:
    """Return room for the plan of a block of positions along one axis: one tap at pixel 0, which an axis lacks."""
    most = max(1, axis[3].shape[0])
    return np.zeros((_BLOCK, most), np.uint64), np.ones((_BLOCK, most), real.dtype), np.ones(_BLOCK, np.int64)


@callee
def _plan(axes: Any, first: Any, last: Any, boundary: Any, plans: Any) -> None:
    line = axes[2][0]
    _plan_axis(axes[0], first, last, boundary, axes[1][0] * line, plans[0])
    _plan_axis(axes[1], first, last, boundary, line, plans[1])
    _plan_axis(axes[2], first, last, boundary, 1, plans[2])


@callee
def _gather_block(first: Any, last: Any, y: Any, x: Any, plans: Any) -> None:
    (pixels0, weights0, counts0), (pixels1, weights1, counts1), (pixels2, weights2, counts2) = plans
    zero = y.dtype.type(0)
    field, place = first // y.shape[2], first % y.shape[2] - 1
    for n in range(last - first):
        place += 1
        if place == y.shape[2]:
            field, place = field + 1, 0
        for channel in range(y.shape[1]):
            total = zero
            for i in range(counts0[n]):
                plane = zero
                for j in range(counts1[n]):
                    line = zero
                    before = pixels0[n, i] + pixels1[n, j]
                    for k in range(counts2[n]):
                        line += weights2[n, k] * x[field, channel, before + pixels2[n, k]]
                    plane += weights1[n, j] * line
                total += weights0[n, i] * plane
            y[field, channel, place] = total


@callee
def _scatter_block(first: Any, last: Any, found: Any, g: Any, plans: Any) -> None:
    (pixels0, weights0, counts0), (pixels1, weights1, counts1), (pixels2, weights2, counts2) = plans
    field, place = first // g.shape[2], first % g.shape[2] - 1
    for n in range(last - first):
        place += 1
        if place == g.shape[2]:
            field, place = field + 1, 0
        for channel in range(g.shape[1]):
            for i in range(counts0[n]):
                plane = weights0[n, i] * g[field, channel, place]
                for j in range(counts1[n]):
                    line = weights1[n, j] * plane
                    before = pixels0[n, i] + pixels1[n, j]
                    for k in range(counts2[n]):
                        found[field, channel, before + pixels2[n, k]] += weights2[n, k] * line


@callee
def _gather_rows(first: Any, last: Any, y: Any, x: Any, boundary: Any, axis: Any) -> None:
    """Gather some positions of images of one axis, for which a plan would be as much work as the sum."""
    size, taps, bases, weights = axis
    lowest, highest = taps.min(), taps.max()
    field, place = first // y.shape[2], first % y.shape[2] - 1
    for n in range(first, last):
        place += 1
        if place == y.shape[2]:
            field, place = field + 1, 0
        for channel in range(y.shape[1]):
            total = y.dtype.type(0)
            for side in range(bases.shape[0]):
                base, row = bases[side, n], side * taps.size
                if base + lowest >= 0 and base + highest < size:  # as nearly all are: nothing to foresee
                    for tap in range(taps.size):
                        total += weights[row + tap, n] * x[field, channel, np.uint64(base + taps[tap])]
                else:
                    for tap in range(taps.size):
                        pixel = _pixel(base + taps[tap], size, boundary)
                        if pixel >= 0:
                            total += weights[row + tap, n] * x[field, channel, pixel]
            y[field, channel, place] = total


@callee
def _scatter_rows(first: Any, last: Any, found: Any, g: Any, boundary: Any, axis: Any) -> None:
    """Scatter some positions of images of one axis."""
    size, taps, bases, weights = axis
    lowest, highest = taps.min(), taps.max()
    field, place = first // g.shape[2], first % g.shape[2] - 1
    for n in range(first, last):
        place += 1
        if place == g.shape[2]:
            field, place = field + 1, 0
        for channel in range(g.shape[1]):
            value = g[field, channel, place]
            for side in range(bases.shape[0]):
                base, row = bases[side, n], side * taps.size
                if base + lowest >= 0 and base + highest < size:
                    for tap in range(taps.size):
                        found[field, channel, np.uint64(base + taps[tap])] += weights[row + tap, n] * value
                else:
                    for tap in range(taps.size):
                        pixel = _pixel(base + taps[tap], size, boundary)
                        if pixel >= 0:
                            found[field, channel, pixel] += weights[row + tap, n] * value


@callee
def _has_one_axis(axes: Any) -> Any:
    return axes[0][1].size == 0 and axes[1][1].size == 0


def _make_positions(rows: Any, block: Any) -> Any:
    @callee
    def positions(first: Any, last: Any, target: Any, source: Any, boundary: Any, axes: Any) -> None:
        if _has_one_axis(axes):
            rows(first, last, target, source, boundary, axes[2])
            return
        plans = _scratch(axes[0], target), _scratch(axes[1], target), _scratch(axes[2], target)
        for start in range(first, last, _BLOCK):
            stop = min(start + _BLOCK, last)
            _plan(axes, start, stop, boundary, plans)
            block(start, stop, target, source, plans)

    return positions


# Gather, or scatter, the positions number `first` … `last` − 1, counted through all fields; images are
# (fields, channels, M), and what lives on the output grid is (fields, channels, N).
_gather_positions = _make_positions(_gather_rows, _gather_block)
_scatter_positions = _make_positions(_scatter_rows, _scatter_block)


@callee
def _take_call(words: Any, real: Any) -> Any:
    """Read what `_run` wrote: the counts of fields, channels and positions, the boundary, addresses and axes."""
    at = tasks.arguments_of(words)
    fields, channels, positions, boundary = words[at + 2], words[at + 3], words[at + 4], words[at + 5]
    total = fields * positions
    axes = (
        _take_axis(words, at + 6, total, real),
        _take_axis(words, at + 12, total, real),
        _take_axis(words, at + 18, total, real),
    )
    pixels = axes[0][0] * axes[1][0] * axes[2][0]
    return (words[at], words[at + 1]), (fields, channels, positions), pixels, boundary, axes


@cache
def _gather_function(dtype: torch.dtype) -> CFunction:
    """Return the loop of `gather`, compiled if need be; a task is a block of positions."""
    real = np.empty(0, tasks.DTYPES[dtype])

    def gather_all(data: Any) -> None:
        words = tasks.words_of(data)
        (y_at, x_at), (fields, channels, positions), pixels, boundary, axes = _take_call(words, real)
        y = carray(as_pointer(y_at), (fields, channels, positions), real.dtype)
        x = carray(as_pointer(x_at), (fields, channels, pixels), real.dtype)
        for first, last in tasks.taken(data, words):
            _gather_positions(first * _BLOCK, min(last * _BLOCK, fields * positions), y, x, boundary, axes)

    return CFunction(c_function(gather_all))


@cache
def _scatter_function(dtype: torch.dtype) -> CFunction:
    """Return the loop of `scatter`, compiled if need be; a task is a field, whose positions meet in its images."""
    real = np.empty(0, tasks.DTYPES[dtype])

    def scatter_all(data: Any) -> None:
        words = tasks.words_of(data)
        (found_at, g_at), (fields, channels, positions), pixels, boundary, axes = _take_call(words, real)
        found = carray(as_pointer(found_at), (fields, channels, pixels), real.dtype)
        g = carray(as_pointer(g_at), (fields, channels, positions), real.dtype)
        for first, last in tasks.taken(data, words):
            _scatter_positions(first * positions, last * positions, found, g, boundary, axes)

    return CFunction(c_function(scatter_all))
