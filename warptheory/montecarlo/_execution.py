"""How a run of many jobs is carried out: by whom, with what kept, and for how long. No number depends on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from warptheory.core.checks import check_integer
from warptheory.montecarlo._campaign import Campaign, Job, Outcome
from warptheory.montecarlo._estimate import Trial
from warptheory.montecarlo._store import chunk_store
from warptheory.montecarlo._workers import TIME_LIMIT
from warptheory.montecarlo._workers import workers as workers_of


class ExecutionOptions(TypedDict, total=False):
    """The keywords of every run of many jobs; their meaning and defaults stand in `Execution`."""

    workers: int | None
    scheduler: str | None
    out: Path | None
    fresh: bool
    time_limit: float | None


@dataclass(frozen=True)
class Execution:
    """How jobs are run, on which no number depends.

    Attributes:
        workers: number of workers; None takes one for each core.
        scheduler: who they are, as in `workers`: processes, threads, a cluster.
        out: folder that keeps finished chunks: after an interruption the same call goes on from there; None keeps none.
        fresh: whether to forget what that folder holds.
        time_limit: seconds that a preparation or a chunk may take, or None; it costs its job alone. One that never
            returns is given up by all workers, and ended by processes and Dask; a thread goes on in vain; serially
            (one worker), compiled code that never returns is waited for.

    Raises:
        ArgumentError: a number of workers that is no positive integer.
    """

    workers: int | None = 1
    scheduler: str | None = None
    out: Path | None = None
    fresh: bool = False
    time_limit: float | None = TIME_LIMIT

    def __post_init__(self) -> None:
        if self.workers is not None:
            object.__setattr__(self, "workers", check_integer("workers", self.workers))

    def run(
        self,
        jobs: Sequence[Job],
        configuration: Mapping[str, Any],
        on_progress: Callable[[Campaign, int, Trial | None], None] | None = None,
    ) -> list[Outcome]:
        """Run jobs, keep their finished chunks, and return what became of each, in their order.

        Args:
            jobs: the jobs.
            configuration: everything that their chunks depend on, as JSON has it.
            on_progress: as in `Campaign`.

        Raises:
            ArgumentError: an unknown scheduler, or a folder that is in use or belongs to another run.
        """
        with (
            chunk_store(self.out, configuration, fresh=self.fresh) as store,
            workers_of(self.scheduler, self.workers, self.time_limit) as hands,
        ):
            found = {outcome.number: outcome for outcome in Campaign(jobs, hands, store, on_progress).run()}
        return [found[number] for number in range(len(jobs))]
