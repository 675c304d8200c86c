"""Both gradients of the linear kernel in one pass, or the one that is needed.

Work is cut into *units*, ranges of output pixels of one image and one offset group. How it is cut, and
the order in which units that share pixels of the image gradient run, depends on shapes and offsets
alone, never on the number of threads: that makes every result the same for any number, bit for bit.

A unit takes one of three ways, by where the channels of a pixel lie:

    packed    side by side (channels-last): registers run over the channels;
    staged    in planes, of which the unit reads few lines: these are packed into a scratch first;
    strided   in planes, but few channels, or offsets too wild to stage: one value at a time.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import carray
from numba.cpython.unsafe.tuple import tuple_setitem

from warptheory.warping.engines.cpu.channels import (
    accumulate_both_packed,
    accumulate_both_strided,
    accumulate_image_packed,
    accumulate_image_strided,
    accumulate_products_packed,
    accumulate_products_strided,
    prefetch,
)
from warptheory.warping.engines.cpu.plan import NOTHING, offset_gradients
from warptheory.warping.engines.cpu.problem import (
    AHEAD,
    BLOCK,
    PADDING,
    PREFETCHED,
    REGISTER_BYTES,
    address_of,
    axis_addresses,
    axis_steps,
    can_stage,
    line_range,
    new_plan,
    new_plan_with_axes,
    plan_pixels,
    product,
    steps_if_packed,
    with_room,
)
from warptheory.warping.engines.machine.compilation import callee
from warptheory.warping.engines.machine.memory import StridedValues, as_pointer, clear, read, start_of, write
from warptheory.warping.engines.machine.transpose import pack, unpack_add

# So few channels are not worth staging: it would stage two images, of mostly empty registers.
FEW_GRADIENTS = 3


class GradientTask(NamedTuple):
    """What a backward pass reads and writes; `image` and `offsets` are the gradients, where they are needed."""

    gradient: StridedValues
    source: StridedValues
    offsets: StridedValues
    image_gradient: StridedValues
    offset_gradient: StridedValues
    needs_image: bool
    needs_offsets: bool
    central_knots: bool


@callee
def _accumulate(
    task,
    plan,
    first,
    count,
    products,
    image_gradient,
    image,
    image_stride,
    gradient,
    gradient_stride,
    step,
    channels,
    size,
    is_packed,
    row,
):
    """Accumulate `count` pixels from column `first` of the plan on: what is needed, and no more.

    `row` receives the channels of a pixel of g where the image is packed and g is not.
    """
    for column in range(first, first + count):
        if is_packed and gradient_stride != 1:
            for channel in range(channels):
                row[channel] = read(gradient + channel * gradient_stride * row.itemsize, row)
        if is_packed:
            pixel = gradient if gradient_stride == 1 else start_of(row)
            ahead = min(column + AHEAD, first + count - 1)
            if task.needs_image:
                prefetch(image_gradient, plan, ahead, min(channels, PREFETCHED), size)
            if task.needs_offsets:
                prefetch(image, plan, ahead, min(channels, PREFETCHED), size)
            if task.needs_image and task.needs_offsets:
                accumulate_both_packed(image_gradient, image, 1, pixel, 1, plan, products, column, channels, size)
            elif task.needs_image:
                accumulate_image_packed(image_gradient, image, 1, pixel, 1, plan, products, column, channels, size)
            else:
                accumulate_products_packed(image_gradient, image, 1, pixel, 1, plan, products, column, channels, size)
        elif task.needs_image and task.needs_offsets:
            accumulate_both_strided(
                image_gradient, image, image_stride, gradient, gradient_stride, plan, products, column, channels, size
            )
        elif task.needs_image:
            accumulate_image_strided(
                image_gradient, image, image_stride, gradient, gradient_stride, plan, products, column, channels, size
            )
        else:
            accumulate_products_strided(
                image_gradient, image, image_stride, gradient, gradient_stride, plan, products, column, channels, size
            )
        gradient += step


class Workspace(NamedTuple):
    """Scratch memory of one thread."""

    unit_plan: Any
    block_plan: Any
    products: Any
    image: Any
    image_gradient: Any
    gradient: Any
    row: Any


@callee
def _clear_image(problem, task, image, group, real):
    """Set the image gradient of one image and group to zero; it is dense, packed or in planes."""
    channels, pixels = problem.counts[2], product(problem.size)
    target = address_of(task.image_gradient, image, group * channels, real.itemsize)
    if task.image_gradient.strides[1] != 1 or problem.counts[1] == 1:
        clear(target, channels * pixels, real)
    else:
        step = problem.counts[1] * channels * real.itemsize
        for pixel in range(pixels):
            clear(target + pixel * step, channels, real)


@callee
def _differentiate_staged(
    problem,
    task,
    image,
    group,
    start,
    stop,
    low,
    high,
    work,
    real,
):
    """Accumulate one unit whose lines `low` … `high` − 1 are packed, a register of channels at a time."""
    itemsize, channels = real.itemsize, problem.counts[2]
    lanes = REGISTER_BYTES // itemsize
    line = product(problem.size) // problem.size[0]
    staged = (high - low) * line
    source = with_room(work.image, staged * lanes if task.needs_offsets else 0)
    target = with_room(work.image_gradient, staged * lanes if task.needs_image else 0)
    back = low * line * lanes * itemsize
    for channel in range(0, channels, lanes):
        present = min(lanes, channels - channel)
        number = group * channels + channel
        if task.needs_offsets:
            planes = address_of(task.source, image, number, itemsize) + low * line * itemsize
            pack(start_of(source), planes, task.source.strides[1], staged, present, real)
        if task.needs_image:
            clear(start_of(target), staged * lanes, real)
        for block in range(start, stop, BLOCK):
            count = min(BLOCK, stop - block)
            step = task.gradient.strides[2]
            planes = address_of(task.gradient, image, number, itemsize) + block * step * itemsize
            if step == 1:
                pack(start_of(work.gradient), planes, task.gradient.strides[1], count, present, real)
            else:
                work.gradient[:] = 0
                for pixel in range(count):
                    for lane in range(present):
                        value = planes + (pixel * step + lane * task.gradient.strides[1]) * itemsize
                        work.gradient[pixel * lanes + lane] = read(value, real)
            _accumulate(
                task,
                work.unit_plan,
                block - start,
                count,
                work.products,
                start_of(target) - back,
                start_of(source) - back,
                1,
                start_of(work.gradient),
                1,
                lanes * itemsize,
                lanes,
                problem.size,
                True,
                work.row,
            )
        if task.needs_image:
            planes = address_of(task.image_gradient, image, number, itemsize) + low * line * itemsize
            unpack_add(planes, start_of(target), task.image_gradient.strides[1], staged, present, real)
    return Workspace(work.unit_plan, work.block_plan, work.products, source, target, work.gradient, work.row)


@callee
def _centre_knots(problem, task, image, group, first, count, work, is_packed, real):
    """Replace the offset gradients at knots by the mean of the right-hand and the left-hand one.

    The left-hand derivative at a knot is the right-hand one of the position a pixel lower.
    """
    itemsize, channels, size = real.itemsize, problem.counts[2], problem.size
    steps = axis_steps(task.source.strides, size)
    only_offsets = GradientTask(
        task.gradient, task.source, task.offsets, task.image_gradient, task.offset_gradient, False, True, True
    )
    step = task.gradient.strides[2] * itemsize
    left = np.empty((len(size), BLOCK), real.dtype)
    left_addresses = size
    for axis in range(len(size)):
        left_addresses = tuple_setitem(left_addresses, axis, start_of(left) + axis * BLOCK * itemsize)
    for axis in range(len(size)):
        offsets = axis_addresses(task.offsets, image, group, first, size, itemsize)[axis]
        found = axis_addresses(task.offset_gradient, image, group, first, size, itemsize)[axis]
        offset_step, found_step = task.offsets.strides[3] * itemsize, task.offset_gradient.strides[3] * itemsize
        knots = 0
        for pixel in range(count):
            offset = read(offsets + pixel * offset_step, real)
            knots += np.floor(offset) == offset
        if knots == 0:
            continue
        plan_pixels(work.block_plan, problem, task.offsets, image, group, first, count, steps, axis, itemsize)
        products = np.zeros((BLOCK + PADDING, 2 ** len(size)), real.dtype)
        _accumulate(
            only_offsets,
            work.block_plan,
            0,
            count,
            products,
            0,
            address_of(task.source, image, group * channels, itemsize),
            task.source.strides[1],
            address_of(task.gradient, image, group * channels, itemsize) + first * step,
            task.gradient.strides[1],
            step,
            channels,
            size,
            is_packed,
            work.row,
        )
        offset_gradients(work.block_plan, products, count, left_addresses, 1, size)
        for pixel in range(count):
            offset = read(offsets + pixel * offset_step, real)
            if np.floor(offset) == offset:
                place = found + pixel * found_step
                mean = (read(place, real) + left[axis, pixel]) / 2
                write(place, mean, real)


@callee
def _stage_unit(problem, task, image, group, start, stop, work, real):
    """Add one unit by packed lines if these are few enough; return whether they were, and the workspace."""
    itemsize, size = real.itemsize, problem.size
    lanes = REGISTER_BYTES // itemsize
    steps = steps_if_packed(size, lanes)
    plan_pixels(work.unit_plan, problem, task.offsets, image, group, start, stop - start, steps, -1, itemsize)
    low, high = line_range(work.unit_plan, stop - start)
    if (high - low) * (product(size) // size[0]) * lanes > problem.scratch:
        return False, work
    work.products[:] = 0
    return True, _differentiate_staged(problem, task, image, group, start, stop, low, high, work, real)


@callee
def _differentiate_unit(problem, task, image, group, start, stop, is_staged, work, real):
    """Add one unit to the image gradient, and store its offset gradients; what is staged has been summed already."""
    itemsize, channels, size = real.itemsize, problem.counts[2], problem.size
    is_packed = task.source.strides[1] == 1 and channels > 1
    steps = axis_steps(task.source.strides, size)
    first = group * channels
    for block in range(start, stop, BLOCK):
        count = min(BLOCK, stop - block)
        if is_staged and not task.needs_offsets:
            continue
        plan_pixels(work.block_plan, problem, task.offsets, image, group, block, count, steps, -1, itemsize)
        column = block - start if is_staged else 0
        if not is_staged:
            if task.needs_offsets:
                work.products[:count] = 0
            step = task.gradient.strides[2] * itemsize
            _accumulate(
                task,
                work.block_plan,
                0,
                count,
                work.products,
                address_of(task.image_gradient, image, first, itemsize),
                address_of(task.source, image, first, itemsize),
                task.source.strides[1],
                address_of(task.gradient, image, first, itemsize) + block * step,
                task.gradient.strides[1],
                step,
                channels,
                size,
                is_packed,
                work.row,
            )
        if task.needs_offsets:
            addresses = axis_addresses(task.offset_gradient, image, group, block, size, itemsize)
            products = work.products[column:]
            offset_gradients(work.block_plan, products, count, addresses, task.offset_gradient.strides[3], size)
            if task.central_knots:
                _centre_knots(problem, task, image, group, block, count, work, is_packed, real)


@callee
def _new_workspace(problem, may_stage, real):
    pixels = product(problem.grid)
    lanes = REGISTER_BYTES // real.itemsize
    columns = min(max(problem.unit, BLOCK) if may_stage else BLOCK, pixels)
    return Workspace(
        new_plan(columns if may_stage else 0, problem.size, real),
        new_plan_with_axes(min(BLOCK, pixels), problem.size, real),
        np.empty((columns + PADDING, 2 ** len(problem.size)), real.dtype),
        np.empty(0, real.dtype),
        np.empty(0, real.dtype),
        np.empty(BLOCK * lanes if may_stage else 0, real.dtype),
        np.empty(problem.counts[2], real.dtype),
    )


@callee
def _borrowed(array):
    """Return an array without its owner: to count owners at every call would cost more than small images do."""
    return carray(as_pointer(start_of(array)), array.shape, array.dtype)


@callee
def _borrowed_workspace(work):
    (a, b, c), (d, e, f, g) = work.unit_plan, work.block_plan
    return Workspace(
        (_borrowed(a), _borrowed(b), _borrowed(c)),
        (_borrowed(d), _borrowed(e), _borrowed(f), _borrowed(g)),
        _borrowed(work.products),
        work.image,
        work.image_gradient,
        _borrowed(work.gradient),
        _borrowed(work.row),
    )


# What a task of each pass does: a whole image; any stripe, where none touches another's pixels; the search
# for the lines that a stripe touches; the stripes of one colour; the images that two colours do not part.
WHOLE_IMAGES, ANY_STRIPE, FIND_RANGES, EVEN_STRIPES, ODD_STRIPES, DEPENDENT_IMAGES = range(6)


@callee
def _keep(owner):
    """Do nothing; whoever calls it keeps its memory until then."""


@callee
def _scatter_planned(image_gradient, gradient, step, plan, count):
    """Scatter `count` pixels of one channel, corner by corner.

    Neighbours add to the same pixel, mostly by different corners: pixel by pixel, each sum would wait for the last.
    """
    indices, weights, _ = plan
    for corner in range(indices.shape[1]):
        for column in range(count):
            if indices[column, 0] != NOTHING:
                place = image_gradient + indices[column, corner] * weights.itemsize
                value = weights[column, corner] * read(gradient + column * step, weights)
                write(place, read(place, weights) + value, weights)


@callee
def _scatter_single_channels(first, last, problem, task, real):
    """Scatter the images number `first` … `last` − 1, whose groups have one channel, which is soon done."""
    groups, pixels, itemsize = problem.counts[1], product(problem.grid), real.itemsize
    step, steps = task.gradient.strides[2] * itemsize, axis_steps(task.image_gradient.strides, problem.size)
    plan = new_plan(min(BLOCK, pixels), problem.size, real)
    for number in range(first, last):
        image, group = number // groups, number % groups
        _clear_image(problem, task, image, group, real)
        target = address_of(task.image_gradient, image, group, itemsize)
        source = address_of(task.gradient, image, group, itemsize)
        for start in range(0, pixels, BLOCK):
            count = min(BLOCK, pixels - start)
            plan_pixels(plan, problem, task.offsets, image, group, start, count, steps, -1, itemsize)
            _scatter_planned(target, source + start * step, step, plan, count)


@callee
def differentiate_tasks(first, last, mode, ranges, problem, task, real):
    """Work through the tasks number `first` … `last` − 1 of a pass.

    `ranges` is int64[images, groups, stripes, 2]: the first line of the image that a stripe touches, and
    one past the last.
    """
    if problem.counts[2] == 1 and mode == WHOLE_IMAGES and not task.needs_offsets:
        _scatter_single_channels(first, last, problem, task, real)
        return
    groups, pixels = problem.counts[1], product(problem.grid)
    by_image = mode in (WHOLE_IMAGES, DEPENDENT_IMAGES)
    length = pixels if by_image else problem.stripe
    stripes = (pixels + length - 1) // length
    is_packed = task.source.strides[1] == 1 and problem.counts[2] > 1
    may_stage = can_stage(problem, is_packed, REGISTER_BYTES // real.itemsize, FEW_GRADIENTS)
    owner = _new_workspace(problem, may_stage, real)
    work = _borrowed_workspace(owner)
    for number in range(first, last):
        image, group, stripe = number // (stripes * groups), number // stripes % groups, number % stripes
        start = stripe * length
        stop = min(start + length, pixels)
        if mode == FIND_RANGES:
            if stripe == 0:
                _clear_image(problem, task, image, group, real)
            _find_range(problem, task, image, group, start, stop, ranges[image, group, stripe], work, real)
            continue
        if mode == WHOLE_IMAGES and task.needs_image:
            _clear_image(problem, task, image, group, real)
        in_colours = mode in (EVEN_STRIPES, ODD_STRIPES)
        if in_colours and (stripe % 2 != (mode == ODD_STRIPES) or not _is_two_coloured(ranges[image, group])):
            continue
        if mode == DEPENDENT_IMAGES and _is_two_coloured(ranges[image, group]):
            continue
        for unit in range(start, stop, problem.unit):
            end, is_staged = min(unit + problem.unit, stop), False
            if may_stage:
                is_staged, work = _stage_unit(problem, task, image, group, unit, end, work, real)
            _differentiate_unit(problem, task, image, group, unit, end, is_staged, work, real)
    _keep(owner)


@callee
def _find_range(problem, task, image, group, start, stop, found, work, real):
    steps = axis_steps(task.source.strides, problem.size)
    found[0], found[1] = 2**30, 0
    for block in range(start, stop, BLOCK):
        count = min(BLOCK, stop - block)
        plan_pixels(work.block_plan, problem, task.offsets, image, group, block, count, steps, -1, real.itemsize)
        low, high = line_range(work.block_plan, count)
        if high > low:
            found[0], found[1] = min(found[0], low), max(found[1], high)


@callee
def _is_two_coloured(ranges):
    """Return whether stripes of the same parity touch disjoint ranges of lines."""
    for stripe in range(2, len(ranges)):
        for earlier in range(stripe % 2, stripe, 2):
            if ranges[earlier, 1] > ranges[stripe, 0] and ranges[stripe, 1] > ranges[earlier, 0]:
                return False
    return True
