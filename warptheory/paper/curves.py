"""The points of several curves, as analyses record them."""

from collections.abc import Iterator, Sequence

from warptheory.paper.entries import RunSettings
from warptheory.results import Curve, CurvePoint


def points_of(curves: Sequence[Curve], settings: RunSettings) -> Iterator[CurvePoint]:
    """Yield the points of curves, every `thin`-th value of each, and report the progress."""
    for number, curve in enumerate(curves):
        settings.on_progress(number / len(curves), f"{curve.result.label} {curve.quantity}")
        yield from curve.points(settings.seed, settings.device, settings.thin)
