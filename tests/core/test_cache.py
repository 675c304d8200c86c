"""The cache: what it keeps, when it forgets, and that nothing on the disk can make it fail."""

import ast
import json
import math
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.waiting import PATIENCE
from warptheory.core import cache

ROOMS = ("a", "b")
ASKED = {"what": "σ²", "kernel": "linear"}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small package that was written long ago, with an empty cache of its own."""
    root = tmp_path / "package"
    for name in ("a/one.py", "a/deep/two.py", "b/three.py", "c/four.py"):
        write_long_ago(root / name, f"# {name}\n")
    monkeypatch.setattr(cache, "_PACKAGE", root)
    monkeypatch.setenv("WARPTHEORY_CACHE", str(tmp_path / "cache"))
    forget_what_was_seen()
    yield root
    forget_what_was_seen()


def write_long_ago(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1e9, 1e9))


def forget_what_was_seen():
    """Look at sources and versions again, as the next process does."""
    cache._digest.cache_clear()
    cache._versions.cache_clear()


def entries():
    folder = cache.cache_folder()
    return sorted(folder.iterdir()) if folder.is_dir() else []


def unexpected():
    raise AssertionError("this was to come from the cache")


def ask(text="answer"):
    return cache.cached_text(ASKED, ROOMS, lambda: text)


def test_a_text_is_computed_once(tree):
    text = "σ² ≤ 1\r\n\x00\ud800\n"
    assert cache.cached_text(ASKED, ROOMS, lambda: text) == text
    assert cache.cached_text(dict(reversed(ASKED.items())), ROOMS, unexpected) == text
    assert len(entries()) == 1


@pytest.mark.parametrize("number", [0.1, math.pi, -0.0, 5e-324, -math.inf, math.nan, 2.0**1023])
def test_a_number_comes_back_to_the_last_bit(tree, number):
    assert cache.cached_number(["x"], ROOMS, lambda: number).hex() == number.hex()
    assert cache.cached_number(["x"], ROOMS, unexpected).hex() == number.hex()


def test_different_requests_have_entries_of_their_own(tree):
    requests = [ASKED, {**ASKED, "kernel": "keys"}, {"what": "σ²"}, ["what", "σ²"], ["whatσ²"], []]
    for number, request in enumerate(requests):
        assert cache.cached_text(request, ROOMS, lambda n=number: str(n)) == str(number)
        assert cache.cached_number(request, ROOMS, lambda n=number: float(-n)) == -number
    assert cache.cached_text(ASKED, ["a"], lambda: "other rooms") == "other rooms"
    assert len(entries()) == 2 * len(requests) + 1


def test_an_error_is_not_kept(tree):
    def fail():
        raise ValueError("no such kernel")

    with pytest.raises(ValueError, match="no such kernel"):
        cache.cached_text(ASKED, ROOMS, fail)
    assert entries() == []
    assert ask() == "answer"


def edit(root):
    write_long_ago(root / "a/deep/two.py", "# a/deep/two.pY\n")


def add(root):
    write_long_ago(root / "b/new.py", "")


def remove(root):
    (root / "a/one.py").unlink()


def rename(root):
    (root / "a/one.py").rename(root / "a/other.py")


def move_a_line(root):
    """The same bytes in the same order, divided between the files in another way."""
    first, second = root / "a/deep/two.py", root / "a/one.py"
    text = first.read_text() + second.read_text()
    write_long_ago(first, text[:3])
    write_long_ago(second, text[3:])


@pytest.mark.parametrize("change", [edit, add, remove, rename, move_a_line])
def test_a_change_of_a_source_is_a_new_question(tree, change):
    before = cache.source_digest(ROOMS, tree)
    ask("old")
    change(tree)
    assert cache.source_digest(ROOMS, tree) != before
    forget_what_was_seen()
    assert ask("new") == "new"
    assert len(entries()) == 2


def test_rooms_that_are_not_named_and_other_files_do_not_matter(tree):
    ask()
    write_long_ago(tree / "c/four.py", "changed")
    write_long_ago(tree / "a/notes.txt", "new")
    forget_what_was_seen()
    assert cache.cached_text(ASKED, ROOMS, unexpected) == "answer"


def test_a_room_may_be_one_file(tree):
    before = cache.source_digest(["a/one.py"], tree)
    edit(tree)
    assert cache.source_digest(["a/one.py"], tree) == before
    write_long_ago(tree / "a/one.py", "changed")
    assert cache.source_digest(["a/one.py"], tree) != before


@pytest.mark.parametrize("rooms", [["a", "nowhere"], ["a/nowhere.py"], ["a", "b/empty"]])
def test_nothing_is_kept_where_there_are_no_sources_to_watch(tree, rooms):
    (tree / "b/empty").mkdir()
    assert cache.cached_text(ASKED, rooms, lambda: "first") == "first"
    assert cache.cached_text(ASKED, rooms, lambda: "second") == "second"
    assert entries() == []


def test_nothing_is_kept_when_a_source_was_edited_under_the_running_process(tree):
    """The modules in memory are then not the sources that the entry's name stands for."""

    def edited_meanwhile():
        later = cache._STARTED_NS + 1
        os.utime(tree / "a/one.py", ns=(later, later))
        return "answer"

    assert cache.cached_text(ASKED, ROOMS, edited_meanwhile) == "answer"
    assert entries() == []


@pytest.mark.parametrize("package", ["sympy", "numpy", "scipy"])
def test_another_version_is_a_new_question(tree, monkeypatch, package):
    ask("old")
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99.0" if name == package else version(name))
    forget_what_was_seen()
    assert ask("new") == "new"


def test_another_python_is_a_new_question(tree, monkeypatch):
    ask("old")
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    forget_what_was_seen()
    assert ask("new") == "new"


def with_text(content, text):
    return json.dumps({**json.loads(content), "text": text}).encode()


def with_request(content, request):
    return json.dumps({**json.loads(content), "request": request}).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\xff\xfe" + content,
        lambda content: b"[" * 100_000,
        lambda content: b"[1]",
        lambda content: b"{}",
        lambda content: with_text(content, "wrong"),
        lambda content: with_text(content, 3),
        lambda content: with_request(content, {"what": "another"}),
    ],
    ids=["empty", "truncated", "not UTF-8", "nested", "a list", "no fields", "wrong text", "no text", "other request"],
)
def test_a_damaged_entry_is_computed_and_written_again(tree, damage):
    ask("right")
    (path,) = entries()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    assert ask("right") == "right"
    assert path.read_bytes() == whole
    assert cache.cached_text(ASKED, ROOMS, unexpected) == "right"


def test_a_pipe_in_the_place_of_an_entry_is_not_waited_for(tree):
    ask("right")
    (path,) = entries()
    path.unlink()
    os.mkfifo(path)
    assert ask("right") == "right"
    assert path.is_fifo()


def test_a_folder_that_cannot_be_written_is_done_without(tree, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("WARPTHEORY_CACHE", str(folder))
        assert ask("first") == "first"
        assert ask("second") == "second"
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_is_done_without(tree, monkeypatch):
    def full(path, text, ours):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_text", full)
    assert ask("first") == "first"
    assert ask("second") == "second"


def test_off(tree, monkeypatch):
    ask("kept")
    before = entries()
    monkeypatch.setenv("WARPTHEORY_CACHE", "off")
    assert ask("computed") == "computed"
    assert cache.cached_number(["x"], ROOMS, lambda: 2.0) == 2.0
    assert sorted(before[0].parent.iterdir()) == before


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("WARPTHEORY_CACHE", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_folder() == tmp_path / "chosen"
    monkeypatch.delenv("WARPTHEORY_CACHE")
    assert cache.cache_folder() == tmp_path / "xdg" / "warptheory"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache.cache_folder() == tmp_path / "home" / ".cache" / "warptheory"

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache.cache_folder() is None


def keep(number, age):
    """Keep an entry that was written `age` seconds ago; return its path."""
    before = set(entries())
    cache.cached_text([str(number)], ROOMS, lambda: 1000 * "x")
    (path,) = set(entries()) - before
    written = path.stat().st_mtime - age
    os.utime(path, (written, written))
    return path


@pytest.mark.parametrize(("bound", "value"), [("MAX_ENTRIES", 3), ("MAX_BYTES", 4000)])
def test_the_oldest_entries_make_room(tree, monkeypatch, bound, value):
    paths = [keep(number, age) for number, age in enumerate((400, 200, 300))]
    leftover = paths[0].with_name(f".{paths[0].name}.abc.json")  # of a process that was killed
    write_long_ago(leftover, '{"request": ["half')
    foreign = paths[0].with_name("notes.json")
    write_long_ago(foreign, "not ours")
    monkeypatch.setattr(cache, bound, value)
    newest = keep(3, 0)
    assert entries() == sorted([paths[1], paths[2], newest, foreign])


def test_two_processes_at_once_leave_whole_entries(tree, tmp_path):
    script = """
import sys
from pathlib import Path
from warptheory.core import cache
cache._PACKAGE = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    text = f"{number} " * 20000
    assert cache.cached_text([str(number)], ("a", "b"), lambda: text) == text
"""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tree)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=PATIENCE)
    assert [worker.returncode for worker in workers] == [0, 0]
    for number in range(60):
        assert cache.cached_text([str(number)], ROOMS, unexpected) == f"{number} " * 20000
    assert len(entries()) == 60


def imported_rooms(room):
    """Every room that a room of the real package imports, anywhere in it."""
    for path in (Path(cache.__file__).parents[1] / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "warptheory":
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module.startswith("warptheory."):
                yield node.module.split(".")[1]
            elif isinstance(node, ast.Import):
                yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("warptheory."))


def test_every_room_that_a_derivation_can_reach_is_watched():
    reached, new = set(), {"results"}
    while new:
        reached |= new
        new = {room for known in new for room in imported_rooms(known)} - reached
    assert {"core", "kernels", "symbolic"} <= reached
    assert reached <= set(cache.DERIVATION_ROOMS)


def test_the_cache_is_light():
    """A command that finds its answer in the cache starts at once."""
    heavy = ("sympy", "numpy", "pandas", "torch")
    script = f"import sys, warptheory.core.cache; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
