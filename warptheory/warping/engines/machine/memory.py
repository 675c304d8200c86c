"""Memory at an address, which numba's own arrays do not reach: tensors, single values, zeros, counters, a call."""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from warptheory.warping.engines.machine.compilation import callee, intrinsic
from warptheory.warping.engines.machine.lanes import INT8, INT32, INT64, Builder, Lanes, Pointer, real_type


class StridedValues(NamedTuple):
    """A tensor in memory: the address of its first value, and its strides in values.

    Strides are (image, channel, *axes) for images, (image, channel, pixel) for what lives on the output
    grid of a warp, and (image, group, axis, pixel) for offsets and their gradients.
    """

    address: int
    strides: tuple[int, ...]


@callee
def start_of(array: Any) -> Any:
    """Return the address of an array's first value."""
    return np.int64(array.ctypes.data)


@intrinsic
def as_pointer(typing: Any, address: Any) -> Any:
    """Return an address as a C pointer."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@intrinsic
def count_up(typing: Any, pointer: Any, place: Any) -> Any:
    """Add one to the integer number `place` behind a C pointer, undivided, and return what it was."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        counter = Pointer.at(builder, builder.ptrtoint(arguments[0], INT64), INT64) + arguments[1]
        return builder.atomic_rmw("add", counter.address, INT64(1), "monotonic")

    return types.int64(types.voidptr, types.int64), generate


@intrinsic
def read(typing: Any, address: Any, real: Any) -> Any:
    """Return the value at an address."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        return Pointer.at(builder, arguments[0], real_type(real.dtype)).scalar()

    return real.dtype(types.int64, real), generate


@intrinsic
def write(typing: Any, address: Any, value: Any, real: Any) -> Any:
    """Store a value at an address."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        value = context.cast(builder, arguments[1], signature.args[1], real.dtype)
        Pointer.at(builder, arguments[0], real_type(real.dtype)).store(Lanes(builder, value))
        return context.get_dummy_value()

    return types.void(types.int64, value, real), generate


@intrinsic
def clear(typing: Any, address: Any, count: Any, real: Any) -> Any:
    """Set `count` values to zero."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        address, count, _ = arguments
        pointer = Pointer.at(builder, address, INT8)
        cgutils.memset(builder, pointer.address, builder.mul(count, INT64(real.dtype.bitwidth // 8)), 0)
        return context.get_dummy_value()

    return types.void(types.int64, count, real), generate


@intrinsic
def copy(typing: Any, target: Any, source: Any, count: Any, real: Any) -> Any:
    """Copy `count` values from one address to another; the two ranges do not overlap."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        target, source, count, _ = arguments
        size = builder.mul(count, INT64(real.dtype.bitwidth // 8))
        cgutils.raw_memcpy(builder, *(Pointer.at(builder, at, INT8).address for at in (target, source)), size, 1)
        return context.get_dummy_value()

    return types.void(target, source, count, real), generate


@intrinsic
def call_for_number(typing: Any, address: Any) -> Any:
    """Call the C function int f(void) at an address."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(INT32, [])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        return builder.sext(builder.call(function, []), INT64)

    return types.int64(types.int64), generate
