"""Plots of a diagnosis: its conditions against their bounds, its layers, the loss along a step."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from warptheory.report.style import BLUE, GREY, ORANGE, VERMILION, house_style
from warptheory.stability.diagnosis import Condition, LayerDiagnosis, StepProfile

_PIXEL = 1.0  # beyond it in the steps that momentum remembers, samples leave what they have learnt from
_DECADES = 1.5  # of an axis beyond the outermost bound or value, at the least


def judged(conditions: Sequence[Condition]) -> list[Condition]:
    """Return the conditions that can be drawn against a bound: they have one above zero, and a value."""
    return [each for each in conditions if each.verdict is not None and any(bound > 0 for bound in _bounds(each))]


def plot_conditions(conditions: Sequence[Condition]) -> Figure:
    """Draw conditions against their bounds, each on a logarithmic axis of its own.

    Args:
        conditions: those of `judged`, at least one.
    """
    with house_style():
        figure = Figure(figsize=(8, 0.35 + 0.85 * len(conditions)), layout="constrained")
        panels = figure.subplots(len(conditions), 1, squeeze=False)[:, 0]
        for axes, condition in zip(panels, conditions, strict=True):
            _draw_condition(axes, condition)
    return figure


def _draw_condition(axes: Axes, condition: Condition) -> None:
    low, high = _range(condition)
    axes.set(xscale="log", xlim=(low, high), ylim=(-1, 1), yticks=[])
    axes.spines["left"].set_visible(False)
    unit = f" ({condition.unit})" if condition.unit else ""
    axes.set_title(f"{condition.name}{unit}: {condition.measured}, {condition.verdict}", loc="left", parse_math=False)
    for bound, colour, hatch, name in (
        (condition.worse, ORANGE, "", "worse"),
        (condition.fail, VERMILION, "////", "fails"),
    ):
        if bound is None or bound <= 0:
            continue
        beyond = (low, bound) if condition.is_lower else (bound, high)
        axes.axvspan(*beyond, color=colour, alpha=0.22, linewidth=0)
        if hatch:
            axes.axvspan(*beyond, facecolor="none", edgecolor=colour, alpha=0.35, hatch=hatch, linewidth=0)
        axes.axvline(bound, color=colour, linewidth=1.2)
        side = "right" if condition.is_lower else "left"
        axes.annotate(
            name,
            (bound, 0.95),
            (-3 if side == "right" else 3, 0),
            textcoords="offset points",
            ha=side,
            va="top",
            fontsize=8,
        )
    if condition.value <= low or condition.value >= high:
        # Nothing on a logarithmic axis is as small as zero: a mark at its end says that the value lies beyond.
        axes.plot(
            low if condition.value <= low else high,
            0,
            "<" if condition.value <= low else ">",
            color=BLUE,
            clip_on=False,
        )
        return
    error = 0.0 if math.isnan(condition.stderr) else condition.stderr
    least = max(condition.value - error, low)
    axes.errorbar(
        condition.value,
        -0.1,
        xerr=[[condition.value - least], [error]],
        fmt="o",
        color=BLUE,
        capsize=4,
        linewidth=1.6,
        zorder=3,
    )


def _bounds(condition: Condition) -> list[float]:
    return [bound for bound in (condition.worse, condition.fail) if bound is not None]


def _range(condition: Condition) -> tuple[float, float]:
    """Return the ends of an axis that holds the bounds, and the value unless it is far beyond all numbers."""
    held = [each for each in (*_bounds(condition), condition.value) if 0 < each < math.inf]
    beyond = 10**_DECADES
    return min(held) / beyond, max(held) * beyond


def plot_displacements(layers: Sequence[LayerDiagnosis]) -> Figure:
    """Draw how far a step moves the samples of each operation, alone and with momentum, against a pixel."""
    with house_style():
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        axes = figure.subplots()
        _draw_positive(axes, [each.displacement for each in layers], "o", BLUE, "in one step", filled=True)
        _draw_positive(axes, [each.coasting for each in layers], "s", VERMILION, "in the steps that momentum remembers")
        axes.axhline(_PIXEL, color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="one pixel")
        axes.set_ylabel("displacement (pixels)")
        _finish(axes, len(layers))
    return figure


def plot_gains(layers: Sequence[LayerDiagnosis]) -> Figure:
    """Draw the gains of each operation, measured beside predicted: forward, and backward."""
    with house_style():
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2), ("forward", "backward"), strict=True):
            predicted = [getattr(each, f"predicted_{name}_gain") for each in layers]
            _draw_positive(axes, [getattr(each, f"{name}_gain") for each in layers], "o", BLUE, "measured", filled=True)
            _draw_positive(axes, predicted, "D", VERMILION, "predicted", size=8)
            axes.axhline(1, color=GREY, linewidth=0.8)
            axes.set_ylabel(f"{name} gain of energy")
            low, high = axes.get_ylim()
            # Gains that differ in the sixth digit look alike.
            axes.set_ylim(min(low, 0.5), max(high, 2))
            _finish(axes, len(layers))
    return figure


def plot_energy(layers: Sequence[LayerDiagnosis]) -> Figure:
    """Draw the share of positions that hold half of the gradient's energy, of each operation."""
    with house_style():
        figure = Figure(figsize=(8, 2.8), layout="constrained")
        axes = figure.subplots()
        axes.bar(range(len(layers)), [each.energy_share for each in layers], color=BLUE, width=0.6)
        axes.axhline(0.5, color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="spread evenly")
        axes.set(ylabel="share of positions", ylim=(0, 0.55))
        _finish(axes, len(layers))
    return figure


def plot_profile(profile: StepProfile) -> Figure:
    """Draw the loss along the step of the offset-only parameters, with what two derivatives promise of it."""
    with house_style():
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot(profile.multiples, profile.losses, "o-", color=BLUE, label="loss")
        start, end = profile.multiples[0], profile.multiples[-1]
        finite = [loss for loss in profile.losses if math.isfinite(loss)]
        for promise, colour, line, name in (
            (profile.promise, VERMILION, "--", "promised by autograd's derivative, one-sided at knots"),
            (profile.central_promise, GREY, "-.", "promised by the central derivative"),
        ):
            if finite and math.isfinite(promise):
                ends = [profile.losses[0] - promise * (each - start) for each in (start, end)]
                axes.plot((start, end), ends, line, color=colour, label=name)
        if finite:
            # Promises that nothing keeps would leave no room for the loss.
            room = (max(finite) - min(finite)) or abs(finite[0]) * 0.01 or 1.0
            axes.set_ylim(min(finite) - 0.6 * room, max(finite) + 0.15 * room)
        axes.set(xlabel="multiple of the optimizer's step", ylabel="loss of one batch")
        _legend(axes)
    return figure


def _draw_positive(
    axes: Axes, values: Sequence[float], marker: str, colour: str, label: str, *, filled: bool = False, size: float = 5
) -> None:
    """Draw values of operations on a logarithmic axis; what is not above zero and finite is left out."""
    kept = [(number, value) for number, value in enumerate(values) if 0 < value < math.inf]
    if not kept:
        return
    axes.set_yscale("log")
    inside = colour if filled else "none"
    axes.plot(*zip(*kept, strict=True), marker, color=colour, markerfacecolor=inside, markersize=size, label=label)


def _finish(axes: Axes, count: int) -> None:
    axes.set_xlabel("operation, in the order of running")
    axes.set_xlim(-0.6, max(count, 1) - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
