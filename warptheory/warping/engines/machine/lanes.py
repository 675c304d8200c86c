"""Explicit vectors for numba: a value here is a register of lanes while machine code is generated.

numba's own loops are vectorised by guesswork and, measured on the kernels of this room, come out two
to four times slower than registers that are named. So the inner loops are written as ordinary Python
over `Lanes`: running that Python once, when numba compiles the surrounding function, emits the LLVM
instructions. Loops over corners and axes of a kernel are Python loops and therefore unrolled.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types

Builder = Any
INT8, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_REAL = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
_WIDTH = {"float": 32, "double": 64}


def real_type(dtype: types.Float) -> ir.Type:
    """Return the LLVM type of a numba floating type."""
    return _REAL[dtype]


def register_bytes() -> int:
    """Return the size of the widest vector register of this machine: 64 with AVX-512, else 32."""
    return 64 if binding.get_host_cpu_features().get("avx512f", False) else 32


def lanes_of(dtype: types.Float) -> int:
    """Return how many values of a type fill a register."""
    return register_bytes() * 8 // dtype.bitwidth


@dataclass(frozen=True)
class Lanes:
    """A register: `value` is an LLVM vector (or scalar) of floats, of integers, or of bits (a mask)."""

    builder: Builder
    value: Any

    @property
    def element(self) -> ir.Type:
        """LLVM type of one lane."""
        return self.value.type.element if isinstance(self.value.type, ir.VectorType) else self.value.type

    @property
    def is_float(self) -> bool:
        """Whether the lanes are floating point."""
        return isinstance(self.element, ir.FloatType | ir.DoubleType)

    def like(self, constant: int | float) -> "Lanes":
        """Return a constant in every lane, of this register's type."""
        number = float(constant) if self.is_float else int(constant)
        if isinstance(self.value.type, ir.VectorType):
            return Lanes(self.builder, ir.Constant(self.value.type, [number] * self.value.type.count))
        return Lanes(self.builder, ir.Constant(self.value.type, number))

    def _of(self, other: "Lanes | int | float") -> "Lanes":
        return other if isinstance(other, Lanes) else self.like(other)

    def _apply(self, name: str, other: "Lanes | int | float") -> "Lanes":
        instruction = getattr(self.builder, ("f" if self.is_float else "") + name)
        return Lanes(self.builder, instruction(self.value, self._of(other).value))

    def __add__(self, other: "Lanes | int | float") -> "Lanes":
        return self._apply("add", other)

    def __sub__(self, other: "Lanes | int | float") -> "Lanes":
        return self._apply("sub", other)

    def __rsub__(self, other: int | float) -> "Lanes":
        return self._of(other) - self

    def __mul__(self, other: "Lanes | int | float") -> "Lanes":
        return self._apply("mul", other)

    def __and__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.and_(self.value, other.value))

    def __or__(self, other: "Lanes") -> "Lanes":
        return Lanes(self.builder, self.builder.or_(self.value, other.value))

    def __truediv__(self, other: "Lanes | int | float") -> "Lanes":
        return self._apply("div", other)

    def negated(self) -> "Lanes":
        """Return the negative of floats."""
        return Lanes(self.builder, self.builder.fneg(self.value))

    def _compare(self, relation: str, other: "Lanes | int | float") -> "Lanes":
        compare = self.builder.fcmp_ordered if self.is_float else self.builder.icmp_signed
        return Lanes(self.builder, compare(relation, self.value, self._of(other).value))

    def __lt__(self, other: "Lanes | int | float") -> "Lanes":
        return self._compare("<", other)

    def __ge__(self, other: "Lanes | int | float") -> "Lanes":
        return self._compare(">=", other)

    def __gt__(self, other: "Lanes | int | float") -> "Lanes":
        return self._compare(">", other)

    def equals(self, other: "Lanes | int | float") -> "Lanes":
        """Return the mask of equal lanes."""
        return self._compare("==", other)

    def where(self, mask: "Lanes", otherwise: "Lanes | int | float") -> "Lanes":
        """Keep the lanes of the mask, take `otherwise` in the others."""
        return Lanes(self.builder, self.builder.select(mask.value, self.value, self._of(otherwise).value))

    def minimum(self, other: "Lanes | int | float") -> "Lanes":
        """Return the smaller of each pair of lanes."""
        return self.where(self < other, other)

    def maximum(self, other: "Lanes | int | float") -> "Lanes":
        """Return the larger of each pair of lanes."""
        return self.where(self > other, other)

    def converted(self, element: ir.Type) -> "Lanes":
        """Convert integers to a float type, or floats to an integer type (towards zero)."""
        is_vector = isinstance(self.value.type, ir.VectorType)
        target = ir.VectorType(element, self.value.type.count) if is_vector else element
        instruction = self.builder.fptosi if self.is_float else self.builder.sitofp
        return Lanes(self.builder, instruction(self.value, target))

    def floor(self) -> "Lanes":
        """Round every lane down."""
        return call("floor", self)

    def absolute(self) -> "Lanes":
        """Return the absolute value of every lane."""
        return call("fabs", self)


