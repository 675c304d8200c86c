"""Run the graph: each part in a process of its own, two beside each other, then what has to be alone."""

import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import torch
from doit.control import TaskControl
from doit.dependency import Dependency
from doit.exceptions import BaseFail, TaskFailed
from doit.runner import MThreadRunner
from doit.task import Task

from warptheory.core import records
from warptheory.core.processes import in_this_environment, process_context
from warptheory.paper import scripts
from warptheory.paper.committed import cell_record, committed_computation, draw_committed
from warptheory.paper.entries import PaperFigure, RunSettings, Script
from warptheory.paper.graph import LANES, Part, open_state, plan, report_scripts, task_of
from warptheory.paper.pages import draw_figure, read_all, write_report

_TICK = 0.5  # seconds between reports of progress


@dataclass(frozen=True)
class Status:
    """How far a run has come.

    Attributes:
        share: share of the work that is done, in [0, 1].
        running: what is running.
        finished: how many parts are finished.
        parts: of how many.
        seconds_left: how long the rest takes, by what parts take and how fast this machine has been so far.
    """

    share: float
    running: tuple[str, ...]
    finished: int
    parts: int
    seconds_left: float


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to.

    Attributes:
        failed: by name, why a part failed or could not run.
        refuted: names of the parts that found that something does not hold.
    """

    failed: Mapping[str, str]
    refuted: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything was computed, and everything that was checked holds."""
        return not self.failed and not self.refuted


def run(
    settings: RunSettings, only: Sequence[str] = (), on_progress: Callable[[Status], None] | None = None
) -> RunOutcome:
    """Compute what is not up to date; errors as in `chosen_parts`.

    Args:
        settings: how the scripts run.
        only: names or patterns of what is wanted, which brings what it reads with it; empty for everything.
        on_progress: called twice a second with how far the run has come.
    """
    planned = plan(settings, only).parts
    due = {each.part.name: each.part for each in planned if not each.is_up_to_date}
    with _Run(due, on_progress) as here:
        for alone in (False, True):
            parts = [each.part for each in planned if each.part.alone == alone]
            _run_beside(parts, settings, here, 1 if alone else LANES)
    found = scripts()
    names = [each.part.name for each in planned]
    checked = [found[name] for name in names if name in found and name not in here.failed]
    return RunOutcome(dict(here.failed), tuple(entry.name for entry in checked if not _holds(entry, settings)))


def _holds(entry: Script, settings: RunSettings) -> bool:
    """Whether what a script checks holds, by its records."""
    if isinstance(entry, PaperFigure):
        return True
    is_drawn = committed_computation(entry, settings) is not None
    agrees = not is_drawn or records.read_json(settings.out / cell_record(entry))["agrees"]
    return bool(agrees) and entry.holds(*read_all(entry.writes, settings))


def _run_beside(parts: Sequence[Part], settings: RunSettings, here: "_Run", lanes: int) -> None:
    """Run parts, several beside each other; those that read what a failed part writes are left out."""
    lost = here.lost()
    able = [part for part in parts if not lost & set(part.inputs)]
    here.failed.update({part.name: "not run: it reads what a failed part writes" for part in parts if part not in able})
    state = open_state(settings)
    control = TaskControl([task_of(part, partial(here.work, part, settings)) for part in able])
    control.process(None)
    runner = MThreadRunner(state, _Reporter(here, state), continue_=True, num_process=lanes)
    runner.run_all(control.task_dispatcher())


