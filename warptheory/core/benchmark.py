"""What every benchmark script shares: its command line, and how it says what its rounds measured."""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Run = Callable[[Path, int, str, int], Path]


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


def run_benchmark_as_script(
    run: Run, summary: Callable[[Path], str], description: str | None, rounds: int, out: Path
) -> None:
    """Parse --rounds, --seed, --device and --out, call `run` with them, and print the summary of its record.

    Args:
        run: the benchmark: (output folder, seed, device, rounds) → path of the record.
        summary: makes a text of a record.
        description: what `--help` says.
        rounds: interleaved rounds unless the user says otherwise.
        out: folder of the record unless the user says otherwise.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds; medians are taken over them")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--out", type=Path, default=out, help="folder of the record")
    arguments = parser.parse_args()
    print(summary(run(arguments.out, arguments.seed, arguments.device, arguments.rounds)))
