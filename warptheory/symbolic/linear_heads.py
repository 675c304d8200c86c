"""Linear heads: h(n) = Σ over taps of a weight times the input, or a derivative of it, at a place beside n.

Offsets that a network computes from its input, ε = α h, are no longer independent of what they move.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy as sp

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented, brief
from warptheory.symbolic.input_fields import GaussianField, IIDField, InputField
from warptheory.symbolic.values import Index, parameter


@dataclass(frozen=True)
class HeadTap(Presented):
    """One tap of a linear head.

    Attributes:
        place: where it reads, counted in pixels from the output's pixel, one number per axis; whole pixels for a warp,
            any real numbers for a composition.
        weight: what it multiplies the value by, a number or a sympy expression.
        orders: order of the derivative along each axis, per pixel; none for the value itself, as on the pixels.

    Raises:
        ArgumentError: a place or weight that is not real, or orders that are no whole numbers ≥ 0, one per axis.
    """

    place: Index | Any
    weight: sp.Expr | Any = 1
    orders: tuple[int, ...] | Any = ()

    def __post_init__(self) -> None:
        parts = self.place if isinstance(self.place, tuple) else (self.place,)
        if not parts:
            raise ArgumentError("place", expected="a real coordinate per axis", received=self.place)
        object.__setattr__(self, "place", tuple(_exact(parameter("place", part)) for part in parts))
        object.__setattr__(self, "weight", parameter("weight", self.weight))
        orders = self.orders if isinstance(self.orders, tuple) else (self.orders,)
        orders = tuple(check_integer("orders", order, least=0) for order in orders) or (0,) * len(parts)
        if len(orders) != len(parts):
            raise ArgumentError("orders", expected=f"{len(parts)} numbers", received=self.orders)
        object.__setattr__(self, "orders", orders)

    def __str__(self) -> str:
        derivative = f"∂{self.orders}" if any(self.orders) else ""
        return f"{self.weight}*{derivative}{self.place}"


@dataclass(frozen=True, init=False)
class LinearHead(Presented):
    """A linear head on a field x: for every component of the offsets a list of taps.

    Attributes:
        field: the field x that it reads.
        components: the taps of each component of the offsets, one component per axis.

    Raises:
        ArgumentError: no field, no taps, more than three components, taps of another number of axes than there are
            components, two taps at one place, or weights that are all zero; derivatives of independent pixels.
    """

    field: InputField
    components: tuple[tuple[HeadTap, ...], ...]

    def __init__(self, field: InputField, *components: Mapping[Any, Any] | Iterable[HeadTap] | HeadTap) -> None:
        """Make a head.

        Args:
            field: the field x that it reads, of independent pixels or Gaussian.
            *components: for each component its taps: weights by their places, such as {0: 1}, {(1, 0): "1/2"}, a
                `HeadTap`, or several.
        """
        if not isinstance(field, InputField):
            raise ArgumentError("field", expected="an input field", received=type(field).__name__)
        object.__setattr__(self, "field", field)
        object.__setattr__(self, "components", tuple(map(_taps_of, components)))
        if self.dim not in (1, 2, 3):
            raise ArgumentError("components", expected="1, 2 or 3 lists of taps, one per axis", received=self.dim)
        for taps in self.components:
            self._check_component(taps)
        if isinstance(field, GaussianField):
            field.check_axes(self.dim)

    def _check_component(self, taps: tuple[HeadTap, ...]) -> None:
        for tap in taps:
            if len(tap.place) != self.dim:
                expected = f"places with {self.dim} coordinates, as many as there are lists of taps"
                raise ArgumentError("components", expected=expected, received=tap.place)
            if isinstance(self.field, IIDField) and any(tap.orders):
                raise ArgumentError("components", expected="no derivatives of independent pixels", received=str(tap))
            if isinstance(self.field, IIDField) and not all(part.is_integer for part in tap.place):
                raise ArgumentError("components", expected="taps on whole pixels", received=str(tap))
        if len({(tap.place, tap.orders) for tap in taps}) < len(taps):
            raise ArgumentError("components", expected="taps at different places", received=list(map(str, taps)))

    @property
    def dim(self) -> int:
        """Number d of axes, and of components."""
        return len(self.components)

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """The symbols of places and weights, and of the field's law."""
        parts = [part for taps in self.components for tap in taps for part in (tap.weight, *tap.place)]
        parts += self.field.parameters
        return {symbol for part in parts for symbol in part.free_symbols}

    @cached_property
    def _text(self) -> str:
        return f"{self.field}<-" + ";".join("+".join(map(str, taps)) for taps in self.components)

    def __str__(self) -> str:
        return self._text

    def _parts(self) -> Iterable[str]:
        yield brief(self.field, 30)
        for taps in self.components:
            yield " + ".join(map(str, taps))


def _exact(coordinate: sp.Expr) -> sp.Expr:
    """Return a coordinate, a whole one as an integer, so that 1.0 and 1 are one place."""
    return sp.Integer(int(coordinate)) if coordinate.is_Float and float(coordinate).is_integer() else coordinate


def _taps_of(taps: Any) -> tuple[HeadTap, ...]:
    """Return the taps of a component as the caller gave them, without those of weight zero."""
    if isinstance(taps, Mapping):
        found = tuple(HeadTap(place, weight) for place, weight in taps.items())
    else:
        found = (taps,) if isinstance(taps, HeadTap) else tuple(taps) if isinstance(taps, Iterable) else ()
    expected = "weights by their places, such as {0: 1}, or HeadTaps"
    if not found or not all(isinstance(tap, HeadTap) for tap in found):
        raise ArgumentError("components", expected=expected, received=repr(taps))
    kept = tuple(tap for tap in found if tap.weight != 0)
    if not kept:
        raise ArgumentError("components", expected="a weight other than zero", received=repr(taps))
    return kept
