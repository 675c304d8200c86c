"""Errors that a user can act on: near names, and other names for the argument."""

import pytest

from warptheory.core.errors import ArgumentError, UnknownNameError, near_names
from warptheory.core.text import matches, natural

NAMES = ["A2", "A4", "A10", "linear", "bilinear", "trilinear", "keys"]


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("a44", ["A4"]),
        ("A99", []),
        ("linaer", ["linear"]),
        ("KEYS", ["keys"]),
        ("billinear", ["bilinear"]),
        ("something else", []),
    ],
)
def test_near_names(asked, near):
    """Small and capital letters are alike; what is much less near than the nearest is not told."""
    assert near_names(asked, NAMES) == near
    assert near_names("cat", ["hat", "bat", "dog"]) == ["hat", "bat"]


def test_names_are_told_in_their_natural_order():
    error = UnknownNameError("result", "lineaire", NAMES, also=["lineaires"])
    assert "expected one of A2, A4, A10, bilinear, keys, linear, trilinear, got 'lineaire'" in str(error)
    assert "did you mean 'lineaires'?" in str(error)
    assert error.known == sorted(NAMES, key=natural)


def test_an_error_by_another_name_of_the_argument():
    error = UnknownNameError("data_dir", "x", ["y"]).called("--data-dir")
    assert isinstance(error, UnknownNameError)
    assert (error.argument, error.known) == ("--data-dir", ["y"])
    assert str(error) == "--data-dir: expected one of y, got 'x'"
    assert str(ArgumentError("a", expected="b", received="a: c").called("--a")) == "--a: expected b, got a: c"


def test_patterns_and_order():
    assert matches("A10", ["b*", "a1?"])
    assert not matches("A10", ["a1", "A1"])
    assert sorted(["A10", "A2", "B1", "A2b"], key=natural) == ["A2", "A2b", "A10", "B1"]
