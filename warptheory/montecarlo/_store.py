"""Finished chunks on disk: what a killed run has done is there when the same run is started again.

A folder belongs to one configuration, whose text lies beside the chunks, and to one process at a time, which holds a
lock that the system releases when it ends, however it ends. Chunks are committed by SQLite, whole or not at all. Each
has a digest of its content, its address and the configuration: what does not match is computed again. A database that
is damaged is set aside, and what is sound in it goes into a new one.
"""

import json
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from warptheory.core import records, run_folders
from warptheory.core.checks import check_flag
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.files import MARK, check_replaceable, content_of, is_ours, remove
from warptheory.core.text import printable
from warptheory.montecarlo._moments import Moments

CHUNKS = "chunks.sqlite"

_RUN = "CREATE TABLE run (configuration TEXT NOT NULL, written_by TEXT NOT NULL)"
_CHUNK = (
    "CREATE TABLE chunk (label TEXT NOT NULL, seed TEXT NOT NULL, number INTEGER NOT NULL, rows INTEGER NOT NULL, "
    "sums BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (label, seed, number)) WITHOUT ROWID"
)
_EVERY_CHUNK = "SELECT label, seed, number, rows, sums, digest FROM chunk"
_SAVE = "INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?, ?)"
_BEFORE_DIGESTS = b"CREATE TABLE chunk ("  # by which a database from before the mark is known
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")  # https://www.sqlite.org/fileformat.html#the_rollback_journal
_SECTORS = tuple(2**power for power in range(5, 17))  # bytes, as a journal says in its head
# Codes by which SQLite tells of a file that is damaged, rather than one that cannot be reached.
_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)

# label, seed, number, rows, sums, digest, as SQLite returns them: of any type, in a file that somebody has changed.
_Row = tuple[Any, ...]


class StoreError(WarpTheoryError):
    """Finished chunks cannot be written or read."""


