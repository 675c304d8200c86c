"""The fields that are read: of independent pixels, or homogeneous and Gaussian."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_name, expression
from warptheory.core.presented import Presented, brief, field_values
from warptheory.fields import CovarianceFunction, laws
from warptheory.symbolic.values import Argument, Index, RandomAtom, as_index, as_position, parameter

MEAN = sp.Symbol("mu", real=True)
DEVIATION = sp.Symbol("sigma", positive=True)


class Field(Presented, ABC):
    """Something that has a random value at every pixel, read as y[n]; fields add and multiply pixel by pixel."""

    # A field has a value at every integer, so that what walks through it would never end.
    __iter__ = None

    def diff(self, axis: int = 0) -> "Field":
        """Return the derivative in the offset along one axis; only a warped field has one.

        Raises:
            ArgumentError: this is another field.
        """
        raise ArgumentError(
            "field", expected="a warped field to differentiate, such as y.diff(0)", received=type(self).__name__
        )

    @abstractmethod
    def __getitem__(self, index: Any) -> sp.Expr:
        """Return the value at a pixel."""

    def __add__(self, other: Any) -> "PointwiseField":
        return PointwiseField(operator.add, self, other)

    def __radd__(self, other: Any) -> "PointwiseField":
        return PointwiseField(operator.add, other, self)

    def __sub__(self, other: Any) -> "PointwiseField":
        return PointwiseField(operator.sub, self, other)

    def __rsub__(self, other: Any) -> "PointwiseField":
        return PointwiseField(operator.sub, other, self)

    def __mul__(self, other: Any) -> "PointwiseField":
        return PointwiseField(operator.mul, self, other)

    def __rmul__(self, other: Any) -> "PointwiseField":
        return PointwiseField(operator.mul, other, self)

    def __truediv__(self, other: Any) -> "PointwiseField":
        return PointwiseField(operator.truediv, self, other)

    def __pow__(self, power: int) -> "PointwiseField":
        return PointwiseField(operator.pow, self, power)

    def __neg__(self) -> "PointwiseField":
        return PointwiseField(operator.mul, -1, self)


@dataclass(frozen=True)
class PointwiseField(Field):
    """Two fields, or a field and a number, combined pixel by pixel.

    Attributes:
        operation: a function of two sympy expressions.
        first: a field, a number, or a sympy expression.
        second: another one.

    Raises:
        ArgumentError: anything else.
    """

    operation: Callable[[Any, Any], sp.Expr]
    first: Any
    second: Any

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            part = getattr(self, name)
            if not isinstance(part, Field):
                object.__setattr__(self, name, expression(name, part, "a field, a number or a sympy expression"))

    def __getitem__(self, index: Any) -> sp.Expr:
        first, second = (part[index] if isinstance(part, Field) else part for part in (self.first, self.second))
        return self.operation(first, second)


class InputField(Field):
    """A field x that is random in itself, not moved by offsets; its pixels are x[m].

    Attributes:
        name: the field's name; fields of different names are independent.
        mean: mean of a pixel, a sympy expression.
    """

    name: str
    mean: sp.Expr | Any

    @property
    @abstractmethod
    def parameters(self) -> list[sp.Expr]:
        """Expressions in whose symbols the field's law is stated."""

    def __getitem__(self, index: Any) -> "PixelValue":
        return PixelValue(self, as_index(index))

    def _parts(self) -> Iterable[str]:
        return (f"{name}={brief(value)}" for name, value in field_values(self) if value is not None)


@dataclass(frozen=True)
class GaussianField(InputField):
    """A homogeneous Gaussian field x, read at its pixels as x[m], and between them as x(t), t = hm.

    Attributes:
        name: the field's name; fields of different names are independent.
        covariance: its covariance C, or None for any that is isotropic; results are then in terms of C(Δ).
        mean: mean of a pixel, a sympy expression; 0 by default.
        spacing: distance h of neighbouring pixels, in the covariance's unit of length; 1 by default.
    """

    name: str = "x"
    covariance: CovarianceFunction | None = None
    mean: sp.Expr | Any = 0
    spacing: sp.Expr | Any = 1

    def __post_init__(self) -> None:
        check_name("name", self.name)
        object.__setattr__(self, "mean", parameter("mean", self.mean))
        object.__setattr__(self, "spacing", parameter("spacing", self.spacing))
        if self.spacing.is_positive is False:
            raise ArgumentError("spacing", expected="a distance > 0", received=self.spacing)
        if self.covariance is not None and not isinstance(self.covariance, CovarianceFunction):
            raise ArgumentError("covariance", expected="a Covariance, or None", received=repr(self.covariance))

    def __str__(self) -> str:
        return f"{self.name}:Gaussian({self.mean},{self.covariance},{self.spacing})"

    def __getitem__(self, index: Any) -> "PixelValue":
        return PixelValue(self, self._checked("index", as_index(index)))

    def __call__(self, *point: Any) -> "PixelValue":
        """Return the value x(t) at a point, a real coordinate per axis, in units of length.

        Raises:
            ArgumentError: another number of coordinates than the covariance has axes.
        """
        return PixelValue(self, self._checked("point", as_position("point", point, self.spacing)))

    def _checked(self, name: str, position: Index) -> Index:
        if self.covariance is not None and len(position) not in (1, self.covariance.dim):
            raise ArgumentError(name, expected=f"1 or {self.covariance.dim} coordinates", received=position)
        return position

    def check_axes(self, dim: int) -> None:
        """Check that offsets move along as many axes as the covariance has, where it is known.

        Args:
            dim: number of axes of the offsets.

        Raises:
            ArgumentError: another number of axes.
        """
        if self.covariance is not None and self.covariance.dim != dim:
            raise ArgumentError("offsets", expected=f"offsets along {self.covariance.dim} axes", received=dim)

    def slope(self, axis: int = 0) -> "GaussianSlope":
        """Return the derivative ∂ᵢx along an axis of space, counted from 0, per unit of length."""
        return GaussianSlope(self, ()).slope(axis)

    @property
    def covariance_symbols(self) -> set[sp.Symbol]:
        """The covariance's own symbols; none for any covariance."""
        return set() if self.covariance is None else self.covariance.free_symbols

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the covariance and the spacing, by which covariances of pixels are told."""
        return self.covariance_symbols | self.spacing.free_symbols

    @property
    def parameters(self) -> list[sp.Expr]:
        """The mean, the spacing, and the covariance's own symbols."""
        return [self.mean, self.spacing, *self.covariance_symbols]


