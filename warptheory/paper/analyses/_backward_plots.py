"""Plots of the backward pass."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warptheory.report.panels import LineStyle, Look, draw, draw_limit, letter, select
from warptheory.report.style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style

_FORWARD_TAILS = "excess kurtosis, offsets uniform on [−a, a)"
_DIMS = {1: (BLUE, "o"), 2: (VERMILION, "s"), 3: (GREEN, "^")}


def plot_two_passes(table: pd.DataFrame) -> Figure:
    """Draw second moments, tails and the response to ones of both passes (A4 and B1, A5 and B2, B3).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.6), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        _draw_second_moments(first, table)
        for axes, name, dim in ((second, "b", 1), (third, "c", 2)):
            _draw_tails(axes, table, dim)
            letter(axes, name, f"B2: tails, d = {dim}")
        _draw_response(fourth, table)
        letter(fourth, "d", "B3: response to ones")
    return figure


def plot_reading(table: pd.DataFrame) -> Figure:
    """Draw dead inputs, the largest column sum, stacks, and the growth with the resolution (B4, B5, B8, B7).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.6), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        _draw_dead_inputs(first, table)
        letter(first, "a", "B4: inputs that no output reads")
        _draw_column_sums(second, table)
        letter(second, "b", "B5: the largest column sum of W, nearest")
        _draw_stacks(third, table)
        letter(third, "c", "B8: ones sent back through stacked warps")
        _draw_growth(fourth, table)
        letter(fourth, "d", "B7: finer grids resolve the caustics")
    return figure


def plot_slopes(table: pd.DataFrame) -> Figure:
    """Draw folds and preimages of Gaussian slopes, and the gain of a diffeomorphism (B7, B6).

    Args:
        table: the record.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        first, second, third = figure.subplots(1, 3)
        handles = []
        for dim, (colour, marker) in _DIMS.items():
            look = Look(f"d = {dim}", colour, marker=marker)
            draw(first, select(table, "B7", "fold probability", dim=dim), look)
            handles.append(draw(second, select(table, "B7", "preimages", dim=dim), look))
        letter(first, "a", "B7: folding")
        first.set_ylabel("P(J < 0)")
        first.set_ylim(0, 0.5)
        letter(second, "b", "B7: preimages of a point")
        second.set_ylabel("E |J|")
        second.set_yscale("log")
        second.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
        second.set_yticks([], minor=True)
        second.legend(handles=handles, loc="upper left")
        for axes in (first, second):
            axes.set_xlabel("deviation τ of the slopes")
        _draw_jensen(third, table)
        letter(third, "c", "B6: no folds")
    return figure


