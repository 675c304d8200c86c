"""Curves that analyses draw of quantities of their own, and the points of several, as they record them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from warptheory import results
from warptheory.core import records
from warptheory.montecarlo import check_device
from warptheory.paper.entries import RunSettings
from warptheory.results import UNIT_INPUT, Curve, CurvePoint, Quantity, Result, write_points
from warptheory.symbolic import Statistic


def extended(label: str, quantity: Quantity) -> Result:
    """Return a result with one quantity of ours in place of its own, under its label."""
    return replace(results.get(label), quantities=(quantity,))


def of_layers(
    label: str,
    three: str,
    name: str,
    states: Callable[..., Statistic],
    *,
    numbers: Sequence[int],
    dims: Sequence[int],
    rtol: float,
) -> Iterator[Curve]:
    """Yield what some numbers of layers do, a curve of one point for each and for each number of axes.

    Args:
        label: label of the result.
        three: its quantity for three layers, of which all but the statistic is taken.
        name: name of the quantity for any number.
        states: the statistic, by the setting and the number of `layers`.
        numbers: the numbers of layers.
        dims: the numbers of axes.
        rtol: relative precision of the simulation.
    """
    for layers in numbers:
        quantity = replace(results.get(label).get(three), name=name, states=partial(states, layers=layers))
        at = (float(layers),)
        for dim in dims:
            yield Curve(extended(label, quantity), name, "L", at, at, dim=dim, rtol=rtol)


def points_of(curves: Sequence[Curve], settings: RunSettings) -> Iterator[CurvePoint]:
    """Yield the points of curves, every `thin`-th value of each, and report the progress.

    Raises:
        ArgumentError: no such device.
    """
    check_device(settings.device)
    for number, curve in enumerate(curves):
        settings.on_progress(number / len(curves), f"{curve.result.label} {curve.quantity}")
        yield from curve.points(settings.seed, settings.device, settings.thin)


def manifest_of(script: str, settings: RunSettings, **chosen: object) -> records.Manifest:
    """Return the manifest of curves: what was chosen, and the unit of the input."""
    return records.Manifest(script, settings.seed, settings.device, {"thin": settings.thin, **chosen, **UNIT_INPUT})


def write_curves(points: Sequence[CurvePoint], manifest: records.Manifest, settings: RunSettings) -> Path:
    """Write points as the record that is named like the script in the manifest, and return its path."""
    name = manifest.command.rpartition(".")[2]
    return write_points(records.output_folder(settings.out) / f"{name}.parquet", points, manifest)
