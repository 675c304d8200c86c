"""Losses of mechanisms at the end of training, and their plot."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory.paper.analyses._stability_mechanisms import MECHANISMS, ROLES
from warptheory.report.style import BLUE, GREY, VERMILION, house_style

BAD = 0.15  # lost share
LAST = 20  # steps over which the last loss is averaged
_COLOURS = dict(zip(ROLES, (VERMILION, BLUE, GREY), strict=True))
_SMOOTHED = 5  # steps


def losses_at_end(table: pd.DataFrame, chance: float) -> pd.DataFrame:
    """Return a row for each mechanism: last losses by role, and the lost share of the violated one with its error.

    Losses are means over seeds; the error is the standard one, over seeds.

    Args:
        table: the record.
        chance: loss of a network that knows nothing, in nats.
    """
    last = table[table["step"] >= table["step"].max() + 1 - LAST]
    by_seed = last.groupby(["mechanism", "role", "seed"])["loss"].mean().unstack("role")
    found = by_seed.groupby("mechanism", sort=False).mean()[list(ROLES)]
    spread = by_seed.groupby("mechanism", sort=False).std()[list(ROLES)].add_suffix("_deviation")
    best = found[["repaired", "twin"]].min(axis=1)
    gained = found["twin"].clip(lower=chance) - best  # a twin may be worse than what knows nothing
    apart = (by_seed["violated"] - by_seed[["repaired", "twin"]].min(axis=1)).groupby("mechanism")
    error = apart.std() / apart.size() ** 0.5
    found = found.assign(
        lost=(found["violated"] - best) / gained,
        lost_error=error / gained,
        repaired_lost=_repaired(found, chance),
    )
    joined: pd.DataFrame = found.join(spread).loc[[name for name in MECHANISMS if name in found.index]].reset_index()
    return joined


def _repaired(found: pd.DataFrame, chance: float) -> pd.Series:
    """Return the share that the repaired network loses against its twin; negative where it gains."""
    return (found["repaired"] - found["twin"]) / (chance - found["twin"])


def plot_mechanisms(table: pd.DataFrame, chance: float) -> Figure:
    """Draw, of every mechanism, the losses of the three networks, and below them what shows it.

    Args:
        table: the record.
        chance: loss of a network that knows nothing, in nats.
    """
    columns = math.ceil(len(MECHANISMS) / 2)
    with house_style():
        figure = Figure(figsize=(7.2, 6.6), layout="constrained")
        panels = figure.subplots(4, columns)
        for number, mechanism in enumerate(MECHANISMS.values()):
            upper = panels[2 * (number // columns), number % columns]
            lower = panels[2 * (number // columns) + 1, number % columns]
            rows = table[table["mechanism"] == mechanism.name]
            _draw(upper, rows, "loss", smoothed=True)
            upper.axhline(chance, color=GREY, linestyle=":", linewidth=0.9)
            upper.set_title(f"({'abcdefg'[number]}) {mechanism.name}", loc="left")
            upper.set_yscale("log")
            upper.set_xticklabels([])
            _draw(lower, rows.dropna(subset="value"), "value", smoothed=False)
            lower.set_yscale("log" if mechanism.logarithmic else "linear")
            lower.set_ylabel(mechanism.column, fontsize=6.5)
            lower.set_xlabel("step")
        panels[0, 0].set_ylabel("loss (nats)")
        panels[2, 0].set_ylabel("loss (nats)")
        for axes in panels[2:, len(MECHANISMS) - columns :].flat:
            axes.set_axis_off()
        shown = [Line2D([], [], color=colour, label=role) for role, colour in _COLOURS.items()]
        shown.append(Line2D([], [], color=GREY, linestyle=":", label="knows nothing"))
        panels[2, -1].legend(handles=shown, loc="center")
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, column: str, *, smoothed: bool) -> None:
    for role, colour in _COLOURS.items():
        runs = rows[rows["role"] == role].pivot_table(index="step", columns="seed", values=column)
        if smoothed:
            runs = runs.rolling(_SMOOTHED, min_periods=1).mean()
        drawn = runs.where(np.isfinite(runs))
        axes.plot(drawn.index, drawn, color=colour, linewidth=0.5, alpha=0.5)
        axes.plot(drawn.index, drawn.mean(axis=1), color=colour, linewidth=1.4)
