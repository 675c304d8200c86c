"""The loops of a convolution with few output channels: values, and the gradients of image, weights and bias.

Registers run over the input channels of a pixel, a block of so many channels after the other. Work is cut into
*units*, some whole images or the rows of a band of one image. A unit is copied to a scratch first, zeros around it,
with the channels of a block side by side: the loops then know neither borders nor layouts. Each unit has sums of its
own for the gradients of weights and bias, which are added in the order of the units: results are the same, bit for
bit, for any number of threads.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import carray

from warptheory.warping.engines.machine import tasks
from warptheory.warping.engines.machine.compilation import c_function, callee
from warptheory.warping.engines.machine.memory import StridedValues, as_pointer, clear, read, start_of, write
from warptheory.warping.engines.machine.threads import CFunction
from warptheory.warping.engines.machine.transpose import pack, unpack
from warptheory.warping.engines.thin.registers import (
    BLOCK,
    PIXELS,
    REGISTER_BYTES,
    copy_registers,
    correlate,
    respond,
    spread,
    total_of,
)


class Shape(NamedTuple):
    """Numbers of images, input channels, rows and columns, and how work is cut: into `images` or `rows` of one."""

    batch: int
    channels: int
    height: int
    width: int
    images: int
    rows: int


# ---- between tensors and scratches -----------------------------------------------------------------


@callee
def _blocks(shape, lanes):
    return (shape.channels + lanes - 1) // lanes


@callee
def _columns(shape, size):
    """Return the length of a row of a scratch: the pixels of whole blocks, and zeros on both sides."""
    return (shape.width + BLOCK - 1) // BLOCK * BLOCK + size - 1


@callee
def _row_address(values, image, channel, row, itemsize):
    image_step, channel_step, row_step, _ = values.strides
    return values.address + (image * image_step + channel * channel_step + row * row_step) * itemsize


@callee
def _pack_weights(weights, shape, taps, outputs, real):
    """Return the weights as [blocks, taps, taps, outputs, lanes], zeros beyond the last channel."""
    size, count, lanes = len(taps), len(outputs), REGISTER_BYTES // real.itemsize
    packed = np.zeros((_blocks(shape, lanes), size, size, count, lanes), real.dtype)
    for output in range(count):
        for channel in range(shape.channels):
            for row in range(size):
                line = _row_address(weights, output, channel, row, real.itemsize)
                for column in range(size):
                    value = read(line + column * weights.strides[3] * real.itemsize, real)
                    packed[channel // lanes, row, column, output, channel % lanes] = value
    return packed


@callee
def _stage_line(target, values, image, first, present, row, width, real):
    """Copy a line of up to a register of channels from number `first` on to [width, lanes]."""
    _, channel_step, _, column_step = values.strides
    lanes = REGISTER_BYTES // real.itemsize
    source = _row_address(values, image, first, row, real.itemsize)
    if channel_step == 1 and present == lanes:
        copy_registers(target, lanes, source, column_step, width, real)
    elif column_step == 1:
        pack(target, source, channel_step, width, present, real)
    else:
        for column in range(width):
            for lane in range(present):
                value = read(source + (column * column_step + lane * channel_step) * real.itemsize, real)
                write(target + (column * lanes + lane) * real.itemsize, value, real)


@callee
def _unstage_line(values, source, image, first, present, row, width, real):
    """Go back: copy [width, lanes] to a line of channels."""
    _, channel_step, _, column_step = values.strides
    lanes = REGISTER_BYTES // real.itemsize
    target = _row_address(values, image, first, row, real.itemsize)
    if channel_step == 1 and present == lanes:
        copy_registers(target, column_step, source, lanes, width, real)
    elif column_step == 1:
        unpack(target, source, channel_step, width, present, real)
    else:
        for column in range(width):
            for lane in range(present):
                value = read(source + (column * lanes + lane) * real.itemsize, real)
                write(target + (column * column_step + lane * channel_step) * real.itemsize, value, real)


@callee
def _stage_image(scratch, values, shape, image, first, rows, padding, real):
    """Fill a scratch [blocks, rows, columns, lanes] with lines from number `first` on, zeros outside of the image."""
    blocks, _, columns, lanes = scratch.shape
    line = columns * lanes * real.itemsize
    for block in range(blocks):
        present = min(lanes, shape.channels - block * lanes)
        for number in range(rows):
            target = start_of(scratch) + (block * scratch.shape[1] + number) * line
            row = first + number
            if 0 <= row < shape.height:
                inside = target + padding * lanes * real.itemsize
                _stage_line(inside, values, image, block * lanes, present, row, shape.width, real)
            else:
                clear(target, columns * lanes, real)


@callee
def _stage_gradient(scratch, values, shape, image, first, rows, padding, real):
    """Fill a scratch [rows, outputs, columns] with lines from number `first` on, zeros outside of the image."""
    outputs = scratch.shape[1]
    step = values.strides[3] * real.itemsize
    for number in range(rows):
        row = first + number
        if not 0 <= row < shape.height:
            scratch[number] = 0
            continue
        for output in range(outputs):
            source = _row_address(values, image, output, row, real.itemsize)
            for column in range(shape.width):
                scratch[number, output, padding + column] = read(source + column * step, real)


@callee
def _store_line(values, line, image, row, width, bias, real):
    """Store a line of all outputs, [outputs, columns], the bias added."""
    step = values.strides[3] * real.itemsize
    for output in range(len(bias)):
        target = _row_address(values, image, output, row, real.itemsize)
        for column in range(width):
            write(target + column * step, line[output, column] + bias[output], real)


# ---- units -----------------------------------------------------------------------------------------


@callee
def convolution_scratch(shape, weights, taps, outputs, real):
    """Return what a thread works with: the packed weights, an image with zeros around it, a line of all outputs."""
    size, lanes, columns = len(taps), REGISTER_BYTES // real.itemsize, _columns(shape, len(taps))
    packed = _pack_weights(weights, shape, taps, outputs, real)
    image = np.zeros((_blocks(shape, lanes), shape.rows + size - 1, columns, lanes), real.dtype)
    return packed, image, np.empty((len(outputs), columns), real.dtype)


@callee
def convolve_unit(number, shape, target, source, bias, scratch, taps, outputs, real):
    """Convolve one unit."""
    size, padding = len(taps), len(taps) // 2
    packed, staged, found = scratch
    blocks, lines, columns, lanes = staged.shape
    bands = (shape.height + shape.rows - 1) // shape.rows
    first = number % bands * shape.rows
    rows = min(shape.rows, shape.height - first)
    begin = number // bands * shape.images
    for image in range(begin, min(begin + shape.images, shape.batch)):
        _stage_image(staged, source, shape, image, first - padding, rows + size - 1, padding, real)
        for row in range(rows):
            respond(
                start_of(found),
                start_of(staged) + row * columns * lanes * real.itemsize,
                start_of(packed),
                blocks,
                columns * lanes,
                lines * columns * lanes,
                shape.width,
                columns,
                taps,
                outputs,
                real,
            )
            _store_line(target, found, image, first + row, shape.width, bias, real)


class ConvolutionGradients(NamedTuple):
    """What a backward pass reads and writes; addresses of what is not needed are 0.

    `summand` is a gradient that the image has already from elsewhere, if it has one, to be added to its own.
    `weight_sums` and `bias_sums` hold the sums of every unit, [units, blocks, taps, taps, outputs, lanes] and
    [units, outputs].
    """

    gradient: StridedValues
    source: StridedValues
    weights: StridedValues
    summand: StridedValues
    image_gradient: StridedValues
    weight_sums: int
    bias_sums: int


@callee
def _add_bias(found, gradient, padding, rows, width, real):
    """Add the sums over all pixels, line by line; beyond the last pixel of a line there are zeros."""
    _, outputs, columns = gradient.shape
    for row in range(padding, padding + rows):
        for output in range(outputs):
            line = start_of(gradient) + ((row * outputs + output) * columns + padding) * real.itemsize
            found[output] += total_of(line, width, real)


@callee
def _add_weights(sums_at, scratch, gradient, task, shape, image, first, rows, channel, taps, outputs, real):
    """Add what some rows of an image give to the gradient of the weights of a block of channels."""
    itemsize, lanes = real.itemsize, REGISTER_BYTES // real.itemsize
    present, width = min(lanes, shape.channels - channel), shape.width
    _, channel_step, row_step, column_step = task.source.strides
    pixels = _row_address(task.source, image, channel, first, itemsize)
    if channel_step != 1 or present < lanes:
        for row in range(rows):
            line = start_of(scratch) + row * width * lanes * itemsize
            _stage_line(line, task.source, image, channel, present, first + row, width, real)
        pixels, row_step, column_step = start_of(scratch), width * lanes, lanes
    columns, gradient_at = gradient.shape[2], start_of(gradient)
    correlate(sums_at, pixels, row_step, column_step, gradient_at, columns, rows, width, taps, outputs, real)


@callee
def _holds_registers(values, present, lanes):
    """Return whether a tensor can be read and written by whole registers; one at address 0 does not exist."""
    return values.address == 0 or (values.strides[1] == 1 and present == lanes)


@callee
def _store_image(weights_at, line, gradient, task, shape, image, first, rows, channel, taps, outputs, real):
    """Store some rows of the gradient of a block of channels, the summand added if there is one."""
    lanes = REGISTER_BYTES // real.itemsize
    present, width, columns = min(lanes, shape.channels - channel), shape.width, gradient.shape[2]
    found, summand = task.image_gradient, task.summand
    is_direct = _holds_registers(found, present, lanes) and _holds_registers(summand, present, lanes)
    is_direct = is_direct and width % PIXELS == 0
    for row in range(rows):
        incoming = start_of(gradient) + row * len(outputs) * columns * real.itemsize
        start, start_step, target, step = start_of(line), lanes, start_of(line), lanes
        if is_direct:
            target, step = _row_address(found, image, channel, first + row, real.itemsize), found.strides[3]
        if summand.address == 0:
            clear(start, width * lanes, real)
        elif is_direct:
            start, start_step = _row_address(summand, image, channel, first + row, real.itemsize), summand.strides[3]
        else:
            _stage_line(start, summand, image, channel, present, first + row, width, real)
        spread(target, step, start, start_step, incoming, weights_at, columns, width, taps, outputs, real)
        if not is_direct:
            _unstage_line(found, target, image, channel, present, first + row, width, real)


@callee
def gradients_scratch(shape, task, taps, outputs, real):
    """Return what a thread works with: the packed weights, an image, the gradient of all outputs, a line of an image.

    The image is empty where it can be read where it lies.
    """
    size, lanes, columns = len(taps), REGISTER_BYTES // real.itemsize, _columns(shape, len(taps))
    packed = _pack_weights(task.weights, shape, taps, outputs, real)
    is_staged = task.weight_sums and (task.source.strides[1] != 1 or shape.channels % lanes)
    image = np.zeros((shape.rows if is_staged else 0, shape.width, lanes), real.dtype)
    gradient = np.zeros((shape.rows + size - 1, len(outputs), columns), real.dtype)
    return packed, image, gradient, np.zeros((columns, lanes), real.dtype)


@callee
def differentiate_unit(number, shape, task, scratch, taps, outputs, real):
    """Work out the gradients of one unit."""
    size, count, padding = len(taps), len(outputs), len(taps) // 2
    packed, staged, gradient, line = scratch
    blocks, lanes = packed.shape[0], packed.shape[4]
    needs_image, needs_weights, needs_bias = task.image_gradient.address, task.weight_sums, task.bias_sums
    weights = size * size * count * lanes  # of a block
    bands = (shape.height + shape.rows - 1) // shape.rows
    units = (shape.batch + shape.images - 1) // shape.images * bands
    bias_sums = carray(as_pointer(task.bias_sums), (units, count), real.dtype)
    first = number % bands * shape.rows
    rows = min(shape.rows, shape.height - first)
    begin = number // bands * shape.images
    sums_at = task.weight_sums + number * blocks * weights * real.itemsize
    if needs_weights:
        clear(sums_at, blocks * weights, real)
    if needs_bias:
        bias_sums[number] = 0
    for image in range(begin, min(begin + shape.images, shape.batch)):
        _stage_gradient(gradient, task.gradient, shape, image, first - padding, rows + size - 1, padding, real)
        if needs_bias:
            _add_bias(bias_sums[number], gradient, padding, rows, shape.width, real)
        for block in range(blocks):
            channel, at = block * lanes, block * weights * real.itemsize
            if needs_weights:
                _add_weights(
                    sums_at + at, staged, gradient, task, shape, image, first, rows, channel, taps, outputs, real
                )
            if needs_image:
                weights_at = start_of(packed) + at
                _store_image(weights_at, line, gradient, task, shape, image, first, rows, channel, taps, outputs, real)


# ---- C functions -----------------------------------------------------------------------------------

_SHAPE, _STRIDES = (0,) * len(Shape._fields), (0, 0, 0, 0)


@callee
def _take_shape(words, at):
    numbers, at = tasks.take_numbers(words, at, _SHAPE)
    return Shape(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]), at


@callee
def _take_values(words, at):
    strides, after = tasks.take_numbers(words, at + 1, _STRIDES)
    return StridedValues(words[at], strides), after


@callee
def take_convolution(words, at):
    """Read the shape, the result, the image, the weights and the bias's address, as `convolution` writes them."""
    shape, at = _take_shape(words, at)
    target, at = _take_values(words, at)
    source, at = _take_values(words, at)
    weights, at = _take_values(words, at)
    return (shape, target, source, weights, words[at]), at + 1


