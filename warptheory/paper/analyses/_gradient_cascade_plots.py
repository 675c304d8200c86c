"""Plots of the gradient cascade: growth predicted beside measured, profiles over depth, and the local law."""

import itertools
import math
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory.report import house_style
from warptheory.report.panels import letter, mark
from warptheory.report.style import BLUE, GREY, ORANGE, VERMILION

GOAL = 1.5  # within this factor the prediction is counted as right
_COLOURS = {0.1: GREY, 0.3: BLUE, 1.0: ORANGE, 3.0: VERMILION}  # of α
_MARKERS = {3: "o", 9: "s", 18: "^", 27: "D"}  # of the number of blocks
_DEEPEST = max(_MARKERS)
LOG_GOAL = math.log10(GOAL)


def plot_explosion(table: pd.DataFrame) -> Figure:
    """Draw the predicted growth from output to input over that of random signs, and over that of the loss's gradient.

    Args:
        table: the record.
    """
    ends = table[table["place"] == 0]
    with house_style():
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, known, bar in zip(panels, ("drawn", "measured"), ("drawn_error", "spread"), strict=True):
            axes.axhline(1, color=GREY, linewidth=0.9)
            axes.axhspan(1 / GOAL, GOAL, color=GREY, alpha=0.25, linewidth=0)
            for scale, blocks in itertools.product(_COLOURS, _MARKERS):
                rows = ends[(ends["scale"] == scale) & (ends["blocks"] == blocks)]
                ratio, width = 10 ** (rows["predicted"] - rows[known]), 10 ** rows[bar]
                axes.errorbar(
                    10 ** rows[known],
                    ratio,
                    yerr=[ratio - ratio / width, ratio * width - ratio],
                    fmt=_MARKERS[blocks],
                    color=_COLOURS[scale],
                    markerfacecolor="none",
                    markersize=5,
                    elinewidth=0.9,
                )
            axes.set(xscale="log", yscale="log", xlim=(1, None), ylim=(0.25, 4))
            axes.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
            axes.minorticks_off()
        panels[0].set(xlabel="root mean square of |∂L/∂x| over signs", ylabel="predicted / measured")
        panels[1].set(xlabel="|∂L/∂x| of the loss")
        letter(panels[0], "a", "Mean over random signs")
        letter(panels[1], "b", "The loss's own gradient")
        scales = [Line2D([], [], color=_COLOURS[s], linestyle="", marker="o", label=f"α = {s:g}") for s in _COLOURS]
        depths = [
            Line2D([], [], color="black", markerfacecolor="none", linestyle="", marker=_MARKERS[b], label=f"{b} blocks")
            for b in _MARKERS
        ]
        panels[0].legend(handles=scales, loc="lower right", ncols=2)
        panels[1].legend(handles=depths, loc="lower right", ncols=2)
    return figure


def plot_profile(table: pd.DataFrame) -> Figure:
    """Draw the growth of the gradient on its way back through the deepest network, and where its energy sits.

    Args:
        table: the record.
    """
    deep = table[(table["blocks"] == _DEEPEST) & (table["seed"] == table["seed"].min())]
    with house_style():
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        growth, share = figure.subplots(1, 2)
        for scale, rows in deep.groupby("scale"):
            colour = _COLOURS[scale]
            growth.plot(rows["place"], 10 ** rows["measured"], color=colour)
            growth.plot(rows["place"], 10 ** rows["predicted"], "o", color=colour, markersize=3)
            growth.plot(rows["place"], 10 ** rows["means"], ":", color=colour)
            share.plot(rows["place"], 100 * rows["measured_share"], color=colour)
            share.plot(rows["place"], 100 * rows["predicted_share"], "o", color=colour, markersize=3)
        _label(growth, "|∂L/∂x| against the output's")
        _label(share, "positions that hold half of the energy (%)")
        share.axhline(50, color=GREY, linestyle="--", linewidth=0.9)
        letter(growth, "a", f"Growth through {_DEEPEST} blocks")
        letter(share, "b", "Localisation")
        looks: list[tuple[Literal["-", "", ":"], str, str]] = [
            ("-", "", "measured"),
            ("", "o", "cascade"),
            (":", "", "product of means"),
        ]
        handles = [
            Line2D([], [], color="black", linestyle=style, marker=marker, markersize=3, label=name)
            for style, marker, name in looks
        ]
        growth.legend(handles=handles, loc="upper right")
        colours = [Line2D([], [], color=_COLOURS[s], label=f"α = {s:g}") for s in _COLOURS]
        share.legend(handles=colours, loc="lower right")
    return figure


def _label(axes: Axes, what: str) -> None:
    axes.set(xlabel="block at whose input the gradient is", ylabel=what, yscale="log")


def plot_local_law(table: pd.DataFrame) -> Figure:
    """Draw the energy that offsets receive, over the local law and over the product of spatial averages (F4).

    Args:
        table: the record.
    """
    blocks = table[table["local_law"].notna()]
    with house_style():
        figure = Figure(figsize=(7.2, 2.8), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, column in zip(panels, ("local_law", "averaged_law"), strict=True):
            for scale in _COLOURS:
                values = np.sort(blocks[blocks["scale"] == scale][column])
                levels = (np.arange(len(values)) + 0.5) / len(values)
                axes.plot(values, levels, color=_COLOURS[scale], label=f"α = {scale:g}")
            axes.axvline(1, color=GREY, linewidth=0.9)
            axes.set(xscale="log", xlabel="received energy / law", xlim=(0.5, 8), ylim=(0, 1))
            mark(axes.xaxis, 0.5, 1, 2, 4, 8)
        panels[0].set(ylabel="share of the blocks below")
        panels[0].legend(loc="lower right")
        letter(panels[0], "a", "Local law: C |g(t)|² λ(t), summed")
        letter(panels[1], "b", "Spatial averages in its place")
    return figure