def call(name: str, *operands: Lanes) -> Lanes:
    """Call an LLVM intrinsic whose operands and result are of one type, such as `floor` or `fma`."""
    first = operands[0]
    function_type = ir.FunctionType(first.value.type, [first.value.type] * len(operands))
    symbol = f"llvm.{name}.{_suffix(first.value.type)}"
    function = cgutils.get_or_insert_function(first.builder.module, function_type, symbol)
    return Lanes(first.builder, first.builder.call(function, [operand.value for operand in operands]))


def fma(factor: Lanes, other: Lanes, summand: Lanes) -> Lanes:
    """Return factor·other + summand, rounded once."""
    return call("fma", factor, other, summand)


def broadcast(builder: Builder, scalar: Any, lanes: int) -> Lanes:
    """Fill a register with one value."""
    vector = ir.VectorType(scalar.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, INT32(0))
    mask = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
    return Lanes(builder, builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), mask))


def zeros(builder: Builder, element: ir.Type, lanes: int) -> Lanes:
    """Return a register of zeros of a floating type."""
    return broadcast(builder, ir.Constant(element, 0.0), lanes)


def ramp(builder: Builder, lanes: int) -> Lanes:
    """Return the integers 0, 1, 2, …, one a lane."""
    return Lanes(builder, ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes))))


@dataclass(frozen=True)
class Pointer:
    """An address of values of one type, moved in units of that type."""

    builder: Builder
    address: Any
    element: ir.Type

    @classmethod
    def at(cls, builder: Builder, integer: Any, element: ir.Type) -> "Pointer":
        """Build from an address held in an integer."""
        return cls(builder, builder.inttoptr(integer, ir.PointerType()), element)

    def __add__(self, count: Any) -> "Pointer":
        moved = self.builder.gep(self.address, [count], source_etype=self.element)
        return Pointer(self.builder, moved, self.element)

    @property
    def _alignment(self) -> int:
        return _WIDTH.get(str(self.element), 32) // 8

    def scalar(self) -> Any:
        """Load one value."""
        return self.builder.load(self.address, typ=self.element, align=self._alignment)

    def load(self, lanes: int) -> Lanes:
        """Load a register; the address need not be aligned."""
        vector = ir.VectorType(self.element, lanes)
        return Lanes(self.builder, self.builder.load(self.address, typ=vector, align=self._alignment))

    def load_interleaved(self, lanes: int, count: int) -> list[Lanes]:
        """Load `lanes` successive groups of `count` values, one register for each place in the group."""
        together = self.load(lanes * count)
        undefined = ir.Constant(together.value.type, ir.Undefined)
        masks = [
            ir.Constant(ir.VectorType(INT32, lanes), list(range(place, lanes * count, count))) for place in range(count)
        ]
        shuffle = self.builder.shuffle_vector
        return [Lanes(self.builder, shuffle(together.value, undefined, mask)) for mask in masks]

    def store_interleaved(self, registers: "Sequence[Lanes]") -> None:
        """Store lane by lane the values of several registers; their number is a power of two."""
        together = _concatenated(list(registers))
        lanes, count = registers[0].value.type.count, len(registers)
        mask = [number * lanes + lane for lane in range(lanes) for number in range(count)]
        constant = ir.Constant(ir.VectorType(INT32, lanes * count), mask)
        undefined = ir.Constant(together.value.type, ir.Undefined)
        self.store(Lanes(self.builder, self.builder.shuffle_vector(together.value, undefined, constant)))

    def ask_for(self, for_writing: bool = False) -> None:
        """Ask for the cache line; nothing is read, the address need not exist."""
        kind = ir.FunctionType(ir.VoidType(), [ir.PointerType(), INT32, INT32, INT32])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        self.builder.call(function, [self.address, INT32(int(for_writing)), INT32(3), INT32(1)])

    def store(self, register: Lanes) -> None:
        """Store a register, or a scalar."""
        self.builder.store(register.value, self.address, align=self._alignment)


