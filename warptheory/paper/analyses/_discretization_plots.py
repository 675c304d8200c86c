"""Plots of discretization errors, from the records of `analyses/discretization_error.py`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory.report.panels import Look, draw, draw_by_dim, letter, mark, select
from warptheory.report.style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style

_SPLINE = "bspline3(prefilter=True)"
_KERNELS = {
    "nearest": ("mean error, other kernels", Look("nearest", GREY, marker="v")),
    "linear": ("mean error", Look("linear", BLUE)),
    "keys": ("mean error", Look("keys", VERMILION, marker="s")),
    _SPLINE: ("mean error, cubic spline", Look("bspline3, prefiltered", ORANGE, marker="D")),
}
_FIELDS = {
    "Matérn 1/2": Look("Matérn 1/2", BLUE),
    "Matérn 1": Look("Matérn 1", GREEN, marker="^"),
    "Matérn 3/2": Look("Matérn 3/2", VERMILION, marker="s"),
    "Matérn 5/2": Look("Matérn 5/2", ORANGE, marker="D"),
    "exponential": Look("exponential", GREY, "--", "v", hollow=True),
}


def plot_errors(table: pd.DataFrame) -> Figure:
    """Draw errors against the spacing: of values, of gradients, and of rough fields (D4, D5, D3).

    Args:
        table: the record `discretization_error`.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 3.9), layout="constrained")
        first, second, third = figure.subplots(1, 3)
        handles = []
        for kernel, (quantity, look) in _KERNELS.items():
            handles.append(draw(first, select(table, "D4", quantity, kernel=kernel), look))
            if kernel != "nearest":
                draw(second, select(table, "D5", "mean error", kernel=kernel), look)
        letter(first, "a", "D4: value")
        first.set(xlabel="spacing h, for ℓ = 1.5", ylabel="mean square error / C(0)", ylim=(1e-14, 3))
        letter(second, "b", "D5: gradient")
        second.set(xlabel="spacing h, for ℓ = 1.5", ylabel="mean square error (1/length²)", ylim=(1e-14, 3))
        fields = []
        for name, look in _FIELDS.items():
            rows = select(table, "D3", "mean error, rough field", given=f"field = {name}")
            fields.append(draw(third, rows, look))
        letter(third, "c", "D3: rough fields, linear")
        third.set(xlabel="spacing h, for ℓ = 1", ylabel="mean square error / C(0)", ylim=(1e-10, 3))
        for axes in (first, second, third):
            axes.set(xscale="log", yscale="log")
        figure.legend(handles=handles, loc="outside upper left", ncols=2, title="(a, b)")
        figure.legend(handles=fields, loc="outside upper right", ncols=3, title="(c)")
    return figure


def plot_orders(table: pd.DataFrame, orders: pd.DataFrame) -> Figure:
    """Draw fitted orders beside the expected ones, the power transfer, and aliasing (D3 to D7).

    Args:
        table: the record `discretization_error`.
        orders: the record `discretization_orders`.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
        first, second, third = (figure.add_subplot(part) for part in (grid[:, 0], grid[0, 1], grid[1, 1]))
        _draw_orders(first, orders)
        letter(first, "a", "fitted minus expected order")
        _draw_transfer(second, table)
        letter(second, "b", "D6: power kept in a layer")
        _draw_aliasing(third, table)
        letter(third, "c", "D7: beyond Nyquist")
    return figure


def _draw_orders(axes: Axes, orders: pd.DataFrame) -> None:
    """Draw a row for each fit to simulated errors: its interval, and the fit to the closed form."""
    rows = orders[orders["source"] == "simulation"].iloc[::-1].reset_index(drop=True)
    names = []
    for place, row in enumerate(rows.to_dict("records")):
        what = row["field"] if row["result"] == "D3" else row["kernel"].replace(_SPLINE, "bspline3, prefiltered")
        names.append(f"{row['result']}, {what}: {row['expected']:g}")
        deviation = row["fitted"] - row["expected"]
        reach = [[row["fitted"] - row["low"]], [row["high"] - row["fitted"]]]
        axes.errorbar(deviation, place, xerr=reach, fmt="o", color=BLUE, markersize=4.2, linewidth=1.2, capsize=2)
        axes.plot(row["closed_form"] - row["expected"], place, "|", color=VERMILION, markersize=11, markeredgewidth=1.6)
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle="--", zorder=0.5)
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(-0.6, len(rows) + 1.4)
    axes.set_xlabel("fitted − expected order")
    handles = [
        Line2D([], [], color=BLUE, marker="o", markersize=4.2, label="simulation, 95 % interval"),
        Line2D([], [], color=VERMILION, linestyle="", marker="|", markersize=9, label="closed form, same spacings"),
    ]
    axes.legend(handles=handles, loc="upper left")


def _draw_transfer(axes: Axes, table: pd.DataFrame) -> None:
    looks = {"linear": _KERNELS["linear"][1], "keys": _KERNELS["keys"][1]}
    looks["bspline3"] = Look("bspline3, no prefilter", GREEN, marker="^")
    handles = [draw(axes, select(table, "D6", "power transfer", kernel=name), look) for name, look in looks.items()]
    axes.set_xticks(np.pi * np.arange(5) / 4, ["0", "π/4", "π/2", "3π/4", "π"])
    axes.set(xlabel="frequency ω (radians per pixel)", ylabel="power kept", ylim=(0, 1.04))
    axes.legend(handles=handles, loc="lower left")


def _draw_aliasing(axes: Axes, table: pd.DataFrame) -> None:
    handles = draw_by_dim(axes, table, "D7", "share beyond Nyquist")
    axes.set(xlabel="spread s of the offsets", ylabel="share of Var y", xscale="log", ylim=(0, None))
    mark(axes.xaxis, 0.1, 0.3, 1, 3, 8)
    axes.legend(handles=handles, loc="upper left")
