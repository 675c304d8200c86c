"""The plots of `orthogonality`: shares of energy, spectra, ranks and compositions."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warptheory.report.panels import Look, draw, letter, mark
from warptheory.report.style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style

_KINDS = {
    "independent": Look("independent", BLUE, marker="o"),
    "smooth field": Look("smooth field", GREEN, marker="^"),
    "photographs": Look("photographs", VERMILION, marker="s"),
}
_OF_KERNELS = {
    "linear": (BLUE, "-"),
    "keys": (ORANGE, "--"),
    "bspline3(prefilter=True)": (GREEN, "-."),
    "sinc": (GREY, ":"),
}
_OF_SLOPES = (BLUE, ORANGE, VERMILION)
_OF_DIMS = {1: (BLUE, "o"), 2: (VERMILION, "s"), 3: (GREEN, "^")}


def plot_spectra(table: pd.DataFrame) -> Figure:
    """Draw the share of energy in convolutions, and the singular values of smooth and of slow warps (E1, E4).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        first, second, third = figure.subplots(1, 3)
        _draw_shares(first, table[table["part"] == "share"])
        letter(first, "a", "E1: energy in a convolution")
        _draw_smooth(second, table[table["part"] == "smooth spectrum"])
        letter(second, "b", "E4: smooth features")
        _draw_white(third, table[table["part"] == "white spectrum"])
        letter(third, "c", "E4: white pixels")
    return figure


def plot_ranks(table: pd.DataFrame) -> Figure:
    """Draw what scattered offsets lose, and what composition costs on a grid (E4, E5).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        first, second, third = figure.subplots(1, 3, width_ratios=(2, 3, 2))
        _draw_hits(first, table[table["part"] == "hits"])
        letter(first, "a", "E4: nearest kernel")
        _draw_lost(second, table[table["part"] == "lost"])
        letter(second, "b", "E4: linear kernel")
        _draw_compositions(third, table[table["part"] == "composition"])
        letter(third, "c", "E5: composition")
    return figure


def _draw_shares(axes: Axes, rows: pd.DataFrame) -> None:
    theory = rows[rows["kind"] == "independent"].sort_values("value")
    (line,) = axes.plot(theory["value"], theory["theory"], color=BLUE, linewidth=1.2, label="E1")
    handles = [line]
    for kind, look in _KINDS.items():
        of_kind = rows[rows["kind"] == kind].assign(theory=math.nan).sort_values("value")
        handle = draw(axes, of_kind, look)
        handle.set_linestyle("")
        handles.append(handle)
    axes.set(
        xlabel="spread of the offsets (pixels)",
        ylabel="share of the energy",
        xscale="log",
        ylim=(0, 1.04),
    )
    mark(axes.xaxis, 0.1, 0.3, 1, 3)
    axes.legend(handles=handles, loc="upper right", fontsize=6.5, handlelength=1.2)


def _draw_smooth(axes: Axes, rows: pd.DataFrame) -> None:
    for colour, (kind, of_slope) in zip(_OF_SLOPES, rows.groupby("kind", sort=False), strict=True):
        axes.plot(of_slope["value"], of_slope["theory"], color=colour, linewidth=1.2, label=kind)
        axes.plot(of_slope["value"], of_slope["estimate"], "o", color=colour, markersize=2.5, markerfacecolor="white")
    axes.axhline(1, color=GREY, linestyle=":", linewidth=0.9)
    axes.set(xlabel="share of larger singular values", ylabel="singular value σ", xlim=(0, 1), ylim=(0.6, 2.35))
    axes.legend(loc="upper right")


def _draw_white(axes: Axes, rows: pd.DataFrame) -> None:
    for kernel, (colour, style) in _OF_KERNELS.items():
        of_kernel = rows[rows["kind"] == kernel]
        label = "bspline3, prefiltered" if kernel.startswith("bspline3") else kernel
        if kernel == "linear":
            axes.plot(of_kernel["value"], of_kernel["theory"], color=colour, linewidth=1.2, label="linear (E4)")
            axes.plot(
                of_kernel["value"], of_kernel["estimate"], "o", color=colour, markersize=2.5, markerfacecolor="white"
            )
        else:
            axes.plot(of_kernel["value"], of_kernel["estimate"], style, color=colour, linewidth=1.2, label=label)
    axes.set(xlabel="share of larger singular values", ylabel="singular value σ", xlim=(0, 1), ylim=(0, 1.2))
    axes.legend(loc="lower left")


def _draw_hits(axes: Axes, rows: pd.DataFrame) -> None:
    axes.bar(rows["value"], rows["theory"], width=0.7, color="white", edgecolor=BLUE, label="law of the hits")
    axes.errorbar(
        rows["value"], rows["estimate"], 2 * rows["stderr"], fmt="o", color=BLUE, markersize=4, label="measured"
    )
    axes.set(xlabel="σ², reading outputs", ylabel="share of singular values", ylim=(0, 0.52))
    axes.set_xticks(range(6))
    axes.legend(loc="upper right", fontsize=6.5)


def _draw_lost(axes: Axes, rows: pd.DataFrame) -> None:
    finite = rows[np.isfinite(rows["value"])]
    last = 2.0 * finite["value"].max()
    for dim, (colour, marker) in _OF_DIMS.items():
        for kind, style in (("lost", "-"), ("dead", "--")):
            of_kind = finite[(finite["dim"] == dim) & (finite["kind"] == kind)].sort_values("value")
            axes.plot(of_kind["value"], of_kind["estimate"], style, color=colour, linewidth=1.2)
        wide = rows[(rows["dim"] == dim) & (rows["kind"] == "lost")]
        shown = wide.replace({"value": {math.inf: last}})
        axes.errorbar(
            shown["value"],
            shown["estimate"],
            2 * shown["stderr"],
            fmt=marker,
            color=colour,
            markersize=4,
            label=f"lost, d = {dim}",
        )
    axes.plot([], [], "--", color=GREY, label="pixels never read")
    theory = rows["theory"][(rows["dim"] == 1) & (rows["kind"] == "lost") & np.isinf(rows["value"])]
    axes.axhline(float(theory.iloc[0]), color=BLUE, linestyle=":", linewidth=0.9)
    axes.set(xlabel="spread of the offsets (pixels)", ylabel="share of dimensions", xscale="log")
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_ylim(0, 1)
    mark(axes.xaxis, 0.1, 0.3, 1, 3)
    axes.set_xticks([0.1, 0.3, 1, 3, last], ["0.1", "0.3", "1", "3", "∞"])
    axes.set_yticks([0, 1e-3, 1e-2, 1e-1], ["0", "0.001", "0.01", "0.1"])
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.4), fontsize=6)


def _draw_compositions(axes: Axes, rows: pd.DataFrame) -> None:
    handles = []
    for kernel, colour, marker in (("linear", BLUE, "o"), ("keys", ORANGE, "s")):
        look = Look(kernel, colour, marker=marker)
        handles.append(draw(axes, rows[rows["kind"] == kernel].sort_values("value"), look))
    axes.set(
        xlabel="frequency (radians/pixel)",
        ylabel=r"E $(W_\varphi W_\psi x - W_{\psi\circ\varphi} x)^2$",
        xscale="log",
        yscale="log",
    )
    mark(axes.xaxis, 0.2, 0.5, 1, 2)
    mark(axes.yaxis, 1e-8, 1e-6, 1e-4, 1e-2, 1)
    axes.legend(handles=handles, loc="upper left")
