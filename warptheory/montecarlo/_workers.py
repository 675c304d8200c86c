"""Who runs chunks: this process, its threads, other processes, or a Dask cluster; all of them as executors."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError

LOCAL = ("serial", "threads", "processes", "dask")
_SECONDS_TO_ANSWER = 10
_CLUSTER_PREFIXES = ("tcp://", "tls://", "ws://", "wss://")


def _need_no_start() -> None:
    """Raise nothing: these workers are there."""


@dataclass(frozen=True)
class Workers:
    """Workers that are at hand.

    Attributes:
        count: how many tasks they do at a time.
        open: returns an executor of them, and a new one after its workers have died.
        deaths: errors by which an executor tells that a worker has died over a task.
        check_start: raises ArgumentError if no worker of a kind that has to start first has ever done so.
    """

    count: int
    open: Callable[[], Executor]
    deaths: tuple[type[Exception], ...] = (BrokenExecutor,)
    check_start: Callable[[], None] = _need_no_start


class InTurn(Executor):
    """Does each task at once, in this process."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Return what the function returns, as a future that is done."""
        future: Future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def workers(scheduler: str | None = None, count: int | None = None) -> Iterator[Workers]:
    """Make workers ready, and dismiss them in the end.

    Args:
        scheduler: "serial", "threads", "processes", "dask" (a cluster on this machine, started here), or the address of
            a running cluster, such as tcp://host:8786; by default processes, or serial for one worker.
        count: number of workers; by default one for each core.

    Raises:
        ArgumentError: another scheduler, a cluster that does not answer, Dask is not installed, or processes that are
            started while a process imports the script: its calls have to stand below `if __name__ == "__main__":`.
    """
    number = check_integer("workers", count if count is not None else os.cpu_count() or 1)
    chosen = scheduler or ("serial" if number == 1 else "processes")
    if chosen == "serial":
        yield Workers(1, InTurn)
    elif chosen == "threads":
        yield Workers(number, lambda: ThreadPoolExecutor(number))
    elif chosen == "processes":
        yield _processes(number)
    elif chosen == "dask" or chosen.startswith(_CLUSTER_PREFIXES):
        with _cluster(None if chosen == "dask" else chosen, number) as found:
            yield found
    else:
        expected = f"one of {', '.join(LOCAL)}, or the address of a cluster, such as tcp://host:8786"
        raise ArgumentError("scheduler", expected=expected, received=repr(scheduler))


def _processes(count: int) -> Workers:
    """Return new processes, each of which imports the script that runs.

    Raises:
        ArgumentError: this is such a process, which still imports the script.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise _unguarded("a script that starts processes while it is imported by one")
    # Forked copies of a process whose libraries run threads may never wake up.
    context = multiprocessing.get_context("spawn")
    has_begun = context.Event()

    def check_start() -> None:
        if not has_begun.is_set():
            raise _unguarded("processes that ended before they could begin")

    pool = partial(ProcessPoolExecutor, count, context, initializer=has_begun.set)
    return Workers(count, pool, check_start=check_start)


def _unguarded(received: str) -> ArgumentError:
    expected = 'a script file whose calls stand below `if __name__ == "__main__":`, or scheduler="threads"'
    return ArgumentError("workers", expected=expected, received=received)


@contextmanager
def _cluster(address: str | None, count: int) -> Iterator[Workers]:
    """Connect to a Dask cluster, or start one on this machine.

    Raises:
        ArgumentError: Dask is not installed, or nobody answers.
    """
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise ArgumentError(
            "scheduler", expected="Dask, of the extra warptheory[cluster]", received="an environment without it"
        ) from error
    if address is None:
        with (
            LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield Workers(count, partial(client.get_executor, pure=False), (BrokenExecutor, KilledWorker))
        return
    try:
        client = Client(address, timeout=_SECONDS_TO_ANSWER)
    except (OSError, TimeoutError, ValueError) as error:
        raise ArgumentError(
            "scheduler", expected="the address of a running cluster", received=f"{address}: {error}"
        ) from error
    with client:
        found = sum(client.nthreads().values())
        yield Workers(max(1, found), partial(client.get_executor, pure=False), (BrokenExecutor, KilledWorker))
