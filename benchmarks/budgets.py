"""Measure how long commands take, and compare with the minutes that they may take, in `budgets.toml`.

Each runs in a copy of the repository's tracked files with an empty cache, so that nothing is found finished. The result
file `results/budgets.json` keeps what was measured before of the others.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warptheory.core import records

HERE = Path(__file__).parent
REPOSITORY = HERE.parent


@dataclass(frozen=True)
class Budget:
    """What a command may take.

    Attributes:
        name: its name.
        what: what it does.
        command: the command.
        minutes: how long it may take on two idle cores.
        fresh: whether it installs its own environment; else it finds this one.
        after: name of the budget in whose folder it runs once more; empty for a folder of its own.
        later: minutes that coming work may add, by its name.
    """

    name: str
    what: str
    command: list[str]
    minutes: float
    fresh: bool = False
    after: str = ""
    later: dict[str, float] | None = None


@dataclass(frozen=True)
class Measurement:
    """What a command took.

    Attributes:
        minutes: from its start to its end.
        budget: how long it may take.
        exit_code: its exit code.
        load: load average of the machine before it began; above 0.5 others were at work.
        machine: the processor.
    """

    minutes: float
    budget: float
    exit_code: int
    load: float
    machine: str


def budgets() -> dict[str, Budget]:
    """Return the budgets by name."""
    found: dict[str, dict[str, Any]] = tomllib.loads((HERE / "budgets.toml").read_text(encoding="utf-8"))
    return {name: Budget(name, **entry) for name, entry in found.items()}


def copy_of_repository(folder: Path) -> None:
    """Copy the files that git tracks, as they were last added."""
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={folder}/"], cwd=REPOSITORY, check=True)


def measure(budget: Budget, folder: Path) -> Measurement:
    """Run a command in a folder, and return what it took."""
    environment = {**os.environ, "WARPTHEORY_CACHE": str(folder / "cache")}
    if not budget.fresh and not budget.after:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment |= {"PYTHONPATH": str(folder), "PATH": programs}
        (folder / ".venv").symlink_to(Path(sys.prefix))
    load, begun = os.getloadavg()[0], time.perf_counter()
    done = subprocess.run(budget.command, cwd=folder, env=environment)
    minutes = (time.perf_counter() - begun) / 60
    return Measurement(minutes, budget.minutes, done.returncode, load, records.processor())


def main() -> None:
    """Measure, print and write."""
    known = budgets()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=known, help="name of a budget; by default all")
    parser.add_argument("--print", action="store_true", dest="just_print", help="measure nothing, print what is known")
    arguments = parser.parse_args()
    path = HERE / "results" / "budgets.json"
    measured: dict[str, dict[str, Any]] = records.read_json(path) if path.is_file() else {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in [] if arguments.just_print else arguments.only or known:
            budget = known[name]
            folder = Path(temporary) / (budget.after or name)
            if not folder.exists():
                folder.mkdir()
                copy_of_repository(folder)
                if budget.after:
                    measured[budget.after] = asdict(measure(known[budget.after], folder))
            measured[name] = asdict(measure(budget, folder))
            records.write_json(path, measured)
    for name, budget in known.items():
        found = measured.get(name)
        took = "not measured" if found is None else f"{found['minutes']:.1f} min, load before {found['load']:.1f}"
        over = "  OVER" if found is not None and found["minutes"] > budget.minutes else ""
        print(f"{name:18}{budget.minutes:>6.2f} min   {took}{over}   {budget.what}")


if __name__ == "__main__":
    main()