def _draw_second_moments(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the forward gain broad, and the backward gain on top of it."""
    handles = []
    for dim, (colour, _) in list(_DIMS.items())[:2]:
        forward = select(table, "A4", "variance", dim=dim)
        backward = select(table, "B1", "second moment", dim=dim)
        broad = Look(f"forward, d = {dim}", ORANGE if dim == 1 else GREY, hollow=True, width=4.0)
        handles.append(draw(axes, forward, broad))
        handles.append(draw(axes, backward, Look(f"backward, d = {dim}", colour, "--", "s", hollow=True)))
    letter(axes, "a", "A4 and B1: second moments")
    axes.set_xlabel("half-width a of uniform offsets (pixels)")
    axes.set_ylabel("E y² / E x², E (Wᵀg)² / E g²")
    axes.set_ylim(0.3, 1.25)
    axes.legend(handles=handles, ncols=2, loc="upper right")


def _draw_tails(axes: Axes, table: pd.DataFrame, dim: int) -> None:
    backward = draw(axes, select(table, "B2", "excess kurtosis", dim=dim), Look("backward (B2)", VERMILION, marker="s"))
    forward = draw(axes, select(table, "A5", _FORWARD_TAILS, dim=dim), Look("forward (A5)", BLUE))
    limit = draw_limit(axes, select(table, "B2", "excess kurtosis, wide offsets", dim=dim))
    axes.set_xlabel("half-width a of uniform offsets (pixels)")
    axes.set_ylabel("excess kurtosis")
    axes.set_ylim(-0.1, 3.0)
    axes.legend(handles=[backward, forward, limit], loc="lower right", bbox_to_anchor=(1, 0.17))


def _draw_response(axes: Axes, table: pd.DataFrame) -> None:
    handles = []
    for dim, (colour, marker) in list(_DIMS.items())[:2]:
        rows = select(table, "B3", "variance of the response to ones", dim=dim)
        handles.append(draw(axes, rows, Look(f"backward, d = {dim}", colour, marker=marker)))
        limit = draw_limit(axes, select(table, "B3", "variance of the response to ones, wide offsets", dim=dim), colour)
    forward = select(table, "B3", "variance of warped ones", dim=1)
    handles += [draw(axes, forward, Look("forward, any d", GREY, "-.", "D", hollow=True)), limit]
    axes.set_xlabel("spread s of normal offsets (pixels)")
    axes.set_ylabel("Var (Wᵀ1), Var (W1)")
    axes.set_ylim(-0.03, 0.95)
    axes.legend(handles=handles, ncols=2, loc="upper center")


def _draw_dead_inputs(axes: Axes, table: pd.DataFrame) -> None:
    handles = []
    for kernel in ("nearest", "linear"):
        for dim, (colour, marker) in list(_DIMS.items())[:2]:
            rows = select(table, "B4", "share of dead inputs", kernel=kernel, dim=dim)
            line: LineStyle = "--" if kernel == "nearest" else "-"
            look = Look(f"{kernel}, d = {dim}", colour, line, marker, hollow=kernel == "nearest")
            handles.append(draw(axes, rows, look))
            limit = draw_limit(
                axes, select(table, "B4", "share of dead inputs, wide offsets", kernel=kernel, dim=dim), colour
            )
    axes.set_yscale("log")
    axes.set_ylim(1e-4, 30)
    axes.set_yticks([1e-4, 1e-3, 1e-2, 1e-1, 1])
    axes.set_yticks([], minor=True)
    axes.set_xlabel("spread s of normal offsets (pixels)")
    axes.set_ylabel("share of inputs without gradient")
    axes.legend(handles=[*handles, limit], ncols=2, loc="upper center")


def _draw_column_sums(axes: Axes, table: pd.DataFrame) -> None:
    rows = select(table, "B5", "largest column sum")
    bound = select(table, "B5", "infinity norm")["theory"].iloc[0]
    handle = draw(axes, rows, Look(r"$E\,\|W\|_1$, exact", BLUE))
    sizes = np.geomspace(16, rows["value"].max(), 100)
    (guide,) = axes.plot(sizes, np.log(sizes) / np.log(np.log(sizes)), color=GREY, linestyle=":", linewidth=1.2)
    guide.set_label("log N / log log N, the order of growth")
    (row_sum,) = axes.plot(rows["value"], [bound] * len(rows), color=VERMILION, linestyle="--", linewidth=1.2)
    row_sum.set_label(r"$\|W\|_\infty$, the largest row sum")
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, 11)
    axes.set_xlabel("size N of the grid (pixels)")
    axes.set_ylabel("largest sum")
    axes.legend(handles=[handle, guide, row_sum], loc="upper left")


def _draw_stacks(axes: Axes, table: pd.DataFrame) -> None:
    handles = []
    for dim, (colour, marker) in list(_DIMS.items())[:2]:
        rows = select(table, "B8", "second moment after L layers, wide offsets", dim=dim)
        handles.append(draw(axes, rows, Look(f"d = {dim}", colour, marker=marker)))
    axes.set_xticks(sorted(table.loc[table["result"] == "B8", "value"].unique()))
    axes.set_xlabel("layers L")
    axes.set_ylabel(r"E $(W_1^{\mathsf{T}} \cdots\, W_L^{\mathsf{T}}\,1)^2$")
    axes.set_ylim(1, 3.1)
    axes.legend(handles=handles, loc="upper left")


def _draw_growth(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the simulated gain, and through its point on the finest grid the line of the derived growth."""
    growth = select(table, "B7", "growth of the backward gain per doubling of the resolution")
    simulated = select(table, "B7", "mean square of the response to ones")
    handles = []
    for (given, rows), (colour, marker) in zip(simulated.groupby("given"), _DIMS.values(), strict=True):
        tau = float(str(given).rpartition("=")[2])
        slope = float(growth.loc[np.isclose(growth["value"], tau), "theory"].iloc[0])
        finest = rows.iloc[-1]
        line = finest["estimate"] + slope * np.log2(rows["value"] / finest["value"])
        axes.plot(rows["value"], line, color=colour, linewidth=1.2)
        handles.append(draw(axes, rows, Look(f"τ = {tau:g}", colour, marker=marker)))
    axes.set_xscale("log", base=2)
    axes.set_xlabel("pixels N in a period of the offsets")
    axes.set_ylabel("E (Wᵀ1)²")
    axes.legend(handles=handles, loc="upper left")


def _draw_jensen(axes: Axes, table: pd.DataFrame) -> None:
    handles = []
    for dim, (colour, marker) in list(_DIMS.items())[:2]:
        rows = select(table, "B6", "backward gain", dim=dim)
        handles.append(draw(axes, rows, Look(f"backward, d = {dim}", colour, marker=marker)))
    forward = select(table, "B6", "forward gain", dim=1)
    handles.append(draw(axes, forward, Look("forward, d = 1", GREY, "-.", "D", hollow=True)))
    axes.set_xlabel("largest slope τ")
    axes.set_ylabel("gain")
    axes.set_yscale("log")
    axes.set_yticks([1, 2, 4], ["1", "2", "4"])
    axes.set_yticks([], minor=True)
    axes.set_ylim(0.93, 5.6)
    axes.legend(handles=handles, loc="upper left")
