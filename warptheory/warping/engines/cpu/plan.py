"""Where a block of output pixels reads, and with which weights: the linear kernel, once per pixel.

A plan is worked out for a block of pixels before any channel is touched, so that its cost is shared by
all channels. With d axes every pixel has 2ᵈ corners; corner number k takes the upper of its two pixels
along axis i where bit d−1−i of k is set (the last axis runs fastest).
"""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from warptheory.warping.engines.machine.compilation import intrinsic
from warptheory.warping.engines.machine.lanes import (
    INT32,
    INT64,
    Builder,
    Lanes,
    Pointer,
    array_pointer,
    broadcast,
    choose,
    fma,
    lanes_of,
    load_strided,
    loop,
    ramp,
    real_type,
    store_strided,
)
from warptheory.warping.reference import WILD

# The boundary rules that the loops know, in the order of every switch.
BOUNDARIES = ("zeros", "border", "reflect", "periodic", "mirror")
# Rows of the per-axis part of a plan: weights of the lower and upper pixel, and their derivatives.
AXIS_ROWS = 4
NOTHING = -1


@intrinsic
def plan_line(
    typing: Any,
    plan: Any,
    first: Any,
    count: Any,
    position: Any,
    pace: Any,
    offsets: Any,
    offset_stride: Any,
    size: Any,
    strides: Any,
    orders: Any,
    boundary: Any,
) -> Any:
    """Plan `count` successive pixels of one line of the output, into the columns of a plan from `first` on.

    `plan` is the tuple (indices int32[N, 2ᵈ], weights real[N, 2ᵈ], lines int32[2, N]), with axes
    real[4d, N] as a fourth where gradients are wanted; up to a register more than `count` columns are
    written. `position` holds the coordinates from which the first pixel's offset counts, `pace` the step along the
    last axis to those of the next one; `offsets` the address of its offset along each axis, `offset_stride` the step
    to the next pixel's; `size` and `strides` are the image's, in pixels and in values. Along an axis of order 1 in
    `orders` the derivative takes the place of the weight. Index `NOTHING` at corner 0 marks a position that reads
    nothing; `lines` receives the two pixels along axis 0.
    """
    dim = len(size)
    real = real_type(plan[1].dtype)
    lanes = lanes_of(plan[1].dtype)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        parts = cgutils.unpack_tuple(builder, arguments[0])
        first, count, pace, offset_stride, boundary = (arguments[place] for place in (1, 2, 4, 6, 10))
        position, offsets, size, strides, orders = (
            cgutils.unpack_tuple(builder, arguments[place]) for place in (3, 5, 7, 8, 9)
        )
        kinds = signature.args[0]
        row_length = cgutils.unpack_tuple(builder, context.make_array(kinds[2])(context, builder, parts[2]).shape)[1]
        arrays = [
            array_pointer(context, builder, kind, part, INT32 if kind.dtype == types.int32 else real)
            for kind, part in zip(kinds, parts, strict=True)
        ]

        def narrow(value: Any) -> Lanes:
            return broadcast(builder, builder.trunc(value, INT32), lanes)

        with loop(builder, INT64(0), count, lanes) as start:
            planned = []
            for axis in range(dim):
                coordinate = narrow(position[axis])
                if axis == dim - 1:
                    coordinate = coordinate + (narrow(start) + ramp(builder, lanes)) * narrow(pace)
                pointer = Pointer.at(builder, offsets[axis], real)
                offset = load_strided(pointer, start, count, offset_stride, lanes)
                part = _plan_axis(coordinate, offset, narrow(size[axis]), boundary)
                planned.append(part.differentiated_if(builder.icmp_signed(">", orders[axis], INT64(0))))

            column = builder.add(first, start)

            def rows(array: int) -> Rows:
                return lambda number: arrays[array] + builder.add(builder.mul(row_length, INT64(number)), column)

            for number, pixel in enumerate(planned[0].pixels):
                rows(2)(number).store(pixel)
            if len(kinds) > 3:
                _store_axes(planned, axes=rows(3))
            indices, weights = _corners(planned, [narrow(stride) for stride in strides])
            place = builder.mul(column, INT64(2**dim))
            (arrays[0] + place).store_interleaved(indices)
            (arrays[1] + place).store_interleaved(weights)
        return context.get_dummy_value()

    kinds = (plan, first, count, position, pace, offsets, offset_stride, size, strides, orders, boundary)
    return types.void(*kinds), generate