class ChunkStore:
    """The finished chunks of a run.

    Args:
        folder: the folder that they are in; None keeps nothing.
        configuration: everything that they depend on, as JSON has it.

    Attributes:
        folder: the folder.

    Raises:
        ArgumentError: the database cannot be opened.
    """

    def __init__(self, folder: Path | None, configuration: Mapping[str, Any]) -> None:
        self.folder = folder
        self._key = sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()
        self._told = False
        self._connection = None if folder is None else self._opened(folder)

    def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            self._connection.close()

    def load(self, label: str, seed: int) -> dict[int, Moments]:
        """Return the finished chunks of a stream, by number; damaged ones are left out, which is told once.

        Raises:
            StoreError: they cannot be read, as from a disk that fails.

        Warns:
            UserWarning: chunks are damaged.
        """
        if self._connection is None:
            return {}
        asked = (f"{_EVERY_CHUNK} WHERE label = ? AND seed = ?", (_text(label), str(seed)))
        try:
            rows = self._connection.execute(*asked).fetchall()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise StoreError(f"finished chunks cannot be read from {self.folder}: {error}") from error
            rows = self._rebuilt(error).execute(*asked).fetchall()
        found = {row[2]: moments for row in rows if (moments := _sound(row, self._key)) is not None}
        if len(found) < len(rows) and not self._told:
            self._told = True
            told = f"damaged chunks in {self.folder}, such as {len(rows) - len(found)} of {label}; they are run again"
            warnings.warn(printable(told), stacklevel=2)
        return found

    def save(self, label: str, seed: int, chunks: Mapping[int, Moments]) -> None:
        """Keep finished chunks of a stream, by number, all of them or none.

        Raises:
            StoreError: they cannot be written, as on a disk that is full.
        """
        if self._connection is None:
            return
        rows = [_row(self._key, label, seed, number, part) for number, part in chunks.items()]
        try:
            try:
                _insert(self._connection, rows)
            except sqlite3.DatabaseError as error:
                _insert(self._rebuilt(error), rows)
        except sqlite3.Error as error:
            raise StoreError(
                f"finished chunks cannot be written to {self.folder}: {error}; those written before are kept, "
                "and the same command goes on from there"
            ) from error

    def _opened(self, folder: Path) -> sqlite3.Connection:
        """Open the database, or a new one with what is sound in it where it is damaged, or of another configuration.

        Raises:
            ArgumentError: it cannot be opened.
        """
        connection = sqlite3.connect(folder / CHUNKS)
        try:
            problem = _prepare(connection, self._key)
        except sqlite3.Error as error:
            connection.close()
            if not _is_damage(error):
                expected, received = "chunks of an earlier run (--fresh starts over)", f"{folder / CHUNKS}: {error}"
                raise ArgumentError("out", expected=expected, received=received) from error
            problem = str(error)
        if not problem:
            return connection
        connection.close()
        return self._salvaged(folder, problem)

    def _rebuilt(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """Return a connection to a new database with what is sound in the damaged one; pass on other errors."""
        if self.folder is None or self._connection is None or not _is_damage(error):
            raise error
        self._connection.close()
        self._connection = self._salvaged(self.folder, str(error))
        return self._connection

    def _salvaged(self, folder: Path, problem: str) -> sqlite3.Connection:
        """Set a database aside, and return a new one with the chunks of it that are sound.

        Warns:
            UserWarning: always.
        """
        aside = _set_aside(folder)
        connection = sqlite3.connect(folder / CHUNKS)
        _prepare(connection, self._key)
        with closing(sqlite3.connect(aside)) as damaged:
            damaged.text_factory = lambda text: text.decode("utf-8", "replace")
            for order in ("", " DESC"):  # from either end as far as it can be read
                _insert(connection, _sound_rows(damaged, self._key, order))
        (kept,) = connection.execute("SELECT count(*) FROM chunk").fetchone()
        done = f"set aside as {aside.name}, {kept} sound chunks are kept, others run again"
        warnings.warn(printable(f"{folder / CHUNKS}: {problem}; {done}"), stacklevel=3)
        return connection


@contextmanager
def chunk_store(folder: Path | None, configuration: Mapping[str, Any], *, fresh: bool = False) -> Iterator[ChunkStore]:
    """Open the chunks of a run, and hold its folder until they are closed.

    Args:
        folder: where they are kept; None keeps nothing.
        configuration: everything that the chunks depend on, as JSON has it.
        fresh: whether to forget what the folder holds.

    Raises:
        ArgumentError: a folder that cannot be written, that another process is using, that holds the chunks of
            another configuration, or other files by the names of these.

    Warns:
        UserWarning: chunks are damaged, or of another configuration; they are run again.
    """
    check_flag("fresh", fresh)
    if folder is None:
        yield ChunkStore(None, {})
        return
    place = records.output_folder(folder)
    with run_folders.held(place):
        _check_files(place)
        if fresh:
            _forget(place)
        run_folders.check_configuration(place, configuration)
        with closing(ChunkStore(place, configuration)) as store:
            yield store


def _check_files(folder: Path) -> None:
    """Check that SQLite will touch no file that it did not write for a run.

    Raises:
        ArgumentError: other files have the names of the database, or of what SQLite keeps beside it.
    """
    run_folders.check_configuration_is_ours(folder)
    is_of_run = (folder / run_folders.CONFIGURATION).is_file()
    check_replaceable(folder / CHUNKS, lambda path: _is_database(path) or (is_of_run and content_of(path) is not None))
    check_replaceable(folder / f"{CHUNKS}-journal", _is_journal)
    for mode in ("wal", "shm"):  # which are never used
        check_replaceable(folder / f"{CHUNKS}-{mode}", lambda path: False)


def _is_database(path: Path) -> bool:
    """Whether a database was written here, be it damaged."""
    return is_ours(path) or _BEFORE_DIGESTS in (content_of(path) or b"")


def _is_journal(path: Path) -> bool:
    """Whether SQLite wrote a journal, be it only begun: then zeros stand for its first twelve bytes."""
    content = content_of(path)
    if content is None:
        return False
    is_begun = content[:12] == bytes(12) and int.from_bytes(content[20:24]) in _SECTORS
    return is_begun or content[: len(_JOURNAL_MAGIC)] in (b"", _JOURNAL_MAGIC)


def _forget(folder: Path) -> None:
    """Remove the chunks and the configuration; a file that is no database any more is set aside."""
    if _is_database(folder / CHUNKS):
        remove(folder / CHUNKS, _is_database)
    elif (folder / CHUNKS).exists():
        _set_aside(folder)
    remove(folder / f"{CHUNKS}-journal", _is_journal)
    run_folders.forget_configuration(folder)


def _set_aside(folder: Path) -> Path:
    """Give a database, and its journal, a name that nothing has; return it."""
    names = (f"{CHUNKS}.damaged{number}" for number in ("", *map(str, range(2, 10**6))))
    aside = next(path for path in map(folder.joinpath, names) if not path.exists() and not path.is_symlink())
    journal = folder / f"{CHUNKS}-journal"
    (folder / CHUNKS).rename(aside)
    if journal.exists():
        journal.rename(aside.with_name(f"{aside.name}-journal"))
    return aside


def _prepare(connection: sqlite3.Connection, key: str) -> str:
    """Make the tables of a new database; return what keeps one that is there from being used, or nothing."""
    tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql").fetchall()
    if not tables:
        with connection:
            connection.execute(_RUN)
            connection.execute(_CHUNK)
            connection.execute("INSERT INTO run VALUES (?, ?)", (key, MARK))
        return ""
    if tables != [(_CHUNK,), (_RUN,)]:
        return "chunks without digests"
    runs = connection.execute("SELECT configuration FROM run").fetchall()
    return "" if runs == [(key,)] else "chunks of another configuration"


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _insert(connection: sqlite3.Connection, rows: "Iterator[_Row] | list[_Row]") -> None:
    with connection:
        connection.executemany(_SAVE, rows)


def _sound_rows(connection: sqlite3.Connection, key: str, order: str) -> Iterator[_Row]:
    """Yield the rows of a database that match their digests, in an order, up to where it is damaged."""
    try:
        for row in connection.execute(f"{_EVERY_CHUNK} ORDER BY label{order}, seed{order}, number{order}"):
            if _sound(row, key) is not None:
                yield row
    except sqlite3.DatabaseError:
        return


def _row(key: str, label: str, seed: int, number: int, part: Moments) -> _Row:
    name, address, sums = _text(label), str(seed), _packed(part)
    return (name, address, number, part.n, sums, _digest(key, name, address, number, part.n, sums))


def _text(label: str) -> str:
    """Return a label as SQLite can store it: without halves of characters."""
    return label.encode("utf-8", "backslashreplace").decode("utf-8")


def _digest(key: str, label: str, seed: str, number: int, rows: int, sums: bytes) -> bytes:
    """Return the digest of a chunk: of the configuration, its address and its content."""
    return sha256(json.dumps([key, label, seed, number, rows]).encode() + sums).digest()


def _sound(row: _Row, key: str) -> Moments | None:
    """Return the moments in a row, None if it does not match its digest."""
    label, seed, number, count, sums, digest = row
    if not (isinstance(sums, bytes) and isinstance(digest, bytes)):
        return None
    try:
        is_sound = _digest(key, label, seed, number, count, sums) == digest
        return _unpacked(count, sums) if is_sound else None
    except (TypeError, ValueError):  # of other types, or not so many numbers
        return None


def _packed(moments: Moments) -> bytes:
    """Return the sums as little-endian float64: mean, third, fourth, and the scatter matrix."""
    parts = (moments.mean, moments.third, moments.fourth, moments.scatter.ravel())
    return np.concatenate(parts).astype("<f8").tobytes()


def _unpacked(count: int, sums: bytes) -> Moments:
    numbers: ndarray = np.frombuffer(sums, dtype="<f8").astype(float)
    columns = round((9 + 4 * len(numbers)) ** 0.5 - 3) // 2  # 3k + k² numbers
    mean, third, fourth, scatter = np.split(numbers, [columns, 2 * columns, 3 * columns])
    return Moments(count, mean, scatter.reshape(columns, columns), third, fourth)
