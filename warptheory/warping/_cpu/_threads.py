"""The kernels' threads: torch's own OpenMP pool.

numba's pool would be a second one beside torch's, and pools that both spin while they wait take the
processors from each other (measured: up to half the speed of either). So the kernels are compiled as
plain C functions without threads of their own, and handed to the OpenMP runtime that torch has loaded;
where that runtime offers no such entry, Python threads carry them, because the functions run without
the interpreter's lock.
"""

import ctypes
import os
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


class Entry:
    """A C function void f(void *words), to be run on several threads at once."""

    def __init__(self, address: int) -> None:
        self.address = address
        self._call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)

    def run(self, words: int, threads: int) -> None:
        """Call it on so many threads; `words` is the address of its argument."""
        if threads == 1:
            self._call(words)
            return
        runtime = pool()
        if runtime is not None:
            runtime.parallel(self.address, words, threads, 0)
            return
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(self._call, [words] * threads))
