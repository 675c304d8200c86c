"""Finished chunks on disk: what a killed run has done is there when the same run is started again.

A folder belongs to one configuration, whose text lies beside the chunks, and to one process at a time, which holds a
lock that the system releases when it ends, however it ends. Chunks are committed by SQLite, whole or not at all.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from warptheory.core import records, run_folders
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.montecarlo._moments import Moments

CHUNKS = "chunks.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS chunk (
    label TEXT NOT NULL, seed TEXT NOT NULL, number INTEGER NOT NULL, rows INTEGER NOT NULL, sums BLOB NOT NULL,
    PRIMARY KEY (label, seed, number)
) WITHOUT ROWID
"""


class StoreError(WarpTheoryError):
    """Finished chunks cannot be written."""


class ChunkStore:
    """The finished chunks of a run.

    Attributes:
        folder: the folder that they are in; None keeps nothing.
    """

    def __init__(self, folder: Path | None, connection: sqlite3.Connection | None) -> None:
        self.folder = folder
        self._connection = connection

    def load(self, label: str, seed: int) -> dict[int, Moments]:
        """Return the finished chunks of a stream, by number."""
        if self._connection is None:
            return {}
        rows = self._connection.execute(
            "SELECT number, rows, sums FROM chunk WHERE label = ? AND seed = ?", (label, str(seed))
        )
        return {number: _unpacked(count, sums) for number, count, sums in rows}

    def save(self, label: str, seed: int, chunks: Mapping[int, Moments]) -> None:
        """Keep finished chunks of a stream, by number, all of them or none.

        Raises:
            StoreError: they cannot be written, as on a disk that is full.
        """
        if self._connection is None:
            return
        rows = [(label, str(seed), number, part.n, _packed(part)) for number, part in chunks.items()]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise StoreError(
                f"finished chunks cannot be written to {self.folder}: {error}; those written before are kept, "
                "and the same command goes on from there"
            ) from error


@contextmanager
def chunk_store(folder: Path | None, configuration: Mapping[str, Any], *, fresh: bool = False) -> Iterator[ChunkStore]:
    """Open the chunks of a run, and hold its folder until they are closed.

    Args:
        folder: where they are kept; None keeps nothing.
        configuration: everything that the chunks depend on, as JSON has it.
        fresh: whether to forget what the folder holds.

    Raises:
        ArgumentError: a folder that cannot be written, that another process is using, or that holds the chunks of
            another configuration.
    """
    if folder is None:
        yield ChunkStore(None, None)
        return
    place = records.output_folder(folder)
    with run_folders.held(place):
        if fresh:
            for name in (CHUNKS, f"{CHUNKS}-journal", run_folders.CONFIGURATION):
                (place / name).unlink(missing_ok=True)
        run_folders.check_configuration(place, configuration)
        with closing(_connect(place)) as connection:
            yield ChunkStore(place, connection)


def _connect(folder: Path) -> sqlite3.Connection:
    """Open the database.

    Raises:
        ArgumentError: the file is no database, or damaged.
    """
    connection = sqlite3.connect(folder / CHUNKS)
    try:
        connection.execute(_SCHEMA)
        connection.commit()
    except sqlite3.DatabaseError as error:
        connection.close()
        received = f"{folder / CHUNKS}: {error}"
        raise ArgumentError(
            "out", expected="chunks of an earlier run (--fresh starts over)", received=received
        ) from error
    return connection


def _packed(moments: Moments) -> bytes:
    """Return the sums as little-endian float64: mean, third, fourth, and the scatter matrix."""
    parts = (moments.mean, moments.third, moments.fourth, moments.scatter.ravel())
    return np.concatenate(parts).astype("<f8").tobytes()


def _unpacked(count: int, sums: bytes) -> Moments:
    numbers: ndarray = np.frombuffer(sums, dtype="<f8").astype(float)
    columns = round((9 + 4 * len(numbers)) ** 0.5 - 3) // 2  # 3k + k² numbers
    mean, third, fourth, scatter = np.split(numbers, [columns, 2 * columns, 3 * columns])
    return Moments(count, mean, scatter.reshape(columns, columns), third, fourth)
