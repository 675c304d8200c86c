"""Machine code that numba compiled, kept on disk for the next process, and loaded only if it is whole.

numba's own cache unpickles whatever lies in its place: a file that was cut off or changed is an error at every call
from then on, or runs as it is. Here a file begins with a digest of all that determines the code and of the code
itself. What does not match is compiled again and replaced. The cache only ever saves time: where nothing can be read
or stored, as on a full disk, the compiled code is used all the same.

This module imports numba, which takes a second.
"""

import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import llvmlite
import numba
from filelock import FileLock
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

from warptheory.core.errors import ArgumentError
from warptheory.core.files import content_of, write_atomically

_DIGEST_BYTES = sha256().digest_size
_PATIENCE = 120.0  # seconds, after which a process that may have come to a stop is waited for no longer


def keep_on_disk(compiled: Any, function: Callable[..., Any], stamp: str) -> None:
    """Let numba load a function's machine code from disk, and store it there.

    Args:
        compiled: what numba made of the function, by `njit` or `cfunc`.
        function: the plain function.
        stamp: a digest of its sources.
    """
    with suppress(RuntimeError):  # neither the package's folder nor the user's can be written
        compiled._cache = _Cache(function, stamp)


@contextmanager
def one_process_at_a_time(compiled: Any) -> Iterator[None]:
    """Keep other processes from compiling a function meanwhile, so that they find its code on disk.

    Args:
        compiled: what numba made of the function, after `keep_on_disk`. Where nothing can be stored, nobody waits.
    """
    with ExitStack() as stack:
        if isinstance(compiled._cache, _Cache):
            with suppress(OSError, NotImplementedError):  # a folder, or a system, without locks; or a long wait
                stack.enter_context(FileLock(compiled._cache.lock_path, timeout=_PATIENCE))
        yield


class _Cache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """numba's cache of a function, with sealed files."""

    def __init__(self, function: Callable[..., Any], stamp: str) -> None:
        super().__init__(function)
        # numba offers no public way to another kind of file; tests hold that damage and edits are seen.
        self._cache_file = _SealedFiles(Path(self.cache_path), self._impl.filename_base, stamp)
        self.lock_path = Path(self.cache_path) / f"{self._impl.filename_base}.lock"

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError, ArgumentError):
            super().save_overload(sig, data)


class _SealedFiles:
    """One file for each signature and machine that a function was compiled for; takes the place of numba's files."""

    def __init__(self, folder: Path, name: str, stamp: str) -> None:
        self._folder, self._name, self.stamp = folder, name, stamp

    def load(self, key: Any) -> Any:
        """Return what was saved for a key of numba's; None unless the file is whole and for this very key."""
        sealed = content_of(self._path(key)) or b""
        digest, content = sealed[:_DIGEST_BYTES], sealed[_DIGEST_BYTES:]
        return pickle.loads(content) if digest == self._digest(key, content) else None

    def save(self, key: Any, data: Any) -> None:
        """Save compiled code; raise an error where it cannot be stored.

        In a cache a plain file of this name can only be ours, however damaged; links and folders are left alone.
        """
        content = dumps(data)
        sealed = self._digest(key, content) + content

        def write(temporary: Path) -> None:
            temporary.write_bytes(sealed)

        write_atomically(self._path(key), write, ours=lambda path: path.is_file() and not path.is_symlink())

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}.{sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def _digest(self, key: Any, content: bytes) -> bytes:
        """Return the digest of code, and of what it was compiled from, for and by."""
        made = repr((numba.__version__, llvmlite.__version__, self.stamp, key))
        return sha256(made.encode() + content).digest()
