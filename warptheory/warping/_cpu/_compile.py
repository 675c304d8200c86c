"""Compilation of the CPU kernels: cached, announced, and never stale.

numba keeps machine code beside the source, but looks for changes in the file of the outermost function
only. The kernels of this room are spread over several files, so their cache is keyed by all of them; the
kernels of other rooms, which build on these, by the files of their own room too.
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
from numba.core import types
from numba.core.ccallback import CFunc

_announced = threading.Event()


@cache
def sources_digest(file: str = __file__) -> str:
    """Return a digest of this room's sources, and of those of the room of a function that is compiled, by its file."""
    sources = sorted({*Path(__file__).parent.glob("*.py"), *Path(file).parent.glob("*.py")})
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


def callee(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it."""
    return njit(inspect.unwrap(function), nogil=True)


class _Function(CFunc):
    """A C function that says, once per process, when it really has to be compiled."""

    def _compile_uncached(self) -> Any:
        if not _announced.is_set():
            _announced.set()
            print(
                "warptheory: compiling CPU kernels; this takes some seconds and is cached for later runs",
                file=sys.stderr,
                flush=True,
            )
        return super()._compile_uncached()  # type: ignore[misc]


def c_function(function: Callable[..., None]) -> int:
    """Compile void function(void *), or load its machine code from the cache, and return its address."""
    plain = inspect.unwrap(function)
    compiled: Any = _Function(plain, ((types.voidptr,), types.void), locals={}, options={})
    try:
        compiled.enable_caching()
        # numba offers no public way to widen the stamp; without this an edit of another file of the
        # room would run the old machine code (a test holds it).
        compiled._cache._cache_file._source_stamp = sources_digest(inspect.getfile(plain))
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        pass
    compiled.compile()
    kept.append(compiled)
    return int(compiled.address)


kept: list[_Function] = []  # machine code lives as long as its object
