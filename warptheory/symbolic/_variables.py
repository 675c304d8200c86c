"""The random variables of the algebra: input fields, offset fields and the values they give."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_name, check_symbols, expression, real
from warptheory.fields import Covariance, laws
from warptheory.fields._parameters import check_dim
from warptheory.fields.laws import Law
from warptheory.kernels import FRACTION, FractionSymbol, Kernel
from warptheory.symbolic._display import Displayed

Index = tuple[sp.Expr, ...]

MEAN = sp.Symbol("mu", real=True)
DEVIATION = sp.Symbol("sigma", positive=True)

# The index of series of harmonics, in terms of which their coefficients are written, and the same as an integer.
SUMMED = (sp.Symbol("j", positive=True), sp.Symbol("j", integer=True, positive=True))


class RandomAtom(Displayed, sp.AtomicExpr):
    """A real random variable inside a sympy expression; equal data means the same variable."""

    is_real = True
    is_commutative = True

    def __new__(cls, *data: Any) -> "RandomAtom":
        """Make the variable that `data` identifies."""
        atom: RandomAtom = super().__new__(cls)
        atom.data = data
        return atom

    def _hashable_content(self) -> tuple[str, ...]:
        # sympy orders atoms by this content, so it has to be comparable: text.
        return tuple(str(part) for part in self.data)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self.data)

    def diff(self, *symbols: Any, **assumptions: Any) -> sp.Expr:
        """Refuse: sympy would take the value for a constant.

        Raises:
            ArgumentError: always; the field has the derivative in the offset.
        """
        raise ArgumentError(
            "expression", expected="a field to differentiate in its offset, such as y.diff(0)[n]", received=self
        )


class Field(ABC):
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

    operation: Callable[[Any, Any], Any]
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
    mean: Any

    @property
    @abstractmethod
    def parameters(self) -> list[sp.Expr]:
        """Expressions in whose symbols the field's law is stated."""

    def __getitem__(self, index: Any) -> "PixelValue":
        return PixelValue(self, _as_index(index))


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
    covariance: Covariance | None = None
    mean: Any = 0
    spacing: Any = 1

    def __post_init__(self) -> None:
        check_name("name", self.name)
        object.__setattr__(self, "mean", parameter("mean", self.mean))
        object.__setattr__(self, "spacing", parameter("spacing", self.spacing))
        if self.spacing.is_positive is False:
            raise ArgumentError("spacing", expected="a distance > 0", received=self.spacing)
        if self.covariance is not None and not isinstance(self.covariance, Covariance):
            raise ArgumentError("covariance", expected="a Covariance, or None", received=repr(self.covariance))

    def __str__(self) -> str:
        return f"{self.name}:Gaussian({self.mean},{self.covariance},{self.spacing})"

    def __getitem__(self, index: Any) -> "PixelValue":
        return PixelValue(self, self._checked("index", _as_index(index)))

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

    def check_axes(self, offsets: "OffsetField") -> None:
        """Check that offsets move along as many axes as the covariance has, where it is known.

        Raises:
            ArgumentError: another number of axes.
        """
        if self.covariance is not None and self.covariance.dim != offsets.dim:
            raise ArgumentError("offsets", expected=f"offsets along {self.covariance.dim} axes", received=offsets.dim)

    def slope(self, axis: int = 0) -> "GaussianSlope":
        """Return the derivative ∂ᵢx along an axis of space, counted from 0, per unit of length."""
        return GaussianSlope(self, ()).slope(axis)

    @property
    def covariance_symbols(self) -> set[sp.Symbol]:
        """The covariance's own symbols; none for any covariance."""
        return set() if self.covariance is None else self.covariance.free_symbols

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
    mean: Any = MEAN
    deviation: Any = DEVIATION

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


class Given(ABC):
    """What an expectation is conditional on; `E(y[n]**2 | eps.fraction)` reads as in the theory."""

    @property
    @abstractmethod
    def symbols(self) -> Index:
        """The symbols in which a conditional result is expressed, one per axis."""

    def __ror__(self, expression: Any) -> "Conditional":
        if isinstance(expression, Conditional):
            raise ArgumentError("given", expected="one condition", received=f"{expression.given} and {self}")
        return Conditional(expression, self)


@dataclass(frozen=True)
class Conditional:
    """An expression together with what it is conditional on."""

    expression: Any
    given: Given


