"""Many trials in one run: preparations and chunks are handed to workers, and trials come back as they end.

What a worker does is a pure function, so neither the number of workers, nor the order in which they finish, nor a
restart changes a number. Finished chunks are stored as they come. Whatever an experiment does, be it that it ends its
process or never returns, costs its own trial alone, as far as its workers can be ended (`_workers`).
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from warptheory.core.errors import WarpTheoryError
from warptheory.montecarlo._chunks import Batch, ChunkError, told
from warptheory.montecarlo._estimate import Trial
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._store import ChunkStore
from warptheory.montecarlo._supervised import TimeLimitError
from warptheory.montecarlo._workers import Workers

_SECONDS = 1.0  # that a worker is given to do at a time
_FIRST_CHUNKS = 4  # while it is not known how long a chunk takes


@runtime_checkable
class Job(Protocol):
    """Something to be tried, small enough to be sent to a worker."""

    def prepare(self) -> Any:
        """Return what has to be worked out before chunks are run, such as a closed form's number; a worker does it."""

    def trial(self, prepared: Any) -> Trial:
        """Return the trial, of what `prepare` has returned; workers run its chunks."""


@dataclass
class _Active:
    """A trial in the making, and what of it is on its way."""

    number: int
    trial: Trial
    assigned: int = 0
    stream: str = ""
    seconds: float = 0.0  # per chunk
    known: dict[int, Moments] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        number: its number in the run.
        trial: its trial; None if what comes before that failed.
        reason: what went wrong; empty where nothing did.
    """

    number: int
    trial: Trial | None
    reason: str = ""


@dataclass(frozen=True)
class _Task:
    """What a worker has been given: something to prepare, or chunks of a trial to run."""

    number: int
    batch: Batch | None
    again: bool = False  # whether a worker has died over it

    @property
    def is_one(self) -> bool:
        """Whether it cannot be divided."""
        return self.batch is None or len(self.batch.chunks) == 1


class Campaign:
    """A run of many jobs on an executor.

    Attributes:
        jobs: what is tried.
        workers: who does the work.
        store: where finished chunks are kept.
        on_progress: called with this run, the number of the job that has come further, and its trial.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        workers: Workers,
        store: ChunkStore,
        on_progress: "Callable[[Campaign, int, Trial | None], None] | None" = None,
    ) -> None:
        self.jobs, self.workers, self.store = jobs, workers, store
        self._executor = workers.open()
        self._report = on_progress or (lambda campaign, number, trial: None)
        self._pending = deque(range(len(jobs)))
        self._active: dict[int, _Active] = {}
        self._running: dict[Future[Any], _Task] = {}
        self._suspects: deque[_Task] = deque()
        self._alone = False
        self.done = 0
        self._share = 0.0

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1], every job counted alike; it never falls."""
        begun = sum(active.trial.share for active in self._active.values())
        self._share = max(self._share, (self.done + begun) / max(1, len(self.jobs)))
        return self._share

    def run(self) -> Iterator[Outcome]:
        """Yield what becomes of each job, as it is known."""
        try:
            while self._pending or self._active or self._running or self._suspects:
                self._hand_out()
                finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in finished:
                    task = self._running.pop(future, None)
                    if task is not None:  # else its worker died with another one
                        yield from self._take(task, future)
        finally:
            self._dismiss()

    def _dismiss(self) -> None:
        """Take back what has not begun, and let the workers go."""
        for future in self._running:
            future.cancel()
        self._running.clear()
        self._executor.shutdown(wait=False)

    def _hand_out(self) -> None:
        """Keep the workers busy: chunks of what has begun first, then the next job."""
        self._alone = bool(self._suspects) and not self.workers.isolated
        if self._alone:
            if not self._running:
                self._submit(self._suspects.popleft())
            return
        while len(self._running) < 2 * self.workers.count:
            if self._suspects:
                self._submit(self._suspects.popleft())
                continue
            batch = next(filter(None, map(self._next_batch, self._active.values())), None)
            if batch is not None:
                self._submit(batch)
            elif self._pending:
                self._submit(_Task(self._pending.popleft(), None))
            else:
                return

    def _next_batch(self, active: _Active) -> _Task | None:
        """Return the next chunks of a trial that nobody has been given, None if there are none."""
        wanted = active.trial.estimation.wanted
        missing = [n for n in range(max(active.assigned, wanted.start), wanted.stop) if n not in active.known]
        if not missing:
            return None
        count = max(1, int(_SECONDS / active.seconds)) if active.seconds else _FIRST_CHUNKS
        # What is left before the next look is shared by the workers.
        share = min(count, -(-len(wanted) // self.workers.count), len(missing))
        together = next((n for n in range(1, share) if missing[n] != missing[0] + n), share)
        chunks = range(missing[0], missing[0] + together)
        active.assigned = chunks.stop
        return _Task(active.number, active.trial.estimation.batch(chunks))

    def _submit(self, task: _Task) -> None:
        job = self.jobs[task.number]
        try:
            future = self._executor.submit(_work, job, task.batch)
        except BrokenExecutor:  # while nothing was asked of them
            self._executor = self.workers.open()
            future = self._executor.submit(_work, job, task.batch)
        self._running[future] = task

    def _take(self, task: _Task, future: Future[Any]) -> Iterator[Outcome]:
        """Take what a worker has returned."""
        try:
            found, seconds = future.result()
        except self.workers.deaths:
            yield from self._replace_workers(task)
            return
        except TimeLimitError as error:
            yield from self._try_again(task, error)
            return
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # such as of what cannot be sent to a worker
            yield from self._fail(task, error)
            return
        if isinstance(found, WarpTheoryError):
            yield from self._fail(task, found)
        elif task.batch is None:
            yield from self._begin(task.number, found)
        else:
            yield from self._add(task, found, seconds)

    def _begin(self, number: int, prepared: Any) -> Iterator[Outcome]:
        try:
            active = _Active(number, self.jobs[number].trial(prepared))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of an experiment, such as one that ends the program
            yield from self._fail(_Task(number, None), error)
            return
        self._active[number] = active
        yield from self._advance(active)

    def _add(self, task: _Task, found: Sequence[Moments], seconds: float) -> Iterator[Outcome]:
        batch, active = task.batch, self._active.get(task.number)
        assert batch is not None
        chunks = dict(zip(batch.chunks, found, strict=True))
        self.store.save(batch.label, batch.seed, chunks)
        if active is None:  # it has failed elsewhere
            return
        active.seconds = seconds / len(found)
        yield from self._advance(active, batch.label, chunks)

    def _advance(
        self, active: _Active, label: str = "", chunks: Mapping[int, Moments] | None = None
    ) -> Iterator[Outcome]:
        """Use what has come of a stream, and what is stored; close a trial that is done, or that takes no more."""
        trial = active.trial
        try:
            for chunk, moments in (chunks or {}).items():
                trial.add(label, chunk, moments)
            self._use_what_is_stored(active)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of what an experiment makes of its means
            yield from self._fail(_Task(active.number, None), error)
            return
        if trial.is_done:
            del self._active[active.number]
            self.done += 1
        self._report(self, active.number, trial)
        if trial.is_done:
            yield Outcome(active.number, trial)

    def _use_what_is_stored(self, active: _Active) -> None:
        trial = active.trial
        while not trial.is_done and active.stream != trial.estimation.label:
            estimation = trial.estimation
            active.stream, active.assigned = estimation.label, 0
            active.known = self.store.load(estimation.label, estimation.seed)
            for chunk, moments in sorted(active.known.items()):
                trial.add(estimation.label, chunk, moments)

    def _fail(self, task: _Task, error: BaseException) -> Iterator[Outcome]:
        """Close a job that cannot be tried; the others go on."""
        active = self._active.pop(task.number, None)
        if active is None and task.batch is not None:  # it has failed already
            return
        self._suspects = deque(other for other in self._suspects if other.number != task.number)
        self._running = {
            future: other
            for future, other in self._running.items()
            if other.number != task.number or not future.cancel()
        }
        self.done += 1
        self._report(self, task.number, None)
        cause = told(error)
        if task.batch is not None and not isinstance(error, ChunkError):
            cause = str(ChunkError(task.batch.label, task.batch.seed, task.batch.chunks.start, cause))
        yield Outcome(task.number, None if active is None else active.trial, cause)

    def _replace_workers(self, task: _Task) -> Iterator[Outcome]:
        """Go on after a worker has died; what was on its way there is done again, one chunk at a time.

        A chunk that was alone when its worker died, and over which one has died before, is the one that kills them.

        Raises:
            ArgumentError: they died before they could begin.
        """
        self.workers.check_start()
        if self.workers.isolated:
            again = task.again and task.is_one
            yield from self._fail(task, _death(task)) if again else self._try_again(replace(task, again=True))
            return
        others = list(self._running.values())
        self._dismiss()
        self._executor = self.workers.open()
        if self._alone and not others and task.is_one:
            yield from self._fail(task, _death(task))
            return
        for suspect in (task, *others):
            yield from self._try_again(suspect)

    def _try_again(self, task: _Task, error: WarpTheoryError | None = None) -> Iterator[Outcome]:
        """Have a task done again, its chunks apart; if it cannot be divided and there is an error, it is closed."""
        if task.batch is not None and task.number not in self._active:  # it has failed already
            return
        if error is not None and task.is_one:
            yield from self._fail(task, error)
        else:
            self._suspects += _one_by_one(task)


def _work(job: Job, batch: Batch | None) -> tuple[Any, float]:
    """Do a task, in a worker; return what came of it, which may be an error, and the seconds that it took."""
    start = time.perf_counter()
    try:
        found = job.prepare() if batch is None else batch.run()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # errors of other kinds may not come back from another process
        found = error if isinstance(error, WarpTheoryError) else WarpTheoryError(told(error))
    return found, time.perf_counter() - start


def _one_by_one(task: _Task) -> Iterator[_Task]:
    """Yield a task, its chunks apart."""
    if task.batch is None:
        yield task
        return
    for number in task.batch.chunks:
        yield replace(task, batch=replace(task.batch, chunks=range(number, number + 1)))


def _death(task: _Task) -> WarpTheoryError:
    cause = "the process that ran it died; it may have run out of memory, or of time"
    if task.batch is None:
        return WarpTheoryError(f"its preparation: {cause}")
    return ChunkError(task.batch.label, task.batch.seed, task.batch.chunks.start, cause)
