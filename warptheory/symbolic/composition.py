"""The continuum: fields composed with t + ε(t), without a kernel between them, and their slopes.

`compose(x, eps)` is x∘φ, φ(t) = t + ε(t). What a warp computes on a grid approximates it; their difference is the
discretization error.
"""

from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_name
from warptheory.core.notation import latex_notation
from warptheory.symbolic._display import written
from warptheory.symbolic.input_fields import Field, GaussianField, PixelValue
from warptheory.symbolic.moved_fields import Location, MovedValue, _index_for
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.values import Argument, Index, RandomAtom, as_position, derivative_marks


class _OfComposition(MovedValue):
    """A value of a composed field: data (field that is composed, site, …, name of the composed field)."""

    field = Argument["GaussianField | ComposedField"](0)
    name = Argument[str](3)


class ComposedValue(_OfComposition):
    """The value of x∘φ, or one of its derivatives in the offset, per pixel: data (field, site, orders, name).

    The orders are those of the derivative along each axis.
    """

    orders = Argument[tuple[int, ...]](2)

    @property
    def whole(self) -> "ComposedField":
        """The composed field, or derivative of one, that it is a value of."""
        return ComposedField(self.field, self.site.offsets, self.orders, self.name)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return y[n], or ∂ᵢy[n]."""
        prefix = derivative_marks(self.orders, latex=latex)
        name = prefix + self.name
        if latex and prefix:  # the derivative of x, read at φ
            inner, circle, outer = self.name.partition("∘")
            name = rf"\left({prefix}{latex_notation(inner)}\right){latex_notation(circle + outer)}"
        return sp.Indexed(sp.IndexedBase(name), *self.site.index)


class SlopeValue(_OfComposition):
    """The slope ∂(x∘φ)/∂tⱼ of a composed field, per pixel: data (field, site, axis j, name)."""

    axis = Argument[int](2)

    @property
    def whole(self) -> "ComposedField":
        """The composed field whose slope it is."""
        return ComposedField(self.field, self.site.offsets, (0,) * self.site.offsets.dim, self.name)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return d_j y[n]."""
        name = f"d{self.axis + 1}{self.name}"
        if latex:
            name = rf"\mathrm{{d}}_{{{self.axis + 1}}}\left({latex_notation(self.name)}\right)"
        return sp.Indexed(sp.IndexedBase(name), *self.site.index)


