"""A product of small matrices, on values that lie in the first-level cache."""

from typing import Any

from numba.core import types

from warptheory.warping.engines.machine.compilation import intrinsic
from warptheory.warping.engines.machine.lanes import (
    INT32,
    INT64,
    Builder,
    Lanes,
    Pointer,
    Variable,
    broadcast,
    choose,
    fma,
    lanes_of,
    loop,
    real_type,
    zeros,
)

ROWS = 4  # of a tile: with two registers a row, its eight sums keep both multipliers busy


@intrinsic
def multiply(
    typing: Any,
    target: Any,
    target_step: Any,
    left: Any,
    left_row: Any,
    left_inner: Any,
    right: Any,
    right_step: Any,
    rows: Any,
    inner: Any,
    columns: Any,
    adds: Any,
    real: Any,
) -> Any:
    """Compute target[i, j] = Σₖ left[i, k] right[k, j], added to what the target holds if `adds`.

    All but `left` lie row by row, steps apart; its steps are `left_row` along i and `left_inner` along k. The numbers
    of rows and of columns are multiples of `ROWS` and of a register's lanes.
    """
    element, lanes = real_type(real.dtype), lanes_of(real.dtype)

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Any:
        target_at, target_step, left_at, left_row, left_inner, right_at, right_step = arguments[:7]
        rows, inner, columns, adds, _ = arguments[7:]
        target, left, right = (Pointer.at(builder, at, element) for at in (target_at, left_at, right_at))
        adds = builder.zext(adds, INT32)

        def tile(row: Any, column: Any, registers: int) -> None:
            """Compute `ROWS` rows of so many registers."""
            numbers = [builder.add(row, INT64(number)) for number in range(ROWS)]
            factors = [left + builder.mul(number, left_row) for number in numbers]
            spots = [
                target + builder.add(builder.add(builder.mul(number, target_step), column), INT64(place * lanes))
                for number in numbers
                for place in range(registers)
            ]
            begin = choose(
                builder,
                adds,
                [lambda: [zeros(builder, element, lanes) for _ in spots], lambda: [spot.load(lanes) for spot in spots]],
            )
            sums = [Variable(register) for register in begin]
            with loop(builder, INT64(0), inner, 1) as place:
                beside = right + builder.add(builder.mul(place, right_step), column)
                loaded: list[Lanes] = [(beside + INT64(number * lanes)).load(lanes) for number in range(registers)]
                for number, factor in enumerate(factors):
                    value = broadcast(builder, (factor + builder.mul(place, left_inner)).scalar(), lanes)
                    for position, register in enumerate(loaded):
                        variable = sums[number * registers + position]
                        variable.set(fma(value, register, variable.get()))
            for spot, variable in zip(spots, sums, strict=True):
                spot.store(variable.get())

        whole = builder.sub(columns, builder.srem(columns, INT64(2 * lanes)))
        for start, stop, registers in ((INT64(0), whole, 2), (whole, columns, 1)):
            with loop(builder, start, stop, registers * lanes) as column, loop(builder, INT64(0), rows, ROWS) as row:
                tile(row, column, registers)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 10, types.boolean, real), generate
