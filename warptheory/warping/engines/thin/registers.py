"""Sums over registers of channels: the inner loops of a convolution with few output channels, and of its gradients."""

from typing import Any

from numba.core import types

from warptheory.warping.engines.machine.compilation import intrinsic
from warptheory.warping.engines.machine.lanes import (
    INT64,
    Builder,
    Lanes,
    Pointer,
    Variable,
    broadcast,
    fma,
    lanes_of,
    loop,
    real_type,
    register_bytes,
    sums,
    zeros,
)

REGISTER_BYTES = register_bytes()
# Registers that hold sums, of 32 with AVX-512 and else of 16; the rest is for factors.
_SUMS = 16 if REGISTER_BYTES == 64 else 8
_WEIGHT_SUMS = 24 if REGISTER_BYTES == 64 else 10
PIXELS = _SUMS // 2  # of a block of the image gradient
# The hardware fetches ahead up to the end of a page of memory, 4096 bytes; the loops ask beyond it.
_AHEAD_BYTES = 4096
BLOCK = 16  # a multiple of the pixels of any block; rows of a scratch are as long as so many fit in


def _pixels_together(outputs: int) -> int:
    """Return of how many pixels all outputs are summed at once: a power of two."""
    return 1 << (max(_SUMS // outputs, 1).bit_length() - 1)


def _zero(builder: Builder, real: Any) -> Lanes:
    return zeros(builder, real_type(real.dtype), lanes_of(real.dtype))


@intrinsic
def respond(
    typing: Any,
    found: Any,
    line: Any,
    weights: Any,
    blocks: Any,
    row_step: Any,
    block_step: Any,
    width: Any,
    columns: Any,
    taps: Any,
    outputs: Any,
    real: Any,
) -> Any:
    """Compute a line of all outputs, [outputs, columns]: sums over the blocks of channels and the taps.

    `line` is the first line of the image that is read, in a scratch [blocks, rows, columns, lanes], whose steps are
    given in values; `weights` are [blocks, taps, taps, outputs, lanes].
    """
    size, count = len(taps), len(outputs)
    element, lanes = real_type(real.dtype), lanes_of(real.dtype)
    together = _pixels_together(count)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        found, line, weights, blocks, row_step, block_step, width, columns = arguments[:8]
        target, source, factors = (Pointer.at(builder, address, element) for address in (found, line, weights))
        totals = [[Variable(_zero(builder, real)) for _ in range(together)] for _ in range(count)]
        with loop(builder, INT64(0), width, together) as first:
            for total in (total for row in totals for total in row):
                total.set(_zero(builder, real))
            with loop(builder, INT64(0), blocks, 1) as block, loop(builder, INT64(0), INT64(size), 1) as row:
                pixels = source + builder.mul(block, block_step)
                pixels = pixels + builder.mul(row, row_step) + builder.mul(first, INT64(lanes))
                number = builder.add(builder.mul(block, INT64(size)), row)
                along = factors + builder.mul(number, INT64(size * count * lanes))
                values = [(pixels + INT64(pixel * lanes)).load(lanes) for pixel in range(together + size - 1)]
                for tap in range(size):
                    for output, row_of_totals in enumerate(totals):
                        factor = (along + INT64((tap * count + output) * lanes)).load(lanes)
                        for pixel, total in enumerate(row_of_totals):
                            total.set(fma(values[pixel + tap], factor, total.get()))
            for output, row_of_totals in enumerate(totals):
                place = target + builder.add(builder.mul(columns, INT64(output)), first)
                place.store(sums([total.get() for total in row_of_totals]))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, n, n, n, n, n, taps, outputs, real), generate


@intrinsic
def spread(
    typing: Any,
    found: Any,
    found_step: Any,
    summand: Any,
    summand_step: Any,
    line: Any,
    weights: Any,
    columns: Any,
    width: Any,
    taps: Any,
    outputs: Any,
    real: Any,
) -> Any:
    """Compute a line of the image gradient, and add it to a summand, for one block of channels.

    Both have a register of channels side by side, pixels so many values apart, and room for whole blocks of pixels.
    `line` is the first line of the outputs' gradient that is read, in a scratch [rows, outputs, columns].
    """
    size, count = len(taps), len(outputs)
    element, lanes = real_type(real.dtype), lanes_of(real.dtype)
    ahead = INT64(_AHEAD_BYTES * 8 // real.dtype.bitwidth)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        found, found_step, summand, summand_step, line, weights, columns, width = arguments[:8]
        target, start, source, factors = (
            Pointer.at(builder, address, element) for address in (found, summand, line, weights)
        )
        totals = [Variable(_zero(builder, real)) for _ in range(PIXELS)]
        with loop(builder, INT64(0), width, PIXELS) as first:
            pixels = [builder.add(first, INT64(pixel)) for pixel in range(PIXELS)]
            for total in totals:
                total.set(_zero(builder, real))
            with loop(builder, INT64(0), INT64(size), 1) as row:
                opposite = builder.sub(INT64(size - 1), row)
                along = factors + builder.mul(opposite, INT64(size * count * lanes))
                for output in range(count):
                    number = builder.add(builder.mul(row, INT64(count)), INT64(output))
                    beside = source + builder.add(builder.mul(number, columns), first)
                    for tap in range(size):
                        factor = (along + INT64(((size - 1 - tap) * count + output) * lanes)).load(lanes)
                        for pixel, total in enumerate(totals):
                            g = broadcast(builder, (beside + INT64(pixel + tap)).scalar(), lanes)
                            total.set(fma(factor, g, total.get()))
            # Last, as autograd adds what comes from two users of an image.
            for pixel, total in zip(pixels, totals, strict=True):
                beside, place = start + builder.mul(pixel, summand_step), target + builder.mul(pixel, found_step)
                (beside + ahead).ask_for()
                (place + ahead).ask_for(for_writing=True)
                place.store(total.get() + beside.load(lanes))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, n, n, n, n, n, taps, outputs, real), generate


@intrinsic
def correlate(
    typing: Any,
    found: Any,
    image: Any,
    row_step: Any,
    column_step: Any,
    gradient: Any,
    columns: Any,
    rows: Any,
    width: Any,
    taps: Any,
    outputs: Any,
    real: Any,
) -> Any:
    """Add to the gradient of the weights of one block of channels, [taps, taps, outputs, lanes].

    Every pixel of the image is read once, and meets the gradients of all outputs that it has reached; `gradient` is
    the first line of these that is read, in a scratch [rows + taps − 1, outputs, columns].
    """
    size, count = len(taps), len(outputs)
    element, lanes = real_type(real.dtype), lanes_of(real.dtype)
    # Rows of taps whose sums are kept in registers all the way.
    together = size if size * size * count <= _WEIGHT_SUMS else 1

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        found, image, row_step, column_step, gradient, columns, rows, width = arguments[:8]
        target, source, incoming = (Pointer.at(builder, address, element) for address in (found, image, gradient))
        totals = [Variable(_zero(builder, real)) for _ in range(together * size * count)]
        with loop(builder, INT64(0), INT64(size), together) as first:
            held = target + builder.mul(first, INT64(size * count * lanes))
            for place, total in enumerate(totals):
                total.set((held + INT64(place * lanes)).load(lanes))
            opposite = builder.sub(INT64(size - 1), first)
            with loop(builder, INT64(0), rows, 1) as row:
                line = source + builder.mul(row, row_step)
                reached = builder.mul(builder.mul(builder.add(row, opposite), INT64(count)), columns)
                with loop(builder, INT64(0), width, 1) as column:
                    pixel = line + builder.mul(column, column_step)
                    (pixel + INT64(_AHEAD_BYTES * 8 // real.dtype.bitwidth)).ask_for()
                    value = pixel.load(lanes)
                    beside = incoming + builder.add(reached, column)
                    for place, total in enumerate(totals):
                        tap, output = place // count, place % count
                        lower = builder.mul(columns, INT64(output - tap // size * count))
                        g = (beside + lower + INT64(size - 1 - tap % size)).scalar()
                        total.set(fma(broadcast(builder, g, lanes), value, total.get()))
            for place, total in enumerate(totals):
                (held + INT64(place * lanes)).store(total.get())
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, n, n, n, n, n, taps, outputs, real), generate


@intrinsic
def total_of(typing: Any, line: Any, count: Any, real: Any) -> Any:
    """Return the sum of `count` values, and of what follows up to a whole register."""
    element, lanes = real_type(real.dtype), lanes_of(real.dtype)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        line, count, _ = arguments
        source, total = Pointer.at(builder, line, element), Variable(_zero(builder, real))
        with loop(builder, INT64(0), count, lanes) as first:
            total.set(total.get() + (source + first).load(lanes))
        return builder.extract_element(sums([total.get()]).value, INT64(0))

    return real.dtype(types.int64, types.int64, real), generate


@intrinsic
def copy_registers(
    typing: Any, target: Any, target_step: Any, source: Any, source_step: Any, count: Any, real: Any
) -> Any:
    """Copy `count` registers; steps between them are in values."""
    element, lanes = real_type(real.dtype), lanes_of(real.dtype)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        target, target_step, source, source_step, count, _ = arguments
        to, of = (Pointer.at(builder, address, element) for address in (target, source))
        with loop(builder, INT64(0), count, 1) as number:
            read_at, written_at = of + builder.mul(number, source_step), to + builder.mul(number, target_step)
            (read_at + INT64(_AHEAD_BYTES * 8 // real.dtype.bitwidth)).ask_for()
            (written_at + INT64(_AHEAD_BYTES * 8 // real.dtype.bitwidth)).ask_for(for_writing=True)
            written_at.store(read_at.load(lanes))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, n, n, real), generate
