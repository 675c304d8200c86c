"""Curves of results, as analyses record them: what `results` has of them, and the points of several."""

from collections.abc import Iterator, Sequence

from warptheory.paper.entries import RunSettings
from warptheory.results._curves import STANDARD, Curve, Point, grid, simulate, write

__all__ = ["STANDARD", "Curve", "Point", "grid", "points_of", "simulate", "write"]


def points_of(curves: Sequence[Curve], settings: RunSettings) -> Iterator[Point]:
    """Yield the points of curves, every `thin`-th value of each, and report the progress."""
    for number, curve in enumerate(curves):
        settings.on_progress(number / len(curves), f"{curve.result.label} {curve.quantity}")
        yield from curve.points(settings.seed, settings.device, settings.thin)
