"""Plots of self-warps."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory.paper.analyses import _self_warp_burgers as burgers
from warptheory.paper.analyses import _self_warp_mechanisms as mechanisms
from warptheory.report.panels import Look, draw, draw_by_dim, letter, mark, select
from warptheory.report.style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style

_SCALE = "scale α of the head (pixels)"
_TIMES = dict(zip(burgers.TIMES, (BLUE, GREEN, VERMILION), strict=True))
_GRIDS = {
    ("linear", 64): Look("linear, 64 points", VERMILION, "-", "s"),
    ("linear", 256): Look("linear, 256 points", ORANGE, "-", "^"),
    (burgers.SPLINE, 64): Look("cubic spline, 64 points", BLUE, "-", "o"),
}
_MECHANISMS = {
    "both": Look("both", VERMILION, "-", "s"),
    "gradient": Look("gradient alone", BLUE, "-", "o"),
    "map": Look("map alone", ORANGE, "--", "^"),
    "neither": Look("neither", GREY, "-.", "D", hollow=True),
}


def plot_burgers(rows: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw characteristics, solutions beside repeated self-warps, their errors, and the energy of one step (F1).

    Args:
        rows: the record of one wave.
        curves: the record of curves.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.8), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        _draw_characteristics(first, rows)
        letter(first, "a", "characteristics")
        _draw_solutions(second, rows)
        letter(second, "b", "solution and self-warps")
        _draw_errors(third, rows)
        letter(third, "c", "n self-warps to 0.8 of the shock")
        _draw_energies(fourth, curves)
        letter(fourth, "d", "F1: energy of a wave")
    return figure


def plot_folds(table: pd.DataFrame) -> Figure:
    """Draw folds, their probabilities and the tails of gradients (F1).

    Args:
        table: the record of curves.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.6), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        draw(first, select(table, "F1", "folds per pixel"), Look("", BLUE))
        first.set(xlabel=_SCALE, ylabel="folds per pixel", xscale="log", yscale="log", ylim=(1e-4, 0.3))
        letter(first, "a", "F1: Kac–Rice")
        _draw_first_fold(second, table)
        letter(second, "b", "F1: first fold, T = 6 pixels")
        _draw_fold_probability(third, table)
        letter(third, "c", "F1 and B7: folded points")
        _draw_tails(fourth, table)
        letter(fourth, "d", "F1: gradients that pile up")
        for axes in (first, second, third):
            mark(axes.xaxis, 0.5, 1, 2, 5, 10)
    return figure


def plot_moments(table: pd.DataFrame) -> Figure:
    """Draw means and second moments after a self-warp (F2, F6, F7, F10).

    Args:
        table: the record of curves.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.6), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        handles = draw_by_dim(first, table, "F6", "mean shift", "next pixel, ")
        difference = select(table, "F6", "mean shift, difference heads")
        handles.append(draw(first, difference, _look("difference, d = 1", GREEN)))
        first.set(ylabel="E y / σ", ylim=(-0.01, 0.5))
        first.legend(handles=handles, loc="upper right")
        letter(first, "a", "F6: mean shift")
        _draw_white(second, table)
        letter(second, "b", "F7: white pixels, d = 1")
        _draw_smooth(third, table)
        letter(third, "c", "F7 and F2: smooth fields, d = 1")
        _draw_rectified(fourth, table)
        letter(fourth, "d", "F10: after ReLU, own pixel, d = 1")
        for axes in (first, second, third, fourth):
            axes.set(xlabel=_SCALE, xscale="log")
            mark(axes.xaxis, 0.1, 0.3, 1, 3, 10)
    return figure


def plot_mechanisms(table: pd.DataFrame) -> Figure:
    """Draw gains, folds, slopes, their kurtosis and where gradients gather, for either mechanism, both and neither.

    Args:
        table: the record of the stacks.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 8.4), layout="constrained")
        first, second, third, fourth, fifth, sixth = figure.subplots(3, 2).flat
        low, high = mechanisms.SLOPES
        for axes, slope, name in ((first, low, "a"), (second, high, "b")):
            drawn = table[table["slope"] == slope]
            handles = [_draw_layers(axes, drawn, mechanisms.GAIN, look, key) for key, look in _MECHANISMS.items()]
            axes.set(xlabel="layers from the output", ylabel="gradient energy over the output's", yscale="log")
            letter(axes, name, f"gradient, τ = {slope:g}")
        first.set(ylim=(0.8, 12))
        mark(first.yaxis, 1, 2, 5, 10)
        first.legend(handles=handles, loc="upper left")
        for axes, quantity, name, title, label in (
            (third, mechanisms.FOLDS, "c", "folded pixels", "share of folded pixels"),
            (fourth, mechanisms.SLOPE, "d", "C3: slopes of the features", "rms slope of a channel (1/pixel)"),
            (fifth, mechanisms.KURTOSIS, "e", "kurtosis of the slopes", "kurtosis (normal: 3)"),
        ):
            _draw_slopes(axes, table, quantity)
            axes.set(xlabel="layers from the input", ylabel=label)
            letter(axes, name, title)
        third.set(ylim=(-0.01, 0.85))
        fourth.set(yscale="log", ylim=(0.08, 30))
        mark(fourth.yaxis, 0.1, 0.3, 1, 3, 10)
        fifth.set(yscale="log", ylim=(2, 200))
        mark(fifth.yaxis, 3, 10, 30, 100)
        drawn = table[table["slope"] == high]
        for key, look in _MECHANISMS.items():
            _draw_layers(sixth, drawn, mechanisms.HALF, look, key)
        sixth.set(xlabel="layers from the output", ylabel="share with half of the energy", ylim=(0, 0.5))
        letter(sixth, "f", f"where gradients gather, τ = {high:g}")
    return figure


