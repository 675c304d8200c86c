"""Chunks on disk: whole or not at all, of one configuration, for one process at a time."""

import shutil
import sqlite3
import warnings
from contextlib import closing

import numpy as np
import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Moments, chunk_store
from warptheory.montecarlo._store import CHUNKS

CONFIGURATION = {"claims": ["A4"], "seed": 3}


def moments(seed, columns=3):
    return Moments.of(torch.from_numpy(np.random.default_rng(seed).standard_normal((20, columns))))


def assert_same(first, second):
    assert first.n == second.n
    for name in ("mean", "scatter", "third", "fourth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("columns", [0, 1, 2, 7])
def test_what_is_saved_is_there_to_the_last_bit(tmp_path, columns):
    with chunk_store(tmp_path, CONFIGURATION) as store:
        store.save("A4", 3, {0: moments(0, columns), 7: moments(1, columns)})
        store.save("A4/again", 3, {0: moments(2, columns)})
    with chunk_store(tmp_path, CONFIGURATION) as store:
        found = store.load("A4", 3)
        assert sorted(found) == [0, 7]
        assert_same(found[7], moments(1, columns))
        assert sorted(store.load("A4/again", 3)) == [0]
        assert store.load("A4", 4) == {}


def test_no_folder_keeps_nothing():
    with chunk_store(None, CONFIGURATION) as store:
        store.save("A4", 3, {0: moments(0)})
        assert store.load("A4", 3) == {}


def test_another_configuration_is_refused_and_names_what_differs(tmp_path):
    with chunk_store(tmp_path, CONFIGURATION) as store:
        store.save("A4", 3, {0: moments(0)})
    with (
        pytest.raises(ArgumentError, match=r"^out: .*--fresh.*seed was 3 and is 4$"),
        chunk_store(tmp_path, {**CONFIGURATION, "seed": 4}),
    ):
        pass
    with chunk_store(tmp_path, {**CONFIGURATION, "seed": 4}, fresh=True) as store:
        assert store.load("A4", 3) == {}


def saved(folder, numbers=range(3), configuration=CONFIGURATION):
    with chunk_store(folder, configuration) as store:
        store.save("A4", 3, {number: moments(number) for number in numbers})


def edited(folder, sql, *values):
    with closing(sqlite3.connect(folder / CHUNKS)) as connection, connection:
        connection.execute(sql, values)


FLIPPED = bytes(b ^ (64 if i == 5 else 0) for i, b in enumerate(np.ones(18).tobytes()))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sums", FLIPPED),
        ("sums", np.full(18, np.nan).tobytes()),
        ("sums", b""),
        ("sums", "text"),
        ("sums", 3),
        ("rows", 21),
        ("rows", 20.5),
        ("rows", "many"),
        ("number", 9),
        ("digest", b""),
        ("digest", "text"),
    ],
    ids=str,
)
def test_a_chunk_that_was_changed_is_left_out_which_is_told_once(tmp_path, column, value):
    """Whatever of a row it is: its content, its address, or its digest."""
    saved(tmp_path)
    edited(tmp_path, f"UPDATE chunk SET {column} = ? WHERE number = 1", value)
    with chunk_store(tmp_path, CONFIGURATION) as store:
        with pytest.warns(UserWarning, match="damaged chunks in .*, such as 1 of A4; they are run again$") as told:
            assert sorted(store.load("A4", 3)) == sorted(store.load("A4", 3)) == [0, 2]
        assert len(told) == 1
        store.save("A4", 3, {1: moments(1)})
        assert_same(store.load("A4", 3)[1], moments(1))


