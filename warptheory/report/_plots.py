"""Plots of all claims, and of the operator's accuracy and speed, drawn from records."""

import itertools

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warptheory.report._curves import Look
from warptheory.report._style import BLUE, GREY, ORANGE, VERMILION, house_style

_VERDICT_MARKS = {"verified": (BLUE, "o"), "undecided": (ORANGE, "s"), "refuted": (VERMILION, "X")}


def plot_deviations(verdicts: pd.DataFrame) -> Figure:
    """Draw (simulation − theory) / smallest effect of every claim with one standard error, a row for each quantity.

    Args:
        verdicts: the table that `results.check` returns.
    """
    names = verdicts["result"] + " " + verdicts["quantity"]
    order = list(dict.fromkeys(names))
    place = names.map(order.index) + _shares(names)
    with house_style():
        figure = Figure(figsize=(7.2, 0.9 + 0.19 * len(order)), layout="constrained")
        axes = figure.subplots()
        for row in range(0, len(order), 2):
            axes.axhspan(row - 0.5, row + 0.5, color=GREY, alpha=0.06, linewidth=0)
        for edge in (-1, 1):
            axes.axvline(edge, color=GREY, linewidth=0.8, linestyle="--")
        axes.axvline(0, color=GREY, linewidth=0.8)
        for verdict, (colour, marker) in _VERDICT_MARKS.items():
            chosen = verdicts["verdict"] == verdict
            if chosen.any():
                _draw_deviations(axes, verdicts[chosen], place[chosen], Look(verdict, colour, marker=marker))
        axes.set_yticks(range(len(order)), [f"{name} ({(names == name).sum()})" for name in order], fontsize=7.5)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(-1.25, 1.25)
        axes.set_xlabel("(simulation − theory) / smallest error that matters")
        figure.legend(loc="outside upper right", ncols=3)
    return figure


def _shares(names: pd.Series) -> pd.Series:
    """Return where in its row each claim lies: evenly spread from −0.36 to 0.36, one alone in the middle."""
    number, count = names.groupby(names).cumcount(), names.groupby(names).transform("size")
    return 0.72 * ((number + 0.5) / count - 0.5)


def _draw_deviations(axes: Axes, rows: pd.DataFrame, place: pd.Series, look: Look) -> None:
    """Draw claims of one verdict; what lies beyond the panel is drawn at its edge."""
    axes.errorbar(
        ((rows["estimate"] - rows["theory"]) / rows["effect"]).clip(-1.22, 1.22),
        place,
        xerr=rows["stderr"] / rows["effect"],
        fmt=look.marker,
        color=look.colour,
        markersize=2.2,
        linewidth=0.7,
        label=f"{look.label} ({len(rows)}; bar: ± 1 SE)",
    )


def plot_accuracy(accuracy: pd.DataFrame) -> Figure:
    """Draw the largest float32 error over the width of the image, for ours and torch's operator.

    Args:
        accuracy: the record of `analyses/operator_accuracy.py`.
    """
    styles = {"warp": (BLUE, "o", "warp"), "grid_sample": (VERMILION, "s", "grid_sample")}
    lines = {"forward": "-", "image_gradient": "--", "offset_gradient": ":"}
    with house_style():
        figure = Figure(figsize=(4.6, 3.3), layout="constrained")
        axes = figure.subplots()
        for operator, rows in accuracy.groupby("operator", sort=False):
            colour, marker, name = styles[str(operator)]
            for quantity, line in lines.items():
                label = f"{name}, {quantity.replace('_', ' ')}"
                axes.loglog(rows["width"], rows[quantity], line, color=colour, marker=marker, markersize=4, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(accuracy["width"].unique(), [str(width) for width in accuracy["width"].unique()])
        axes.set_xlabel("width of the image (pixels)")
        axes.set_ylabel("largest float32 error / largest value")
        axes.set_ylim(top=3)
        axes.legend(ncols=2, fontsize=6.5, loc="upper left")
    return figure


def plot_speed(timings: pd.DataFrame) -> Figure:
    """Draw how many times faster `warp` is than `grid_sample` with its grid, for every case.

    Args:
        timings: the rows of the record of `benchmarks/warp.py`.
    """
    passes = {"forward": "o", "forward and both gradients": "s"}
    layouts = {"channels-last": BLUE, "contiguous": ORANGE}
    is_alone = timings.get("busy_processes", 0) == 0
    timings = timings[(timings["threads"] == timings["threads"].max()) & is_alone]
    names = timings["shape"].map(lambda shape: "×".join(map(str, shape))) + ", " + timings["offsets"]
    order = list(dict.fromkeys(names))
    with house_style():
        figure = Figure(figsize=(7.2, 0.9 + 0.26 * len(order)), layout="constrained")
        axes = figure.subplots()
        for (passed, marker), (layout, colour) in itertools.product(passes.items(), layouts.items()):
            chosen = (timings["pass"] == passed) & (timings["layout"] == layout)
            rows = timings[chosen]
            shift = {"channels-last": -0.12, "contiguous": 0.12}[layout]
            axes.errorbar(
                rows["ratio"],
                [order.index(name) + shift for name in names[chosen]],
                xerr=[rows["ratio"] - rows["ratio_lowest"], rows["ratio_highest"] - rows["ratio"]],
                fmt=marker,
                color=colour,
                markerfacecolor=colour if passed == "forward" else "white",
                markersize=4.5,
                linewidth=0.8,
                label=f"{passed}, {layout}",
            )
        axes.axvline(1, color=GREY, linewidth=0.8)
        axes.set_xscale("log")
        ticks = [1, 2, 3, 5, 10, 20]
        axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_yticks(range(len(order)), order, fontsize=8)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlabel("time of grid_sample with its grid / time of warp (bars: range over the rounds)")
        figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure
