"""Machine code on disk: whatever lies in its place, a call gets the right answer and the next process a whole file."""

import errno
import os
import pickle
import threading
from contextlib import ExitStack
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import njit

from warptheory.core import files, machine_code, normals
from warptheory.core.streams import Stream


def hypotenuse(a, b):
    return (a * a + b * b) ** 0.5


def call(stamp="stamp", function=hypotenuse):
    """Compile a function as a new process would, call it, and return whether its code came from disk."""
    compiled = njit(function)
    machine_code.keep_on_disk(compiled, function, stamp)
    assert compiled(3.0, 4.0) == 5.0
    return bool(compiled.stats.cache_hits)


def everything_in(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def stored(folder):
    """The file of a function that has been compiled once."""
    assert not call()
    (path,) = everything_in(folder)
    return path


class Harm:
    """Unpickled, it leaves a file."""

    def __init__(self, folder):
        self.mark = folder / "harm"

    def __reduce__(self):
        return self.mark.touch, ()


def flip(place):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return damage


def cut(share):
    def damage(path):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


DAMAGE = {
    "empty": cut(0),
    "cut off in the digest": lambda path: path.write_bytes(path.read_bytes()[:7]),
    "cut off in the middle": cut(0.5),
    "last byte missing": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "first bit": flip(0),
    "a bit of the digest": flip(20),
    "the first bit of the code": flip(32),
    "a bit of the code": flip(-700),
    "last bit": flip(-1),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("not machine code\n"),
    "a foreign pickle": lambda path: path.write_bytes(pickle.dumps(Harm(path.parent))),
    "a foreign pickle behind a digest": lambda path: path.write_bytes(
        path.read_bytes()[:32] + pickle.dumps(Harm(path.parent))
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_replaced(stored, kind):
    DAMAGE[kind](stored)
    assert not call()
    assert call()
    assert everything_in(stored.parent) == [stored]


def test_every_flipped_bit_is_seen(stored):
    """By the digest, before anything is unpickled; one byte in a hundred, so that the test stays short."""
    whole = stored.read_bytes()
    compiled = njit(hypotenuse)
    machine_code.keep_on_disk(compiled, hypotenuse, "stamp")
    (signature,) = [(numba.float64, numba.float64)]
    codegen = compiled.targetctx.codegen()
    key = compiled._cache._index_key(signature, codegen)
    assert compiled._cache._cache_file.load(key) is not None
    for place in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        stored.write_bytes(changed)
        assert compiled._cache._cache_file.load(key) is None


@pytest.mark.parametrize("kind", ["folder", "full folder", "pipe", "broken link", "link to a folder"])
def test_what_is_no_file_is_left_alone(stored, kind):
    """The call does not wait for it, nor fail; what could hold somebody's data is not removed."""
    stored.unlink()
    elsewhere = stored.parent / "elsewhere"
    if kind.endswith("folder") and not kind.startswith("link"):
        stored.mkdir()
        if kind == "full folder":
            (stored / "thesis.txt").write_text("mine")
    elif kind == "pipe":
        os.mkfifo(stored)
    else:
        if kind == "link to a folder":
            elsewhere.mkdir()
            (elsewhere / "thesis.txt").write_text("mine")
        stored.symlink_to(elsewhere)
    assert not call()
    if kind == "full folder":
        assert (stored / "thesis.txt").read_text() == "mine"
    if kind == "link to a folder":
        assert (elsewhere / "thesis.txt").read_text() == "mine"
    assert not call()
    assert os.path.lexists(stored)
    assert all(path.name == "thesis.txt" or path == stored for path in everything_in(stored.parent))


def test_a_link_is_not_followed(stored, tmp_path):
    target = tmp_path / "thesis.txt"
    target.write_text("mine")
    stored.unlink()
    stored.symlink_to(target)
    assert not call()
    assert not call()
    assert target.read_text() == "mine"


def test_files_of_others_stay(stored):
    others = [stored.with_name(name) for name in ("notes.txt", "other.nbc", f"{stored.stem}.tmp.nbi")]
    for other in others:
        other.write_bytes(b"mine")
    stored.write_bytes(b"")
    assert not call()
    assert all(other.read_bytes() == b"mine" for other in others)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG])
@pytest.mark.parametrize("place", ["creating", "writing", "renaming"])
def test_code_that_cannot_be_stored_is_used(folder, code, place, monkeypatch):
    """A full disk, a quota, a disk that became read-only; nothing is left behind."""

    def fail(*arguments, **keywords):
        raise OSError(code, os.strerror(code))

    owner, name = {
        "creating": (files.tempfile, "mkstemp"),
        "writing": (Path, "write_bytes"),
        "renaming": (Path, "replace"),
    }[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        assert not call()
    assert everything_in(folder) == []
    assert not call()
    assert call()


def test_a_disk_that_is_full(folder):
    """The kernel's own refusal, by a bound on the size of files: writes fail half-way."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert not call()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert everything_in(folder) == []


def test_a_file_that_cannot_be_read(stored, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(machine_code, "content_of", lambda path: None)
        assert not call()
    assert call()


def test_no_folder_at_all(monkeypatch):
    """A user without a home and a package that cannot be written: compiled, and not stored."""

    def refuse(self, function):
        raise RuntimeError("cannot cache function")

    monkeypatch.setattr(numba.core.caching.CacheImpl, "__init__", refuse)
    assert not call()
    assert not call()


def test_other_sources_are_another_code(stored):
    assert not call("of an edited file")
    assert not call()
    assert call()


def test_another_version_of_the_compiler_is_another_code(stored, monkeypatch):
    monkeypatch.setattr(numba, "__version__", "0.0.0")
    assert not call()


def test_many_at_once(folder):
    """Readers and writers of one file, some of which find it damaged: everybody gets the right answer."""

    def work(number):
        try:
            for turn in range(4):
                call()
                if (number + turn) % 3 == 0:
                    for path in everything_in(folder):
                        path.write_bytes(b"")
            outcomes.append(number)
        except BaseException as error:
            outcomes.append(error)

    outcomes = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [0, 1, 2, 3]


def test_normal_numbers_outlive_their_file(folder):
    """The compiled loop of `core.normals`, which lies in the same cache."""
    numbers = []
    try:
        for damage in (None, cut(0.5), flip(-1)):
            for path in everything_in(folder) if damage else ():
                damage(path)
            normals._compiled.cache_clear()
            numbers.append(normals.standard_normal(Stream(0, "damage").generator(), (100,)))
    finally:
        normals._compiled.cache_clear()
    assert len(everything_in(folder)) == 1
    assert all(np.array_equal(numbers[0], other) for other in numbers[1:])


def prepared():
    """A function that is about to be compiled, as another process would prepare it: locks are not shared."""
    compiled = njit(hypotenuse)
    machine_code.keep_on_disk(compiled, hypotenuse, "stamp")
    return compiled


def test_one_compiles_while_the_others_wait(folder):
    first, second, order = prepared(), prepared(), []

    def wait():
        with machine_code.one_process_at_a_time(second):
            order.append("second")
            second(3.0, 4.0)

    waiting = threading.Thread(target=wait)
    with machine_code.one_process_at_a_time(first):
        waiting.start()
        waiting.join(0.2)
        first(3.0, 4.0)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
    assert second.stats.cache_hits
    assert not first.stats.cache_hits


@pytest.mark.parametrize("obstacle", ["a process that stopped", "a folder in the place of the lock", "no cache"])
def test_nobody_waits_for_ever(folder, monkeypatch, obstacle):
    monkeypatch.setattr(machine_code, "_PATIENCE", 0.05)
    compiled = njit(hypotenuse) if obstacle == "no cache" else prepared()
    if obstacle.startswith("a folder"):
        compiled._cache.lock_path.mkdir(parents=True)
    with ExitStack() as stack:
        if obstacle == "a process that stopped":
            stack.enter_context(machine_code.one_process_at_a_time(prepared()))
        with machine_code.one_process_at_a_time(compiled):
            assert compiled(3.0, 4.0) == 5.0
