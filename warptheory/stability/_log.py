"""Rows of a monitor for TensorBoard, or whatever else takes numbers with a name and a step."""

import math
from typing import Protocol

import pandas as pd

from warptheory.core.errors import ArgumentError
from warptheory.stability._layer_statistics import operation_name, statistics_columns


class ScalarWriter(Protocol):
    """What takes a number with a name and a step, such as TensorBoard's `SummaryWriter`."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> object:
        """Write a number."""


def check_writer(writer: object) -> None:
    """Raise ArgumentError unless something takes numbers."""
    if not hasattr(writer, "add_scalar"):
        raise ArgumentError("writer", expected="an object with add_scalar", received=type(writer).__name__)


def log_rows(rows: pd.DataFrame, writer: ScalarWriter, step: int | None) -> None:
    """Write each number of some rows that is one; a step stands for those of the rows."""
    columns = [each for each in statistics_columns() if each.unit]
    for row in rows.to_dict(orient="records"):
        place = ("" if row["training"] else "evaluation/") + operation_name(row["layer"], row["call"])
        for column in columns:
            if not math.isnan(row[column.name]):
                writer.add_scalar(f"{place}/{column.head}", row[column.name], row["step"] if step is None else step)
