"""A curve in a panel: the closed form as a line, the simulation as points with their standard error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D

from warptheory.report.style import BLUE, GREEN, GREY, VERMILION

LineStyle = Literal["-", "--", "-."]
# Colour and marker of a curve, by the number of axes.
DIMS = {1: (BLUE, "o"), 2: (VERMILION, "s"), 3: (GREEN, "^")}


@dataclass(frozen=True)
class Look:
    """How a curve is drawn.

    Attributes:
        label: its name in the legend; empty for none.
        colour: colour of line and points.
        line: Matplotlib's style of the line.
        marker: Matplotlib's marker of the points; hollow if `hollow`.
        hollow: whether the points are white inside.
        width: width of the line, in points.
    """

    label: str
    colour: str
    line: LineStyle = "-"
    marker: str = "o"
    hollow: bool = False
    width: float = 1.2


def select(table: pd.DataFrame, result: str, quantity: str, **where: object) -> pd.DataFrame:
    """Return the rows of one curve, ordered by its parameter.

    Args:
        table: a record of curves.
        result: label of the result.
        quantity: name of the quantity.
        **where: values of other columns, such as kernel and dim.
    """
    chosen = (table["result"] == result) & (table["quantity"] == quantity)
    for column, value in where.items():
        chosen &= table[column] == value
    return table[chosen].sort_values("value")


def draw(axes: Axes, rows: pd.DataFrame, look: Look) -> Line2D:
    """Draw a curve, and return what stands for it in a legend."""
    theory, simulated = rows.dropna(subset="theory"), rows[rows["n"] > 0]
    axes.plot(theory["value"], theory["theory"], look.line, color=look.colour, linewidth=look.width)
    inside = "white" if look.hollow else look.colour
    axes.errorbar(
        simulated["value"],
        simulated["estimate"],
        yerr=simulated["stderr"],
        fmt=look.marker,
        color=look.colour,
        markerfacecolor=inside,
        markersize=4.2,
        markeredgewidth=1,
        linewidth=1,
        zorder=3,
    )
    return Line2D(
        [],
        [],
        color=look.colour,
        linestyle=look.line,
        linewidth=look.width,
        marker=look.marker if len(simulated) else "",
        markersize=4.2,
        markerfacecolor=inside,
        label=look.label,
    )


def draw_by_dim(
    axes: Axes, table: pd.DataFrame, result: str, quantity: str, name: str = "", dims: Sequence[int] = (1, 2)
) -> list[Line2D]:
    """Draw a curve for each number of axes, and return what stands for them in a legend.

    Args:
        axes: the panel.
        table: a record of curves.
        result: label of the result.
        quantity: name of the quantity.
        name: what the legend says before the number of axes.
        dims: the numbers of axes.
    """
    looks = {dim: Look(f"{name}d = {dim}", colour, marker=marker) for dim, (colour, marker) in DIMS.items()}
    return [draw(axes, select(table, result, quantity, dim=dim), looks[dim]) for dim in dims]


def draw_limit(axes: Axes, rows: pd.DataFrame, colour: str = GREY) -> Line2D:
    """Draw the limit of an infinite parameter as a dashed line across the panel."""
    value = float(rows.loc[np.isinf(rows["value"]), "theory"].iloc[0])
    axes.axhline(value, color=colour, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0.5)
    return Line2D([], [], color=GREY, linestyle=(0, (4, 3)), linewidth=0.9, label="limit of wide offsets")


def letter(axes: Axes, name: str, title: str) -> None:
    """Write a panel's letter and title above it."""
    axes.set_title(f"({name}) {title}", loc="left")


def mark(axis: Axis, *ticks: float) -> None:
    """Put ticks at some numbers of an axis, and none between them."""
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def stripe_rows(axes: Axes, count: int) -> None:
    """Shade every second of some rows, which lie at whole numbers."""
    for row in range(0, count, 2):
        axes.axhspan(row - 0.5, row + 0.5, color=GREY, alpha=0.06, linewidth=0)
