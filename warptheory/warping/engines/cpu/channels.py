"""One output pixel, all its channels: the channels of a pixel are contiguous and fill the registers."""

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types

from warptheory.warping.engines.machine.compilation import intrinsic
from warptheory.warping.engines.machine.lanes import (
    INT32,
    INT64,
    Builder,
    Lanes,
    Pointer,
    Variable,
    array_pointer,
    broadcast,
    fma,
    lanes_of,
    loop,
    real_type,
    sums,
    zeros,
)


class Corners:
    """The corners of one pixel of a plan: their weights, and where their channels begin."""

    def __init__(self, context: Any, builder: Builder, kinds: Any, plan: Any, pixel: Any, dim: int) -> None:
        indices, weights, *_ = cgutils.unpack_tuple(builder, plan)
        self.builder = builder
        self.element = real_type(kinds[1].dtype)
        first = builder.mul(pixel, INT64(2**dim))
        index_array = array_pointer(context, builder, kinds[0], indices, INT32) + first
        self._weights = array_pointer(context, builder, kinds[1], weights, self.element) + first
        self._count = 2**dim
        found = [(index_array + INT64(corner)).scalar() for corner in range(2**dim)]
        self.is_empty = builder.icmp_signed("<", found[0], INT32(0))
        self.offsets = [builder.sext(index, INT64) for index in found]

    def at(self, image: Any) -> list[Pointer]:
        """Return where the corners' channels begin in an image, given by its integer address."""
        base = Pointer.at(self.builder, image, self.element)
        return [base + offset for offset in self.offsets]

    def weight_registers(self, lanes: int) -> list[Lanes]:
        """Return every weight in all lanes of a register."""
        return [
            broadcast(self.builder, (self._weights + INT64(corner)).scalar(), lanes) for corner in range(self._count)
        ]


def _in_chunks(builder: Builder, channels: Any, widths: list[int], body: Callable[[Any, Any, int], None]) -> None:
    """Emit body(start, stop, width) for the widest registers first, then for what they leave, if anything."""
    start = INT64(0)
    for width in widths:
        stop = builder.sub(channels, builder.srem(channels, INT64(width))) if width > 1 else channels
        # Even without a round of its loop, a body sets up and adds up its registers.
        with builder.if_then(builder.icmp_signed("<", start, stop)):
            body(start, stop, width)
        start = stop


