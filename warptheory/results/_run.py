"""Running many named jobs: who works, what is kept, and what is told of the progress."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from warptheory import montecarlo
from warptheory.core.checks import check_integer
from warptheory.montecarlo import Campaign, Estimate, Job, Outcome, Trial

# Fewer jobs are done before other processes have started.
_FEWEST_TO_SHARE = 12


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        share: share of the work that is done, in [0, 1].
        name: the job that has come further.
        estimate: what has been estimated for it, or None before the first look.
        target: the standard error that is asked for.
    """

    share: float
    name: str
    estimate: Estimate | None = None
    target: float = math.nan


@runtime_checkable
class NamedJob(Job, Protocol):
    """A job that says what it is about."""

    @property
    def name(self) -> str:
        """What it is about."""


@dataclass(frozen=True)
class Manner:
    """How jobs are run, on which no number depends.

    Attributes:
        workers: number of workers; None takes one for each core, and one alone where there are few jobs.
        scheduler: who they are, as in `montecarlo.workers`.
        out: folder that keeps finished chunks, or None.
        fresh: whether to forget what the folder holds.
        on_progress: called with how far the run has come, or None.
        time_limit: seconds that a preparation or a chunk may take, or None.

    Raises:
        ArgumentError: a number of workers that is no positive integer.
    """

    workers: int | None
    scheduler: str | None
    out: Path | None
    fresh: bool
    on_progress: Callable[[Progress], None] | None
    time_limit: float | None = montecarlo.TIME_LIMIT

    def __post_init__(self) -> None:
        if self.workers is not None:
            object.__setattr__(self, "workers", check_integer("workers", self.workers))

    def workers_for(self, jobs: int) -> int | None:
        """Return the number of workers for a number of jobs; None for one on each core."""
        few = self.workers is None and self.scheduler is None and jobs < _FEWEST_TO_SHARE
        return 1 if few else self.workers


def run(jobs: Sequence[NamedJob], configuration: Mapping[str, Any], manner: Manner) -> list[Outcome]:
    """Run jobs on workers, keep their finished chunks, and return what became of each, in their order.

    Args:
        jobs: the jobs.
        configuration: everything that their chunks depend on, as JSON has it.
        manner: how they are run.

    Raises:
        ArgumentError: an unknown scheduler, or a folder that is in use or belongs to another run.
    """

    def report(campaign: Campaign, number: int, trial: Trial | None) -> None:
        if manner.on_progress is not None:
            manner.on_progress(_progress(campaign.share, jobs[number].name, trial))

    return montecarlo.run_campaign(
        jobs,
        configuration,
        workers=manner.workers_for(len(jobs)),
        scheduler=manner.scheduler,
        out=manner.out,
        fresh=manner.fresh,
        time_limit=manner.time_limit,
        on_progress=report,
    )


def _progress(share: float, name: str, trial: Trial | None) -> Progress:
    if trial is None:
        return Progress(share, name)
    estimation = trial.estimation
    return Progress(share, name, estimation.estimate if estimation.merged else None, estimation.target)
