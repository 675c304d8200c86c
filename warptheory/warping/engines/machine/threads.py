"""The kernels' threads: torch's own OpenMP pool.

numba's pool would be a second one beside torch's, and pools that both spin while they wait take the
processors from each other (measured: up to half the speed of either). So the kernels are compiled as
plain C functions without threads of their own, and handed to the OpenMP runtime that torch has loaded;
where that runtime offers no such entry, Python threads carry them, because the functions run without
the interpreter's lock.

Threads meet at the end of a call. Where other work keeps the processors busy, the last of them may have to wait for
its turn, some milliseconds, in which a small call would have been done many times over. How long, no call can know
before; but one that took threads knows afterwards. So a call takes threads if they save more time than they have
lately cost, and now and then, more and more seldom while that is in vain, it tries again. Results are the same, bit
for bit, for any number of threads.
"""

import ctypes
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


# OpenMP's threads do not survive a fork, and a child that waited for them would hang. Children work on one
# thread, as torch's own data-loading workers do.
os.register_at_fork(after_in_child=_after_fork)


def available() -> int:
    """Return how many threads a call may use: torch's number."""
    return 1 if _forked else torch.get_num_threads()


class Lateness:
    """What threads have lately cost, and until when that counts.

    Attributes:
        seconds: by which a call with threads took longer than it would have on one; 0 if none did.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._debt = 0.0  # what of it threads have not yet saved again
        self._pause = 0.0
        self._end = 0.0

    def allows(self, saved: float) -> bool:
        """Return whether threads that save so many seconds are worth their risk."""
        return saved > self.seconds or time.perf_counter() >= self._end

    def learn(self, took: float, alone: float, saved: float) -> None:
        """Take note of a call with threads: what it took, what it takes on one, and what threads should save."""
        late = took - alone
        if took > _DOUBT * alone + saved:
            self.seconds = self._debt = late
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._end = time.perf_counter() + self._pause
        elif saved <= self.seconds:  # it tried again, and they came; but once may be luck
            self._debt += late
            if self._debt <= 0:
                self.seconds = self._pause = 0.0


_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 3.2  # seconds
_DOUBT = 2  # how many times as long as was thought a call may take, without a thread being late
_LEAST_SAVED = 8e-6  # seconds; waking threads takes as long where nothing else runs
_lateness = Lateness()


def worth(alone: float) -> int:
    """Return how many threads a call should take that takes so many seconds on one."""
    threads = available()
    saved = alone * (1 - 1 / threads)
    return threads if saved > _LEAST_SAVED and _lateness.allows(saved) else 1


@dataclass(frozen=True)
class Pool:
    """The runtime's GOMP_parallel(function, data, threads, flags), and the address of int omp_get_thread_num()."""

    parallel: Any
    number: int


@cache
def pool() -> Pool | None:
    """Return the OpenMP runtime that torch uses, if it is GNU's."""
    path = Path(torch.__file__).parent / "lib" / "libgomp.so.1"
    if not path.is_file():
        return None
    try:
        library = ctypes.CDLL(str(path))
        parallel, number = library.GOMP_parallel, library.omp_get_thread_num
    except (OSError, AttributeError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return Pool(parallel, ctypes.cast(number, ctypes.c_void_p).value or 0)


class CFunction:
    """A C function void f(void *words), to be run on several threads at once."""

    def __init__(self, address: int) -> None:
        self.address = address
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)

    def run(self, words: int, threads: int, alone: float) -> None:
        """Call it on so many threads; `words` is the address of its argument, `alone` its seconds on one thread."""
        if threads == 1:
            self._call(words)
            return
        start = time.perf_counter()
        self._run_together(words, threads)
        _lateness.learn(time.perf_counter() - start, alone, alone * (1 - 1 / threads))

    def _run_together(self, words: int, threads: int) -> None:
        runtime = pool()
        if runtime is not None:
            runtime.parallel(self.address, words, threads, 0)
            return
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(self._call, [words] * threads))
