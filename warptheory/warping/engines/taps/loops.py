"""The passes over blocks of pixels: all taps of a block while its samples, its gradient and its outcome are in cache.

Which pixels a task handles follows from shapes alone, so that results are the same, bit for bit, for any number of
threads.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from warptheory.warping.engines.cpu.channels import (
    accumulate_both_and_sample,
    accumulate_both_packed,
    blend_into_packed,
    blend_packed,
)
from warptheory.warping.engines.cpu.plan import offset_gradients, sample_products
from warptheory.warping.engines.cpu.problem import (
    PADDING,
    address_of,
    axis_addresses,
    axis_steps,
    new_plan,
    new_plan_with_axes,
    product,
)
from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.machine.compilation import c_function, callee
from warptheory.warping.engines.machine.memory import StridedValues, clear, copy, read, start_of, write
from warptheory.warping.engines.machine.threads import CFunction
from warptheory.warping.engines.taps.problem import (
    line_values,
    outcome_length,
    plan_taps,
    row_length,
    take_counts,
    take_offsets,
    take_on_grid,
    take_places,
    take_values,
    weigh,
)
from warptheory.warping.engines.taps.product import ROWS, multiply


class Gradients(NamedTuple):
    """What a backward pass reads and writes beside the image; an address is 0 where a gradient is not needed.

    Of the image's gradient there is one for each share of an image, of the filters' one for each part.
    """

    outcome: StridedValues
    image: StridedValues
    offsets: StridedValues
    weights: StridedValues
    filters: int


@callee
def _whole_rows(count):
    return (count + ROWS - 1) // ROWS * ROWS


@callee
def sample_blocks(first, last, counts, places, source, target, filters, real):
    """Compute the blocks of the outcome number `first` … `last` − 1."""
    itemsize, pixels = real.itemsize, product(places.grid)
    row, length = row_length(counts, itemsize), outcome_length(counts, itemsize)
    blocks, passes = (pixels + counts.block - 1) // counts.block, counts.groups // counts.together
    steps = axis_steps(source.strides, places.size)
    plan = new_plan(counts.block, places.size, real)
    # Beyond the channels a row holds zeros for the filters to multiply.
    samples = np.zeros(counts.block * row if counts.depth else 0, real.dtype)
    outcome = np.empty(counts.block * length, real.dtype)
    for number in range(first, last):
        image, group = number // (passes * blocks), number // blocks % passes * counts.together
        start = number % blocks * counts.block
        count = min(counts.block, pixels - start)
        outcome[:] = 0
        for tap in range(0, counts.taps, counts.chunk):
            chunk = min(counts.chunk, counts.taps - tap)
            for place in range(chunk * counts.together):
                member, of_chunk = place // chunk, place % chunk
                field = (group + member) * counts.taps + tap + of_chunk
                plan_taps(plan, counts, places, image, field, start, count, steps, itemsize)
                weigh(plan[1], places.weights, image, field, start, count)
                read_at = address_of(source, image, (group + member) * counts.channels, itemsize)
                if counts.depth:
                    written = start_of(samples) + (of_chunk * counts.width + member * counts.channels) * itemsize
                    for pixel in range(count):
                        spot = written + pixel * row * itemsize
                        blend_packed(spot, 1, read_at, 1, plan, pixel, counts.channels, places.size)
                else:
                    for pixel in range(count):
                        spot = start_of(outcome) + pixel * length * itemsize
                        blend_into_packed(spot, 1, read_at, 1, plan, pixel, counts.channels, places.size)
            if counts.depth:
                _mix(counts, filters, tap, chunk, count, samples, outcome)
        channels = counts.outputs if counts.depth else counts.channels
        _store_rows(target, image, group * counts.channels, start, count, channels, outcome, length)


@callee
def _mix(counts, filters, tap, chunk, count, samples, outcome):
    """Add what filters [taps, channels, depth] make of a chunk's samples to the outcome."""
    itemsize, depth = samples.itemsize, counts.depth
    step = depth + line_values(itemsize)
    for group in range(counts.filter_groups):
        multiply(
            start_of(outcome) + group * depth * itemsize,
            outcome_length(counts, itemsize),
            start_of(samples) + group * counts.inner * itemsize,
            row_length(counts, itemsize),
            1,
            filters + (tap * counts.width + group * counts.inner) * step * itemsize,
            step,
            _whole_rows(count),
            chunk * counts.inner,
            depth,
            True,
            samples,
        )


