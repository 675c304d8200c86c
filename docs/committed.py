"""Records that the site draws: committed ones of the last run, so that a build computes next to nothing.

    python -m docs.committed --records paper_repro/out/records

takes those that plots and pages read from a run of `make reproduce`. What a script computes in a few seconds, or what
is committed for the run itself, is not copied.
"""

import argparse
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from warptheory.core import records
from warptheory.paper import analyses, scripts
from warptheory.paper.entries import Analysis, PaperFigure, Plot, RunSettings, Script
from warptheory.paper.explorer import explored_scripts

FOLDER = Path(__file__).parent / "records"
COMPUTED = Path(__file__).parent / "_build" / "records"
OF_THE_RUN = Path(__file__).parents[1] / "paper_repro" / "records"  # of computations that take minutes
TIMINGS = Path(__file__).parents[1] / "benchmarks" / "results"
SECONDS = 5  # what a script may take to be run when the site is built
MOST_BYTES = 300_000  # of a record


@cache
def writers() -> dict[str, Analysis]:
    """Return the analysis or benchmark that writes each record, by the record's name."""
    found = [entry for entry in scripts().values() if isinstance(entry, Analysis)]
    return {name: entry for entry in found for name in entry.records}


def path_of(name: str) -> Path | None:
    """Return where a record is, None if it is nowhere.

    Args:
        name: its name, as scripts declare it; a star stands for the kind of device.
    """
    file = name.replace("*", "cpu")
    for folder in (FOLDER, OF_THE_RUN, TIMINGS, COMPUTED):
        if (folder / file).is_file():
            return folder / file
    return None


def read(names: Iterable[str]) -> list[Any]:
    """Read records by their names; what takes seconds is computed first.

    Raises:
        ArgumentError: one is missing.
    """
    found = list(names)
    for name in found:
        entry = writers()[name]
        if path_of(name) is None and is_quick(entry):
            entry.run(RunSettings(COMPUTED))
    return [records.read(path_of(name) or FOLDER / name) for name in found]


def is_quick(entry: Analysis) -> bool:
    """Whether a script may be run when the site is built."""
    return entry.cost.full <= SECONDS and not entry.reads and entry.long is None


def are_there(names: Iterable[str]) -> bool:
    """Whether records can be read, or computed in seconds."""
    return all(path_of(name) is not None or is_quick(writers()[name]) for name in names)


def needed() -> set[str]:
    """Return the names of the records that plots, figures, tables and pages read, and a run has to compute."""
    wanted = {"verdicts.parquet"}
    wanted |= {name for script in explored_scripts() for name in analyses.get(script).writes}
    for entry in scripts().values():
        wanted |= {name for part in plots_of(entry) for name in part.reads}
        wanted |= {name for part in getattr(entry, "tables", ()) for name in part.reads}
    return {name for name in wanted if _is_copied(name, writers()[name])}


def _is_copied(name: str, entry: Analysis) -> bool:
    return not (is_quick(entry) or entry.runs_alone or (OF_THE_RUN / name).is_file())


def plots_of(entry: Script) -> list[Plot | PaperFigure]:
    """Return what a script draws: its plots, or itself if it is a figure of the paper."""
    if isinstance(entry, PaperFigure):
        return [entry]
    return [part for part in entry.section.parts if isinstance(part, Plot)] if entry.section else []


def main() -> None:
    """Copy what is needed from a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=Path("paper_repro/out/records"))
    source: Path = parser.parse_args().records
    FOLDER.mkdir(exist_ok=True)
    for name in sorted(needed()):
        if (source / name).stat().st_size > MOST_BYTES:
            print(f"{name}: left out, it is larger than {MOST_BYTES} bytes")
            continue
        for beside in {name, Path(name).with_suffix(".json").name}:
            shutil.copyfile(source / beside, FOLDER / beside)
        print(name)


if __name__ == "__main__":
    main()