@dataclass(frozen=True)
class GaussianSlope(Field):
    """A derivative of a Gaussian field along axes of space, read as x[m] and x(t) are.

    Attributes:
        field: the field.
        axes: the axes, one for each order.
    """

    field: GaussianField
    axes: tuple[int, ...]

    def slope(self, axis: int = 0) -> "GaussianSlope":
        """Return the derivative along one more axis, counted from 0.

        Raises:
            ArgumentError: no such axis.
        """
        dim = 3 if self.field.covariance is None else self.field.covariance.dim
        if axis not in range(dim):
            raise ArgumentError("axis", expected=f"an axis in 0 … {dim - 1}", received=axis)
        return replace(self, axes=(*self.axes, axis))

    def __getitem__(self, index: Any) -> sp.Expr:
        return self._value(self.field[index].index)

    def __call__(self, *point: Any) -> sp.Expr:
        """Return the value at a point, a real coordinate per axis, in units of length."""
        return self._value(self.field(*point).index)

    def _value(self, position: Index) -> sp.Expr:
        orders = tuple(self.axes.count(axis) for axis in range(max(len(position), max(self.axes, default=0) + 1)))
        return PixelValue(self.field, position, orders) / self.field.spacing ** len(self.axes)


@dataclass(frozen=True)
class IIDField(InputField):
    """A field x of independent pixels with one law.

    Attributes:
        name: the field's name; fields of different names are independent.
        law: name of the law's shape in `fields.laws`, or None for any law (then the third and higher
            cumulants are symbols κ₃, κ₄, …, the same ones for every field of open law).
        mean: mean of a pixel, a sympy expression; the symbol μ by default.
        deviation: standard deviation of a pixel, a sympy expression; the symbol σ by default.
    """

    name: str = "x"
    law: str | None = None
    mean: sp.Expr | Any = MEAN
    deviation: sp.Expr | Any = DEVIATION

    def __post_init__(self) -> None:
        check_name("name", self.name)
        mean, deviation = parameter("mean", self.mean), parameter("deviation", self.deviation)
        if deviation.is_nonnegative is False:
            raise ArgumentError("deviation", expected="a standard deviation ≥ 0", received=self.deviation)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "deviation", deviation)
        if self.law is not None:
            laws.get(self.law)

    def __str__(self) -> str:
        return f"{self.name}:{self.law}({self.mean},{self.deviation})"

    @property
    def parameters(self) -> list[sp.Expr]:
        """Mean and standard deviation."""
        return [self.mean, self.deviation]

    def cumulant(self, order: int) -> sp.Expr:
        """Return the cumulant of that order of a pixel, as a sympy expression."""
        if order == 1:
            return self.mean
        if order == 2 or self.deviation == 0:
            return self.deviation**2
        if self.law is None:
            return sp.Symbol(f"kappa_{order}", real=True)
        return laws.get(self.law).standardised(self.mean, self.deviation).cumulant(order)


class PixelValue(RandomAtom):
    """The value x[m] of an input pixel, or of a Gaussian field or its derivative (per pixel) anywhere between them.

    Its data are the field, the index, a pixel or a position counted in pixels, and orders of a derivative, if any.
    """

    field = Argument[InputField](0)
    index = Argument[Index](1)

    @property
    def orders(self) -> tuple[int, ...]:
        """Order of the derivative along each axis; empty for the value itself."""
        return self.data[2] if len(self.data) > 2 else ()

    @property
    def is_pixel(self) -> bool:
        """Whether it is a pixel, and not a derivative or a value between pixels."""
        return not any(self.orders) and all(part.is_integer for part in self.index)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return x[m]."""
        axes = "".join(str(axis + 1) for axis, order in enumerate(self.orders) for _ in range(order))
        mark = (rf"\partial_{{{axes}}} " if latex else f"∂{axes}") if axes else ""
        return sp.Indexed(sp.IndexedBase(mark + self.field.name), *self.index)
