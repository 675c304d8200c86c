"""Brackets of critical multipliers, and the plots of the phase diagram."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from warptheory.report.panels import letter
from warptheory.report.style import BLUE, GREY, ORANGE, VERMILION, house_style

BAD = 0.15  # lost share
LEARNT = 0.9  # of the loss of a network that knows nothing
CELL = ["task", "family", "layers"]
HEADS = ["scale", "gain"]


def lost_shares(table: pd.DataFrame, chance: float) -> pd.DataFrame:
    """Return a row for each configuration: its mean loss over seeds, the least of its cell, and its lost share.

    Args:
        table: the record of trainings.
        chance: loss of a network that knows nothing, in nats.
    """
    found = table.groupby([*CELL, *HEADS, "multiplier"], as_index=False).agg(
        loss=("loss", "mean"), deviation=("loss", "std"), seeds=("seed", "nunique")
    )
    usual = found[(found["gain"] == 0) & found["scale"].isin([0.0, 1.0])]
    best = usual.groupby(CELL)["loss"].min().rename("best").reset_index()
    found = found.merge(best, on=CELL)
    return found.assign(lost=(found["loss"] - found["best"]) / (chance - found["best"]))


def brackets(table: pd.DataFrame, predictions: pd.DataFrame, chance: float) -> pd.DataFrame:
    """Return a row for each cell: prediction, bracket, and whether the one lies in the other.

    Args:
        table: the record of trainings.
        predictions: the record of predictions.
        chance: loss of a network that knows nothing, in nats.
    """
    shares, rows = lost_shares(table, chance), []
    usual = predictions[(predictions["scale"] == 1) & (predictions["gain"] == 0)].drop_duplicates(CELL)
    for told in usual.to_dict("records"):
        here = shares[(shares[CELL] == [told[name] for name in CELL]).all(axis=1)]
        warped = here[(here["scale"] == 1) & (here["gain"] == 0)].sort_values("multiplier")
        (twin,) = here[here["scale"] == 0]["loss"]
        rows.append(
            {
                **{name: told[name] for name in (*CELL, "critical", "error", "later_critical")},
                "twin": twin,
                **_bracket(warped),
            }
        )
    found = pd.DataFrame(rows)
    learns = found["best"] <= LEARNT * chance
    inside = (found["largest_ok"] <= found["critical"]) & (found["critical"] <= found["smallest_bad"])
    later = (found["largest_ok"] <= found["later_critical"]) & (found["later_critical"] <= found["smallest_bad"])
    gain = (found["twin"] - found["best"]) / (chance - found["best"])
    return found.assign(learns=learns, inside=inside & learns, later_inside=later & learns, gain=gain)


def _bracket(warped: pd.DataFrame) -> dict[str, Any]:
    """Return the bracket in the rows of a cell, by multiplier: open where the grid ends."""
    multipliers, lost = warped["multiplier"].to_numpy(), warped["lost"].to_numpy()
    best = int(np.argmin(lost))
    above = [number for number in range(best, len(lost)) if lost[number] > BAD]
    first = above[0] if above else len(lost)
    return {
        "best": float(warped["best"].iloc[0]),
        "best_multiplier": multipliers[best],
        "slowest_lost": lost[0],
        "largest_ok": multipliers[first - 1] if first > 0 else 0.0,
        "smallest_bad": multipliers[first] if first < len(lost) else math.inf,
    }


def plot_phase_diagram(table: pd.DataFrame, predictions: pd.DataFrame, chance: float) -> Figure:
    """Draw, of every family, outcomes over layers and α²m, with the predicted boundary.

    Args:
        table: the record of trainings.
        predictions: the record of predictions.
        chance: loss of a network that knows nothing, in nats.
    """
    shares = lost_shares(table, chance)
    families = list(dict.fromkeys(predictions["family"]))
    with house_style():
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        panels = figure.subplots(1, len(families), sharey=True)
        for number, (axes, family) in enumerate(zip(panels, families, strict=True)):
            of_family = shares[(shares["family"] == family) & (shares["scale"] == 1) & (shares["gain"] == 0)]
            _draw_family(axes, of_family, predictions[predictions["family"] == family])
            letter(axes, "abcde"[number], family.replace(" ", "\n", 1))
            axes.set(xlabel="sampling layers", yscale="log")
        panels[0].set_ylabel("α²m")
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4)
    return figure


_SHIFT = {"affine digits": 1.0, "upright digits": 1.28}  # so that both tasks are seen
_MARKERS = {"affine digits": "o", "upright digits": "s"}


def _draw_family(axes: Axes, shares: pd.DataFrame, predictions: pd.DataFrame) -> None:
    layers = sorted(predictions["layers"].unique())
    for _, cell in shares.groupby(["task", "layers"]):
        ordered = cell.sort_values("multiplier")
        task, count = str(ordered["task"].iloc[0]), int(ordered["layers"].iloc[0])
        least = ordered[ordered["lost"] <= BAD]["multiplier"].min()  # NaN where none trains
        for row in ordered.to_dict("records"):
            axes.plot(
                count * _SHIFT[task],
                row["multiplier"],
                _MARKERS[task],
                color=_colour({str(name): value for name, value in row.items()}, least),
                markersize=4,
            )
    usual = predictions[(predictions["scale"] == 1) & (predictions["gain"] == 0)].drop_duplicates(CELL)
    for name, rows in usual.groupby("task"):
        task, told = str(name), rows.sort_values("layers")
        axes.errorbar(
            told["layers"] * _SHIFT[task],
            told["critical"],
            yerr=[told["critical"] * (1 - np.exp(-told["error"])), told["critical"] * (np.exp(told["error"]) - 1)],
            fmt="_-" if task == "affine digits" else "_",
            color="black",
            markersize=9,
            linewidth=1,
        )
        line = ":_" if task == "affine digits" else "_"
        axes.plot(told["layers"] * _SHIFT[task], told["later_critical"], line, color="black", markersize=5, linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(0.75 * min(layers), 1.6 * max(layers))
    axes.set_xticks(layers, [str(each) for each in layers])
    axes.set_xticks([], minor=True)


def _colour(row: dict[str, Any], least: float) -> str:
    if row["lost"] <= BAD:
        return BLUE
    return ORANGE if row["multiplier"] < least else VERMILION


def _legend() -> list[Line2D]:
    kinds = ((BLUE, "trains"), (VERMILION, "too fast"), (ORANGE, "too slow"))
    shown = [Line2D([], [], color=colour, marker="o", linestyle="", markersize=4, label=name) for colour, name in kinds]
    shown += [
        Line2D([], [], color=GREY, marker=marker, linestyle="", markersize=4, label=task)
        for task, marker in _MARKERS.items()
    ]
    return [
        *shown,
        Line2D([], [], color="black", marker="_", label="predicted: ρ = 1/3"),
        Line2D([], [], color="black", linestyle=":", label="by later ρ"),
    ]


def plot_scale_and_multiplier(table: pd.DataFrame, predictions: pd.DataFrame, chance: float) -> Figure:
    """Draw the lost share over α and m, for heads of zero and heads that are drawn, with the predicted boundary.

    Args:
        table: the record of trainings.
        predictions: the record of predictions.
        chance: loss of a network that knows nothing, in nats.
    """
    told = predictions[predictions["gain"] > 0]
    task, family, layers = (told[name].iloc[0] for name in CELL)
    shares = lost_shares(table, chance)
    shares = shares[(shares["task"] == task) & (shares["family"] == family) & (shares["layers"] == layers)]
    scales = sorted(told["scale"].unique())
    with house_style():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for number, (axes, gain, name) in enumerate(
            zip(panels, (0.0, 1.0), ("heads of zero", "drawn heads"), strict=True)
        ):
            rows = shares[(shares["gain"] == gain) & shares["scale"].isin(scales)]
            drawn = axes.scatter(
                rows["scale"], rows["multiplier"], c=rows["lost"].clip(0, 1), cmap="cividis", vmin=0, vmax=1, s=45
            )
            bad = rows[rows["lost"] > BAD]
            axes.plot(bad["scale"], bad["multiplier"], "x", color=VERMILION, markersize=5)
            line = predictions[(predictions["gain"] == gain) & predictions["scale"].isin(scales)]
            line = line[(line["family"] == family) & (line["layers"] == layers) & (line["task"] == task)]
            line = line.drop_duplicates("scale").sort_values("scale")
            axes.plot(line["scale"], line["critical"] / line["scale"] ** 2, "-", color="black", linewidth=1)
            axes.set(xscale="log", yscale="log", xlabel="α (pixels)")
            axes.set_xticks(scales, [f"{each:g}" for each in scales])
            axes.set_xticks([], minor=True)
            letter(axes, "ab"[number], name)
        panels[0].set_ylabel("multiplier m")
        figure.colorbar(drawn, ax=panels, label="lost share")
    return figure
