"""How long the axes of a periodic row have to be for its values to meet only where they would on the infinite axis.

A moment on the periodic axis is that on the infinite one if no two pixels that one realisation reads are the same
pixel of the row. A value reads a *region* of every field below it: an interval about its pixel, moved by offsets.
Offsets that all regions have in common move them together, so that only the others count; and so does a common
location.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from warptheory import kernels, symbolic
from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.fields.laws import Law
from warptheory.kernels import Kernel
from warptheory.symbolic import ComposedField, Field, HeadTap, InputField, OffsetField, SplattedField, WarpedField
from warptheory.symbolic.head_laws import offset_laws
from warptheory.symbolic.offset_fields import Given, given_offsets
from warptheory.symbolic.quadrature import quadrature
from warptheory.symbolic.values import Index
from warptheory.warping.reference import WILD

# Stands for reading between the points of a grid that is fine against the field.
EXACT_KERNEL = kernels.get("bspline3(prefilter=True)")

# Share of the offsets that may be so far out that a position wraps around the axis, on each side.
_WRAPPED = 1e-7

Values = Mapping[str, float]


@dataclass(frozen=True)
class RandomOffset:
    """One random offset along an axis, and the interval that holds it but for the tails.

    Attributes:
        source: its field.
        pixel: where it is drawn; None where all pixels share one.
        low: lower end of the interval, in pixels.
        high: upper end.
    """

    source: OffsetField
    pixel: "Region | None"
    low: float
    high: float


@dataclass(frozen=True)
class Region:
    """Pixels along one axis: an interval that random offsets move.

    Attributes:
        low: lower end of the interval, in pixels.
        high: upper end.
        moved_by: the offsets, each with the factor by which it moves the interval.
    """

    low: float
    high: float
    moved_by: frozenset[tuple[RandomOffset, int]] = frozenset()

    def widened(self, below: float, above: float) -> "Region":
        """Return the region with its ends moved by numbers of pixels, down and up."""
        return replace(self, low=self.low - below, high=self.high + above)

    def moved(self, offset: RandomOffset, factor: int) -> "Region":
        """Return the region moved by a random offset."""
        return replace(self, moved_by=_total([*self.moved_by, (offset, factor)]))

    def seen_from(self, reference: frozenset[tuple[RandomOffset, int]]) -> tuple[float, float]:
        """Return the ends of the interval that holds all pixels, for one who moves with the reference's offsets."""
        others = _total([*self.moved_by, *((offset, -factor) for offset, factor in reference)])
        ends = [sorted((factor * offset.low, factor * offset.high)) for offset, factor in others]
        return _sum([self.low, *(low for low, _ in ends)]), _sum([self.high, *(high for _, high in ends)])


def _sum(parts: list[float]) -> float:
    """Return a sum that does not depend on the order, which a set has from one process to the next."""
    return math.fsum(parts) if all(map(math.isfinite, parts)) else math.inf


def _total(moves: Iterable[tuple[RandomOffset, int]]) -> frozenset[tuple[RandomOffset, int]]:
    factors: dict[RandomOffset, int] = {}
    for offset, factor in moves:
        factors[offset] = factors.get(offset, 0) + factor
    return frozenset((offset, factor) for offset, factor in factors.items() if factor != 0)


