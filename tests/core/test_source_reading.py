"""What modules say is read from their sources: literals, names, loops and helpers; all else is said to be unread."""

import ast
import sys
from dataclasses import replace

import pytest

from warptheory.core.source_reading import UNREAD, SourceCall, read_module

TEXTS = {
    "__init__": "raise RuntimeError\n",
    "names": 'WORD = "mean"\nSIZE = sp.Symbol("N", positive=True)\nCYCLE = CYCLE\n',
    "helpers": '''
def declare(thing, name, **options):
    """Declare."""
    for kind in ("first", "second"):
        thing.quantity(f"{name}, {kind}")

    def inner():
        @thing.quantity(name)
        def states():
            pass
''',
    "entry": '''"""An entry.

It says more.
"""
import numpy as np
from shelf.helpers import declare
from shelf.names import CYCLE, SIZE, WORD as TERM

thing = Thing("A1", title="One")
BOTH = ("a", *("b", "c"))
RANGES = {SIZE.name: Range(0.5, low=-1), **{"t": whole(2, 1, 3)}, TERM: np.pi}
TEXT = f"{TERM} of {1 + 1}"
PAIRS = tuple(f"n{n}" for n in (20, 32))


@thing.quantity("outer")
@thing.quantity("inner")
def states():
    thing.quantity("never called")


for _name, _value in {"left": 1, "right": 2}.items():
    thing.quantity(f"{_name} side")(partial(states, _value))
declare(thing, "helped")
for _open in open("list"):
    thing.quantity(_open)
''',
}


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """A module of a package, which would fail if it was imported."""
    package = tmp_path / "shelf"
    package.mkdir()
    for name, text in TEXTS.items():
        (package / f"{name}.py").write_text(text)

    class Shelf:
        __path__ = (str(package),)

    monkeypatch.setitem(sys.modules, "shelf", Shelf)
    read_module.cache_clear()
    yield read_module("shelf.entry")
    read_module.cache_clear()


def test_values_of_names(entry):
    assert entry.summary == "An entry."
    assert entry.value("thing") == SourceCall("Thing", ("A1",), {"title": "One"})
    assert entry.value("BOTH") == ("a", "b", "c")
    assert entry.value("RANGES") == {
        "N": SourceCall("Range", (0.5,), {"low": -1}),
        "t": SourceCall("whole", (2, 1, 3), {}),
        "mean": UNREAD,
    }
    assert entry.value("PAIRS") == ("n20", "n32")
    assert entry.value("TERM") == "mean"


@pytest.mark.parametrize("name", ["TEXT", "CYCLE", "states", "nothing", "np"])
def test_what_does_not_follow_from_literals_is_unread(entry, name):
    """A sum of numbers is not worked out; a name may be assigned from itself."""
    assert entry.value(name) is UNREAD


def quantities(steps):
    for step in steps:
        call = step.node
        while isinstance(call.func, ast.Call):
            call = call.func
        if isinstance(call.func, ast.Attribute):
            yield step.read(call.args[0])
        else:
            yield from quantities(replace(step, node=call).inside())


def test_calls_are_followed_in_their_order(entry):
    """Decorators from below, loops round by round, and the functions of the library that are called."""
    found = ["inner", "outer", "left side", "right side", "helped, first", "helped, second", "helped", UNREAD]
    assert list(quantities(entry.calls())) == found


def test_a_module_without_a_source():
    assert read_module("warptheory.none_such") is None
