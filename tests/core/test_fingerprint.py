"""What a function is computed by: comments and captions do not count, whatever it uses does, however far away."""

import importlib
import sys

import pytest

from warptheory.core import fingerprint

SCRIPT = '''"""Compute."""

from made_up.rooms import deep
from made_up.rooms.deep import number

CAPTION = "as it was"
FACTOR = 2


def run():
    """Return a number."""
    return helper() + number()


def helper():
    return FACTOR * deep.number()


def draw():
    return CAPTION
'''
FILES = {
    "__init__.py": "",
    "script.py": SCRIPT,
    "rooms/__init__.py": "",
    "rooms/deep.py": "from made_up.far import away\n\n\ndef number():\n    return away.ONE\n",
    "rooms/other.py": "TWO = 2\n",
    "far/__init__.py": "",
    "far/away.py": "ONE = 1\n",
    "whole/__init__.py": "def names():\n    return []\n",
    "whole/entry.py": "VALUE = 1\n",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Edit a small library; the function returns the hash of `run` after an edit of one file."""
    root = tmp_path / "made_up"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(fingerprint, "_ROOT", root)
    monkeypatch.setattr(fingerprint, "_LIBRARY", "made_up")
    run = importlib.import_module("made_up.script").run

    def edited(name=None, old="", new=""):
        if name is not None:
            text = (root / name).read_text() if (root / name).exists() else ""
            (root / name).write_text(text.replace(old, new) if old else text + new)
        for cached in ("_path", "_tree", "_read", "_modules"):
            getattr(fingerprint, cached).cache_clear()
        return fingerprint.source_hash(run)

    yield edited
    for name in [name for name in sys.modules if name.startswith("made_up")]:
        del sys.modules[name]
    edited()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script.py", "return helper", "# why\n    return  helper"),
        ("script.py", '"""Return a number."""', '"""Return the number."""'),
        ("script.py", "as it was", "as it is"),
        ("script.py", "", "\n\ndef more():\n    return 1\n"),
        ("rooms/deep.py", "", "# a comment\n"),
        ("rooms/other.py", "2", "3"),
    ],
)
def test_what_does_not_count(library, name, old, new):
    assert library() == library(name, old, new)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("script.py", "FACTOR = 2", "FACTOR = 3"),
        ("script.py", "return FACTOR *", "return FACTOR +"),
        ("script.py", "+ number()", "- number()"),
        ("rooms/deep.py", "away.ONE", "-away.ONE"),
        ("far/away.py", "1", "2"),
    ],
)
def test_what_counts(library, name, old, new):
    assert library() != library(name, old, new)


def test_a_package_counts_with_all_its_entries(library):
    before = library("script.py", "def helper():", "def helper():\n    from made_up.whole import names")
    assert before != library("whole/entry.py", "1", "2")
    assert before != library("whole/another.py", "", "VALUE = 3\n")
