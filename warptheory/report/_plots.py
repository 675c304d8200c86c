"""Plots of theory against simulation, drawn from records."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from warptheory.report._style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style

_VERDICT_MARKS = {"verified": (BLUE, "o"), "undecided": (ORANGE, "s"), "refuted": (VERMILION, "X")}
_KERNEL_COLOURS = (BLUE, VERMILION, GREEN, ORANGE)
_DIM_MARKERS = {1: "o", 2: "s", 3: "^"}


def plot_deviations(verdicts: pd.DataFrame) -> Figure:
    """Draw (simulation − theory) / smallest effect for every claim, with one standard error.

    Args:
        verdicts: the table that `results.check` returns.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 0.8 + 0.17 * len(verdicts)), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(-1, 1, color=GREY, alpha=0.15, linewidth=0, label="smaller than matters")
        axes.axvline(0, color=GREY, linewidth=0.8)
        position = np.arange(len(verdicts))
        for verdict, (colour, marker) in _VERDICT_MARKS.items():
            chosen = (verdicts["verdict"] == verdict).to_numpy()
            if not chosen.any():
                continue
            rows = verdicts[chosen]
            axes.errorbar(
                (rows["estimate"] - rows["theory"]) / rows["effect"],
                position[chosen],
                xerr=rows["stderr"] / rows["effect"],
                fmt=marker,
                color=colour,
                markersize=3.5,
                linewidth=1,
                label=f"{verdict} (bar: ± 1 standard error)",
            )
        axes.set_yticks(position, verdicts["label"], fontsize=7)
        axes.set_ylim(len(verdicts) - 0.4, -0.6)
        axes.set_xlim(-1.6, 1.6)
        axes.set_xlabel("(simulation − theory) / smallest error that matters")
        figure.legend(loc="outside upper right", ncols=2)
    return figure


def plot_forward_gain(gain: pd.DataFrame) -> Figure:
    """Draw the forward gain against the spread of the offsets: lines are theory, points simulation.

    Args:
        gain: the record of `analyses/iid_statistics.py`.
    """
    with house_style():
        figure = Figure(figsize=(4.6, 3.3), layout="constrained")
        axes = figure.subplots()
        for colour, (kernel, of_kernel) in zip(_KERNEL_COLOURS, gain.groupby("kernel", sort=True), strict=False):
            for dim, rows in of_kernel.groupby("dim"):
                axes.plot(rows["spread"], rows["theory"], color=colour, linewidth=1)
                simulated = rows[rows["n"] > 0]
                axes.errorbar(
                    simulated["spread"],
                    simulated["estimate"],
                    yerr=simulated["stderr"],
                    fmt=_DIM_MARKERS[int(str(dim))],
                    color=colour,
                    markersize=4,
                    linewidth=1,
                    label=f"{kernel}, d = {dim}",
                )
        axes.set_xlabel("spread s of the offsets (pixels)")
        axes.set_ylabel("Var y / Var x")
        axes.set_ylim(0, 1.08)
        axes.legend(ncols=2, title="points: simulation ± 1 SE; lines: A4", title_fontsize=8)
    return figure


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
    timings = timings[timings["threads"] == timings["threads"].max()]
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