@dataclass(frozen=True)
class OffsetField(Given):
    """A field ε of offsets, in pixels, alike at every pixel and along every axis.

    Attributes:
        law: name of the law of an offset in `fields.laws`, or a `Law`.
        dim: number d of spatial axes.
        scale: scale of the law, a sympy expression; by default the law's own symbol
            (s for normal, a for uniform, b for Laplace).
        location: location of the law; 0 by default, the symbol c for the constant law.
        name: the field's name; fields of different names are independent.
        shared: whether one offset moves all pixels; else the pixels' offsets are independent.
        correlation: correlation of the offsets along two axes: 0, or 1 for equal offsets along all axes;
            other values, sympy expressions, for the normal law.
        displacement: what is added to the offset along each axis, sympy expressions; write `eps + Delta`.
        covariance: K, for offsets that are a homogeneous Gaussian field, one of this covariance for each axis, in
            pixels; `dim` and `scale` = √K(0) follow from it. None for offsets that are independent over the pixels.

    Raises:
        UnknownNameError: no law of that name.
        ArgumentError: dim is not 1, 2 or 3, a correlation that the law does not have, or a covariance beside
            another law, a scale, a location, or a correlation of the axes.
    """

    law: str | Law = "normal"
    dim: int = 1
    scale: Any = None
    location: Any = None
    name: str = "epsilon"
    shared: bool = False
    correlation: Any = 0
    displacement: Index = ()
    covariance: Covariance | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if self.covariance is not None:
            self._check_covariance(self.covariance)
        law = laws.get(self.law, argument="offsets")
        check_dim(self.dim)
        for name in ("location", "scale"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, parameter(name, getattr(self, name)))
        correlation = parameter("correlation", self.correlation)
        if correlation not in (0, 1) and law.name != "normal":
            raise ArgumentError(
                "correlation", expected=f"0 or 1 for {law.name} offsets (others: normal only)", received=correlation
            )
        lowest = -sp.Rational(1, max(1, self.dim - 1))
        if correlation.is_number and not (lowest < correlation <= 1):
            raise ArgumentError("correlation", expected=f"a number in ({lowest}, 1]", received=correlation)
        object.__setattr__(self, "correlation", correlation if self.dim > 1 else sp.Integer(0))
        if not isinstance(self.displacement, tuple) or len(self.displacement) not in (0, self.dim):
            raise ArgumentError("displacement", expected=f"{self.dim} numbers", received=repr(self.displacement))
        displacement = tuple(parameter("displacement", part) for part in self.displacement)
        object.__setattr__(self, "displacement", displacement or (sp.Integer(0),) * self.dim)
        used = self.parameter_symbols
        check_symbols("offsets", used)
        if {symbol.name for symbol in used} & {symbol.name for symbol in self.symbols}:
            raise ArgumentError("name", expected="a name that is not one of a parameter's symbols", received=self.name)
        if used & set(SUMMED):
            raise ArgumentError("offsets", expected="symbols other than j, over which series are summed", received="j")

    def _check_covariance(self, covariance: Covariance) -> None:
        """Take the number of axes and the scale from K; refuse what contradicts it."""
        if not isinstance(covariance, Covariance):
            raise ArgumentError("covariance", expected="a Covariance, or None", received=repr(covariance))
        scale = sp.sqrt(covariance.variance)
        others = (self.law, self.location, self.shared, self.correlation)
        if others != ("normal", None, False, 0) or self.scale not in (None, scale):
            raise ArgumentError(
                "covariance", expected="no other law, scale, location or correlation beside it", received=others
            )
        object.__setattr__(self, "dim", covariance.dim)
        object.__setattr__(self, "scale", scale)

    @property
    def component(self) -> GaussianField:
        """One component of offsets that have a covariance, as a field."""
        return GaussianField(self.name, self.covariance)

    def __add__(self, displacement: Any) -> "OffsetField":
        """Return the same random offsets moved by a constant, one for all axes or one per axis."""
        parts = displacement if isinstance(displacement, tuple) else (displacement,) * self.dim
        if len(parts) != self.dim:
            raise ArgumentError("displacement", expected=f"one number, or {self.dim}", received=displacement)
        moved = (old + parameter("displacement", new) for old, new in zip(self.displacement, parts, strict=True))
        return replace(self, displacement=tuple(moved))

    def __sub__(self, displacement: Any) -> "OffsetField":
        """Return the same random offsets moved by minus a constant."""
        parts = displacement if isinstance(displacement, tuple) else (displacement,) * self.dim
        return self + tuple(-parameter("displacement", part) for part in parts)

    @cached_property
    def _text(self) -> str:
        parts = [self.name, str(self.axis_law), str(self.dim), f"shared={self.shared}", f"r={self.correlation}"]
        parts += [str(self.covariance)] * (self.covariance is not None)
        return "/".join([*parts, *map(str, self.displacement)])

    def __str__(self) -> str:
        return self._text

    @property
    def parameter_symbols(self) -> set[sp.Symbol]:
        """The symbols of the law, of the displacement, and of correlation and covariance."""
        parts = [part for _, law in self.axis_law.parts for part in (law.location, law.scale)]
        found = {symbol for part in (*parts, self.correlation, *self.displacement) for symbol in part.free_symbols}
        return found if self.covariance is None else found | self.covariance.free_symbols

    @cached_property
    def axis_law(self) -> Law:
        """The law of the offset along one axis."""
        law = laws.get(self.law).at(self.location, self.scale)
        return laws.get("constant").at(law.location) if law.scale == 0 else law

    @cached_property
    def source(self) -> "OffsetField":
        """The offsets before they are displaced: fields of one source are one random field."""
        return replace(self, displacement=())

    @property
    def is_shared(self) -> bool:
        """Whether all pixels have the same offset."""
        return self.shared or len(self.axis_law.atoms) == 1

    @property
    def line(self) -> "OffsetField":
        """The offset along one axis, as a field of one axis."""
        return replace(self.source, dim=1, correlation=0, displacement=(), covariance=None)

    @property
    def symbols(self) -> Index:
        """The offset along each axis, as symbols ε, or ε₁ … ε_d."""
        return _axis_symbols(self.name, self.dim, real=True)

    @property
    def fraction(self) -> "Fraction":
        """The fraction f of the sampling position, to be conditioned on.

        Raises:
            ArgumentError: the offsets are displaced; f is the fraction before that.
        """
        if any(self.displacement):
            raise ArgumentError("offsets", expected="offsets that are not displaced", received=self.displacement)
        return Fraction(self)


