import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from warptheory.core.checks import check_flag, check_integer, check_number
from warptheory.core.errors import ArgumentError, UnknownNameError

pytestmark = pytest.mark.usefixtures("as_users_call")


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)], ids=lambda value: type(value).__name__)
def test_whole_numbers(value):
    found = check_integer("steps", value, 1, 3)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize(
    ("value", "bounds", "expected"),
    [
        (0, (), "a positive integer"),
        (2.0, (), "a positive integer"),
        (True, (), "a positive integer"),
        ("3", (), "a positive integer"),
        (None, (), "a positive integer"),
        (-1, (0,), "an integer ≥ 0"),
        (0.5, (None,), "an integer"),
        (4, (None, 3), "an integer ≤ 3"),
        (4, (1, 3), "an integer in 1 … 3"),
    ],
    ids=str,
)
def test_other_than_whole_numbers(value, bounds, expected):
    with pytest.raises(ArgumentError, match=f"^steps: expected {expected}, got {value!r}$"):
        check_integer("steps", value, *bounds)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), Fraction(1, 2)], ids=lambda value: type(value).__name__)
def test_numbers(value):
    found = check_number("rate", value, least=0.5, below=1)
    assert found == 0.5
    assert type(found) is float


@pytest.mark.parametrize(
    ("value", "bounds", "expected"),
    [
        (math.nan, {}, "a finite number"),
        (math.inf, {"least": 0}, "a finite number ≥ 0"),
        (-1, {"least": 0}, "a finite number ≥ 0"),
        (0, {"above": 0}, "a finite number > 0"),
        (1, {"least": 0, "below": 1}, "a finite number ≥ 0 and < 1"),
        (True, {}, "a finite number"),
        ("fast", {}, "a finite number"),
        (1j, {}, "a finite number"),
    ],
    ids=str,
)
def test_other_than_numbers(value, bounds, expected):
    with pytest.raises(ArgumentError, match=f"^rate: expected {expected}, got ") as caught:
        check_number("rate", value, **bounds)
    assert str(caught.value).endswith(f"got {value!r}")


@pytest.mark.parametrize("value", [True, False])
def test_flags(value):
    assert check_flag("colour", value) is value


@pytest.mark.parametrize("value", [1, "no", None], ids=str)
def test_other_than_flags(value):
    with pytest.raises(ArgumentError, match=r"^colour: expected True or False, got "):
        check_flag("colour", value)


MONSTER = 10**5000  # of more digits than Python writes


def kind(value):
    return type(value).__name__


@pytest.mark.parametrize("value", [10**400, -(10**400), Fraction(10**400, 3), MONSTER, sp.Integer(MONSTER)], ids=kind)
def test_numbers_beyond_double_precision(value):
    with pytest.raises(ArgumentError, match=r"^rate: expected a finite number, got "):
        check_number("rate", value)


class Mute:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize("value", [MONSTER, sp.Integer(MONSTER), Fraction(MONSTER, 3), Mute()], ids=kind)
def test_what_cannot_be_shown_is_refused_all_the_same(value):
    for check in (check_integer, check_flag):
        with pytest.raises(ArgumentError, match="^count: expected .*, got a monstrous "):
            check("count", value, **({"most": 3} if check is check_integer else {}))
    assert "monstrous" in str(ArgumentError("count", expected="less", received=value))
    assert "monstrous" in str(UnknownNameError("count", value, ["one"]))
