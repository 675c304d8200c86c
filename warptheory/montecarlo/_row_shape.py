"""The size of a periodic row: what its values read, and how far its fields are correlated, along every axis."""

import math
from dataclasses import dataclass

import numpy as np

from warptheory.core.errors import ArgumentError
from warptheory.montecarlo._atoms import field_of, shift_of
from warptheory.montecarlo._drawing import MOST_PIXELS, given_covariance, spacing_of, transformable
from warptheory.montecarlo._extent import RowAxis, Values
from warptheory.montecarlo._offsets import described_offsets
from warptheory.symbolic import ComposedField, Field, GaussianField, InputField, SplattedField, WarpedField
from warptheory.symbolic.offset_fields import Given
from warptheory.symbolic.values import RandomAtom


@dataclass(frozen=True)
class RowShape:
    """What the size of a row follows from.

    Attributes:
        dim: number of axes.
        shortest: the least number of pixels along an axis.
        share_of_images: share of C(0) that correlations across the period may add.
        given: what the statistic is conditional on.
        products: the values that have to meet in a row.
        moving: the fields that offsets move.
        inputs: the input fields.
    """

    dim: int
    shortest: int
    share_of_images: float
    given: Given | None
    products: tuple[tuple[RandomAtom, ...], ...]
    moving: tuple[WarpedField | SplattedField | ComposedField, ...]
    inputs: tuple[InputField, ...]

    def at(self, values: Values) -> tuple[int, ...]:
        """Return the number of pixels along each axis.

        Raises:
            ArgumentError: a row of more than 2²⁴ pixels.
        """
        correlated = self._correlated(values)
        lengths = [self._length(axis, values) + correlated for axis in range(self.dim)]
        if correlated and self._is_compact:
            lengths = [transformable(length) for length in lengths]
        if not math.prod(lengths) <= MOST_PIXELS:
            offsets = described_offsets([field.offsets for field in self.moving], self.given, values)
            raise ArgumentError(
                "statistic",
                expected="values whose offsets keep them within a row of at most 2**24 pixels",
                received=f"a row of {' × '.join(f'{length:.10g}' for length in lengths)} pixels "
                f"({offsets or 'pixels of the input alone'})",
            )
        return tuple(map(int, lengths))

    def _correlated(self, values: Values) -> int:
        """Return beyond how many pixels the input is not correlated, so that a periodic row is like an infinite one."""
        fields = [field for field in self.inputs if isinstance(field, GaussianField)]
        ranges = [
            given_covariance(field, values).range(self.share_of_images) / spacing_of(field, values) for field in fields
        ]
        sources = {field.offsets.source for field in self.moving}
        correlated = [source.covariance.subs(values) for source in sources if source.covariance is not None]
        return math.ceil(
            max([*ranges, *(covariance.range(self.share_of_images) for covariance in correlated)], default=0)
        )

    def _length(self, axis: int, values: Values) -> float:
        """Return the length of an axis of the row, a whole number that may be infinite."""
        along = RowAxis(axis, self.given, values)
        needed = max((along.pixels(self._read_along(axis, product, values)) for product in self.products), default=0.0)
        if self._is_compact:
            return float(max(self.shortest, np.ceil(needed)))
        # Band-limited interpolation reads the whole axis, with weights that fall by distance: it gets as much again.
        # On an even axis it splits the Nyquist frequency, and Σk² falls short of its value on the infinite axis; on
        # an odd one the two agree.
        length = max(self.shortest, np.ceil(2 * needed))
        return float(length + 1 - length % 2)

    @property
    def _is_compact(self) -> bool:
        """Whether values read no more than a few pixels."""
        return all(isinstance(field, ComposedField) or field.kernel.is_compact for field in self.moving)

    def _read_along(self, axis: int, product: tuple[RandomAtom, ...], values: Values) -> list[tuple[Field, int]]:
        """Return the fields of a product's values, and their pixels along an axis."""
        return [(field_of(atom), shift_of(atom, self.dim, values)[axis]) for atom in product]
