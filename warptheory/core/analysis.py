"""The command line that every analysis script has."""

import argparse
from collections.abc import Callable
from pathlib import Path

Run = Callable[[Path, int, str], Path]


def run_as_script(run: Run, description: str | None) -> None:
    """Parse --out, --seed and --device, call `run` with them, and print the path of its record.

    Args:
        run: the analysis: (output folder, seed, device) → path of the record.
        description: what `--help` says.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path("paper_repro/out/records"), help="folder of the record")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--device", default="cpu", help="torch device")
    arguments = parser.parse_args()
    print(run(arguments.out, arguments.seed, arguments.device))
