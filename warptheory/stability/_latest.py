"""The rows of one step, as they are shown: a line for each operation, units in the headings."""

import math
from collections.abc import Iterator, Sequence

import pandas as pd
from markupsafe import Markup

from warptheory.core import html
from warptheory.core.text import one_line
from warptheory.stability._layer_statistics import StatisticsColumn, operation_name, statistics_columns

_FEW = 4  # operations that are shown side by side
_WIDTH = 100  # characters of a line of text


def latest_as_html(rows: pd.DataFrame) -> Markup:
    """Return the rows of one step as an HTML table: a line for each operation, or a column where they are few."""
    shown = list(_shown())
    if len(rows) <= _FEW:
        return _side_by_side(rows, shown[1:])
    columns = [html.Column(each.head, is_text=not each.unit, meaning=each.meaning) for each in shown]
    return html.table(columns, [[_cell(row[each.name]) for each in shown] for _, row in rows.iterrows()])


def _side_by_side(rows: pd.DataFrame, shown: Sequence[StatisticsColumn]) -> Markup:
    columns = [html.Column("", is_text=True), *(html.Column(_cell(layer)) for layer in rows["layer"])]
    heads = [html.element("span", each.head, title=each.meaning) for each in shown]
    lines = ([_cell(value) for value in rows[each.name]] for each in shown)
    return html.table(columns, [[head, *line] for head, line in zip(heads, lines, strict=True)])


def latest_as_text(rows: pd.DataFrame) -> str:
    """Return the rows of one step as text: a line for each statistic, a column for each operation, as many as fit."""
    if not len(rows):
        return ""
    pairs = zip(rows["layer"], rows["call"], strict=True)
    names = [one_line(operation_name(layer, call)) for layer, call in pairs]
    shown = [each for each in _shown() if each.name not in ("layer", "call")]
    lines = [[_cell(value) for value in rows[each.name]] for each in shown]
    return pd.DataFrame(lines, index=[each.head for each in shown], columns=names).to_string(line_width=_WIDTH)


def _shown() -> Iterator[StatisticsColumn]:
    """Yield the columns that differ within a step."""
    return (column for column in statistics_columns() if column.name not in ("step", "training", "depth"))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3g}"
    return one_line(str(value)) or "the model itself"
