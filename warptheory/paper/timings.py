"""What benchmarks share: how they say what their rounds measured, and their record."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warptheory.core import records
from warptheory.paper.entries import RunSettings


@dataclass(frozen=True)
class Spread:
    """A number that was measured in every round.

    Attributes:
        median: over the rounds.
        lowest: of all rounds.
        highest: of all rounds.
    """

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, found: Sequence[float]) -> "Spread":
        """Return the spread of the rounds."""
        return cls(statistics.median(found), min(found), max(found))


def write_timings(settings: RunSettings, script: str, chosen: Mapping[str, Any], found: Mapping[str, Any]) -> Path:
    """Write the record `<script>_<device>.json`, and return its path.

    Args:
        settings: how the script ran.
        script: dotted name of the script's module.
        chosen: what was chosen, for the manifest.
        found: what was measured.
    """
    manifest = records.Manifest(script, settings.seed, settings.device, chosen)
    name = f"{script.rpartition('.')[2]}_{settings.device.partition(':')[0]}.json"
    path = records.output_folder(settings.out) / name
    records.write_json(path, {**asdict(manifest), **found})
    return path


def spread_text(found: Mapping[str, float], digits: int) -> str:
    """Return a spread as text: the median, in brackets the lowest and the highest."""
    return f"{found['median']:.{digits}f} ({found['lowest']:.{digits}f} to {found['highest']:.{digits}f})"