@dataclass(frozen=True)
class RowAxis:
    """What values read along one axis.

    Attributes:
        number: the axis, counted from 0.
        given: what the statistic is conditional on.
        values: a number for every symbol, by name.
    """

    number: int
    given: Given | None
    values: Values

    def pixels(self, read: Iterable[tuple[Field, int]]) -> float:
        """Return how many pixels keep apart what some values of one realisation read.

        Args:
            read: the values' fields, and their pixels along this axis.

        Raises:
            ArgumentError: offsets so large that the operator takes them for wild ones, and reads nothing.
        """
        regions: dict[Field | OffsetField, list[Region]] = {}
        for field, pixel in read:
            for base, region in self._regions(field, Region(float(pixel), float(pixel))):
                regions.setdefault(base, []).append(region)
        self._check_reach([region for found in regions.values() for region in found])
        return 1 + max((_extent(found) for found in regions.values()), default=0.0)

    def _check_reach(self, regions: Iterable[Region]) -> None:
        # Offsets that all regions share need no room, however large they are.
        reach = max((abs(end) for region in regions for end in region.seen_from(frozenset())), default=0.0)
        if not reach < WILD:
            expected = "values whose offsets lead to less than 2**30 pixels away"
            raise ArgumentError("statistic", expected=expected, received=f"{reach:.3g} pixels")

    def _regions(self, field: Field, region: Region) -> Iterator[tuple[Field | OffsetField, Region]]:
        """Yield the regions of input and offset fields that values in a region of a field depend on."""
        if isinstance(field, InputField):
            yield field, region
        if not isinstance(field, WarpedField | SplattedField | ComposedField):
            return  # what no simulation draws, it refuses by itself
        inner = self._inner(field, region)
        source = field.offsets.source
        if source.head is not None:
            places = [self._place_of(tap) for component in source.head.components for tap in component]
            below, above = taps(EXACT_KERNEL if isinstance(field, ComposedField) else field.kernel)
            read = region if isinstance(field, WarpedField) else region.widened(below, above)
            yield source.head.field, read.widened(-min(places), max(places))
        elif not source.is_shared and not self._is_given(source):
            # Of the offsets of a splat those matter that take a pixel here.
            yield source, inner if isinstance(field, SplattedField) else region
        yield from self._regions(field.field, inner)

    def _inner(self, field: WarpedField | SplattedField | ComposedField, region: Region) -> Region:
        """Return the pixels that values in a region read, or receive from, of the field that offsets move."""
        source, sign = field.offsets.source, -1 if isinstance(field, SplattedField) else 1
        below, above = taps(EXACT_KERNEL if isinstance(field, ComposedField) else field.kernel)
        # A warp at n reads the taps about p = n + ε; a splat at m receives from the n whose taps m is among.
        around = region.widened(below, above) if sign > 0 else region.widened(above, below)
        fixed = sign * self._fixed_part(field.offsets)
        around = around.widened(-fixed, fixed)
        if self._is_given(source):
            return around
        is_one_pixel = sign > 0 and region.low == region.high
        if source.is_shared or is_one_pixel:
            return around.moved(self._random_offset(source, None if source.is_shared else region), sign)
        offset = self._random_offset(source, None)
        low, high = sorted((sign * offset.low, sign * offset.high))
        return around.widened(-low, high)

    def _is_given(self, source: OffsetField) -> bool:
        return given_offsets(self.given) == source

    def _fixed_part(self, offsets: OffsetField) -> float:
        """Return what the offsets are displaced by, and the offset itself where it is given."""
        given = self.given
        parts: Index = offsets.displacement
        if given is not None and self._is_given(offsets.source):
            parts = tuple(map(sp.Add, parts, given.symbols))
        return symbolic.evaluate(parts[self.number], self.values)

    def _place_of(self, tap: HeadTap) -> float:
        return symbolic.evaluate(tap.place[self.number], self.values)

    def _random_offset(self, source: OffsetField, pixel: Region | None) -> RandomOffset:
        if source.head is not None:
            mean, variance = (symbolic.evaluate(part, self.values) for part in offset_laws(source)[self.number])
            law = laws.get("normal").at(mean, math.sqrt(variance))
            return RandomOffset(source, pixel, *self._ends_of_part(law))
        ends = [self._ends_of_part(part) for _, part in source.axis_law.parts]
        return RandomOffset(source, pixel, min(low for low, _ in ends), max(high for _, high in ends))

    def _ends_of_part(self, law: Law) -> tuple[float, float]:
        location, scale = (symbolic.evaluate(part, self.values) for part in (law.location, law.scale))
        low, high = _canonical_ends(law.at(0, 1))
        return location + scale * low, location + scale * high


def _extent(regions: list[Region]) -> float:
    """Return the extent of the union of regions, seen by the best of those who move with one of them, or with none."""
    extents = []
    for reference in {frozenset(), *(region.moved_by for region in regions)}:
        ends = [region.seen_from(reference) for region in regions]
        extents.append(max(high for _, high in ends) - min(low for low, _ in ends))
    return min(extents)


@cache
def taps(kernel: Kernel) -> tuple[float, float]:
    """Return how many pixels below and above a position are read; none for a kernel that reads the whole axis."""
    if not kernel.is_compact:
        return 1.0, 0.0
    below, above = 1.0 - min(kernel.taps), float(max(kernel.taps))
    if kernel.prefilter is None:
        return below, above
    decay = min(abs(np.roots([float(sample) for sample in kernel.prefilter])))
    # The inverse filter's response falls by this factor a pixel, and two of its tails meet on the far side of the axis.
    tail = math.ceil(math.log(_WRAPPED) / (2 * math.log(decay)))
    return below + tail, above + tail


@cache
def _canonical_ends(law: Law) -> tuple[float, float]:
    """Return the interval that holds a law which is no mixture, but for the tails; its location is 0, its scale 1."""
    if law.atoms:
        possible = [float(value) for value, _ in law.atoms]
        return min(possible), max(possible)
    # Panels of this quadrature end at every half scale.
    points, weights = quadrature(law, {}, lambda expression, _: float(expression))
    return -_upper_end(-points, weights), _upper_end(points, weights)


def _upper_end(points: Float[ndarray, "n"], weights: Float[ndarray, "n"]) -> float:
    """Return the first point with no more than a tail from there on; at a jump to none, the end of its half scale."""
    falling = np.argsort(points)[::-1]
    tail = points[falling][np.cumsum(weights[falling]) <= _WRAPPED]
    return float(tail[-1] if len(tail) else np.ceil(2 * points.max()) / 2)