@callee
def take_gradients(words, at):
    """Read the shape and the tensors of a backward pass, as `convolution` writes them."""
    shape, at = _take_shape(words, at)
    gradient, at = _take_values(words, at)
    source, at = _take_values(words, at)
    weights, at = _take_values(words, at)
    summand, at = _take_values(words, at)
    image_gradient, at = _take_values(words, at)
    task = ConvolutionGradients(gradient, source, weights, summand, image_gradient, words[at], words[at + 1])
    return (shape, task), at + 2


def templates(size: int, outputs: int, dtype: str) -> tuple[tuple[int, ...], tuple[int, ...], np.ndarray]:
    """Return what tells a kernel the size of the filters, their number and the dtype, while it is compiled."""
    return (0,) * size, (0,) * outputs, np.empty(0, dtype)


@cache
def convolve_function(size: int, outputs: int, dtype: str) -> CFunction:
    """Return the convolution of filters of one size and number, compiled if need be."""
    taps, channels_out, real = templates(size, outputs, dtype)

    def convolve_all(data):
        words = tasks.words_of(data)
        call, _ = take_convolution(words, tasks.arguments_of(words))
        shape, target, source, weights, bias_at = call
        scratch = convolution_scratch(shape, weights, taps, channels_out, real)
        bias = carray(as_pointer(bias_at), (len(channels_out),), real.dtype)
        for first, last in tasks.taken(data, words):
            for unit in range(first, last):
                convolve_unit(unit, shape, target, source, bias, scratch, taps, channels_out, real)

    return CFunction(c_function(convolve_all))


@cache
def differentiate_function(size: int, outputs: int, dtype: str) -> CFunction:
    """Return the gradients of filters of one size and number, compiled if need be."""
    taps, channels_out, real = templates(size, outputs, dtype)

    def differentiate_all(data):
        words = tasks.words_of(data)
        call, _ = take_gradients(words, tasks.arguments_of(words))
        shape, task = call
        scratch = gradients_scratch(shape, task, taps, channels_out, real)
        for first, last in tasks.taken(data, words):
            for unit in range(first, last):
                differentiate_unit(unit, shape, task, scratch, taps, channels_out, real)

    return CFunction(c_function(differentiate_all))
