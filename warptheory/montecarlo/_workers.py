"""Who runs chunks: this process, its threads, other processes, or a Dask cluster; all of them as executors.

A task has a limit on its time. What has not ended by then costs its claim alone: other processes are ended and
replaced, those of Dask end themselves. A thread cannot be ended, goes on in vain, and ends with the program. In this
process, serially, an alarm interrupts Python code of the main thread, though no call of compiled code that never
returns. A worker that dies is replaced if it is a process; this process itself is not.
"""

import logging
import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from warptheory.core.checks import check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.core.processes import process_context
from warptheory.core.text import shown
from warptheory.montecarlo._supervised import InTurn, ProcessWorker, Supervised, ThreadWorker

TIME_LIMIT = 1800.0  # seconds; the longest task of the registered results takes a minute

LOCAL = ("serial", "threads", "processes", "dask")
_SECONDS_TO_ANSWER = 10.0
_MOST_WORKERS = 1024
_LONGEST = threading.TIMEOUT_MAX
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
        isolated: whether a worker that dies does so over its own task alone, and the executor goes on.
    """

    count: int
    open: Callable[[], Executor]
    deaths: tuple[type[Exception], ...] = (BrokenExecutor,)
    check_start: Callable[[], None] = _need_no_start
    isolated: bool = False


@contextmanager
def workers(
    scheduler: str | None = None, count: int | None = None, time_limit: float | None = TIME_LIMIT
) -> Iterator[Workers]:
    """Make workers ready, and dismiss them in the end.

    Args:
        scheduler: "serial", "threads", "processes", "dask" (a cluster on this machine, started here), or the address of
            a running cluster, such as tcp://host:8786; by default processes, or serial for one worker.
        count: number of workers, at most 1024; by default one for each core.
        time_limit: seconds that a task may take; None sets no limit. How it is kept depends on who works, see above.

    Raises:
        ArgumentError: another scheduler, a cluster that does not answer, Dask is not installed, or processes that are
            started while a process imports the script: its calls have to stand below `if __name__ == "__main__":`.
    """
    number = check_integer("workers", count if count is not None else os.cpu_count() or 1)
    check_integer("workers", number, most=_MOST_WORKERS)
    limit = None if time_limit is None else check_number("time_limit", time_limit, above=0, below=_LONGEST)
    if scheduler is not None and not isinstance(scheduler, str):
        expected = f"one of {', '.join(LOCAL)}, or an address"
        raise ArgumentError("scheduler", expected=expected, received=shown(scheduler))
    chosen = scheduler or ("serial" if number == 1 else "processes")
    if chosen == "serial":
        yield Workers(1, partial(InTurn, limit), isolated=True)
    elif chosen == "threads":
        yield Workers(number, partial(Supervised, number, ThreadWorker, limit), isolated=True)
    elif chosen == "processes":
        yield _processes(number, limit)
    elif chosen == "dask" or chosen.startswith(_CLUSTER_PREFIXES):
        with _cluster(None if chosen == "dask" else chosen, number, limit) as found:
            yield found
    else:
        expected = f"one of {', '.join(LOCAL)}, or the address of a cluster, such as tcp://host:8786"
        raise ArgumentError("scheduler", expected=expected, received=repr(scheduler))


def _processes(count: int, limit: float | None) -> Workers:
    """Return new processes, each of which imports the script that runs.

    Raises:
        ArgumentError: this is such a process, which still imports the script.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise _unguarded("a script that starts processes while it is imported by one")
    # Forked copies of this process, whose libraries run threads, may never wake up; those of a server do.
    context = process_context(name for name in list(sys.modules) if re.fullmatch(r"warptheory\.\w+", name))
    has_begun = threading.Event()

    def check_start() -> None:
        if not has_begun.is_set():
            raise _unguarded("processes that ended before they could begin")

    pool = partial(Supervised, count, partial(ProcessWorker, context, has_begun), limit)
    return Workers(count, pool, check_start=check_start, isolated=True)


def _unguarded(received: str) -> ArgumentError:
    expected = 'a script file whose calls stand below `if __name__ == "__main__":`, or scheduler="threads"'
    return ArgumentError("workers", expected=expected, received=received)


@contextmanager
def _cluster(address: str | None, count: int, limit: float | None) -> Iterator[Workers]:
    """Connect to a Dask cluster, or start one on this machine.

    Raises:
        ArgumentError: Dask is not installed, nobody answers, or a cluster has no workers.
    """
    try:
        import dask
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise ArgumentError(
            "scheduler", expected="Dask, of the extra warptheory[cluster]", received="an environment without it"
        ) from error
    deaths = (BrokenExecutor, KilledWorker)
    with ExitStack() as stack:
        if address is None:
            # A task over which a worker died is tried again here, alone.
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
            cluster = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None)  # type: ignore[no-untyped-call]  # Dask's
            client = stack.enter_context(Client(stack.enter_context(cluster)))  # type: ignore[no-untyped-call]  # Dask's
        else:
            client = stack.enter_context(_connected(Client, address))
        found = sum(client.nthreads().values())
        yield Workers(max(1, found), lambda: _Limited(client.get_executor(pure=False), limit), deaths)


def _connected(client: Callable[..., Any], address: str) -> Any:
    """Return a client of a running cluster that has workers.

    Raises:
        ArgumentError: nobody answers there, or something that is no cluster, or one without workers.
    """
    expected = "the address of a running cluster"
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what goes wrong is said below, in one line
    try:
        # The client waits without end for a server that takes a connection and says nothing.
        found = ThreadWorker().do(partial(client, address, timeout=_SECONDS_TO_ANSWER), 2.0 * _SECONDS_TO_ANSWER)
    except Exception as error:  # whatever a server of another kind makes of it
        received = f"{address}: {type(error).__name__}: {error}"
        raise ArgumentError("scheduler", expected=expected, received=received) from error
    finally:
        logger.setLevel(level)
    try:
        found.wait_for_workers(1, timeout=_SECONDS_TO_ANSWER)
    except TimeoutError as error:
        found.close()
        raise ArgumentError("scheduler", expected=expected, received=f"{address}, which has no workers") from error
    return found


class _Limited(Executor):
    """An executor on other machines, whose processes end themselves when a task takes too long."""

    def __init__(self, executor: Executor, limit: float | None) -> None:
        self._executor, self._limit = executor, limit

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return what the function returns, as a future."""
        return self._executor.submit(_limited, self._limit, function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the executor go."""
        self._executor.shutdown(wait=wait)


def _limited(limit: float | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a function returns; after so many seconds, end this process."""
    if limit is None:
        return function(*args, **kwargs)
    watch = threading.Timer(limit, os._exit, (1,))
    watch.daemon = True
    watch.start()
    try:
        return function(*args, **kwargs)
    finally:
        watch.cancel()
