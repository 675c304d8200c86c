"""What a pattern samples where, in memory, and how the work is cut; and how the kernels read it from words."""

from typing import NamedTuple

import numpy as np
from numba import carray
from numba.cpython.unsafe.tuple import tuple_setitem

from warptheory.warping.engines.cpu.plan import plan_line
from warptheory.warping.engines.cpu.problem import address_of, axis_addresses, coordinates
from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.machine.compilation import callee
from warptheory.warping.engines.machine.memory import StridedValues, as_pointer, read

LINE_BYTES = 64


class Counts(NamedTuple):
    """Numbers that describe a pattern, and how its work is cut.

    A task handles `together` offset groups of an image: all of them where filters mix them, else one. It works
    through blocks of `block` pixels, and for each of them through `chunk` taps at a time, whose samples are a row of
    `width` values a tap. Filters are laid out for each of `filter_groups` with `inner` channels and `depth` outputs,
    0 without filters; both are multiples of a register. The backward pass is cut into `parts`, each of which takes
    every `parts`-th of the units, an image cut into `shares` with gradients of their own.
    """

    images: int
    groups: int
    taps: int
    channels: int
    outputs: int
    filter_groups: int
    boundary: int
    together: int
    block: int
    chunk: int
    width: int
    inner: int
    depth: int
    shares: int
    parts: int


class Places(NamedTuple):
    """Where samples lie: sizes of the image and of the grid, pixels from one output pixel to the next, and offsets.

    `origins` is the address of the whole pixels int64[F, d] at which the fields start.
    """

    size: tuple[int, ...]
    grid: tuple[int, ...]
    pace: tuple[int, ...]
    origins: int
    offsets: StridedValues
    weights: StridedValues


# Rows of a matrix that many rows of are read together are a cache line longer than they need to be: a multiple of a
# power of two would crowd them in few sets of the cache.


@callee
def line_values(itemsize):
    """Return how many values a cache line holds."""
    return LINE_BYTES // itemsize


@callee
def row_length(counts, itemsize):
    """Return the values from one pixel's samples to the next one's."""
    return counts.chunk * counts.width + line_values(itemsize)


@callee
def outcome_length(counts, itemsize):
    """Return the values from one pixel's outcome to the next one's."""
    needed = counts.filter_groups * counts.depth if counts.depth else counts.width
    return needed + line_values(itemsize)


@callee
def plan_taps(plan, counts, places, image, field, first, count, steps, itemsize):
    """Plan `count` pixels of a field from number `first` on."""
    dim, width = len(places.grid), places.grid[len(places.grid) - 1]
    origins = carray(as_pointer(places.origins), (counts.groups * counts.taps, dim), np.int64)
    orders = places.grid
    for axis in range(dim):
        orders = tuple_setitem(orders, axis, 0)
    done = 0
    while done < count:
        pixel = first + done
        length = min(count - done, width - pixel % width)
        position = coordinates(pixel, places.grid)
        for axis in range(dim):
            position = tuple_setitem(position, axis, origins[field, axis] + places.pace[axis] * position[axis])
        plan_line(
            plan,
            done,
            length,
            position,
            places.pace[dim - 1],
            axis_addresses(places.offsets, image, field, pixel, places.grid, itemsize),
            places.offsets.strides[3],
            places.size,
            steps,
            orders,
            counts.boundary,
        )
        done += length


@callee
def weigh(values, weights, image, field, first, count):
    """Multiply values real[N, 2ᵈ] of `count` pixels by the weights of a field, if there are weights."""
    if weights.address == 0:
        return
    step = weights.strides[2] * values.itemsize
    place = address_of(weights, image, field, values.itemsize) + first * step
    for pixel in range(count):
        weight = read(place + pixel * step, values)
        for corner in range(values.shape[1]):
            values[pixel, corner] *= weight


_COUNTS, _OFFSETS, _ON_GRID = (0,) * len(Counts._fields), (0, 0, 0, 0), (0, 0, 0)


@callee
def take_counts(words, at):
    """Read the counts."""
    n, at = tasks.take_numbers(words, at, _COUNTS)
    return Counts(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14]), at


@callee
def take_values(words, at, template):
    """Read an address and as many strides as the template has."""
    strides, after = tasks.take_numbers(words, at + 1, template)
    return StridedValues(words[at], strides), after


@callee
def take_on_grid(words, at):
    """Read values on the output grid."""
    return take_values(words, at, _ON_GRID)


@callee
def take_offsets(words, at):
    """Read offsets, or their gradient."""
    return take_values(words, at, _OFFSETS)


@callee
def take_places(words, at, axes):
    """Read where samples lie; `axes` is a template."""
    size, at = tasks.take_numbers(words, at, axes)
    grid, at = tasks.take_numbers(words, at, axes)
    pace, at = tasks.take_numbers(words, at, axes)
    origins, at = words[at], at + 1
    offsets, at = take_offsets(words, at)
    weights, at = take_on_grid(words, at)
    return Places(size, grid, pace, origins, offsets, weights), at