def test_every_bit_of_a_chunk_counts(tmp_path):
    saved(tmp_path, [0])
    with closing(sqlite3.connect(tmp_path / CHUNKS)) as connection:
        ((sums,),) = connection.execute("SELECT sums FROM chunk").fetchall()
    for bit in range(0, 8 * len(sums), 37):
        flipped = bytearray(sums)
        flipped[bit // 8] ^= 1 << bit % 8
        edited(tmp_path, "UPDATE chunk SET sums = ?", bytes(flipped))
        with chunk_store(tmp_path, CONFIGURATION) as store, pytest.warns(UserWarning, match="damaged chunks"):
            assert store.load("A4", 3) == {}


@pytest.mark.parametrize("lost", [["configuration.json"], ["configuration.json", "lock"]], ids=str)
def test_chunks_know_their_configuration(tmp_path, lost):
    saved(tmp_path)
    for name in lost:
        (tmp_path / name).unlink()
    with chunk_store(tmp_path, CONFIGURATION) as store:  # it was this one
        assert sorted(store.load("A4", 3)) == [0, 1, 2]
    for name in lost:
        (tmp_path / name).unlink()
    with (
        pytest.warns(UserWarning, match="chunks of another configuration; set aside as .*, 0 sound chunks are kept"),
        chunk_store(tmp_path, {**CONFIGURATION, "sources": "others"}) as store,
    ):
        assert store.load("A4", 3) == {}
    assert (tmp_path / f"{CHUNKS}.damaged").exists()


def test_chunks_from_before_there_were_digests_are_run_again(tmp_path):
    saved(tmp_path, [])
    (tmp_path / CHUNKS).unlink()
    edited(
        tmp_path,
        "CREATE TABLE chunk (label TEXT NOT NULL, seed TEXT NOT NULL, number INTEGER NOT NULL, rows INTEGER NOT NULL, "
        "sums BLOB NOT NULL, PRIMARY KEY (label, seed, number)) WITHOUT ROWID",
    )
    edited(tmp_path, "INSERT INTO chunk VALUES ('A4', '3', 0, 20, ?)", np.ones(18).tobytes())
    with (
        pytest.warns(UserWarning, match="chunks without digests; set aside"),
        chunk_store(tmp_path, CONFIGURATION) as store,
    ):
        assert store.load("A4", 3) == {}


def test_a_damaged_database_is_set_aside_and_its_sound_chunks_are_kept(tmp_path):
    """One page after the other is overwritten: what SQLite can still read from either end is kept."""
    saved(tmp_path, range(200))
    whole = (tmp_path / CHUNKS).read_bytes()
    kept = []
    for page in range(len(whole) // 4096):
        damaged = bytearray(whole)
        damaged[4096 * page : 4096 * (page + 1)] = b"\xff" * 4096
        for path in tmp_path.glob(f"{CHUNKS}*"):
            path.unlink()
        (tmp_path / CHUNKS).write_bytes(damaged)
        with warnings.catch_warnings(record=True) as told, chunk_store(tmp_path, CONFIGURATION) as store:
            found = store.load("A4", 3)
            store.save("A4", 3, {0: moments(0)})
            assert_same(store.load("A4", 3)[0], moments(0))
        assert len(told) == 1
        kept.append(len(found))
        for number in [*found][::50]:
            assert_same(found[number], moments(number))
        assert (tmp_path / f"{CHUNKS}.damaged").read_bytes() == bytes(damaged)
    assert sum(count > 150 for count in kept) > len(kept) / 2


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"SQLite format 3\0" + 4080 * b"\1"], ids=len)
def test_what_is_no_database_any_more_is_set_aside(tmp_path, content):
    saved(tmp_path)
    (tmp_path / CHUNKS).write_bytes(content)
    with warnings.catch_warnings(record=True) as told, chunk_store(tmp_path, CONFIGURATION) as store:
        assert store.load("A4", 3) == {}
    assert len(told) == bool(content)


def test_a_run_that_was_killed_while_it_stored_goes_on(tmp_path):
    """SQLite has begun its journal, whose head it writes last."""
    saved(tmp_path / "out")
    with closing(sqlite3.connect(tmp_path / "out" / CHUNKS)) as connection:
        connection.execute("DELETE FROM chunk")  # begins a transaction
        shutil.copytree(tmp_path / "out", tmp_path / "killed")
    assert (tmp_path / "killed" / f"{CHUNKS}-journal").read_bytes().startswith(bytes(12))
    with chunk_store(tmp_path / "killed", CONFIGURATION) as store:
        assert sorted(store.load("A4", 3)) == [0, 1, 2]


@pytest.mark.parametrize("name", [CHUNKS, *(f"{CHUNKS}-{kind}" for kind in ("journal", "wal", "shm"))])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("as_link", [False, True])
def test_files_of_others_are_left_alone(tmp_path, name, fresh, as_link):
    """Also a database of theirs, which SQLite would write into."""
    folder, own = tmp_path / "out", tmp_path / "own"
    folder.mkdir()
    with closing(sqlite3.connect(own)) as connection, connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    if as_link:
        (folder / name).symlink_to(own)
    else:
        own.rename(folder / name)
    before = (folder / name).read_bytes()
    with (
        pytest.raises(ArgumentError, match=f"^out: expected no {name} in .* but one that warptheory wrote, got "),
        chunk_store(folder, CONFIGURATION, fresh=fresh),
    ):
        pass
    assert (folder / name).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, "lock"])
