"""Plots of independent inputs, from the record of `analyses/iid_statistics.py`."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory.report._curves import Look, draw, letter, select
from warptheory.report._style import BLUE, GREEN, GREY, VERMILION, house_style

_KERNELS = {"linear": (BLUE, "o"), "keys": (VERMILION, "s"), "gauss(0.5)": (GREEN, "^")}


def plot_forward(table: pd.DataFrame) -> Figure:
    """Draw the forward gain against the spread of the offsets, the tails, and stacks (A4, A5, A9).

    Args:
        table: the record of `analyses/iid_statistics.py`.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        for axes, name, dim in ((first, "a", 1), (second, "b", 2)):
            handles = _by_kernel(axes, table, "A4", "variance", dim)
            letter(axes, name, f"A4: forward gain, d = {dim}")
            axes.set_xlabel("spread s of normal offsets (pixels)")
            axes.set_ylabel("Var y / Var x")
            axes.set_ylim(0, 1.04)
        first.legend(handles=handles, loc="lower left")
        _draw_kurtosis(third, table)
        _draw_stacks(fourth, table)
    return figure


def plot_displacement(table: pd.DataFrame) -> Figure:
    """Draw covariance and curvature against the displacement (A6, A11).

    Args:
        table: the record of `analyses/iid_statistics.py`.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        for axes, name, dim in ((first, "a", 1), (second, "b", 2)):
            axes.axhline(0, color=GREY, linewidth=0.6)
            handles = _by_kernel(axes, table, "A6", "covariance at a displacement", dim)
            letter(axes, name, f"A6: covariance of two values, d = {dim}")
            axes.set_xlabel("displacement Δ along every axis (pixels)")
            axes.set_ylabel("Cov(y, y′) / Var x")
        first.legend(handles=handles, loc="upper right")
        for axes, name, kernel in ((third, "c", "linear"), (fourth, "d", "keys")):
            handles = _draw_curvature(axes, table, kernel)
            letter(axes, name, f"A11: curvature of the alignment loss, {kernel}")
        third.legend(handles=handles, loc="upper right", bbox_to_anchor=(1, 0.9))
    return figure


def _by_kernel(axes: Axes, table: pd.DataFrame, result: str, quantity: str, dim: int) -> list[Line2D]:
    return [
        draw(axes, select(table, result, quantity, kernel=kernel, dim=dim), Look(kernel, colour, marker=marker))
        for kernel, (colour, marker) in _KERNELS.items()
    ]


def _draw_kurtosis(axes: Axes, table: pd.DataFrame) -> None:
    """Draw theory as short bars, side by side for the numbers of axes."""
    for place, (kernel, (colour, marker)) in enumerate(_KERNELS.items()):
        found = select(table, "A5", "excess kurtosis", kernel=kernel).sort_values("dim")
        for number, (_, row) in enumerate(found.iterrows()):
            dim, at = row["dim"], place + 0.36 * (number - (len(found) - 1) / 2)
            axes.plot([at - 0.13, at + 0.13], [row["theory"]] * 2, color=colour, linewidth=1.4)
            axes.errorbar(
                at, row["estimate"], yerr=row["stderr"], fmt=marker, color=colour, markersize=4.2, linewidth=1
            )
            axes.annotate(
                f"d = {dim}", (at, row["theory"]), (0, 7), textcoords="offset points", ha="center", fontsize=8
            )
    letter(axes, "c", "A5: tails of y for normal x")
    axes.set_xticks(range(len(_KERNELS)), list(_KERNELS))
    axes.set_xlim(-0.5, len(_KERNELS) - 0.5)
    axes.set_xlabel("kernel")
    axes.set_ylabel("excess kurtosis")
    axes.set_ylim(0, 0.36)


def _draw_stacks(axes: Axes, table: pd.DataFrame) -> None:
    handles = []
    for dim, colour, marker in ((1, BLUE, "o"), (2, VERMILION, "s")):
        rows = select(table, "A9", "variance after L layers, wide offsets", dim=dim)
        handles.append(draw(axes, rows, Look(f"d = {dim}", colour, marker=marker)))
    letter(axes, "d", "A9: forward through stacked warps")
    axes.set_yscale("log")
    axes.set_yticks([0.05, 0.1, 0.2, 0.5], ["0.05", "0.1", "0.2", "0.5"])
    axes.set_yticks([], minor=True)
    axes.set_xticks(sorted(table.loc[table["result"] == "A9", "value"].unique()))
    axes.set_xlabel("layers L")
    axes.set_ylabel("Var y / Var x")
    axes.legend(handles=handles, loc="lower left")


def _draw_curvature(axes: Axes, table: pd.DataFrame, kernel: str) -> list[Line2D]:
    """Draw the curvature by finite steps broad, and that by automatic differentiation on top of it."""
    looks = {
        "curvature at a finite step": Look("three evaluations, 0.1 pixel apart", BLUE, width=2.4),
        "curvature by automatic differentiation": Look("automatic differentiation", VERMILION, "--", "s", hollow=True),
    }
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set_xlabel("displacement Δ from the target (pixels)")
    axes.set_ylabel("curvature / Var x (1/pixel²)")
    return [draw(axes, select(table, "A11", quantity, kernel=kernel), look) for quantity, look in looks.items()]
