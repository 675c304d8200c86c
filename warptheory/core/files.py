"""Files that are written whole or not at all: into a temporary file beside their place, then renamed.

Needs the standard library alone, so that a command that only reads and prints starts at once.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from warptheory.core.errors import ArgumentError

_USERS_MASK = os.umask(0)  # it can only be read by setting it
os.umask(_USERS_MASK)


def output_folder(folder: str | Path, argument: str = "out") -> Path:
    """Create a folder if need be, and check that files can be written into it.

    Raises:
        ArgumentError: it cannot be created or written to.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ArgumentError(
            argument, expected="a folder that can be written to", received=f"{path} ({reason})"
        ) from error
    return path


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_USERS_MASK)  # a temporary file is its owner's alone
    try:
        write(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, atomically."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)
