"""Compilation of the CPU kernels: cached, announced, and never stale.

numba keeps machine code beside the source, but looks for changes in the file of the outermost function
only. The kernels of this room are spread over several files, so their cache is keyed by all of them.
Functions are unwrapped first: a checker of types, as in the tests, may have wrapped them on import.
"""

import hashlib
import inspect
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import event

_announced = threading.Event()


@cache
def _room_digest() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


class _Announcer(event.Listener):
    """Says once per process that kernels are being compiled, when they really are."""

    def __init__(self) -> None:
        self.watched: set[Any] = set()

    def on_start(self, event: Any) -> None:
        if event.data.get("dispatcher") in self.watched and not _announced.is_set():
            _announced.set()
            print(
                "warptheory: compiling CPU kernels; this takes some seconds and is cached for later runs",
                file=sys.stderr,
                flush=True,
            )

    def on_end(self, event: Any) -> None:
        pass


_ANNOUNCER = _Announcer()
event.register("numba:compile", _ANNOUNCER)


def callee(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it."""
    return njit(inspect.unwrap(function), nogil=True)


def compiled(parallel: bool = False) -> Callable[[Callable[..., None]], Any]:
    """Compile a function by numba on first call, without the interpreter's lock, and cache the machine code."""

    def decorate(function: Callable[..., None]) -> Any:
        dispatcher = njit(inspect.unwrap(function), parallel=parallel, nogil=True)
        _ANNOUNCER.watched.add(dispatcher)
        try:
            dispatcher.enable_caching()
        except RuntimeError:  # neither the package nor the user's cache folder can be written
            return dispatcher
        # numba offers no public way to widen the stamp; without this an edit of another file of the
        # room would run the old machine code (a test holds it).
        dispatcher._cache._cache_file._source_stamp = _room_digest()
        return dispatcher

    return decorate
