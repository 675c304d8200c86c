"""The random variables of the algebra: input fields, offset fields and the values they give."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.fields.laws import Law
from warptheory.kernels import Kernel
from warptheory.symbolic._display import Displayed

Index = tuple[sp.Expr, ...]

MEAN = sp.Symbol("mu", real=True)
DEVIATION = sp.Symbol("sigma", positive=True)


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


@dataclass(frozen=True)
class IIDField:
    """A field x of independent pixels with one law.

    Attributes:
        name: the field's name; fields of different names are independent.
        law: name of the law's shape in `fields.laws`, or None for any law (then the third and higher
            cumulants are symbols κ₃, κ₄, …).
        mean: mean of a pixel, a sympy expression; the symbol μ by default.
        deviation: standard deviation of a pixel, a sympy expression; the symbol σ by default.
    """

    name: str = "x"
    law: str | None = None
    mean: Any = MEAN
    deviation: Any = DEVIATION

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", sp.sympify(self.mean, rational=True))
        object.__setattr__(self, "deviation", sp.sympify(self.deviation, rational=True))
        if self.law is not None:
            laws.get(self.law)

    def __str__(self) -> str:
        return f"{self.name}:{self.law}({self.mean},{self.deviation})"

    def __getitem__(self, index: Any) -> "PixelValue":
        return PixelValue(self, _as_index(index))

    def cumulant(self, order: int) -> sp.Expr:
        """Return the cumulant of that order of a pixel, as a sympy expression."""
        if order == 1:
            return self.mean
        if order == 2:
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
        return Conditional(sp.sympify(expression), self)


@dataclass(frozen=True)
class Conditional:
    """An expression together with what it is conditional on."""

    expression: sp.Expr
    given: Given


@dataclass(frozen=True)
class OffsetField(Given):
    """A field ε of offsets, independent over pixels and over axes, in pixels.

    Attributes:
        law: name of the law in `fields.laws`.
        dim: number d of spatial axes.
        scale: scale of the law, a sympy expression; by default the law's own symbol
            (s for normal, a for uniform, b for Laplace).
        location: location of the law; 0 by default, the symbol c for the constant law.
        name: the field's name; fields of different names are independent.

    Raises:
        UnknownNameError: no law of that name.
        ArgumentError: dim is not 1, 2 or 3.
    """

    law: str = "normal"
    dim: int = 1
    scale: Any = None
    location: Any = None
    name: str = "epsilon"

    def __post_init__(self) -> None:
        laws.get(self.law, argument="offsets")
        if self.dim not in (1, 2, 3):
            raise ArgumentError("dim", expected="1, 2 or 3", received=self.dim)

    def __str__(self) -> str:
        return f"{self.name}:{self.law}({self.scale},{self.location})^{self.dim}"

    @cached_property
    def axis_law(self) -> Law:
        """The law of the offset along one axis."""
        return laws.get(self.law).at(self.location, self.scale)

    @property
    def symbols(self) -> Index:
        """The offset along each axis, as symbols ε, or ε₁ … ε_d."""
        return _axis_symbols(self.name, self.dim, real=True)

    @property
    def fraction(self) -> "Fraction":
        """The fraction f of the sampling position, to be conditioned on."""
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
        return _axis_symbols("f", self.offsets.dim, nonnegative=True)


@dataclass(frozen=True)
class Site:
    """Where and how a field is sampled: pixel n, displaced by ε(n), read through a kernel."""

    offsets: OffsetField
    kernel: Kernel
    index: Index

    def __str__(self) -> str:
        return f"{self.offsets}/{self.kernel}/{self.index}"


class PixelValue(RandomAtom):
    """The value x[m] of an input pixel."""

    @property
    def field(self) -> IIDField:
        """The input field."""
        return self.data[0]

    @property
    def index(self) -> Index:
        """The pixel."""
        return self.data[1]

    def display(self, *, latex: bool) -> sp.Expr:
        """Return x[m]."""
        return sp.Indexed(sp.IndexedBase(self.field.name), *self.index)


class SampledValue(RandomAtom):
    """The value y[n] of a warped field, or one of its derivatives in the offset."""

    @property
    def field(self) -> IIDField:
        """The input field."""
        return self.data[0]

    @property
    def site(self) -> Site:
        """Where it is sampled."""
        return self.data[1]

    @property
    def orders(self) -> tuple[int, ...]:
        """Order of the derivative along each axis."""
        return self.data[2]

    @property
    def name(self) -> str:
        """Name of the warped field."""
        return self.data[3]

    def display(self, *, latex: bool) -> sp.Expr:
        """Return y[n], or ∂ᵢy[n]."""
        partial = r"\partial_{{{}}} " if latex else "∂{}"
        prefix = "".join(partial.format(axis + 1) * order for axis, order in enumerate(self.orders))
        return sp.Indexed(sp.IndexedBase(prefix + self.name), *self.site.index)


@dataclass(frozen=True)
class WarpedField:
    """The warped field y = Wx, or its derivative ∂ᵢWx in the offset, indexed as y[n].

    Attributes:
        field: the input field x.
        offsets: the offset field ε.
        kernel: the interpolation kernel.
        orders: order of the derivative along each axis; all zero for y itself.
        name: the name to print.
    """

    field: IIDField
    offsets: OffsetField
    kernel: Kernel
    orders: tuple[int, ...]
    name: str = "y"

    def __getitem__(self, index: Any) -> SampledValue:
        position = _as_index(index)
        if len(position) not in (1, self.offsets.dim):
            raise ArgumentError("index", expected=f"one symbol or {self.offsets.dim} integers", received=index)
        return SampledValue(self.field, Site(self.offsets, self.kernel, position), self.orders, self.name)


def _as_index(index: Any) -> Index:
    return tuple(sp.sympify(i) for i in (index if isinstance(index, tuple) else (index,)))


def _axis_symbols(name: str, dim: int, **assumptions: bool) -> Index:
    names = [name] if dim == 1 else [f"{name}_{axis + 1}" for axis in range(dim)]
    return tuple(sp.Symbol(symbol, **assumptions) for symbol in names)