@dataclass
class _Run:
    """A run under way: what is due, what runs, how far it is.

    Attributes:
        due: the parts that are not up to date, by name.
        on_progress: takes the status.
        failed: by name, why a part failed.
        shares: by name, how far a part that has begun has come.
    """

    due: Mapping[str, Part]
    on_progress: Callable[[Status], None] | None
    failed: dict[str, str] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._doing: dict[str, str] = {}
        self._processes: set[multiprocessing.process.BaseProcess] = set()
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._ticking = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "_Run":
        """Begin to report."""
        self._ticking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs, and the reports."""
        self._ended.set()
        for process in list(self._processes):
            process.terminate()
        self._ticking.join()

    def _modules(self) -> list[str]:
        """Return the scripts of what is due, whose imports take seconds."""
        return [entry.function.__module__ for name, entry in scripts().items() if name in self.due]

    def work(self, part: Part, settings: RunSettings) -> TaskFailed | None:
        """Run a part in a process of its own, and wait for it; return why it failed, if it did."""
        receiver, sender = multiprocessing.Pipe(duplex=False)
        name, reporting = part.name, replace(settings, on_progress=_Send(sender))
        limits = {"uses_one_core": part.cores == 1 and not part.alone}
        work = in_this_environment(_work)
        process = process_context(self._modules()).Process(target=work, args=(name, reporting, sender), kwargs=limits)
        self._doing[name], self.shares[name] = name, 0.0
        process.start()
        sender.close()
        self._processes.add(process)
        reason = self._follow(name, receiver)
        process.join()
        self._processes.discard(process)
        self._doing.pop(name)
        return None if reason is None else TaskFailed(reason)

    def _follow(self, name: str, receiver: Connection) -> str | None:
        """Take what a part reports until it ends; return why it failed, if it did."""
        while True:
            try:
                kind, *told = receiver.recv()
            except EOFError:
                return "its process ended before its work did"
            if kind == "end":
                reason: str | None = told[0]
                return reason
            share, doing = told
            self.shares[name], self._doing[name] = max(self.shares[name], share), f"{name}: {doing}"

    def lost(self) -> set[Any]:
        """Return the files that failed parts should have written."""
        return {path for name in self.failed if name in self.due for path in self.due[name].outputs}

    def status(self) -> Status:
        """Return how far the run is."""
        work = {name: part.share_of_the_machine for name, part in self.due.items()}
        total = math.fsum(work.values())
        done = math.fsum(work[name] * share for name, share in list(self.shares.items()) if name in work)
        elapsed = time.monotonic() - self._begun
        # This machine's speed is known once a good part of the work is done.
        pace = 1.0 if done < 0.1 * total or done < 20 else elapsed / done
        finished = sum(share >= 1 for share in list(self.shares.values()))
        left = (total - done) * pace
        return Status(done / total if total else 1.0, tuple(self._doing.values()), finished, len(self.due), left)

    def _tick(self) -> None:
        while not self._ended.wait(_TICK):
            self._report()
        self._report()

    def _report(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.status())


class _Reporter:
    """What doit tells of tasks."""

    def __init__(self, here: _Run, state: Dependency) -> None:
        self._here, self._state = here, state

    def add_success(self, task: Task) -> None:
        """Keep what is known of a finished part, so that a run that is killed goes on after it."""
        self._here.shares[task.name] = 1.0
        self._state.backend.dump()

    def add_failure(self, task: Task, fail: BaseFail) -> None:
        """Keep why a part failed."""
        self._here.failed[task.name] = fail.get_msg().strip() or "failed"

    def runtime_error(self, message: str) -> None:
        """Raise what doit found wrong with the graph itself."""
        raise RuntimeError(message)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Take no notice of anything else."""
        return _ignore


def _ignore(*arguments: Any) -> None:
    """Take no notice."""


@dataclass(frozen=True)
class _Send:
    """Reports of progress from a part's process, a few a second at most."""

    sender: Connection
    last: list[float] = field(default_factory=lambda: [0.0])

    def __call__(self, share: float, name: str) -> None:
        """Send a report, unless one was sent just now."""
        if time.monotonic() - self.last[0] > _TICK / 2:
            self.last[0] = time.monotonic()
            self.sender.send(("progress", share, name))


def _work(name: str, settings: RunSettings, sender: Connection, *, uses_one_core: bool) -> None:
    """Do the work of a part, in its own process, and send how it ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if uses_one_core:
            torch.set_num_threads(1)  # threads that wait for those of the part beside it would cost both their time
        _compute(name, settings)
    except Exception as error:
        sender.send(("end", f"{type(error).__name__}: {error}"))
    else:
        sender.send(("end", None))


def _end_with_parent() -> None:
    """End this process when the run that started it is gone, so that none goes on unseen."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _compute(name: str, settings: RunSettings) -> None:
    if name == "report":
        write_report(report_scripts(settings).values(), settings)
        return
    entry = scripts()[name]
    if isinstance(entry, PaperFigure):
        draw_figure(entry, settings)
    elif (long := committed_computation(entry, settings)) is not None:
        draw_committed(entry, long, settings)
    else:
        entry.run(settings)
