"""The table of a monitor, drawn over steps: a panel for each statistic, a line for each operation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from warptheory.core.text import one_line, shortened
from warptheory.stability._layer_statistics import operation_name, statistics_columns

if TYPE_CHECKING:  # Matplotlib is loaded when something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Statistics by panel, and whether they are drawn on a logarithmic axis.
PANELS = (
    ("offset_deviation", False),
    ("slope_deviation", False),
    ("fold_fraction", False),
    ("outside_fraction", False),
    ("dead_fraction", False),
    ("output_gradient_variance", True),
    ("offset_gradient_variance", True),
    ("parameter_gradient_variance", True),
)
_COLUMNS = 4
_FEW = 5  # operations that have a colour and a name each; of more, colours follow the depth
_LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1)))
_LONGEST_NAME = 40


def plot_statistics(table: pd.DataFrame, *, training: bool, title: str) -> "Figure":
    """Draw the rows of a table of `LayerStatistics`, of training or of evaluation, over steps.

    A step at which a statistic is no longer finite is marked on the upper edge of its panel.
    """
    from matplotlib.figure import Figure

    from warptheory.core.style import house_style

    rows = table[table["training"] == training]
    keys = rows[["layer", "call"]].drop_duplicates().itertuples(index=False, name=None)
    operations = [
        (operation_name(layer, call), rows[(rows["layer"] == layer) & (rows["call"] == call)]) for layer, call in keys
    ]
    heads = {each.name: each.head for each in statistics_columns()}
    with house_style():
        figure = Figure(figsize=(12, 5.4), layout="constrained")
        panels = figure.subplots(-(-len(PANELS) // _COLUMNS), _COLUMNS, sharex=True).flat
        for axes, (column, is_logarithmic) in zip(panels, PANELS, strict=True):
            _draw(axes, operations, column, is_logarithmic=is_logarithmic)
            name, _, unit = heads[column].partition(" (")
            axes.set(title=name, ylabel=unit.removesuffix(")"))
        for axes in panels[-_COLUMNS:]:
            axes.set_xlabel("step in training" if training else "step in evaluation")
        _explain(figure, panels[0], [name for name, _ in operations])
        figure.suptitle(one_line(title), fontsize=9, parse_math=False)
    return figure


def _draw(axes: "Axes", operations: Sequence[tuple[str, pd.DataFrame]], column: str, *, is_logarithmic: bool) -> None:
    for number, (_, rows) in enumerate(operations):
        steps, values = rows["step"].to_numpy(), rows[column].to_numpy(dtype=float)
        # Zeros have no logarithm, and what is not known at all is no end of being finite.
        drawn = np.where(np.isfinite(values) & ~(is_logarithmic & (values <= 0)), values, np.nan)
        colour, line = _look(number, len(operations))
        axes.plot(steps, drawn, linestyle=line, color=colour, marker="o", markersize=2, linewidth=1.2)
        lost = steps[~np.isfinite(values)] if np.isfinite(values).any() else steps[np.isinf(values)]
        axes.plot(lost, np.ones(len(lost)), "x", color=colour, transform=axes.get_xaxis_transform(), clip_on=False)
    if is_logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _look(number: int, count: int) -> tuple[object, object]:
    """Return colour and style of the line of an operation."""
    from matplotlib import colormaps

    from warptheory.core.style import BLUE, GREEN, GREY, ORANGE, VERMILION

    if count <= _FEW:
        return (BLUE, VERMILION, GREEN, ORANGE, GREY)[number], _LINES[number]
    # A map of growing lightness, for any form of colour blindness; its lightest end is lost on white.
    return colormaps["cividis"](0.9 * number / (count - 1)), "-"


def _explain(figure: "Figure", axes: "Axes", names: Sequence[str]) -> None:
    """Say which line is which operation: of many the first, the last, and some between."""
    lines = axes.get_lines()[::2]
    chosen = sorted(set(np.linspace(0, len(names) - 1, min(len(names), 2 * _FEW)).round().astype(int).tolist()))
    if not chosen:
        axes.text(0.5, 0.5, "nothing recorded", ha="center", transform=axes.transAxes)
        return
    handles = [lines[number] for number in chosen]
    # Names are shown as they are: a leading underscore would hide one, and a dollar sign would set it.
    labels = [shortened(one_line(names[number]), _LONGEST_NAME) for number in chosen]
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=min(len(chosen), 5))
    for text in legend.get_texts():
        text.set_parse_math(False)
