"""Plots of homogeneous random fields, from the record of `analyses/random_fields.py`."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory.report._curves import LineStyle, Look, draw, letter, select
from warptheory.report._style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style

_DIMS = {1: (BLUE, "o"), 2: (VERMILION, "s")}
_SPREADS = ((GREEN, "^"), (BLUE, "o"), (VERMILION, "s"))
_ON_GRID = "gradient variance on the grid after L layers"
_KERNELS = {
    "nearest": Look("nearest, simulated", GREY, marker="v", hollow=True),
    "bspline3(prefilter=True)": Look("bspline3, prefiltered, simulated", ORANGE, marker="D"),
    "linear": Look("linear (D6)", BLUE),
}


def plot_moved_fields(table: pd.DataFrame) -> Figure:
    """Draw the covariance of moved fields, their slopes, and layers of offsets on a grid (C2, C3, D6).

    Args:
        table: the record of `analyses/random_fields.py`.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 5.8), layout="constrained")
        first, second, third, fourth = figure.subplots(2, 2).flat
        _draw_covariance(first, table)
        letter(first, "a", "C2: covariance, d = 1")
        _draw_roughening(second, table)
        letter(second, "b", "C3: one layer roughens")
        _draw_layers(third, table)
        letter(third, "c", "C3 and D6: layers on a grid, d = 1")
        _draw_displacement(fourth, table)
        letter(fourth, "d", "C6: distance from the field itself")
    return figure


def plot_interpolated_fields(table: pd.DataFrame) -> Figure:
    """Draw the variance of interpolated fields and of their offset derivative against the length (C4).

    Args:
        table: the record of `analyses/random_fields.py`.
    """
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        panels = figure.subplots(1, 2)
        handles: list[Line2D] = []
        for axes, quantity in zip(panels, ("variance", "variance of the offset derivative"), strict=True):
            curves = (("linear", 1, BLUE, "-", "o"), ("linear", 2, VERMILION, "-", "s"), ("keys", 1, GREEN, "--", "^"))
            handles = []
            for kernel, dim, colour, line, marker in curves:
                style: LineStyle = "--" if line == "--" else "-"
                rows = select(table, "C4", quantity, kernel=kernel, dim=dim)
                handles.append(draw(axes, rows, Look(f"{kernel}, d = {dim}", colour, style, marker)))
            axes.set_xscale("log")
            axes.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
            axes.set_xticks([], minor=True)
            axes.set_xlabel("length ℓ/h of the field (pixels)")
        letter(panels[0], "a", "C4: variance")
        panels[0].set_ylabel("Var y / C(0)")
        panels[0].set_ylim(0.4, 1.04)
        panels[0].legend(handles=handles, loc="lower right")
        letter(panels[1], "b", "C4: offset gradient")
        panels[1].set_ylabel("Var ∂₁Wx · h² / C(0)")
        panels[1].set_yscale("log")
    return figure


def _draw_covariance(axes: Axes, table: pd.DataFrame) -> None:
    rows = select(table, "C2", "covariance", dim=1)
    handles = []
    spreads = sorted(rows["given"].unique(), key=_number)
    for given, (colour, marker) in zip(spreads, _SPREADS, strict=True):
        look = Look(f"s = {_number(given):g} px", colour, marker=marker)
        handles.append(draw(axes, rows[rows["given"] == given], look))
    axes.set_xlabel("lag t (pixels)")
    axes.set_ylabel("Cov(y(0), y(t)) / C(0)")
    axes.legend(handles=handles, loc="upper right", title="spread of the offsets")


def _draw_roughening(axes: Axes, table: pd.DataFrame) -> None:
    handles = []
    for dim, (colour, marker) in _DIMS.items():
        rows = select(table, "C3", "slope variance", dim=dim)
        handles.append(draw(axes, rows, Look(f"d = {dim}", colour, marker=marker)))
    axes.set_xlabel("spread s of the offsets (pixels)")
    axes.set_ylabel("slope variance λ₂(y) (1/pixel²)")
    axes.set_ylim(0, None)
    axes.legend(handles=handles, loc="upper left")


def _draw_layers(axes: Axes, table: pd.DataFrame) -> None:
    """Draw growth in the continuum, the ceiling, and what three kernels make of it."""
    handles = [
        draw(
            axes,
            select(table, "C3", "gradient variance of the continuum after L layers"),
            Look("continuum (C3)", GREEN, "--"),
        )
    ]
    ceiling = float(select(table, "C4", "largest gradient variance on the grid")["theory"].iloc[0])
    axes.axhline(ceiling, color=GREY, linestyle=":", linewidth=1.2)
    handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1.2, label="ceiling 2C(0)/h²"))
    for kernel, look in _KERNELS.items():
        rows = select(table, "D6", _ON_GRID, kernel=kernel)
        handle = draw(axes, rows, look)
        if rows["theory"].isna().all():
            handle.set_linestyle("")
        handles.append(handle)
    axes.set_yscale("log")
    axes.set_ylim(0.02, 250)
    axes.set_yticks([0.1, 1], ["0.1", "1"])
    axes.set_yticks([], minor=True)
    axes.set_xticks([0, 4, 8, 12, 16])
    axes.set_xlabel("layers L")
    axes.set_ylabel("gradient variance (1/pixel²)")
    axes.legend(handles=handles, loc="upper left")


def _draw_displacement(axes: Axes, table: pd.DataFrame) -> None:
    handles = []
    for dim, (colour, marker) in _DIMS.items():
        rows = select(table, "C6", "displacement error", dim=dim)
        handles.append(draw(axes, rows, Look(f"C6, d = {dim}", colour, marker=marker)))
    small = select(table, "C6", "displacement error, small offsets")
    handles.append(draw(axes, small, Look("λ₂ s², d = 1", BLUE, "-.", width=0.9)))
    bound = select(table, "C6", "worst case of the displacement error", dim=1)
    (line,) = axes.plot(bound["value"], bound["estimate"], color=GREEN, linestyle="--", linewidth=1.2)
    line.set_label("worst case, d = 1")
    axes.axhline(2, color=GREY, linestyle=":", linewidth=1.2)
    handles += [line, Line2D([], [], color=GREY, linestyle=":", linewidth=1.2, label="2C(0)")]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-3, 30)
    axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.set_xlabel("spread s of the offsets (pixels)")
    axes.set_ylabel("E |x∘φ − x|² / C(0)")
    axes.legend(handles=handles, loc="lower right")


def _number(given: str) -> float:
    return float(given.rpartition("=")[2])