Rows = Callable[[int], Pointer]


def _store_axes(planned: "list[AxisPlan]", axes: Rows) -> None:
    for axis, part in enumerate(planned):
        for number, register in enumerate((*part.weights, *part.slopes)):
            axes(AXIS_ROWS * axis + number).store(register)


def _corners(planned: "list[AxisPlan]", strides: list[Lanes]) -> tuple[list[Lanes], list[Lanes]]:
    """Return the index and the weight of every corner."""
    dim = len(planned)
    empty = functools.reduce(operator.or_, (part.is_empty for part in planned))
    indices, weights = [], []
    for corner in range(2**dim):
        sides = [corner >> (dim - 1 - axis) & 1 for axis in range(dim)]
        chosen = list(zip(planned, sides, strict=True))
        terms = [part.pixels[side] * stride for (part, side), stride in zip(chosen, strides, strict=True)]
        indices.append(functools.reduce(operator.add, terms))
        weights.append(functools.reduce(operator.mul, [part.weights[side] for part, side in chosen]))
    indices[0] = indices[0].like(NOTHING).where(empty, indices[0])
    return indices, weights


@dataclass(frozen=True)
class AxisPlan:
    """The lower and the upper pixel along one axis, their weights and the derivatives of these.

    `is_empty` masks positions where neither pixel exists.
    """

    pixels: tuple[Lanes, Lanes]
    weights: tuple[Lanes, Lanes]
    slopes: tuple[Lanes, Lanes]
    is_empty: Lanes

    def differentiated_if(self, condition: Any) -> "AxisPlan":
        """Put the derivatives of the weights in their place where a condition, the same for all lanes, holds."""
        chosen = [
            Lanes(weight.builder, weight.builder.select(condition, slope.value, weight.value))
            for weight, slope in zip(self.weights, self.slopes, strict=True)
        ]
        return replace(self, weights=(chosen[0], chosen[1]))


def _plan_axis(coordinate: Lanes, offset: Lanes, extent: Lanes, boundary: Any) -> AxisPlan:
    tame = offset.absolute() < WILD  # also false for NaN
    finite = offset.where(tame, 0.0)
    whole = finite.floor()
    fraction = finite - whole
    base = coordinate + whole.converted(INT32)
    edge = (extent - 1).where(offset > 0.0, 0)

    def zeros() -> list[Lanes]:
        lower = base.where(tame, -int(WILD))
        has_lower = (lower >= 0) & (lower < extent)
        has_upper = (lower >= -1) & (lower < extent - 1)
        # A pixel that does not exist is read at its neighbour with weight zero, so that no third
        # pixel, which may hold a NaN, has a say.
        upper = (lower + 1).where(has_upper, lower)
        lower = lower.where(has_lower, upper)
        nothing = (lower < 0) | (lower >= extent)
        safe = [register.like(0).where(nothing, register) for register in (lower, upper)]
        return [*safe, *(fraction.like(1).where(mask, 0.0) for mask in (has_lower, has_upper)), nothing]

    def clamped() -> list[Lanes]:
        start = base.where(tame, edge)
        last = extent - 1
        return inside(start.maximum(0).minimum(last), (start + 1).maximum(0).minimum(last))

    def mirrored(period: Lanes, last: Lanes) -> list[Lanes]:
        start = base.where(tame, edge)
        return inside(*(_mirror(index, extent, period, last) for index in (start, start + 1)))

    def reflected() -> list[Lanes]:
        return mirrored(extent + extent, extent + extent - 1)

    def mirrored_at_centres() -> list[Lanes]:
        last = extent + extent - 2
        return mirrored(last.maximum(1), last)

    def wrapped() -> list[Lanes]:
        start = base.where(tame, edge)
        return inside(_modulo(start, extent), _modulo(start + 1, extent))

    def inside(lower: Lanes, upper: Lanes) -> list[Lanes]:
        one = fraction.like(1)
        return [lower, upper, one, one, lower < 0]

    rules = [zeros, clamped, reflected, wrapped, mirrored_at_centres]
    lower, upper, has_lower, has_upper, is_empty = choose(offset.builder, boundary, rules)
    slope = fraction.like(1).where(tame, 0.0)
    return AxisPlan(
        pixels=(lower, upper),
        weights=((1.0 - fraction) * has_lower, fraction * has_upper),
        slopes=((slope * has_lower).negated(), slope * has_upper),
        is_empty=is_empty,
    )


