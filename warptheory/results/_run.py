"""Running many named jobs, with what is told of the progress."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from warptheory.montecarlo import Campaign, Estimate, Execution, ExecutionOptions, Job, Outcome, Trial

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


class RunOptions(ExecutionOptions, total=False):
    """The keywords of every run: those of `Execution`, and what is called with how far the run has come."""

    on_progress: Callable[[Progress], None] | None


@runtime_checkable
class NamedJob(Job, Protocol):
    """A job that says what it is about."""

    @property
    def name(self) -> str:
        """What it is about."""


def run(
    jobs: Sequence[NamedJob],
    configuration: Mapping[str, Any],
    on_progress: Callable[[Progress], None] | None = None,
    **execution: Any,
) -> list[Outcome]:
    """Run jobs, and return what became of each, in their order.

    Args:
        jobs: the jobs.
        configuration: everything that their chunks depend on, as JSON has it.
        on_progress: called with how far the run has come.
        **execution: as in `Execution`; where a number of workers of None would start processes for few jobs, one
            worker does them.

    Raises:
        ArgumentError: as `Execution` and its `run`.
    """

    def report(campaign: Campaign, number: int, trial: Trial | None) -> None:
        if on_progress is not None:
            on_progress(_progress(campaign.share, jobs[number].name, trial))

    return for_jobs(Execution(**execution), len(jobs)).run(jobs, configuration, report)


def for_jobs(execution: Execution, jobs: int) -> Execution:
    """Return how a number of jobs is run: few of them by one worker, where nobody has asked for others."""
    few = execution.workers is None and execution.scheduler is None and jobs < _FEWEST_TO_SHARE
    return replace(execution, workers=1) if few else execution


def _progress(share: float, name: str, trial: Trial | None) -> Progress:
    if trial is None:
        return Progress(share, name)
    estimation = trial.estimation
    return Progress(share, name, estimation.estimate if estimation.merged else None, estimation.target)
