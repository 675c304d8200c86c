"""The normal law of a linear head: weighted sums of values of a field, and mean and variance of the offsets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import sympy as sp

from warptheory.symbolic.covariance_nodes import point_covariance
from warptheory.symbolic.input_fields import GaussianField, IIDField, InputField
from warptheory.symbolic.linear_heads import HeadTap, LinearHead
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.values import Index


@dataclass(frozen=True)
class FixedSum:
    """A weighted sum of values of a field, or of its derivatives, at places counted from the output's pixel.

    Attributes:
        name: how it is written, such as h or x[1].
        field: the field.
        taps: the values and their weights.
    """

    name: str
    field: InputField
    taps: tuple[HeadTap, ...]

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of places and weights, and of the field's covariance."""
        found = {symbol for tap in self.taps for part in (tap.weight, *tap.place) for symbol in part.free_symbols}
        if isinstance(self.field, GaussianField):
            return found | self.field.free_symbols
        return found | cast("IIDField", self.field).deviation.free_symbols

    def __str__(self) -> str:
        return f"{self.name}={self.field}<-" + "+".join(map(str, self.taps))

    def covariance(self, place: Index, orders: Sequence[int]) -> sp.Expr:
        """Return its covariance with a value of the field, or of a derivative of it, at a place."""
        total: sp.Expr = sp.Integer(0)
        for tap in self.taps:
            if isinstance(self.field, GaussianField):
                points = (sp.Tuple(tap.place, tap.orders), sp.Tuple(place, tuple(orders)))
                total += tap.weight * point_covariance(self.field, *points)
            elif tap.place == place:
                total += tap.weight * cast("IIDField", self.field).deviation ** 2
        return total

    def covariance_with(self, other: "FixedSum") -> sp.Expr:
        """Return its covariance with another sum."""
        if other.field != self.field:
            return sp.Integer(0)
        return sp.Add(*(tap.weight * self.covariance(tap.place, tap.orders) for tap in other.taps))


def components_of(head: LinearHead) -> tuple[FixedSum, ...]:
    """Return the components of a head."""
    names = ["h"] if head.dim == 1 else [f"h_{axis + 1}" for axis in range(head.dim)]
    return tuple(FixedSum(name, head.field, taps) for name, taps in zip(names, head.components, strict=True))


def offset_laws(offsets: OffsetField) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
    """Return mean and variance of the offset along each axis, where a head computes it, without displacement."""
    head = cast("LinearHead", offsets.head)
    return tuple(
        (
            sp.expand(
                offsets.scale * head.field.mean * sp.Add(*(t.weight for t in component.taps if not any(t.orders)))
            ),
            offsets.scale**2 * component.covariance_with(component),
        )
        for component in components_of(head)
    )
