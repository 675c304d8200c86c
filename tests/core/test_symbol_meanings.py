"""Which explanation of a symbol is the one that is meant."""

import pytest

from warptheory.core.symbol_meanings import explanation

OWN, SHARED = {"t_1": "own"}, {"t_1": "shared", "t_3": "shared of the third", "f_1": "of f", "s": "of s"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("t_1", "own"), ("t_2", "own"), ("t_3", "own"), ("f_3", "of f"), ("s", "of s"), ("s_2", None), ("f_4", None)],
)
def test_what_a_result_says_goes_before_what_all_share(name, expected):
    assert explanation(name, OWN, SHARED) == expected


def test_an_axis_may_have_its_own():
    assert explanation("t_3", {}, SHARED) == "shared of the third"
