"""Executors whose tasks have a limit on their time, and whose workers may die: either costs one task alone.

Each worker has a supervisor, a thread that hands it one task at a time and waits for the answer. A process that dies,
or that has not answered in time and is ended, is replaced by another one when its supervisor takes the next task.
"""

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from functools import partial
from multiprocessing import connection, util
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from warptheory.core.errors import WarpTheoryError
from warptheory.core.processes import ProcessContext, in_this_environment

SupervisedCall = Callable[[], Any]


class TimeLimitError(WarpTheoryError):
    """A task did not end in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it did not end within the time limit of {seconds:g} s")


class WorkerDiedError(BrokenExecutor):
    """The process that did a task died over it; other workers go on."""


@runtime_checkable
class Worker(Protocol):
    """Does one task at a time."""

    def do(self, call: SupervisedCall, limit: float | None) -> Any:
        """Return what a call returns, or raise what it raises; TimeLimitError after so many seconds."""

    def dismiss(self) -> None:
        """End the worker, whatever it does."""


class Supervised(Executor):
    """An executor of workers that are supervised one by one.

    Args:
        count: number of workers; each is made when there is a task for it.
        make: makes a worker.
        limit: seconds for a task; None sets no limit.
    """

    def __init__(self, count: int, make: Callable[[], Worker], limit: float | None) -> None:
        self._tasks: SimpleQueue[tuple[Future[Any], SupervisedCall] | None] = SimpleQueue()
        self._workers: list[Worker] = []
        self._count, self._make, self._limit = count, make, limit
        self._supervisors: list[threading.Thread] = []
        self._is_closed = False

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return what the function returns, as a future, which also tells what becomes of its worker."""
        if self._is_closed:
            raise RuntimeError("cannot submit tasks after shutdown")
        future: Future[Any] = Future()
        self._tasks.put((future, partial(function, *args, **kwargs)))
        if len(self._supervisors) < self._count:
            worker = self._make()
            self._workers.append(worker)
            # Daemons: a task that never ends does not keep the program from ending.
            self._supervisors.append(threading.Thread(target=self._supervise, args=(worker,), daemon=True))
            self._supervisors[-1].start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Dismiss the workers: at the end of their tasks if that is waited for, else at once."""
        self._is_closed = True
        if not wait or cancel_futures:
            with suppress(Exception):
                while (task := self._tasks.get_nowait()) is not None:
                    task[0].cancel()
        for _ in self._supervisors:
            self._tasks.put(None)
        if wait:
            for supervisor in self._supervisors:
                supervisor.join()
        for worker in self._workers:
            worker.dismiss()

    def _supervise(self, worker: Worker) -> None:
        while (task := self._tasks.get()) is not None:
            future, call = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                found = worker.do(call, self._limit)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(found)


class ThreadWorker:
    """A thread of this process. It cannot be ended: after the limit it is left alone, and goes on in vain."""

    def do(self, call: SupervisedCall, limit: float | None) -> Any:
        """Return what a call returns, as `Worker.do`."""
        if limit is None:
            return call()
        answer: Future[Any] = Future()
        threading.Thread(target=_answer, args=(answer, call), daemon=True).start()
        try:
            return answer.result(limit)
        except TimeoutError:
            if answer.done():  # the call's own
                raise
            raise TimeLimitError(limit) from None

    def dismiss(self) -> None:
        """Do nothing: it ends with the program."""


def _answer(answer: Future[Any], call: SupervisedCall) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)


class ProcessWorker:
    """A process of its own, started for its first task, and anew after it has died.

    Args:
        context: starts it.
        begun: set as soon as a process is ready.
    """

    def __init__(self, context: ProcessContext, begun: threading.Event) -> None:
        self._context, self._begun = context, begun
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: connection.Connection | None = None
        self._lock = threading.Lock()
        self._is_dismissed = False

    def do(self, call: SupervisedCall, limit: float | None) -> Any:
        """Return what a call returns, as `Worker.do`.

        Raises:
            WorkerDiedError: the process died over it.
        """
        task = bytes(ForkingPickler.dumps(call))
        try:
            process, pipe = self._ready()
            pipe.send_bytes(task)
            # Also the end of the process is waited for: its own children may hold the pipe.
            if not connection.wait([pipe, process.sentinel], limit):
                self._end()
                assert limit is not None
                raise TimeLimitError(limit)
            if not pipe.poll():
                raise EOFError
            succeeded, found = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError) as error:
            self._end()
            raise WorkerDiedError("the process died") from error
        if not succeeded:
            raise found
        return found

    def dismiss(self) -> None:
        """End the process, at once if it does a task."""
        with self._lock:
            self._is_dismissed = True
        self._end()

    def _ready(self) -> tuple[multiprocessing.process.BaseProcess, connection.Connection]:
        """Return the process and the pipe to it, once it waits for a task."""
        with self._lock:
            if self._is_dismissed:
                raise EOFError
            if self._process is not None and self._pipe is not None:
                return self._process, self._pipe
            own, others = self._context.Pipe()
            process = self._context.Process(target=in_this_environment(_serve), args=(others,))
            process.start()
            others.close()
            # Processes that are left behind are waited for when the program ends, unless they are ended before.
            util.Finalize(None, process.kill, exitpriority=10)
            self._process, self._pipe = process, own
        connection.wait([own, process.sentinel])
        own.recv_bytes()
        self._begun.set()
        return process, own

    def _end(self) -> None:
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process = self._pipe = None
        if process is not None and pipe is not None:
            process.kill()
            process.join()
            pipe.close()


def _serve(pipe: connection.Connection) -> None:
    """Do what comes through a pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"ready")
        while True:
            pipe.send_bytes(_served(pipe.recv_bytes()))


def _served(task: bytes) -> bytes:
    """Return the answer to a task: whether it succeeded, and what it returned or raised."""
    try:
        return bytes(ForkingPickler.dumps((True, pickle.loads(task)())))
    except BaseException as error:
        try:
            whole = bytes(ForkingPickler.dumps((False, error)))
            pickle.loads(whole)  # errors of other classes may not come back
            return whole
        except Exception:
            return bytes(ForkingPickler.dumps((False, RuntimeError(f"{type(error).__name__}: {error}"))))


class InTurn(Executor):
    """Does each task at once, in this process.

    Args:
        limit: seconds for a task; None sets no limit. An alarm interrupts Python code, as Ctrl-C does, in the main
            thread alone; a call of compiled code is interrupted when it returns.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return what the function returns, as a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(_interrupted(partial(function, *args, **kwargs), self._limit))
        except _AlarmError as error:
            future.set_exception(TimeLimitError(error.seconds))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            future.set_exception(error)
        return future


class _AlarmError(KeyboardInterrupt):
    """The time is over: an interruption, so that the code that is interrupted does not take it for its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def _interrupted(call: SupervisedCall, limit: float | None) -> Any:
    """Return what a call returns, unless it takes longer."""
    if limit is None or threading.current_thread() is not threading.main_thread() or signal.getitimer(_CLOCK)[0]:
        return call()

    def stop(number: int, frame: FrameType | None) -> None:
        raise _AlarmError(limit)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(_CLOCK, limit, _AGAIN)
    try:
        return call()
    finally:
        signal.setitimer(_CLOCK, 0)
        signal.signal(signal.SIGALRM, before)


_CLOCK = signal.ITIMER_REAL
_AGAIN = 1.0  # seconds until another alarm: what is raised in a callback of compiled code is lost
