"""What the operator makes of fields: warped and splatted ones, and their values."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_name
from warptheory.core.notation import latex_notation
from warptheory.core.presented import brief
from warptheory.fields import CovarianceFunction
from warptheory.kernels import Kernel
from warptheory.symbolic.input_fields import Field, InputField
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.values import Argument, Index, RandomAtom, as_index, derivative_marks


@dataclass(frozen=True)
class Location:
    """Where a field is read: pixel n, or a position counted in pixels, displaced by offsets."""

    offsets: OffsetField
    index: Index

    def __str__(self) -> str:
        return f"{self.offsets}/{self.index}"


@dataclass(frozen=True)
class Site(Location):
    """Where and how a field is read or written: through a kernel."""

    kernel: Kernel

    def __str__(self) -> str:
        return f"{self.offsets}/{self.kernel}/{self.index}"


class MovedValue(RandomAtom):
    """A value of a field that offsets have moved: data (input field, site, …).

    The site is where it is read, or arrives: the pixel and the offsets.
    """

    field = Argument[Field](0)
    site = Argument[Location](1)


class KernelledValue(MovedValue):
    """A value that a kernel has made, which is of its site too: data (input field, site, …)."""

    site = Argument[Site](1)


class SampledValue(KernelledValue):
    """The value y[n] of a warped field, or a derivative in the offset: data (input field, site, orders, name, knot).

    The orders are those of the derivative along each axis; `knot` says which one holds at a knot of the kernel:
    "right", "left" or "central".
    """

    orders = Argument[tuple[int, ...]](2)
    name = Argument[str](3)
    knot = Argument[str](4)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return y[n], or ∂ᵢy[n]; a derivative that is not the right-hand one is marked ∂⁻ or ∂°."""
        mark = {"right": "", "left": "^{-}" if latex else "⁻", "central": r"^{\circ}" if latex else "°"}[self.knot]
        prefix = derivative_marks(self.orders, mark, latex=latex)
        name = latex_notation(self.name) if latex and prefix else self.name
        return sp.Indexed(sp.IndexedBase(prefix + name), *self.site.index)


class SplatValue(KernelledValue):
    """The value (Wᵀg)[m] of a splatted field: data (input field, site, name)."""

    name = Argument[str](2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return z[m]."""
        return sp.Indexed(sp.IndexedBase(self.name), *self.site.index)


@dataclass(frozen=True)
class WarpedField(Field):
    """The warped field y = Wx, or its derivative ∂ᵢWx in the offset, indexed as y[n].

    Attributes:
        field: the input field x.
        offsets: the offset field ε.
        kernel: the interpolation kernel.
        orders: order of the derivative along each axis; all zero for y itself.
        name: the name to print.
        knot: which derivative holds at a knot of the kernel: "right", "left" or "central".
    """

    field: Field
    offsets: OffsetField
    kernel: Kernel
    orders: tuple[int, ...]
    name: str = "y"
    knot: str = "right"

    def __post_init__(self) -> None:
        check_name("name", self.name)

    def _parts(self) -> Iterable[str]:
        return [repr(self.name), brief(self.field, 40), brief(self.offsets, 40), f"kernel={self.kernel.name!r}"]

    def __getitem__(self, index: Any) -> SampledValue:
        site = Site(self.offsets, _index_for(self.offsets, index), self.kernel)
        return SampledValue(self.field, site, self.orders, self.name, self.knot)

    def diff(self, axis: int = 0, knot: str | None = None) -> "WarpedField":
        """Return the derivative in the offset along one axis, counted from 0.

        Args:
            axis: the axis i.
            knot: which derivative holds at a knot; by default as this field has it.

        Raises:
            ArgumentError: the offsets have no such axis, or an unknown side.
        """
        if axis not in range(self.offsets.dim):
            raise ArgumentError("axis", expected=f"an axis in 0 … {self.offsets.dim - 1}", received=axis)
        side = self.knot if knot is None else knot
        if side not in ("right", "left", "central"):
            raise ArgumentError("knot", expected="right, left or central", received=repr(side))
        orders = tuple(order + int(i == axis) for i, order in enumerate(self.orders))
        return replace(self, orders=orders, knot=side)


@dataclass(frozen=True)
class SplattedField(Field):
    """The splatted field z = Wᵀg, the adjoint of warping, indexed as z[m].

    Attributes:
        field: the field g that is splatted.
        offsets: the offset field ε.
        kernel: the interpolation kernel.
        name: the name to print.
    """

    field: Field
    offsets: OffsetField
    kernel: Kernel
    name: str = "z"

    def __post_init__(self) -> None:
        check_name("name", self.name)

    def _parts(self) -> Iterable[str]:
        return [repr(self.name), brief(self.field, 40), brief(self.offsets, 40), f"kernel={self.kernel.name!r}"]

    def __getitem__(self, index: Any) -> SplatValue:
        return SplatValue(self.field, Site(self.offsets, _index_for(self.offsets, index), self.kernel), self.name)


def symbols_in(part: Any) -> set[sp.Symbol]:
    """Return the symbols of everything that a value, a field or a place is made of; those of offsets are their own."""
    if isinstance(part, RandomAtom):
        return symbols_in(part.data)
    if isinstance(part, sp.Basic):
        return set(part.free_symbols)
    if isinstance(part, tuple):
        return set().union(*map(symbols_in, part))
    if isinstance(part, OffsetField):
        return part.parameter_symbols | set(part.symbols)
    if isinstance(part, CovarianceFunction):
        return part.free_symbols
    if isinstance(part, Kernel) or not is_dataclass(part):
        return set()
    return set().union(*(symbols_in(getattr(part, known.name)) for known in fields(part)))


def input_field(value: RandomAtom) -> InputField:
    """Return the field that a value is made of."""
    field: Any = value.field
    while not isinstance(field, InputField):
        field = field.field
    return field


def _index_for(offsets: OffsetField, index: Any) -> Index:
    """Return the pixel with one coordinate per axis; one symbol or number n alone is (n, 0, …)."""
    position = as_index(index)
    if len(position) not in (1, offsets.dim):
        raise ArgumentError("index", expected=f"one symbol or {offsets.dim} integers", received=index)
    return position