def _look(label: str, colour: str, marker: str = "^") -> Look:
    return Look(label, colour, marker=marker)


def _draw_characteristics(axes: Axes, rows: pd.DataFrame) -> None:
    lines = rows[rows["series"] == burgers.CHARACTERISTICS]
    for _, line in lines.groupby("position"):
        axes.plot(line["value"], line["time"], color=BLUE, linewidth=0.7)
    axes.axhline(1, color=GREY, linestyle="--", linewidth=1.2)
    axes.set(
        xlabel="position t (rad)", ylabel="time s over the shock's", xlim=(0, 2 * math.pi), ylim=(0, max(burgers.TIMES))
    )


def _draw_solutions(axes: Axes, rows: pd.DataFrame) -> None:
    start = rows[rows["series"] == burgers.INITIAL]
    axes.plot(start["position"], start["value"], color=GREY, linestyle="--", linewidth=1.2)
    handles = [Line2D([], [], color=GREY, linestyle="--", linewidth=1.2, label="s = 0")]
    for time, colour in _TIMES.items():
        exact = rows[(rows["series"] == burgers.SOLUTION) & (rows["time"] == time)]
        warped = rows[(rows["series"] == burgers.WARPED) & (rows["time"] == time)].iloc[::4]
        for turn in (-2 * math.pi, 0.0, 2 * math.pi):
            axes.plot(exact["position"] + turn, exact["value"], color=colour, linewidth=1)
        axes.plot(warped["position"], warped["value"], "o", color=colour, markersize=2.4)
        label = f"s = {time:g} of the shock's"
        handles.append(Line2D([], [], color=colour, marker="o", markersize=2.4, linewidth=1, label=label))
    axes.set(xlabel="position t (rad)", ylabel="u", xlim=(0, 2 * math.pi), ylim=(-1.45, 2.4))
    axes.legend(handles=handles, loc="upper left")


def _draw_errors(axes: Axes, rows: pd.DataFrame) -> None:
    errors = rows[rows["series"] == burgers.ERROR]
    for (kernel, points), look in _GRIDS.items():
        chosen = errors[(errors["kernel"] == kernel) & (errors["points"] == points)].sort_values("steps")
        axes.plot(
            chosen["steps"], chosen["value"], look.line + look.marker, color=look.colour, markersize=4, label=look.label
        )
    steps = np.array(burgers.STEPS, dtype=float)
    first = float(errors[(errors["kernel"] == burgers.SPLINE) & (errors["steps"] == 4)]["value"].iloc[0])
    axes.plot(steps, 4 * first / steps, color=GREY, linestyle=":", linewidth=1.2, label="order 1")
    axes.set(xlabel="number n of self-warps", ylabel="rms error over rms of x", xscale="log", yscale="log")
    mark(axes.xaxis, 1, 4, 16, 64)
    axes.legend(loc="lower left")


def _draw_energies(axes: Axes, table: pd.DataFrame) -> None:
    handles = [
        draw(axes, select(table, "F1", "energy of Burgers' solution before the shock"), _look("solution", GREEN)),
        draw(
            axes,
            select(table, "F1", "energy of a wave after a self-warp"),
            _look("one self-warp, 1 − J₂(2τ)", BLUE, "o"),
        ),
    ]
    axes.set(xlabel="largest slope τ of the offsets", ylabel="energy over that of x", ylim=(0.6, 1.05))
    axes.legend(handles=handles, loc="lower left")


def _draw_first_fold(axes: Axes, table: pd.DataFrame) -> None:
    bound = draw(axes, select(table, "F1", "folds that meet an interval"), Look("expected number: a bound", BLUE))
    found = draw(
        axes, select(table, "F1", "probability of a fold in an interval"), Look("probability, simulated", VERMILION)
    )
    found.set_linestyle("")
    axes.set(xlabel=_SCALE, ylabel="of an interval of 6 pixels", xscale="log", yscale="log", ylim=(1e-3, 2))
    axes.legend(handles=[bound, found], loc="lower right")


