"""Between planes and packed pixels: transposes of small blocks, in registers.

Images whose channels lie in separate planes are packed channel block by channel block into a scratch
that fits the cache, so that the kernels see the channels of a pixel side by side.
"""

from typing import Any

from llvmlite import ir
from numba.core import types

from warptheory.warping.engines.machine.compilation import intrinsic
from warptheory.warping.engines.machine.lanes import INT32, INT64, Builder, Lanes, Pointer, lanes_of, loop, real_type

_GROUP_BYTES = 16  # shuffles inside 16 bytes are the cheap ones on every vector unit


def _zip(left: Lanes, right: Lanes, group: int, upper: bool) -> Lanes:
    """Interleave the lower or upper halves of each group of lanes of two registers."""
    count = left.value.type.count
    mask = []
    for start in range(0, count, group):
        half = start + (group // 2 if upper else 0)
        for lane in range(half, half + group // 2):
            mask += [lane, lane + count]
    return _shuffle(left, right, mask)


def _shuffle(left: Lanes, right: Lanes, mask: list[int]) -> Lanes:
    constant = ir.Constant(ir.VectorType(INT32, len(mask)), mask)
    return Lanes(left.builder, left.builder.shuffle_vector(left.value, right.value, constant))


def transposed(rows: list[Lanes], bits: int) -> list[Lanes]:
    """Transpose a square block of registers; `bits` is the width of a lane."""
    count = len(rows)
    group = min(_GROUP_BYTES * 8 // bits, count)
    # Inside the groups: log₂(group) perfect shuffles of the rows of each block of `group` rows.
    size = 1
    while size < group:
        for start in range(0, count, group):
            block = rows[start : start + group]
            pairs = list(zip(block[: group // 2], block[group // 2 :], strict=True))
            rows[start : start + group] = [_zip(a, b, group, upper) for a, b in pairs for upper in (False, True)]
        size *= 2
    # Between the groups: exchange off-diagonal blocks, of ever larger size.
    while size < count:
        for row in range(count):
            if not row & size:
                upper, lower = rows[row], rows[row + size]
                first = [lane if not lane & size else lane - size + count for lane in range(count)]
                second = [lane + size if not lane & size else lane + count for lane in range(count)]
                rows[row], rows[row + size] = _shuffle(upper, lower, first), _shuffle(upper, lower, second)
        size *= 2
    return rows


class Planes:
    """The planes of a block of channels; of those beyond the last channel nothing is read or written."""

    def __init__(self, builder: Builder, base: Pointer, stride: Any, channels: Any, lanes: int) -> None:
        self.builder = builder
        self.exists = [builder.icmp_signed("<", INT64(lane), channels) for lane in range(lanes)]
        numbers = [builder.select(exists, INT64(lane), INT64(0)) for lane, exists in enumerate(self.exists)]
        self._pointers = [base + builder.mul(number, stride) for number in numbers]

    def load(self, pixel: Any, width: int) -> list[Lanes]:
        """Load `width` pixels of every plane, zeros for planes that do not exist."""
        rows = [(pointer + pixel).load(width) for pointer in self._pointers]
        return [
            Lanes(self.builder, self.builder.select(exists, row.value, row.like(0).value))
            for exists, row in zip(self.exists, rows, strict=True)
        ]

    def store(self, pixel: Any, rows: list[Lanes], add: bool) -> None:
        """Store, or add, one register to every plane that exists."""
        for exists, pointer, row in zip(self.exists, self._pointers, rows, strict=True):
            with self.builder.if_then(exists, likely=True):
                place = pointer + pixel
                place.store(row + place.load(row.value.type.count) if add else row)


@intrinsic
def pack(typing: Any, packed: Any, planes: Any, stride: Any, pixels: Any, channels: Any, real: Any) -> Any:
    """Copy `channels` planes, `stride` values apart, to packed pixels [pixels, lanes], zeros in unused lanes.

    `packed` and `planes` are addresses; `real` is an array of the dtype.
    """
    element, bits, lanes = real_type(real.dtype), real.dtype.bitwidth, lanes_of(real.dtype)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        packed, planes, stride, pixels, channels, _ = arguments
        target = Pointer.at(builder, packed, element)
        sources = Planes(builder, Pointer.at(builder, planes, element), stride, channels, lanes)
        whole = builder.sub(pixels, builder.srem(pixels, INT64(lanes)))
        with loop(builder, INT64(0), whole, lanes) as pixel:
            for number, row in enumerate(transposed(sources.load(pixel, lanes), bits)):
                (target + builder.mul(builder.add(pixel, INT64(number)), INT64(lanes))).store(row)
        with loop(builder, whole, pixels, 1) as pixel:
            for lane, value in enumerate(sources.load(pixel, 1)):
                (target + builder.add(builder.mul(pixel, INT64(lanes)), INT64(lane))).store(value)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, stride, pixels, channels, real), generate


def _make_unpack(add: bool) -> Any:
    @intrinsic
    def unpack(typing: Any, planes: Any, packed: Any, stride: Any, pixels: Any, channels: Any, real: Any) -> Any:
        element, bits, lanes = real_type(real.dtype), real.dtype.bitwidth, lanes_of(real.dtype)

        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
            planes, packed, stride, pixels, channels, _ = arguments
            source = Pointer.at(builder, packed, element)
            targets = Planes(builder, Pointer.at(builder, planes, element), stride, channels, lanes)
            whole = builder.sub(pixels, builder.srem(pixels, INT64(lanes)))
            with loop(builder, INT64(0), whole, lanes) as pixel:
                places = [builder.mul(builder.add(pixel, INT64(number)), INT64(lanes)) for number in range(lanes)]
                targets.store(pixel, transposed([(source + place).load(lanes) for place in places], bits), add)
            with loop(builder, whole, pixels, 1) as pixel:
                start = source + builder.mul(pixel, INT64(lanes))
                targets.store(pixel, [(start + INT64(lane)).load(1) for lane in range(lanes)], add)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, stride, pixels, channels, real), generate

    return unpack


# unpack(planes, packed, stride, pixels, channels, real) goes back; unpack_add adds to what the planes hold.
unpack, unpack_add = _make_unpack(add=False), _make_unpack(add=True)