def _modulo(index: Lanes, size: Lanes) -> Lanes:
    """Return index mod size in [0, size); exact, because a double holds every 32-bit integer and quotient."""
    double = ir.DoubleType()
    quotient = (index.converted(double) / size.converted(double)).floor().converted(INT32)
    remainder = index - quotient * size
    remainder = (remainder + size).where(remainder < 0, remainder)
    return (remainder - size).where(remainder >= size, remainder)


def _mirror(index: Lanes, size: Lanes, period: Lanes, last: Lanes) -> Lanes:
    """Return the pixel at an index of an axis that runs back from its end: phase `last` − m reads pixel m again."""
    phase = _modulo(index, period)
    return phase.where(phase < size, last - phase)


def _make_contraction(slopes: bool) -> Any:
    @intrinsic
    def contraction(
        typing: Any, plan: Any, products: Any, count: Any, targets: Any, target_stride: Any, size: Any
    ) -> Any:
        dim = len(size)
        real, lanes = real_type(plan[1].dtype), lanes_of(plan[1].dtype)

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
            parts, products, count, targets, target_stride, _ = arguments
            kind, part = signature.args[0][3], cgutils.unpack_tuple(builder, parts)[3]
            axes = array_pointer(context, builder, kind, part, real)
            row_length = cgutils.unpack_tuple(builder, context.make_array(kind)(context, builder, part).shape)[1]
            source = array_pointer(context, builder, signature.args[1], products, real)
            outputs = [Pointer.at(builder, target, real) for target in cgutils.unpack_tuple(builder, targets)]
            with loop(builder, INT64(0), count, lanes) as start:
                corners = (source + builder.mul(start, INT64(2**dim))).load_interleaved(lanes, 2**dim)
                factors = [
                    (axes + builder.add(builder.mul(row_length, INT64(number)), start)).load(lanes)
                    for number in range(AXIS_ROWS * dim)
                ]
                for axis, output in enumerate(outputs):
                    found = _contract(corners, factors, axis if slopes else None)
                    store_strided(output, start, count, target_stride, found)
            return context.get_dummy_value()

        return types.void(plan, products, count, targets, target_stride, size), generate

    return contraction


# Contract the products P_k = Σ_c g_c x_c[cornerₖ] of `count` pixels of a plan, real[N, 2ᵈ], to the offset's gradient
# ∂L/∂εᵢ = Σₖ ∂ᵢwₖ P_k for each axis, or to the one product Σ_c g_c y_c = Σₖ wₖ P_k. Arguments: the plan, the products,
# the count; the addresses of the first pixel's results, and the step to the next one's; the size.
offset_gradients, sample_products = _make_contraction(slopes=True), _make_contraction(slopes=False)


def _contract(corners: list[Lanes], factors: list[Lanes], derivative_axis: int | None) -> Lanes:
    """Contract the corners axis by axis, with the slopes along one axis, if one, and the weights along the others."""
    dim = len(factors) // AXIS_ROWS
    for axis in reversed(range(dim)):
        first = AXIS_ROWS * axis + (2 if axis == derivative_axis else 0)
        lower, upper = factors[first : first + 2]
        corners = [fma(upper, corners[i + 1], lower * corners[i]) for i in range(0, len(corners), 2)]
    return corners[0]