def _draw_fold_probability(axes: Axes, table: pd.DataFrame) -> None:
    handles = [
        draw(
            axes,
            select(table, "F1", "fold probability, orthonormal heads"),
            Look("two heads, d = 2", VERMILION, marker="s"),
        ),
        draw(axes, select(table, "F1", "fold probability"), Look("one channel", BLUE)),
    ]
    axes.set(xlabel=_SCALE, ylabel="P(J < 0)", xscale="log", ylim=(0, 0.55))
    axes.legend(handles=handles, loc="upper left")


def _draw_tails(axes: Axes, table: pd.DataFrame) -> None:
    before = select(table, "F1", "gradients above M times, before the first fold")
    after = select(table, "F1", "gradients above M times, after folds")
    handles = [
        draw(axes, after, _look("after folds, α = 3", VERMILION, "s")),
        draw(axes, before, Look("before the first fold", BLUE)),
    ]
    factors = np.array([4.0, 32.0])
    for rows, power, name in ((after, 2.0, "$M^{-2}$"), (before, 2.5, "$M^{-5/2}$")):
        last = rows.iloc[-1]
        level = 0.5 * float(last["theory"]) * float(last["value"]) ** power
        axes.plot(factors, level * factors**-power, color=GREY, linestyle=":", linewidth=1.2)
        axes.annotate(name, (33, level * 33**-power), fontsize=8, color=GREY, va="top", annotation_clip=False)
    axes.set(xlabel="factor M", ylabel="share of inputs", xscale="log", yscale="log", xlim=(1.15, 60), ylim=(1e-6, 0.3))
    mark(axes.xaxis, 2, 5, 10, 20)
    axes.legend(handles=handles, loc="lower left")


def _draw_white(axes: Axes, table: pd.DataFrame) -> None:
    handles = [
        draw(axes, select(table, "F7", "second moment, own pixel"), Look("own pixel", BLUE)),
        draw(axes, select(table, "F7", "second moment, three taps"), _look("mean of three pixels", VERMILION, "s")),
        draw(axes, select(table, "A4", "variance"), Look("independent (A4)", GREY, "--")),
    ]
    axes.set(ylabel="E y² / σ²", ylim=(0.3, 1.02))
    axes.legend(handles=handles, loc="upper right")


def _draw_smooth(axes: Axes, table: pd.DataFrame) -> None:
    handles = [
        draw(axes, select(table, "F7", "second moment of a field, own pixel"), Look("grid, linear kernel (F7)", BLUE)),
        draw(axes, select(table, "F2", "second moment"), Look("continuum (F2)", GREEN, "--", "^")),
    ]
    axes.set(ylabel="E y² / C(0)", ylim=(0.5, 1.05))
    axes.legend(handles=handles, loc="lower left")


def _draw_rectified(axes: Axes, table: pd.DataFrame) -> None:
    """Draw moments over those that entered: σ/√(2π) and σ²/2."""
    handles = []
    for quantity, entered, look in (
        ("mean after ReLU", 1 / math.sqrt(2 * math.pi), Look("mean", BLUE)),
        ("second moment after ReLU", 0.5, _look("second moment", VERMILION, "s")),
    ):
        rows = select(table, "F10", quantity)
        shares = {column: rows[column] / entered for column in ("theory", "estimate", "stderr")}
        handles.append(draw(axes, rows.assign(**shares), look))
    axes.set(ylabel="over that of the features", ylim=(0.2, 1.02))
    axes.legend(handles=handles, loc="upper right")


def _draw_layers(axes: Axes, table: pd.DataFrame, quantity: str, look: Look, mechanism: str) -> Line2D:
    chosen = (table["quantity"] == quantity) & (table["mechanism"] == mechanism)
    return draw(axes, table[chosen].rename(columns={"layers": "value"}), look)


def _draw_slopes(axes: Axes, table: pd.DataFrame, quantity: str) -> None:
    """Draw what the map does, at both slopes, and that it does nothing where it is held still."""
    low, high = (table[table["slope"] == slope] for slope in mechanisms.SLOPES)
    handles = [
        _draw_layers(axes, high, quantity, Look("map alone, τ = 0.5", VERMILION, "-", "s"), "map"),
        _draw_layers(axes, low, quantity, Look("map alone, τ = 0.25", ORANGE, "-", "^"), "map"),
        _draw_layers(axes, high, quantity, Look("gradient alone, τ = 0.5", BLUE, "-", "o"), "gradient"),
    ]
    axes.legend(handles=handles, loc="upper left")
