"""What commands print with: a console, a progress bar that is silent when nobody watches, tables as JSON."""

import json
import math
import os
import pydoc
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from warptheory.core.text import one_line

if TYPE_CHECKING:
    from pandas import DataFrame

    from warptheory.paper.graph import RunPlan
    from warptheory.paper.running import Status
    from warptheory.results import Progress as Run

console = Console(highlight=False)
_notes = Console(stderr=True, highlight=False)
_LINE_SECONDS = 20.0  # a log says at least as often that the run is alive


@contextmanager
def progress_bar(title: str, *, shown: bool = True) -> Iterator[Callable[[float, str], None]]:
    """Show a progress bar on a terminal's standard error, unless hidden; yield its update (share in [0, 1], name)."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_notes, transient=True, disable=not (shown and _notes.is_terminal)) as progress:
        task = progress.add_task(title, total=1.0)

        def update(share: float, name: str) -> None:
            progress.update(task, completed=share, description=escape(one_line(f"{title}: {name}")))

        yield update


@contextmanager
def run_progress(title: str) -> Iterator[Callable[["Status"], None]]:
    """Show how far a run of many parts is: a bar on a terminal's standard error, plain lines elsewhere."""
    if _notes.is_terminal:
        with progress_bar(title) as update:
            yield lambda status: update(status.share, ", ".join(status.running))
        return
    yield _StatusLines(title)


class _StatusLines:
    """Lines of progress for a log: whenever a part begins or ends, and every 20 seconds."""

    def __init__(self, title: str) -> None:
        self._title, self._parts, self._printed = title, frozenset[str](), time.monotonic()

    def __call__(self, status: "Status") -> None:
        parts = frozenset(running.partition(":")[0] for running in status.running)
        if parts == self._parts and time.monotonic() - self._printed < _LINE_SECONDS:
            return
        self._parts, self._printed = parts, time.monotonic()
        running = "; ".join(status.running) or "nothing more to do"
        left = f"{status.finished} of {status.parts} parts, {status.share:.0%}, {_duration(status.seconds_left)} left"
        _notes.print(one_line(f"{self._title}: {left}: {running}"), markup=False, soft_wrap=True)


def print_paged(text: str, *, is_paged: bool) -> None:
    """Print a text, page by page where it is longer than the terminal, unless that is not wanted."""
    is_longer = text.count("\n") + 2 > shutil.get_terminal_size().lines
    if not (is_paged and is_longer and sys.stdout.isatty()):
        print(text)
        return
    os.environ.setdefault("LESS", "FRX")  # as Git has it: what fits is left on the screen
    pydoc.pager(text)


def print_plan(plan: "RunPlan") -> None:
    """Print the parts of a run with how long each takes, and what they take together."""
    for planned in plan.parts:
        part = planned.part
        state = "up to date" if planned.is_up_to_date else f"about {_duration(part.seconds)}"
        print(f"{part.name:32}{state}")
    due = [planned for planned in plan.parts if not planned.is_up_to_date]
    print(f"{len(due)} of {len(plan.parts)} parts to compute, about {_duration(plan.seconds)} on two idle cores")


def _duration(seconds: float) -> str:
    """Return a duration as text: minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@contextmanager
def claims_progress(title: str) -> Iterator[Callable[["Run"], None]]:
    """Show a progress bar of claims or points: what has come further, its estimate, and what is asked of that."""
    with progress_bar(title) as update:

        def show(done: "Run") -> None:
            found = done.estimate
            precision = "" if found is None else f", {found.value:.5g} ± {found.stderr:.1g}, to be {done.target:.1g}"
            update(done.share, f"{done.name}{precision}")

        yield show


def print_replay(table: "DataFrame", *, as_json: bool) -> NoReturn:
    """Print what a chunk gave, a line for each column of each experiment, and exit; code 1 if one failed."""
    if as_json:
        print_json(table)
    for row in [] if as_json else table.to_dict(orient="records"):
        found = row["failure"] or f"mean {row['mean']:.17g}, deviation {row['deviation']:.6g} of {row['rows']:.0f} rows"
        column = "" if row["failure"] else f", column {row['column']:.0f}"
        print(one_line(f"{row['label']}, chunk {row['chunk']}{column}: {found}"))
    raise typer.Exit(int((table["failure"] != "").any()))


def print_json(table: "DataFrame") -> None:
    """Print a JSON object for each row, numbers that are not finite as null."""
    for row in table.to_dict(orient="records"):
        finite = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in row.items()}
        text = json.dumps(finite, ensure_ascii=False)
        print(text if text.isprintable() else json.dumps(finite))
