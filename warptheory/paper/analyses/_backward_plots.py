"""Plots of the backward pass."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warptheory.report.panels import DIMS, LineStyle, Look, draw, draw_by_dim, draw_limit, letter, mark, select
from warptheory.report.style import BLUE, GREY, ORANGE, VERMILION, house_style

_FORWARD_TAILS = "excess kurtosis, offsets uniform on [−a, a)"
_HALF_WIDTH = "half-width a of uniform offsets (pixels)"
_SPREAD = "spread s of normal offsets (pixels)"


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
        slopes = "deviation τ of the slopes"
        draw_by_dim(first, table, "B7", "fold probability", dims=list(DIMS))
        letter(first, "a", "B7: folding")
        first.set(xlabel=slopes, ylabel="P(J < 0)", ylim=(0, 0.5))
        handles = draw_by_dim(second, table, "B7", "preimages", dims=list(DIMS))
        letter(second, "b", "B7: preimages of a point")
        second.set(xlabel=slopes, ylabel="E |J|", yscale="log")
        mark(second.yaxis, 1, 2, 5, 10)
        second.legend(handles=handles, loc="upper left")
        _draw_jensen(third, table)
        letter(third, "c", "B6: no folds")
    return figure


def _draw_second_moments(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the forward gain broad, and the backward gain on top of it."""
    handles = []
    for dim in (1, 2):
        forward = select(table, "A4", "variance", dim=dim)
        backward = select(table, "B1", "second moment", dim=dim)
        broad = Look(f"forward, d = {dim}", ORANGE if dim == 1 else GREY, hollow=True, width=4.0)
        handles.append(draw(axes, forward, broad))
        handles.append(draw(axes, backward, Look(f"backward, d = {dim}", DIMS[dim][0], "--", "s", hollow=True)))
    letter(axes, "a", "A4 and B1: second moments")
    axes.set(xlabel=_HALF_WIDTH, ylabel="E y² / E x², E (Wᵀg)² / E g²", ylim=(0.3, 1.25))
    axes.legend(handles=handles, ncols=2, loc="upper right")


def _draw_tails(axes: Axes, table: pd.DataFrame, dim: int) -> None:
    backward = draw(axes, select(table, "B2", "excess kurtosis", dim=dim), Look("backward (B2)", VERMILION, marker="s"))
    forward = draw(axes, select(table, "A5", _FORWARD_TAILS, dim=dim), Look("forward (A5)", BLUE))
    limit = draw_limit(axes, select(table, "B2", "excess kurtosis, wide offsets", dim=dim))
    axes.set(xlabel=_HALF_WIDTH, ylabel="excess kurtosis", ylim=(-0.1, 3.0))
    axes.legend(handles=[backward, forward, limit], loc="lower right", bbox_to_anchor=(1, 0.17))


def _draw_response(axes: Axes, table: pd.DataFrame) -> None:
    response = "variance of the response to ones"
    handles = draw_by_dim(axes, table, "B3", response, "backward, ")
    for dim in (1, 2):
        limit = draw_limit(axes, select(table, "B3", f"{response}, wide offsets", dim=dim), DIMS[dim][0])
    forward = select(table, "B3", "variance of warped ones", dim=1)
    handles += [draw(axes, forward, Look("forward, any d", GREY, "-.", "D", hollow=True)), limit]
    axes.set(xlabel=_SPREAD, ylabel="Var (Wᵀ1), Var (W1)", ylim=(-0.03, 0.95))
    axes.legend(handles=handles, ncols=2, loc="upper center")


def _draw_dead_inputs(axes: Axes, table: pd.DataFrame) -> None:
    handles = []
    for kernel in ("nearest", "linear"):
        for dim in (1, 2):
            dead, (colour, marker) = "share of dead inputs", DIMS[dim]
            line: LineStyle = "--" if kernel == "nearest" else "-"
            look = Look(f"{kernel}, d = {dim}", colour, line, marker, hollow=kernel == "nearest")
            handles.append(draw(axes, select(table, "B4", dead, kernel=kernel, dim=dim), look))
            limit = draw_limit(axes, select(table, "B4", f"{dead}, wide offsets", kernel=kernel, dim=dim), colour)
    axes.set(xlabel=_SPREAD, ylabel="share of inputs without gradient", yscale="log", ylim=(1e-4, 30))
    axes.set_yticks([1e-4, 1e-3, 1e-2, 1e-1, 1])
    axes.set_yticks([], minor=True)
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
    axes.set(xlabel="size N of the grid (pixels)", ylabel="largest sum", ylim=(0, 11))
    axes.legend(handles=[handle, guide, row_sum], loc="upper left")


def _draw_stacks(axes: Axes, table: pd.DataFrame) -> None:
    handles = draw_by_dim(axes, table, "B8", "second moment after L layers, wide offsets")
    axes.set_xticks(sorted(table.loc[table["result"] == "B8", "value"].unique()))
    axes.set(xlabel="layers L", ylabel=r"E $(W_1^{\mathsf{T}} \cdots\, W_L^{\mathsf{T}}\,1)^2$", ylim=(1, 3.1))
    axes.legend(handles=handles, loc="upper left")


def _draw_growth(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the simulated gain, and through its point on the finest grid the line of the derived growth."""
    growth = select(table, "B7", "growth of the backward gain per doubling of the resolution")
    simulated = select(table, "B7", "mean square of the response to ones")
    handles = []
    for (given, rows), (colour, marker) in zip(simulated.groupby("given"), DIMS.values(), strict=True):
        tau = float(str(given).rpartition("=")[2])
        slope = float(growth.loc[np.isclose(growth["value"], tau), "theory"].iloc[0])
        finest = rows.iloc[-1]
        line = finest["estimate"] + slope * np.log2(rows["value"] / finest["value"])
        axes.plot(rows["value"], line, color=colour, linewidth=1.2)
        handles.append(draw(axes, rows, Look(f"τ = {tau:g}", colour, marker=marker)))
    axes.set_xscale("log", base=2)
    axes.set(xlabel="pixels N in a period of the offsets", ylabel="E (Wᵀ1)²")
    axes.legend(handles=handles, loc="upper left")


def _draw_jensen(axes: Axes, table: pd.DataFrame) -> None:
    handles = draw_by_dim(axes, table, "B6", "backward gain", "backward, ")
    forward = select(table, "B6", "forward gain", dim=1)
    handles.append(draw(axes, forward, Look("forward, d = 1", GREY, "-.", "D", hollow=True)))
    axes.set(xlabel="largest slope τ", ylabel="gain", yscale="log", ylim=(0.93, 5.6))
    mark(axes.yaxis, 1, 2, 4)
    axes.legend(handles=handles, loc="upper left")
