"""The law of offsets that a head computes, at the pixel of a group's values, and integrals against its density."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import sympy as sp

from warptheory.symbolic._terms import Group, whole_index
from warptheory.symbolic.head_laws import FixedSum, components_of, offset_laws
from warptheory.symbolic.head_nodes import DensityIntegral
from warptheory.symbolic.linear_heads import LinearHead
from warptheory.symbolic.moved_fields import MovedValue
from warptheory.symbolic.offset_fields import OffsetField
from warptheory.symbolic.values import Index


@dataclass(frozen=True)
class OffsetLaw:
    """The law of the offsets at the pixel of a group's values.

    Attributes:
        group: the group.
        offsets: the offsets, not displaced.
    """

    group: Group
    offsets: OffsetField

    @property
    def head(self) -> LinearHead:
        """The head that computes them."""
        return cast("LinearHead", self.offsets.head)

    @cached_property
    def pixel(self) -> Index:
        """The pixel, from which places are counted."""
        moved = next(atom for atom in self.group.factors if isinstance(atom, MovedValue))
        return whole_index(moved.site.index, self.head.dim)

    @cached_property
    def components(self) -> tuple[FixedSum, ...]:
        """The components of the head."""
        return components_of(self.head)

    @cached_property
    def _relations(self) -> tuple[tuple[int, ...], sp.Matrix]:
        """Components that are independent, and the factors, a row for each of those, by which all follow from them."""
        keys = list(dict.fromkeys((tap.place, tap.orders) for taps in self.head.components for tap in taps))
        weights = sp.zeros(len(keys), self.head.dim)
        for component, taps in enumerate(self.head.components):
            for tap in taps:
                weights[keys.index((tap.place, tap.orders)), component] = tap.weight
        factors, pivots = weights.rref()
        return pivots, factors

    @property
    def independent(self) -> tuple[int, ...]:
        """The axes whose components of the head are independent."""
        return self._relations[0]

    @cached_property
    def variables(self) -> Index:
        """The offsets along the axes whose components are independent."""
        return tuple(self.offsets.symbols[axis] for axis in self.independent)

    @cached_property
    def basis(self) -> tuple[FixedSum, ...]:
        """The components of the head that are independent."""
        return tuple(self.components[axis] for axis in self.independent)

    @cached_property
    def means(self) -> Index:
        """The mean of each offset."""
        return tuple(mean for mean, _ in offset_laws(self.offsets))

    @cached_property
    def dependent(self) -> Mapping[sp.Symbol, sp.Expr]:
        """The offsets that follow from the variables."""
        pivots, factors = self._relations
        deviations = [self.offsets.symbols[axis] - self.means[axis] for axis in pivots]
        return {
            symbol: self.means[axis] + sp.Add(*(factors[k, axis] * part for k, part in enumerate(deviations)))
            for axis, symbol in enumerate(self.offsets.symbols)
            if axis not in pivots
        }

    @cached_property
    def head_covariance(self) -> sp.Matrix:
        """The covariance of the independent components of the head."""
        found = sp.Matrix(len(self.basis), len(self.basis), lambda i, j: self.basis[i].covariance_with(self.basis[j]))
        if any(found[i, i].is_zero for i in range(len(self.basis))):
            raise self.group.refusal("a head of variance zero; its offsets are constants")
        return found

    def integral(self, kind: type[DensityIntegral], body: sp.Expr, orders: Sequence[int], *more: object) -> sp.Expr:
        """Return an integral against the density of the variables, or a derivative of it."""
        covariance = self.offsets.scale**2 * self.head_covariance
        rows = sp.Tuple(*(sp.Tuple(*covariance.row(i)) for i in range(len(self.basis))))
        means = sp.Tuple(*(self.means[axis] for axis in self.independent))
        return kind(
            sp.expand(body.xreplace(self.dependent)), sp.Tuple(*self.variables), means, rows, sp.Tuple(*orders), *more
        )
