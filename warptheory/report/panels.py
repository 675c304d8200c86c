"""A curve in a panel: the closed form as a line, the simulation as points with their standard error."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from warptheory.report.style import GREY

LineStyle = Literal["-", "--", "-."]


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


def draw_limit(axes: Axes, rows: pd.DataFrame, colour: str = GREY) -> Line2D:
    """Draw the limit of an infinite parameter as a dashed line across the panel."""
    value = float(rows.loc[np.isinf(rows["value"]), "theory"].iloc[0])
    axes.axhline(value, color=colour, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0.5)
    return Line2D([], [], color=GREY, linestyle=(0, (4, 3)), linewidth=0.9, label="limit of wide offsets")


def letter(axes: Axes, name: str, title: str) -> None:
    """Write a panel's letter and title above it."""
    axes.set_title(f"({name}) {title}", loc="left")