@callee
def _store_rows(target, image, channel, start, count, channels, rows, length):
    """Store rows of channels, `length` apart, as `count` pixels of an image, in whichever layout it has."""
    itemsize, step = rows.itemsize, target.strides[2]
    place = address_of(target, image, channel, itemsize) + start * step * itemsize
    if target.strides[1] == 1:
        for pixel in range(count):
            copy(place + pixel * step * itemsize, start_of(rows) + pixel * length * itemsize, channels, rows)
        return
    for number in range(channels):
        plane = place + number * target.strides[1] * itemsize
        for pixel in range(count):
            write(plane + pixel * step * itemsize, rows[pixel * length + number], rows)


@callee
def _load_rows(source, image, channel, start, count, channels, rows, length):
    """Load `count` pixels of an image as rows of channels, `length` apart."""
    itemsize, step = rows.itemsize, source.strides[2]
    place = address_of(source, image, channel, itemsize) + start * step * itemsize
    if source.strides[1] == 1:
        for pixel in range(count):
            copy(start_of(rows) + pixel * length * itemsize, place + pixel * step * itemsize, channels, rows)
        return
    for number in range(channels):
        plane = place + number * source.strides[1] * itemsize
        for pixel in range(count):
            rows[pixel * length + number] = read(plane + pixel * step * itemsize, rows)


@callee
def differentiate_parts(first, last, counts, places, source, gradients, filters, real):
    """Work through the parts number `first` … `last` − 1 of the backward pass."""
    itemsize = real.itemsize
    row, length = row_length(counts, itemsize), outcome_length(counts, itemsize)
    passes = counts.groups // counts.together
    plan = new_plan_with_axes(counts.block, places.size, real)
    products = np.empty((counts.block + PADDING, 2 ** len(places.size)), real.dtype)
    samples = np.zeros(counts.block * row if counts.depth else 0, real.dtype)
    outcome = np.zeros(counts.block * length, real.dtype)
    of_filters = counts.filter_groups * counts.depth * counts.taps * counts.inner
    for part in range(first, last):
        filters_at = gradients.filters + part * of_filters * itemsize if gradients.filters else 0
        if filters_at:
            clear(filters_at, of_filters, real)
        for unit in range(part, counts.images * passes * counts.shares, counts.parts):
            image, group = unit // (passes * counts.shares), unit // counts.shares % passes * counts.together
            share = unit % counts.shares
            _differentiate_unit(
                image,
                group,
                share,
                counts,
                places,
                source,
                gradients,
                filters,
                filters_at,
                (plan, products, samples, outcome),
                real,
            )


@callee
def _clear_image(counts, gradients, places, number, group, real):
    """Set the gradient of the channels of a unit to zero; it is dense."""
    pixels, step = product(places.size), gradients.image.strides[len(places.size) + 1]
    channels = counts.together * counts.channels
    target = address_of(gradients.image, number, group * counts.channels, real.itemsize)
    if channels == step:
        clear(target, pixels * channels, real)
        return
    for pixel in range(pixels):
        clear(target + pixel * step * real.itemsize, channels, real)


@callee
def _differentiate_unit(image, group, share, counts, places, source, gradients, filters, filters_at, work, real):
    """Differentiate a share of an image."""
    plan, products, samples, outcome = work
    itemsize, pixels = real.itemsize, product(places.grid)
    row, length = row_length(counts, itemsize), outcome_length(counts, itemsize)
    share_pixels = (pixels + counts.shares - 1) // counts.shares
    end = min((share + 1) * share_pixels, pixels)
    steps = axis_steps(source.strides, places.size)
    number = image * counts.shares + share
    _clear_image(counts, gradients, places, number, group, real)
    for start in range(share * share_pixels, end, counts.block):
        count = min(counts.block, end - start)
        channels = counts.outputs if counts.depth else counts.channels
        _load_rows(gradients.outcome, image, group * counts.channels, start, count, channels, outcome, length)
        for tap in range(0, counts.taps, counts.chunk):
            chunk = min(counts.chunk, counts.taps - tap)
            if counts.depth:
                _unmix(counts, filters, tap, chunk, count, outcome, samples)
            for place in range(chunk * counts.together):
                member, of_chunk = place // chunk, place % chunk
                field = (group + member) * counts.taps + tap + of_chunk
                channel = (group + member) * counts.channels
                plan_taps(plan, counts, places, image, field, start, count, steps, itemsize)
                weigh(plan[1], places.weights, image, field, start, count)
                products[:count] = 0
                read_at = address_of(source, image, channel, itemsize)
                added_at = address_of(gradients.image, number, channel, itemsize)
                if counts.depth:
                    values = start_of(samples) + (of_chunk * counts.width + member * counts.channels) * itemsize
                    _accumulate(
                        values, row, count, added_at, read_at, plan, products, counts.channels, places, filters_at != 0
                    )
                else:
                    values = start_of(outcome)
                    _accumulate(
                        values, length, count, added_at, read_at, plan, products, counts.channels, places, False
                    )
                _store_field(plan, products, gradients, places, image, field, start, count)
            if filters_at:
                _add_filters(counts, filters_at, tap, chunk, count, outcome, samples)


