"""Files that are written whole or not at all: into a temporary file beside their place, then renamed.

What stands in the place is replaced or removed only if this library wrote it, which the file itself says by a mark in
its content; its name proves nothing. No link is followed or replaced.

Needs the standard library alone, so that a command that only reads and prints starts at once.
"""

import json
import mmap
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from warptheory.core.errors import ArgumentError

MARK = "warptheory-file-8f4c1d07"  # stands in every file that this library may replace or remove

Recogniser = Callable[[Path], bool]

_USERS_MASK = os.umask(0)  # it can only be read by setting it
os.umask(_USERS_MASK)


def output_folder(folder: str | Path, argument: str = "out") -> Path:
    """Create a folder if need be, and check that files can be written into it.

    Raises:
        ArgumentError: it cannot be created or written to.
    """
    try:
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise ArgumentError(
            argument, expected="a folder that can be written to", received=f"{folder} ({reason})"
        ) from error
    return path


def inner_folder(folder: Path, name: str) -> Path:
    """Create a folder in an output folder if need be; links lead elsewhere, and are refused.

    Raises:
        ArgumentError: a link, no folder, or one that cannot be written to.
    """
    path = folder / name
    if path.is_symlink():
        raise ArgumentError("out", expected=f"a folder {name} in {folder}", received="a link, which is not followed")
    return output_folder(path)


def content_of(path: Path) -> bytes | None:
    """Return what a plain file holds; None for anything else: a link, a folder, a device, or nothing."""
    try:
        with _opened(path) as file:
            return file.read()
    except OSError:
        return None


def is_ours(path: Path) -> bool:
    """Whether this library wrote a file: it is a plain one, no link, and holds the mark."""
    try:
        with _opened(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(MARK.encode()) >= 0
    except (OSError, ValueError):  # nothing there, or an empty file
        return False


def is_ours_or_json(path: Path, before_the_mark: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Whether this library wrote a JSON file: it holds the mark, or an object as it was written before there was one.

    Args:
        path: the file.
        before_the_mark: tells whether the library wrote such an object.
    """
    if is_ours(path):
        return True
    try:
        found = json.loads(content_of(path) or b"")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and before_the_mark(found)


def check_replaceable(path: Path, ours: Recogniser = is_ours) -> None:
    """Check that nothing is in a file's place, or what this library wrote.

    Args:
        path: the place.
        ours: tells whether the library wrote what stands there.

    Raises:
        ArgumentError: anything else, such as a link or a file of the user's.
    """
    if os.path.lexists(path) and not ours(path):
        received = "a link" if path.is_symlink() else "something that it did not write"
        expected = f"no {path.name} in {path.parent} but one that warptheory wrote"
        raise ArgumentError("out", expected=expected, received=f"{received}, which is left alone")


def remove(path: Path, ours: Recogniser = is_ours) -> None:
    """Remove a file that this library wrote, if it is there.

    Raises:
        ArgumentError: it is there, and something else; see `check_replaceable`.
    """
    check_replaceable(path, ours)
    path.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], None], ours: Recogniser = is_ours) -> None:
    """Let `write` fill a temporary file beside `path`, then move it into place.

    Args:
        path: the place.
        write: fills the temporary file; only if the content has the mark will the file be replaced by the next one.
        ours: tells whether the library wrote what stands there.

    Raises:
        ArgumentError: something else stands in its place; see `check_replaceable`.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_USERS_MASK)  # a temporary file is its owner's alone
    try:
        write(temporary)
        check_replaceable(path, ours)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, ours: Recogniser = is_ours) -> None:
    """Write a text file in UTF-8, atomically; arguments and errors as in `write_atomically`."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write, ours)


def _opened(path: Path) -> BinaryIO:
    """Open a plain file for reading, without following a link or waiting for a pipe."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no plain file")
    return os.fdopen(handle, "rb")