class OffsetSlope(RandomAtom):
    """The slope ∂εᵢ/∂tⱼ of an offset field, without unit: data (offsets, i, j, position counted in pixels)."""

    offsets = Argument[OffsetField](0)
    component = Argument[int](1)
    axis = Argument[int](2)
    position = Argument[Index](3)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ∂ⱼεᵢ[n]."""
        component = "" if self.offsets.dim == 1 else f"_{self.component + 1}"
        name = written(self.offsets.name + component, latex=latex)
        mark = rf"\partial_{{{self.axis + 1}}} " if latex else f"∂{self.axis + 1}"
        return sp.Indexed(sp.IndexedBase(mark + name), *self.position)


@dataclass(frozen=True)
class ComposedField(Field):
    """The field x∘φ, φ(t) = t + ε(t), or its derivative in the offset, read as y[n] and as y(t).

    Attributes:
        field: the Gaussian field x, or another composed one.
        offsets: the offset field ε, in pixels.
        orders: order of the derivative in the offset along each axis.
        name: the name to print.
    """

    field: "GaussianField | ComposedField"
    offsets: OffsetField
    orders: tuple[int, ...]
    name: str = "x∘φ"

    def __post_init__(self) -> None:
        check_name("name", self.name)

    @property
    def base(self) -> GaussianField:
        """The innermost field."""
        return self.field if isinstance(self.field, GaussianField) else self.field.base

    @property
    def layers(self) -> tuple[OffsetField, ...]:
        """The offset fields of all layers, the outermost first, not displaced."""
        inner = self.field.layers if isinstance(self.field, ComposedField) else ()
        return (self.offsets.source, *inner)

    def __getitem__(self, index: Any) -> ComposedValue:
        return self._value(_index_for(self.offsets, index))

    def __call__(self, *point: Any) -> ComposedValue:
        """Return the value y(t) at a point, a real coordinate per axis, in units of length.

        Raises:
            ArgumentError: another number of coordinates.
        """
        return self._value(self._position(point))

    def diff(self, axis: int = 0) -> "ComposedField":
        """Return the derivative in the offset along one axis, counted from 0, per pixel.

        Raises:
            ArgumentError: the offsets have no such axis.
        """
        self._check_axis(axis)
        return replace(self, orders=tuple(order + int(i == axis) for i, order in enumerate(self.orders)))

    def slope(self, axis: int = 0) -> "ComposedSlope":
        """Return the derivative ∂y/∂tⱼ along an axis of space, counted from 0, per unit of length.

        Raises:
            ArgumentError: no such axis, or a derivative in the offset.
        """
        self._check_axis(axis)
        if any(self.orders):
            raise ArgumentError("field", expected="the composed field itself", received="a derivative in the offset")
        return ComposedSlope(self, axis)

    def _check_axis(self, axis: int) -> None:
        if axis not in range(self.offsets.dim):
            raise ArgumentError("axis", expected=f"an axis in 0 … {self.offsets.dim - 1}", received=axis)

    def _position(self, point: tuple[Any, ...]) -> Index:
        position = as_position("point", point, self.base.spacing)
        if len(position) not in (1, self.offsets.dim):
            raise ArgumentError("point", expected=f"1 or {self.offsets.dim} coordinates", received=point)
        return position

    def _value(self, position: Index) -> ComposedValue:
        return ComposedValue(self.field, Location(self.offsets, position), self.orders, self.name)


@dataclass(frozen=True)
class ComposedSlope(Field):
    """The derivative of a composed field along an axis of space.

    Attributes:
        field: the composed field.
        axis: the axis, counted from 0.
    """

    field: ComposedField
    axis: int

    def __getitem__(self, index: Any) -> sp.Expr:
        return self._value(_index_for(self.field.offsets, index))

    def __call__(self, *point: Any) -> sp.Expr:
        """Return the value at a point, a real coordinate per axis, in units of length."""
        return self._value(self.field._position(point))

    def _value(self, position: Index) -> sp.Expr:
        site = Location(self.field.offsets, position)
        return SlopeValue(self.field.field, site, self.axis, self.field.name) / self.field.base.spacing


def compose(field: GaussianField | ComposedField, offsets: OffsetField, name: str | None = None) -> ComposedField:
    """Return y = x∘φ, φ(t) = t + ε(t), to be read as y[n] at pixels and as y(t) at points.

    Args:
        field: a Gaussian field x, or another composed field.
        offsets: the offset field ε, independent of x, in pixels; for slopes and for two points it has a covariance.
        name: the name to print; x∘φ for a field x.

    Raises:
        ArgumentError: another kind of field, no offset field, or different numbers of axes.
    """
    if not isinstance(field, GaussianField | ComposedField) or (isinstance(field, ComposedField) and any(field.orders)):
        raise ArgumentError("field", expected="a Gaussian or a composed field", received=repr(field))
    if not isinstance(offsets, OffsetField):
        raise ArgumentError("offsets", expected="an OffsetField", received=repr(offsets))
    base = field if isinstance(field, GaussianField) else field.base
    base.check_axes(offsets.dim)
    if isinstance(field, ComposedField) and offsets.name in {layer.name for layer in field.layers}:
        raise ArgumentError("offsets", expected="a name of their own for every layer", received=offsets.name)
    return ComposedField(field, offsets, (0,) * offsets.dim, name or f"{field.name}∘φ")


def is_of_continuum(atom: RandomAtom) -> bool:
    """Return whether a value is of the continuum: a composed one, a slope, or a value between pixels."""
    return isinstance(atom, _OfComposition) or (isinstance(atom, PixelValue) and not atom.is_pixel)