@callee
def _accumulate(values, step, count, added_at, read_at, plan, products, channels, places, samples):
    """Scatter gradients `values` of `count` pixels, and contract them with the image; samples take their place."""
    for pixel in range(count):
        value = values + pixel * step * products.itemsize
        if samples:
            accumulate_both_and_sample(added_at, read_at, 1, value, 1, plan, products, pixel, channels, places.size)
        else:
            accumulate_both_packed(added_at, read_at, 1, value, 1, plan, products, pixel, channels, places.size)


@callee
def _store_field(plan, products, gradients, places, image, field, start, count):
    """Store the gradients of a field's weights and offsets, given the products of `count` pixels."""
    itemsize = products.itemsize
    if gradients.weights.address:
        step = gradients.weights.strides[2]
        target = address_of(gradients.weights, image, field, itemsize) + start * step * itemsize
        sample_products(plan, products, count, (target,), step, places.size)
    if gradients.offsets.address:
        weigh(products, places.weights, image, field, start, count)
        targets = axis_addresses(gradients.offsets, image, field, start, places.grid, itemsize)
        offset_gradients(plan, products, count, targets, gradients.offsets.strides[3], places.size)


@callee
def _unmix(counts, filters, tap, chunk, count, outcome, samples):
    """Compute the gradients of a chunk's samples from those of the outcome, by filters [depth, taps · inner]."""
    itemsize, inner = samples.itemsize, counts.inner
    step = counts.taps * inner + line_values(itemsize)
    for group in range(counts.filter_groups):
        multiply(
            start_of(samples) + group * inner * itemsize,
            row_length(counts, itemsize),
            start_of(outcome) + group * counts.depth * itemsize,
            outcome_length(counts, itemsize),
            1,
            filters + (group * counts.depth * step + tap * inner) * itemsize,
            step,
            _whole_rows(count),
            counts.depth,
            chunk * inner,
            False,
            samples,
        )


@callee
def _add_filters(counts, target, tap, chunk, count, outcome, samples):
    """Add a chunk's gradient of the filters [depth, taps, inner]."""
    itemsize, inner = samples.itemsize, counts.inner
    for group in range(counts.filter_groups):
        multiply(
            target + (group * counts.depth * counts.taps + tap) * inner * itemsize,
            counts.taps * inner,
            start_of(outcome) + group * counts.depth * itemsize,
            1,
            outcome_length(counts, itemsize),
            start_of(samples) + group * inner * itemsize,
            row_length(counts, itemsize),
            counts.depth,
            count,
            chunk * inner,
            True,
            samples,
        )


# ---- C functions -----------------------------------------------------------------------------------


def _templates(dim: int, dtype: str) -> tuple[tuple[int, ...], tuple[int, ...], np.ndarray]:
    return (0,) * dim, (0,) * (2 + dim), np.empty(0, dtype)


@cache
def sample_function(dim: int, dtype: str) -> CFunction:
    """Return the forward pass of one number of axes and dtype, compiled if need be."""
    axes, image, real = _templates(dim, dtype)

    def sample_all(data):
        words = tasks.words_of(data)
        counts, at = take_counts(words, tasks.arguments_of(words))
        places, at = take_places(words, at, axes)
        source, at = take_values(words, at, image)
        target, at = take_on_grid(words, at)
        for first, last in tasks.taken(data, words):
            sample_blocks(first, last, counts, places, source, target, words[at], real)

    return CFunction(c_function(sample_all))


@cache
def differentiate_function(dim: int, dtype: str) -> CFunction:
    """Return the backward pass of one number of axes and dtype, compiled if need be."""
    axes, image, real = _templates(dim, dtype)

    def differentiate_all(data):
        words = tasks.words_of(data)
        counts, at = take_counts(words, tasks.arguments_of(words))
        places, at = take_places(words, at, axes)
        source, at = take_values(words, at, image)
        outcome, at = take_on_grid(words, at)
        of_image, at = take_values(words, at, image)
        of_offsets, at = take_offsets(words, at)
        of_weights, at = take_on_grid(words, at)
        gradients = Gradients(outcome, of_image, of_offsets, of_weights, words[at + 1])
        for first, last in tasks.taken(data, words):
            differentiate_parts(first, last, counts, places, source, gradients, words[at], real)

    return CFunction(c_function(differentiate_all))
