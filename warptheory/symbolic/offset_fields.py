"""The fields of offsets, and what an expectation may be conditional on."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_name, check_symbols
from warptheory.core.presented import Presented, brief, field_values
from warptheory.fields import CovarianceFunction, laws
from warptheory.fields.laws import Law
from warptheory.fields.parameters import check_dim
from warptheory.kernels import FRACTION, FractionSymbol
from warptheory.symbolic.input_fields import GaussianField
from warptheory.symbolic.linear_heads import LinearHead
from warptheory.symbolic.values import SUMMED, Index, parameter


class Given(Presented, ABC):
    """What an expectation is conditional on; `E(y[n]**2 | eps.fraction)` reads as in the theory."""

    @property
    @abstractmethod
    def symbols(self) -> tuple[sp.Symbol, ...]:
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
        head: h, for offsets ε = αh that are computed from an input field; `scale` is then α, by default the symbol α,
            and `dim` follows from h. None for offsets that are random by themselves.

    Raises:
        UnknownNameError: no law of that name.
        ArgumentError: dim is not 1, 2 or 3, a correlation that the law does not have, or a covariance or head beside
            another law, a scale, a location, or a correlation of the axes.
    """

    law: str | Law = "normal"
    dim: int = 1
    scale: Any = None
    location: Any = None
    name: str = "epsilon"
    shared: bool = False
    correlation: sp.Expr | Any = 0
    displacement: Index = ()
    covariance: CovarianceFunction | None = None
    head: LinearHead | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if self.covariance is not None:
            self._check_covariance(self.covariance)
        if self.head is not None:
            self._check_head(self.head)
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

    def _parts(self) -> Iterable[str]:
        known = dict(field_values(self))
        if not any(self.displacement):
            known["displacement"] = None
        shown = {name: value for name, value in known.items() if value is not None and value is not False}
        return (f"{name}={brief(value)}" for name, value in shown.items() if name != "correlation" or value != 0)

    def _check_covariance(self, covariance: CovarianceFunction) -> None:
        """Take the number of axes and the scale from K; refuse what contradicts it."""
        if not isinstance(covariance, CovarianceFunction):
            raise ArgumentError("covariance", expected="a Covariance, or None", received=repr(covariance))
        scale = sp.sqrt(covariance.variance)
        others = (self.law, self.location, self.shared, self.correlation)
        if others != ("normal", None, False, 0) or self.scale not in (None, scale):
            raise ArgumentError(
                "covariance", expected="no other law, scale, location or correlation beside it", received=others
            )
        object.__setattr__(self, "dim", covariance.dim)
        object.__setattr__(self, "scale", scale)

    def _check_head(self, head: LinearHead) -> None:
        """Take the number of axes from h, and α for the scale; refuse what contradicts them."""
        if not isinstance(head, LinearHead):
            raise ArgumentError("head", expected="a LinearHead, or None", received=repr(head))
        beside = {"law": "normal", "location": None, "shared": False, "correlation": 0, "covariance": None}
        given = {name: getattr(self, name) for name, default in beside.items() if getattr(self, name) != default}
        if given or self.dim not in (1, head.dim):
            told = ", ".join(f"{name}={brief(value)}" for name, value in {**given, "dim": self.dim}.items())
            expected = "no law, location, correlation, covariance or other dim beside it"
            raise ArgumentError("head", expected=expected, received=told)
        object.__setattr__(self, "dim", head.dim)
        if self.scale is None:
            object.__setattr__(self, "scale", sp.Symbol("alpha", positive=True))
        if parameter("scale", self.scale).is_zero:
            raise ArgumentError("scale", expected="a factor α other than zero", received=self.scale)

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
        law = str(self.axis_law) if self.head is None else f"{self.scale}*({self.head})"
        parts = [self.name, law, str(self.dim), f"shared={self.shared}", f"r={self.correlation}"]
        parts += [str(self.covariance)] * (self.covariance is not None)
        return "/".join([*parts, *map(str, self.displacement)])

    def __str__(self) -> str:
        return self._text

    @property
    def parameter_symbols(self) -> set[sp.Symbol]:
        """The symbols of the law or the head, of the displacement, and of correlation and covariance."""
        law = (self.axis_law,) if self.head is None else (self.head, self.scale)
        found = {symbol for part in (*law, self.correlation, *self.displacement) for symbol in part.free_symbols}
        return found if self.covariance is None else found | self.covariance.free_symbols

    @cached_property
    def axis_law(self) -> Law:
        """The law of the offset along one axis.

        Raises:
            ArgumentError: offsets that a head computes: their law follows from the field that it reads.
        """
        if self.head is not None:
            raise ArgumentError(
                "offsets", expected="offsets with a law of their own", received="offsets that a head computes"
            )
        law = laws.get(self.law).at(self.location, self.scale)
        return laws.get("constant").at(law.location) if law.scale == 0 else law

    @cached_property
    def source(self) -> "OffsetField":
        """The offsets before they are displaced: fields of one source are one random field."""
        return replace(self, displacement=())

    @property
    def is_shared(self) -> bool:
        """Whether all pixels have the same offset."""
        return self.shared or (self.head is None and len(self.axis_law.atoms) == 1)

    @property
    def line(self) -> "OffsetField":
        """The offset along one axis, as a field of one axis."""
        return replace(self.source, dim=1, correlation=0, displacement=(), covariance=None)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The offset along each axis, as symbols ε, or ε₁ … ε_d."""
        return axis_symbols(self.name, self.dim, real=True)

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
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The fraction along each axis, as symbols f, or f₁ … f_d."""
        return FRACTIONS[self.offsets.dim]


def axis_symbols(name: str, dim: int, **assumptions: bool) -> tuple[sp.Symbol, ...]:
    """Return a symbol for each axis: name, or name_1 … name_d."""
    names = [name] if dim == 1 else [f"{name}_{axis + 1}" for axis in range(dim)]
    return tuple(sp.Symbol(symbol, **assumptions) for symbol in names)


# The symbols of a given fraction, by the number of axes.
FRACTIONS: dict[int, tuple[sp.Symbol, ...]] = {1: (FRACTION,)} | {
    dim: tuple(FractionSymbol(f"{FRACTION.name}_{axis + 1}") for axis in range(dim)) for dim in (2, 3)
}


def given_offsets(given: Given | None) -> OffsetField | None:
    """Return the offset field that a condition is about, not displaced."""
    if isinstance(given, Fraction):
        return given.offsets.source
    return given.source if isinstance(given, OffsetField) else None
