"""What the linear kernel samples where, in memory: counts, sizes and steps, and the plan of a block of pixels."""

from typing import NamedTuple

import numpy as np
from numba.cpython.unsafe.tuple import tuple_setitem

from warptheory.warping.engines.cpu.plan import NOTHING, plan_line
from warptheory.warping.engines.machine.compilation import callee
from warptheory.warping.engines.machine.lanes import register_bytes

BLOCK = 256  # pixels planned at a time: their plan stays in the first-level cache
PADDING = 16  # a register may be written beyond the last pixel of a plan
AHEAD = 12  # pixels between asking for a cache line and using it
PREFETCHED = 64  # channels asked for ahead; the hardware follows from there
REGISTER_BYTES = register_bytes()


class Problem(NamedTuple):
    """What is sampled where: counts (images, groups, channels of a group), sizes, and how work is cut.

    `orders` counts the derivatives along each axis, 0 or 1. `unit` is the number of output pixels of a
    unit, `stripe` that of successive units that one thread takes together, a multiple of it; `scratch`
    is the most values that a unit may stage.
    """

    counts: tuple[int, int, int]
    size: tuple[int, ...]
    grid: tuple[int, ...]
    boundary: int
    orders: tuple[int, ...]
    unit: int
    stripe: int
    scratch: int


@callee
def product(size):
    """Return the product of sizes."""
    count = 1
    for length in size:
        count *= length
    return count


@callee
def address_of(values, image, channel, itemsize):
    """Return the address of an image's channel; of its group's offsets, for offsets."""
    return values.address + (image * values.strides[0] + channel * values.strides[1]) * itemsize


@callee
def coordinates(pixel, grid):
    """Return the coordinates of a pixel, given by its number in C order."""
    position = grid
    for back in range(len(grid)):
        axis = len(grid) - 1 - back
        position = tuple_setitem(position, axis, pixel % grid[axis])
        pixel //= grid[axis]
    return position


@callee
def steps_if_packed(size, lanes):
    """Return the steps along the axes of an image packed with `lanes` values a pixel."""
    steps = size
    step = lanes
    for back in range(len(size)):
        axis = len(size) - 1 - back
        steps = tuple_setitem(steps, axis, step)
        step *= size[axis]
    return steps


@callee
def axis_steps(strides, size):
    """Return the steps along the axes of an image where it lies."""
    steps = size
    for axis in range(len(size)):
        steps = tuple_setitem(steps, axis, strides[2 + axis])
    return steps


@callee
def axis_addresses(values, image, group, pixel, size, itemsize):
    """Return where a pixel's offset, or its gradient, lies for every axis."""
    addresses = size
    for axis in range(len(size)):
        step = axis * values.strides[2] + pixel * values.strides[3]
        addresses = tuple_setitem(addresses, axis, address_of(values, image, group, itemsize) + step * itemsize)
    return addresses


@callee
def new_plan(columns, size, real):
    """Return room for the plan of so many pixels, as `plan_line` fills it."""
    corners = 2 ** len(size)
    length = columns + PADDING
    return (
        np.empty((length, corners), np.int32),
        np.empty((length, corners), real.dtype),
        np.empty((2, length), np.int32),
    )


@callee
def new_plan_with_axes(columns, size, real):
    """Return room for a plan with what gradients need of each axis."""
    indices, weights, lines = new_plan(columns, size, real)
    return indices, weights, lines, np.empty((4 * len(size), columns + PADDING), real.dtype)


@callee
def plan_pixels(
    plan,
    problem,
    offsets,
    image,
    group,
    first,
    count,
    steps,
    lowered_axis,
    itemsize,
):
    """Plan `count` pixels from number `first` on, as if one pixel lower along `lowered_axis` (−1: none)."""
    grid = problem.grid
    width = grid[len(grid) - 1]
    done = 0
    while done < count:
        pixel = first + done
        length = min(count - done, width - pixel % width)
        position = coordinates(pixel, grid)
        if lowered_axis >= 0:
            position = tuple_setitem(position, lowered_axis, position[lowered_axis] - 1)
        addresses = axis_addresses(offsets, image, group, pixel, grid, itemsize)
        plan_line(
            plan,
            done,
            length,
            position,
            1,
            addresses,
            offsets.strides[3],
            problem.size,
            steps,
            problem.orders,
            problem.boundary,
        )
        done += length


@callee
def line_range(plan, count):
    """Return the first line (axis 0) of the image that the planned pixels read, and one past the last."""
    indices, _, lines = plan[0], plan[1], plan[2]
    first, last = 2**30, -1
    for number in range(2):
        for column in range(count):
            if indices[column, 0] != NOTHING:
                line = np.int64(lines[number, column])
                first = min(first, line)
                last = max(last, line)
    return (first, last + 1) if last >= 0 else (0, 0)


@callee
def with_room(scratch, count):
    """Return the scratch, or a larger one if it is too small."""
    return scratch if count <= scratch.size else np.empty(count, scratch.dtype)


@callee
def can_stage(problem, is_packed, lanes, few):
    """Return whether units may be staged: in planes, not too few, and at least two lines fit the scratch."""
    line = product(problem.size) // problem.size[0]
    return not is_packed and problem.counts[2] > few and 2 * line * lanes <= problem.scratch