def _widths(dtype: types.Float, registers: int) -> list[int]:
    lanes = lanes_of(dtype)
    return sorted({registers * lanes, lanes, max(lanes // 2, 1), 1}, reverse=True)


def _make_blend(packed: bool, add: bool = False) -> Any:
    @intrinsic
    def blend(
        typing: Any,
        target: Any,
        target_stride: Any,
        source: Any,
        source_stride: Any,
        plan: Any,
        pixel: Any,
        channels: Any,
        size: Any,
    ) -> Any:
        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
            target, target_stride, source, source_stride, parts, pixel, channels, _ = arguments
            corners = Corners(context, builder, plan, parts, pixel, dim=len(size))
            output, inputs = Pointer.at(builder, target, corners.element), corners.at(source)

            def place(channel: Any, stride: Any) -> Any:
                return channel if packed else builder.mul(channel, stride)

            def empty(start: Any, stop: Any, width: int) -> None:
                if add:
                    return
                zero = zeros(builder, corners.element, width)
                with loop(builder, start, stop, width) as channel:
                    (output + place(channel, target_stride)).store(zero)

            def mix(start: Any, stop: Any, width: int) -> None:
                factors = corners.weight_registers(width)
                with loop(builder, start, stop, width) as channel:
                    read = place(channel, source_stride)
                    spot = output + place(channel, target_stride)
                    first = (inputs[0] + read).load(width)
                    total = fma(factors[0], first, spot.load(width)) if add else factors[0] * first
                    for factor, corner in zip(factors[1:], inputs[1:], strict=True):
                        total = fma(factor, (corner + read).load(width), total)
                    spot.store(total)

            widths = _widths(plan[1].dtype, registers=2) if packed else [1]
            with builder.if_else(corners.is_empty, likely=False) as (then, otherwise):
                with then:
                    _in_chunks(builder, channels, widths, empty)
                with otherwise:
                    _in_chunks(builder, channels, widths, mix)
            return context.get_dummy_value()

        number = types.int64
        return types.void(number, number, number, number, plan, number, number, size), generate

    return blend


def _make_accumulate(packed: bool, with_image: bool, with_products: bool, with_samples: bool = False) -> Any:
    @intrinsic
    def accumulate(
        typing: Any,
        image_gradient: Any,
        image: Any,
        image_stride: Any,
        gradient: Any,
        gradient_stride: Any,
        plan: Any,
        products: Any,
        pixel: Any,
        channels: Any,
        size: Any,
    ) -> Any:
        count = 2 ** len(size)

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
            target, source, image_step, incoming, step, parts, found, pixel, channels, _ = arguments
            corners = Corners(context, builder, plan, parts, pixel, dim=len(size))
            g_pointer = Pointer.at(builder, incoming, corners.element)
            targets, sources = corners.at(target), corners.at(source)
            outputs = array_pointer(context, builder, products, found, corners.element)
            outputs = outputs + builder.mul(pixel, INT64(count))

            def place(channel: Any, stride: Any) -> Any:
                return channel if packed else builder.mul(channel, stride)

            def chunk(start: Any, stop: Any, width: int) -> None:
                factors = corners.weight_registers(width)
                zero = zeros(builder, corners.element, width)
                partial = [Variable(zero) for _ in range(count if with_products else 0)]
                with loop(builder, start, stop, width) as channel:
                    g = (g_pointer + place(channel, step)).load(width)
                    beside = place(channel, image_step)
                    sample = zero
                    for corner in range(count):
                        if with_products:
                            x = (sources[corner] + beside).load(width)
                            partial[corner].set(fma(g, x, partial[corner].get()))
                            if with_samples:
                                sample = fma(factors[corner], x, sample)
                        if with_image:
                            spot = targets[corner] + beside
                            spot.store(fma(factors[corner], g, spot.load(width)))
                    if with_samples:
                        (g_pointer + place(channel, step)).store(sample)
                if with_products:
                    outputs.store(outputs.load(count) + sums([variable.get() for variable in partial]))

            def nothing(start: Any, stop: Any, width: int) -> None:
                with loop(builder, start, stop, width) as channel:
                    (g_pointer + place(channel, step)).store(zeros(builder, corners.element, width))

            # Eight corners at double width would not fit the registers.
            widths = _widths(plan[1].dtype, registers=2 if count < 8 else 1) if packed else [1]
            with builder.if_then(builder.not_(corners.is_empty), likely=True):
                _in_chunks(builder, channels, widths, chunk)
            if with_samples:
                with builder.if_then(corners.is_empty, likely=False):
                    _in_chunks(builder, channels, widths, nothing)
            return context.get_dummy_value()

        n = types.int64
        return types.void(n, n, n, n, n, plan, products, n, n, size), generate

    return accumulate


_LINE_BYTES = 64


@intrinsic
def prefetch(typing: Any, image: Any, plan: Any, pixel: Any, channels: Any, size: Any) -> Any:
    """Ask for the cache lines of a pixel's corners, some pixels before they are needed.

    Where a pixel fills more than one line, only for the lower corners along the last axis: the upper ones
    follow in memory, and asking for them too would cost more than it saves.
    """

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        image, parts, pixel, channels, _ = arguments
        corners = Corners(context, builder, plan, parts, pixel, dim=len(size)).at(image)
        line = INT64(_LINE_BYTES * 8 // plan[1].dtype.bitwidth)
        with builder.if_else(builder.icmp_signed("<=", channels, line)) as (then, otherwise):
            with then:
                for corner in corners:
                    corner.ask_for()
            with otherwise, loop(builder, INT64(0), channels, line.constant) as channel:
                for corner in corners[::2]:
                    (corner + channel).ask_for()
        return context.get_dummy_value()

    return types.void(types.int64, plan, types.int64, types.int64, size), generate


# blend: y_c = Σₖ wₖ x_c[cornerₖ] for all channels c of a pixel. Arguments: address and channel stride of
# the output pixel and of the image; the plan, the pixel's column in it, the number of channels, the size.
blend_packed, blend_strided = _make_blend(packed=True), _make_blend(packed=False)
# The same, added to what the output pixel holds.
blend_into_packed = _make_blend(packed=True, add=True)

# accumulate: image gradient[cornerₖ] += wₖ g, and products[pixel, k] += Σ_c g_c x_c[cornerₖ], from which
# the offset gradients follow. Arguments: addresses of the image gradient and of the image, and their
# channel stride; address and channel stride of g at the pixel; the plan, products; then as for blend.
accumulate_both_packed = _make_accumulate(packed=True, with_image=True, with_products=True)
# The same, and Σₖ wₖ x_c[cornerₖ] takes the place of g.
accumulate_both_and_sample = _make_accumulate(packed=True, with_image=True, with_products=True, with_samples=True)
accumulate_image_packed = _make_accumulate(packed=True, with_image=True, with_products=False)
accumulate_products_packed = _make_accumulate(packed=True, with_image=False, with_products=True)
accumulate_both_strided = _make_accumulate(packed=False, with_image=True, with_products=True)
accumulate_image_strided = _make_accumulate(packed=False, with_image=True, with_products=False)
accumulate_products_strided = _make_accumulate(packed=False, with_image=False, with_products=True)
