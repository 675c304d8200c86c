"""The run of everything as a graph: what has to be computed, in which order, and what is still up to date.

The graph is kept by doit. A part, which is a script or the report, is computed anew when the source of what it calls,
its settings, the versions of the packages, a file that it reads or a file that it wrote have changed. What is known of
finished parts is written after each, so that a run that was killed goes on from there; if that file is damaged, parts
are computed anew.

Each part runs in a process of its own. Two run beside each other; benchmarks follow, alone.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from doit.dependency import Dependency
from doit.task import Task

from warptheory.core import records
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.fingerprint import modules_hash, source_hash
from warptheory.core.text import matching
from warptheory.paper import scripts
from warptheory.paper.committed import committed_computation, committed_file, committed_record, draw_committed
from warptheory.paper.entries import PaperFigure, RunSettings, Script
from warptheory.paper.pages import REPORT, record_path, write_report

_STATE = "graph.json"
_REPORT_SECONDS = 25
LANES = min(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class Part:
    """A part of a run.

    Attributes:
        name: name of the script, or "report".
        seconds: how long it takes alone on two idle cores.
        cores: how many cores it keeps busy.
        alone: whether nothing may run beside it.
        inputs: the files that it reads.
        outputs: the files that it writes.
        fingerprint: a hash of whatever else it depends on.
    """

    name: str
    seconds: int
    cores: int
    alone: bool
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    fingerprint: str

    @property
    def share_of_the_machine(self) -> float:
        """The seconds for which it keeps the lanes of a run busy."""
        return self.seconds if self.alone else self.seconds * min(self.cores, LANES) / LANES


@dataclass(frozen=True)
class PlannedPart:
    """A part, and whether it is still up to date."""

    part: Part
    is_up_to_date: bool


@dataclass(frozen=True)
class RunPlan:
    """What a run has to do.

    Attributes:
        parts: the parts in their order.
    """

    parts: tuple[PlannedPart, ...]

    @property
    def seconds(self) -> float:
        """How long the run takes on two idle cores."""
        return math.fsum(planned.part.share_of_the_machine for planned in self.parts if not planned.is_up_to_date)


def report_scripts(settings: RunSettings) -> dict[str, Script]:
    """Return the entries that belong to a profile, of which the report consists, by name."""
    return {name: entry for name, entry in scripts().items() if entry.cost.at(settings.profile) is not None}


def chosen_parts(settings: RunSettings, only: Sequence[str] = ()) -> dict[str, Part]:
    """Return the parts of a run by name, each after those whose files it reads, the longest first.

    Args:
        settings: how the scripts run.
        only: names or patterns of what is wanted, which brings what it reads with it; empty for everything.

    Raises:
        UnknownNameError: a pattern that nothing matches; the message lists the names that there are.
    """
    found = scripts()
    known = [*found, "report"]
    wanted: set[str] = set()
    for pattern in only:
        if not matching(known, pattern):
            raise UnknownNameError("only", pattern, known)
        wanted.update(matching(known, pattern))
    usual = report_scripts(settings)
    everything = {name: _part(entry, settings) for name, entry in found.items()}
    everything["report"] = _report(usual, settings)
    return _in_order(everything, wanted or {*usual, "report"})


def _in_order(parts: Mapping[str, Part], wanted: set[str]) -> dict[str, Part]:
    """Return the wanted parts with all that they read."""
    writers = {path: part.name for part in parts.values() for path in part.outputs}
    ordered: dict[str, Part] = {}

    def add(name: str) -> None:
        if name not in ordered:
            for path in parts[name].inputs:
                if path in writers:
                    add(writers[path])
            ordered[name] = parts[name]

    for name in sorted(wanted, key=lambda name: -parts[name].seconds):
        add(name)
    return ordered


def _part(entry: Script, settings: RunSettings) -> Part:
    seconds = entry.cost.at(settings.profile)
    return Part(
        name=entry.name,
        seconds=entry.cost.full if seconds is None else seconds,
        cores=entry.cost.cores,
        alone=entry.runs_alone,
        inputs=tuple(record_path(name, settings) for name in entry.reads),
        outputs=output_paths(entry, settings),
        fingerprint=_fingerprint(entry, settings),
    )


def output_paths(entry: Script, settings: RunSettings) -> tuple[Path, ...]:
    """Return the files that a script writes: figures beside the folder of the records, and records with manifests."""
    if isinstance(entry, PaperFigure):
        return tuple(settings.out.parent / name for name in entry.writes)
    return tuple(record_path(name, settings) for name in entry.records)


def _fingerprint(entry: Script, settings: RunSettings) -> str:
    """Return a hash of what a script depends on, besides the records that it reads."""
    functions: list[Callable[..., Any]] = [entry.function]
    files: list[Path] = []
    if isinstance(entry, PaperFigure):
        functions += [function for function in (entry.title, entry.caption) if callable(function)]
    else:
        files += [committed_file(name) for name in entry.files]
        long = committed_computation(entry, settings)
        if long is not None:
            functions = [draw_committed, long.cell]
            files += [committed_record(name) for name in entry.records]
    return _hash([source_hash(*functions), _described(settings), *map(_digest, files)])


def _report(usual: Mapping[str, Script], settings: RunSettings) -> Part:
    """Return the part that writes the report, from everything that is usual at a profile."""
    modules = {entry.function.__module__ for entry in usual.values()}
    return Part(
        name="report",
        seconds=_REPORT_SECONDS,
        cores=1,
        alone=True,
        inputs=tuple(path for entry in usual.values() for path in output_paths(entry, settings)),
        outputs=(settings.out.parent / REPORT,),
        fingerprint=_hash([modules_hash(modules | {write_report.__module__}), _described(settings)]),
    )


def _described(settings: RunSettings) -> str:
    """Return the settings on which numbers depend, and the versions of what computes them, as text."""
    kept = {name: value for name, value in vars(settings).items() if name not in ("out", "on_progress", "workers")}
    return f"{kept} {records.installed_versions()}"


def _hash(texts: Iterable[str]) -> str:
    return sha256("\0".join(texts).encode()).hexdigest()


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def plan(settings: RunSettings, only: Sequence[str] = ()) -> RunPlan:
    """Return what a run has to do; arguments and errors as in `chosen_parts`."""
    parts = chosen_parts(settings, only)
    state = open_state(settings)
    tasks = {name: task_of(part, _nothing) for name, part in parts.items()}
    writers = {path: name for name, part in parts.items() for path in part.outputs}
    stale: set[str] = set()
    for name, part in parts.items():
        reads_stale = any(writers.get(path) in stale for path in part.inputs)
        if reads_stale or state.get_status(tasks[name], tasks).status != "up-to-date":
            stale.add(name)
    return RunPlan(tuple(PlannedPart(part, name not in stale) for name, part in parts.items()))


def _nothing() -> None:
    """Stand for the work of a part whose state alone is asked for."""


def task_of(part: Part, work: Callable[[], Any]) -> Task:
    """Return a part as doit has it, with its work."""

    def is_up_to_date(task: Task, values: Mapping[str, Any]) -> bool:
        task.value_savers.append(lambda: _known_of(part))
        return dict(values) == _known_of(part)

    return Task(
        part.name,
        [work],
        file_dep=[str(path) for path in part.inputs],
        targets=[str(path) for path in part.outputs],
        uptodate=[is_up_to_date],
        io={"capture": False},
    )


def _known_of(part: Part) -> dict[str, Any]:
    """Return what is kept of a finished part: what it depended on, and what it wrote."""
    return {"fingerprint": part.fingerprint, "outputs": [_digest(path) for path in part.outputs]}


class _State:
    """What doit knows of finished parts, in a file that is written whole or not at all; a damaged one is empty."""

    def __init__(self, name: str, codec: object, module_name: str | None = None) -> None:
        del codec, module_name  # doit offers them to every class
        self.name = name
        self._known: dict[str, dict[str, Any]] = {}
        with suppress(ArgumentError):
            found = records.read_json(Path(name))
            if isinstance(found, dict) and all(isinstance(known, dict) for known in found.values()):
                self._known = found

    def dump(self) -> None:
        """Write the file."""
        records.write_json(Path(self.name), self._known)

    def set(self, task: str, key: str, value: Any) -> None:
        """Keep a value."""
        self._known.setdefault(task, {})[key] = value

    def get(self, task: str, key: str) -> Any:
        """Return a value that was kept, None if there is none."""
        return self._known.get(task, {}).get(key)

    def in_(self, task: str) -> bool:
        """Whether anything is known of a part."""
        return task in self._known

    def remove(self, task: str) -> None:
        """Forget a part."""
        self._known.pop(task, None)

    def remove_all(self) -> None:
        """Forget all parts."""
        self._known.clear()


def open_state(settings: RunSettings) -> Dependency:
    """Return what is known of the parts that are finished."""
    folder = records.output_folder(settings.out.parent)
    return Dependency(_State, str(folder / _STATE))
