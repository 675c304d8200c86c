"""Compilation of the CPU kernels: cached, announced, and never stale.

numba looks for changes in the file of the outermost function only. The kernels of the engines are spread over
several files, so their cache is keyed by all of them, and by the other files in the folder of the function itself.
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

from numba import extending, njit
from numba.core import types
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from warptheory.core.machine_code import keep_on_disk, one_process_at_a_time

_announced = threading.Event()


@cache
def sources_digest(file: str = __file__) -> str:
    """Return a digest of the sources of all engines, and of the folder of a function that is compiled, by its file."""
    engines = Path(__file__).parents[1]
    sources = sorted({*engines.rglob("*.py"), *Path(file).parent.glob("*.py")})
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


def intrinsic(function: Callable[..., Any]) -> Any:
    """Let a function that emits instructions be called by compiled ones."""
    return extending.intrinsic(function)


class _Linked(JITCodeLibrary):  # type: ignore[misc]  # numba has no types
    """Code that is linked into its callers' and never runs by itself.

    numba optimises every function and makes machine code of it before it does the same with each caller, into which the
    function is inlined. What only kernels call is optimised with them, once, which takes two fifths less time.
    """

    def _optimize_final_module(self) -> None:
        """Leave it to the kernel."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return the address that stands for code that cannot be called."""
        return 0

    @property
    def codegen(self) -> "_Linked":
        """What numba hands a function's environment to, which only calls of Python's own need."""
        return self

    def set_env(self, name: str, environment: object) -> None:
        """Need none."""


class _CalleeCompiler(Compiler):  # type: ignore[misc]  # numba has no types
    """numba's compiler, for code that is linked."""

    def __init__(
        self, typing: Any, target: Any, library: Any, args: Any, returned: Any, flags: Any, types_given: Any
    ) -> None:
        linked = _Linked(target.codegen(), "callee")
        super().__init__(typing, target, linked, args, returned, flags, types_given)


def callee(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it; nothing else can, so that the ways into it are not compiled."""
    plain = inspect.unwrap(function)
    return njit(plain, no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=_CalleeCompiler)


class _Function(CFunc):
    """A C function that says, once per process, when it really has to be compiled."""

    _cache: Any

    def _compile_uncached(self) -> Any:
        if not _announced.is_set():
            _announced.set()
            kept = "" if isinstance(self._cache, NullCache) else " and is cached for later runs"
            print(f"warptheory: compiling CPU kernels; this takes some seconds{kept}", file=sys.stderr, flush=True)
        return super()._compile_uncached()  # type: ignore[misc]  # numba has no types


def c_function(function: Callable[..., None]) -> int:
    """Compile void function(void *), or load its machine code from the cache, and return its address."""
    plain = inspect.unwrap(function)
    compiled: Any = _Function(plain, ((types.voidptr,), types.void), locals={}, options={})
    keep_on_disk(compiled, plain, sources_digest(inspect.getfile(plain)))
    with one_process_at_a_time(compiled):
        compiled.compile()
    kept.append(compiled)
    return int(compiled.address)


kept: list[_Function] = []  # machine code lives as long as its object