def _concatenated(registers: list[Lanes]) -> Lanes:
    """Return registers, a power of two of them, side by side in one."""
    while len(registers) > 1:
        count = 2 * registers[0].value.type.count
        mask = ir.Constant(ir.VectorType(INT32, count), list(range(count)))
        shuffle = registers[0].builder.shuffle_vector
        registers = [
            Lanes(left.builder, shuffle(left.value, right.value, mask))
            for left, right in zip(registers[::2], registers[1::2], strict=True)
        ]
    return registers[0]


class Variable:
    """A register that is assigned more than once, as in a loop."""

    def __init__(self, initial: Lanes) -> None:
        self._builder, self._kind = initial.builder, initial.value.type
        self._slot = cgutils.alloca_once(self._builder, self._kind)
        self.set(initial)

    def get(self) -> Lanes:
        """Return the present value."""
        return Lanes(self._builder, self._builder.load(self._slot, typ=self._kind))

    def set(self, register: Lanes) -> None:
        """Assign a value."""
        self._builder.store(register.value, self._slot)


def load_strided(pointer: Pointer, start: Any, count: Any, stride: Any, lanes: int) -> Lanes:
    """Load values number start, start + 1, … of `count` that lie `stride` apart; none beyond the last is read."""
    builder, is_plain = pointer.builder, _is_plain(pointer.builder, start, count, stride, lanes)

    def one_by_one() -> list[Lanes]:
        vector = ir.Constant(ir.VectorType(pointer.element, lanes), ir.Undefined)
        last = builder.sub(count, INT64(1))
        for lane in range(lanes):
            number = builder.add(start, INT64(lane))
            number = builder.select(builder.icmp_signed("<", number, last), number, last)
            value = (pointer + builder.mul(number, stride)).scalar()
            vector = builder.insert_element(vector, value, INT32(lane))
        return [Lanes(builder, vector)]

    (loaded,) = choose(builder, builder.zext(is_plain, INT32), [one_by_one, lambda: [(pointer + start).load(lanes)]])
    return loaded


def store_strided(pointer: Pointer, start: Any, count: Any, stride: Any, register: Lanes) -> None:
    """Store values number start, start + 1, … of `count`, `stride` apart; none beyond the last is written."""
    builder, lanes = pointer.builder, register.value.type.count
    with builder.if_else(_is_plain(builder, start, count, stride, lanes)) as (then, otherwise):
        with then:
            (pointer + start).store(register)
        with otherwise:
            for lane in range(lanes):
                number = builder.add(start, INT64(lane))
                with builder.if_then(builder.icmp_signed("<", number, count)):
                    value = Lanes(builder, builder.extract_element(register.value, INT32(lane)))
                    (pointer + builder.mul(number, stride)).store(value)


