"""Sampling points as a record."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from warptheory.core import records
from warptheory.core.errors import ArgumentError
from warptheory.stability.points import SamplingPoints


def write_points(path: Path, points: Sequence[SamplingPoints], command: str = "sampling_points") -> None:
    """Write points as a record: one Parquet table with a manifest, which `core.records.read_table` reads.

    Args:
        path: file ending in .parquet.
        points: what `sampling_points` returned, for one or several pixels of one image.
        command: what the manifest says of how it came about.

    Raises:
        ArgumentError: no points.
    """
    if not points:
        raise ArgumentError("points", expected="at least one result of sampling_points", received="none")
    table = pd.concat([each.table() for each in points], ignore_index=True)
    settings = {"layers": list(points[0].layers)}
    records.write_table(path, table, records.Manifest(command, 0, "cpu", settings))