@dataclass(frozen=True)
class Fraction(Given):
    """The fractional part f = p − ⌊p⌋ of the sampling position along each axis.

    Attributes:
        offsets: the offset field that moves the position.
    """

    offsets: OffsetField

    @property
    def symbols(self) -> Index:
        """The fraction along each axis, as symbols f, or f₁ … f_d."""
        return FRACTIONS[self.offsets.dim]


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


class PixelValue(RandomAtom):
    """The value x[m] of an input pixel, or of a Gaussian field or its derivative (per pixel) anywhere between them."""

    @property
    def field(self) -> InputField:
        """The input field."""
        return self.data[0]

    @property
    def index(self) -> Index:
        """The pixel, or a position counted in pixels."""
        return self.data[1]

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


class MovedValue(RandomAtom):
    """A value of a field that offsets have moved: data (input field, site, …)."""

    @property
    def field(self) -> Field:
        """The input field."""
        return self.data[0]

    @property
    def site(self) -> Location:
        """Where it is read, or arrives: the pixel and the offsets."""
        return self.data[1]


class KernelledValue(MovedValue):
    """A value that a kernel has made: data (input field, site, …)."""

    @property
    def site(self) -> Site:
        """Where it is read, or arrives: the pixel, the offsets and the kernel."""
        return self.data[1]


class SampledValue(KernelledValue):
    """The value y[n] of a warped field, or one of its derivatives in the offset."""

    @property
    def orders(self) -> tuple[int, ...]:
        """Order of the derivative along each axis."""
        return self.data[2]

    @property
    def name(self) -> str:
        """Name of the warped field."""
        return self.data[3]

    @property
    def knot(self) -> str:
        """Which derivative holds at a knot of the kernel: "right", "left" or "central"."""
        return self.data[4]

    def display(self, *, latex: bool) -> sp.Expr:
        """Return y[n], or ∂ᵢy[n]; a derivative that is not the right-hand one is marked ∂⁻ or ∂°."""
        mark = {"right": "", "left": "^{-}" if latex else "⁻", "central": r"^{\circ}" if latex else "°"}[self.knot]
        prefix = derivative_marks(self.orders, mark, latex=latex)
        return sp.Indexed(sp.IndexedBase(prefix + self.name), *self.site.index)


