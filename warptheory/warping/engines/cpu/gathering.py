"""The gather of the linear kernel; units and their three ways are those of `differentiating`."""

import numpy as np

from warptheory.warping.engines.cpu.channels import blend_packed, blend_strided, prefetch
from warptheory.warping.engines.cpu.problem import (
    AHEAD,
    BLOCK,
    PREFETCHED,
    REGISTER_BYTES,
    address_of,
    axis_steps,
    can_stage,
    line_range,
    new_plan,
    plan_pixels,
    product,
    steps_if_packed,
    with_room,
)
from warptheory.warping.engines.machine.compilation import callee
from warptheory.warping.engines.machine.memory import start_of
from warptheory.warping.engines.machine.transpose import pack, unpack

FEW_CHANNELS = 2  # not worth staging


@callee
def gather_units(first, last, problem, target, source, offsets, real):
    """Gather the units number `first` … `last` − 1."""
    _, groups, channels = problem.counts
    itemsize = real.itemsize
    lanes = REGISTER_BYTES // itemsize
    pixels, line = product(problem.grid), product(problem.size) // problem.size[0]
    units = (pixels + problem.unit - 1) // problem.unit
    is_packed = source.strides[1] == 1 and target.strides[1] == 1
    may_stage = can_stage(problem, is_packed, lanes, FEW_CHANNELS)
    plan = new_plan(min(problem.unit if may_stage else BLOCK, pixels), problem.size, real)
    scratch = np.empty(0, real.dtype)
    block_scratch = np.empty(BLOCK * lanes if may_stage else 0, real.dtype)
    source_steps, packed_steps = axis_steps(source.strides, problem.size), steps_if_packed(problem.size, lanes)
    pixel_step = target.strides[2] * itemsize
    for number in range(first, last):
        image, group = number // (units * groups), number // units % groups
        start = number % units * problem.unit
        stop = min(start + problem.unit, pixels)
        if may_stage:
            plan_pixels(plan, problem, offsets, image, group, start, stop - start, packed_steps, -1, itemsize)
            low, high = line_range(plan, stop - start)
            staged = (high - low) * line
            if staged * lanes <= problem.scratch:
                scratch = with_room(scratch, staged * lanes)
                shifted = start_of(scratch) - low * line * lanes * itemsize
                for channel in range(0, channels, lanes):
                    present = min(lanes, channels - channel)
                    planes = address_of(source, image, group * channels + channel, itemsize) + low * line * itemsize
                    pack(start_of(scratch), planes, source.strides[1], staged, present, real)
                    outputs = address_of(target, image, group * channels + channel, itemsize)
                    for block in range(start, stop, BLOCK):
                        count = min(BLOCK, stop - block)
                        for column in range(count):
                            pixel = start_of(block_scratch) + column * lanes * itemsize
                            blend_packed(pixel, 1, shifted, 1, plan, block - start + column, lanes, problem.size)
                        unpack(
                            outputs + block * itemsize, start_of(block_scratch), target.strides[1], count, present, real
                        )
                continue
        image_at = address_of(source, image, group * channels, itemsize)
        for block in range(start, stop, BLOCK):
            count = min(BLOCK, stop - block)
            plan_pixels(plan, problem, offsets, image, group, block, count, source_steps, -1, itemsize)
            pixel = address_of(target, image, group * channels, itemsize) + block * pixel_step
            if is_packed:
                for column in range(count):
                    prefetch(image_at, plan, min(column + AHEAD, count - 1), min(channels, PREFETCHED), problem.size)
                    blend_packed(pixel + column * pixel_step, 1, image_at, 1, plan, column, channels, problem.size)
                continue
            for column in range(count):
                blend_strided(
                    pixel + column * pixel_step,
                    target.strides[1],
                    image_at,
                    source.strides[1],
                    plan,
                    column,
                    channels,
                    problem.size,
                )