def _is_plain(builder: Builder, start: Any, count: Any, stride: Any, lanes: int) -> Any:
    """Return whether values from number `start` on fill a register and lie side by side."""
    stop = builder.add(start, INT64(lanes))
    return builder.and_(builder.icmp_signed("<=", stop, count), builder.icmp_signed("==", stride, INT64(1)))


def _suffix(kind: ir.Type) -> str:
    """Return the suffix of an intrinsic's name, such as v8f32."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_suffix(kind.element)}"
    return f"i{kind.width}" if isinstance(kind, ir.IntType) else f"f{_WIDTH[str(kind)]}"


@contextmanager
def loop(builder: Builder, start: Any, stop: Any, step: int) -> Iterator[Any]:
    """Emit `for i in range(start, stop, step)`; yields i."""
    with cgutils.for_range_slice(builder, start, stop, INT64(step)) as (index, _):
        yield index


def array_pointer(context: Any, builder: Builder, kind: types.Array, array: Any, element: ir.Type) -> Pointer:
    """Return the address of a numba array's first value."""
    typed = context.make_array(kind)(context, builder, array).data
    # llvmlite checks the pointee of typed pointers; the way over an integer forgets it.
    return Pointer.at(builder, builder.ptrtoint(typed, INT64), element)


def choose(builder: Builder, selector: Any, branches: Sequence[Callable[[], Sequence[Lanes]]]) -> list[Lanes]:
    """Emit a switch on an integer: run branch number `selector` and return its registers."""
    after = builder.append_basic_block("chosen")
    blocks = [builder.append_basic_block("branch") for _ in branches]
    switch = builder.switch(selector, blocks[-1])
    for number, block in enumerate(blocks[:-1]):
        switch.add_case(ir.Constant(selector.type, number), block)
    outcomes = []
    for block, branch in zip(blocks, branches, strict=True):
        builder.position_at_end(block)
        registers = list(branch())
        outcomes.append((builder.block, registers))
        builder.branch(after)
    builder.position_at_end(after)
    merged = []
    for position, first in enumerate(outcomes[0][1]):
        phi = builder.phi(first.value.type)
        for block, registers in outcomes:
            phi.add_incoming(registers[position].value, block)
        merged.append(Lanes(builder, phi))
    return merged


def sums(registers: Sequence[Lanes]) -> Lanes:
    """Return the sum of each register's lanes: as many lanes as there are registers, a power of two.

    Neighbouring lanes are added until one is left per register, all registers at once.
    """
    if registers[0].value.type.count < len(registers):
        return _gathered([_folded(register, 1) for register in registers])
    found = list(registers)
    while len(found) > 1:
        found = [_add_neighbours(left, right) for left, right in zip(found[::2], found[1::2], strict=True)]
    return _folded(found[0], len(registers))


def _folded(register: Lanes, count: int) -> Lanes:
    while register.value.type.count > count:
        register = _add_neighbours(register, None)
    return register


def _gathered(registers: Sequence[Lanes]) -> Lanes:
    builder = registers[0].builder
    vector = ir.Constant(ir.VectorType(registers[0].element, len(registers)), ir.Undefined)
    for number, register in enumerate(registers):
        lane = builder.extract_element(register.value, INT32(0))
        vector = builder.insert_element(vector, lane, INT32(number))
    return Lanes(builder, vector)


def _add_neighbours(left: Lanes, right: Lanes | None) -> Lanes:
    builder = left.builder
    count = left.value.type.count if right is not None else left.value.type.count // 2
    other = ir.Constant(left.value.type, ir.Undefined) if right is None else right.value
    masks = [ir.Constant(ir.VectorType(INT32, count), list(range(first, 2 * count, 2))) for first in (0, 1)]
    even, odd = (Lanes(builder, builder.shuffle_vector(left.value, other, mask)) for mask in masks)
    return even + odd