class SplatValue(KernelledValue):
    """The value (Wᵀg)[m] of a splatted field."""

    @property
    def name(self) -> str:
        """Name of the splatted field."""
        return self.data[2]

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
    if isinstance(part, Covariance):
        return part.free_symbols
    if isinstance(part, Kernel) or not is_dataclass(part):
        return set()
    return set().union(*(symbols_in(getattr(part, known.name)) for known in fields(part)))


def derivative_marks(orders: tuple[int, ...], side: str = "", *, latex: bool) -> str:
    """Return ∂ᵢ for each order of a derivative, with the mark of its side, to be printed before a name."""
    axes = [axis + 1 for axis, order in enumerate(orders) for _ in range(order)]
    return "".join(rf"\partial{side}_{{{axis}}} " if latex else f"∂{side}{axis}" for axis in axes)


def input_field(value: RandomAtom) -> InputField:
    """Return the field that a value is made of."""
    field: Any = value.field
    while not isinstance(field, InputField):
        field = field.field
    return field


def _index_for(offsets: OffsetField, index: Any) -> Index:
    """Return the pixel with one coordinate per axis; one symbol or number n alone is (n, 0, …)."""
    position = _as_index(index)
    if len(position) not in (1, offsets.dim):
        raise ArgumentError("index", expected=f"one symbol or {offsets.dim} integers", received=index)
    return position


def _as_index(index: Any) -> Index:
    coordinates = index if isinstance(index, tuple) else (index,)
    expressions = [_coordinate(i) for i in coordinates]
    if None in expressions:
        raise ArgumentError("index", expected="whole numbers, or symbols that stand for them", received=index)
    return tuple(sp.expand(expression) for expression in expressions)


def as_position(name: str, point: tuple[Any, ...], spacing: sp.Expr) -> Index:
    """Return a point as real coordinates counted in pixels.

    Args:
        name: the argument that it came by.
        point: a coordinate per axis, or one tuple of them, in units of length.
        spacing: distance of neighbouring pixels.

    Raises:
        ArgumentError: no coordinates, or what is not a real number or expression.
    """
    coordinates = point[0] if len(point) == 1 and isinstance(point[0], tuple) else point
    if not coordinates:
        raise ArgumentError(name, expected="a real coordinate per axis", received=point)
    return tuple(sp.expand(parameter(name, part) / spacing) for part in coordinates)


def _coordinate(value: Any) -> sp.Expr | None:
    """Return a coordinate of a pixel as an expression, None if it is not a whole number or a symbol for one."""
    if isinstance(value, bool) or not isinstance(value, sp.Expr | Integral):
        return None
    found = expression("index", value) if isinstance(value, Integral) else value
    is_whole = found.is_integer is not False and not found.atoms(sp.Float, RandomAtom)
    return found if is_whole and found.is_finite is not False and found is not sp.nan else None


def parameter(name: str, value: Any) -> sp.Expr:
    """Return a parameter as a real expression without random variables.

    Args:
        name: the argument that it came by.
        value: a number, a sympy expression, or text such as "1/2".

    Raises:
        ArgumentError: something else, or a number that is not real and finite.
    """
    found = real(name, value, without=(RandomAtom,))
    if found.free_symbols & set(SUMMED):
        raise ArgumentError(name, expected="symbols other than j, over which series are summed", received=value)
    return found


def _symbols(value: sp.Expr | None) -> set[sp.Symbol]:
    return set() if value is None else set(value.free_symbols)


def _axis_symbols(name: str, dim: int, **assumptions: bool) -> Index:
    names = [name] if dim == 1 else [f"{name}_{axis + 1}" for axis in range(dim)]
    return tuple(sp.Symbol(symbol, **assumptions) for symbol in names)


# The symbols of a given fraction, by the number of axes.
FRACTIONS: dict[int, Index] = {1: (FRACTION,)} | {
    dim: tuple(FractionSymbol(f"{FRACTION.name}_{axis + 1}") for axis in range(dim)) for dim in (2, 3)
}
