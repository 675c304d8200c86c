"""What benchmarks share: how they say what their rounds measured, and their record."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

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

    def named(self, name: str) -> dict[str, float]:
        """Return its numbers by the names that rows of a table have for them: name, name_lowest, name_highest."""
        return {name: self.median, f"{name}_lowest": self.lowest, f"{name}_highest": self.highest}


def seconds(call: Callable[[], object], repeats: int = 1, device: str = "cpu") -> float:
    """Return the seconds of one call, over several, until a device has done its work."""
    _wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    _wait(device)
    return (time.perf_counter() - start) / repeats


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def interleaved(
    settings: RunSettings, rounds: int, warm_up: int, sample: Callable[[int], dict[str, float]]
) -> list[dict[str, float]]:
    """Take a sample of what is compared in every round, and return those after the first ones, which warm up.

    Args:
        settings: how the script runs; it is told of the progress.
        rounds: how many samples are returned.
        warm_up: rounds before them, though no more than are returned.
        sample: measures everything once, given the number of the round.
    """
    found, warm_up = [], min(warm_up, rounds)
    for number in range(rounds + warm_up):
        settings.on_progress(number / (rounds + warm_up), f"round {number + 1}")
        found.append(sample(number))
    return found[warm_up:]


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
