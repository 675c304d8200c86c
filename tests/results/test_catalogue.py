"""Results are asked for by label, by pattern, or as they are, one or several."""

from dataclasses import replace

import pandas as pd
import pytest

from warptheory import results
from warptheory.core.errors import ArgumentError, UnknownNameError

A1, A3 = results.get("A1"), results.get("A3")


@pytest.mark.parametrize(
    "asked", ["A3", A3, ["A3"], [A3], (A3, "A3"), iter([A3])], ids=lambda asked: type(asked).__name__
)
def test_a_result_is_its_label_or_itself(asked):
    assert results.match(asked) == [A3]


def test_several_are_in_the_order_of_the_catalogue():
    assert results.match([A3, "A1"]) == [A1, A3]
    assert results.match("A[13]") == [A1, A3]
    assert results.get(A3) is A3


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("asked", ["Z9", ["A1", None], 3], ids=repr)
def test_what_names_no_result_is_refused(asked):
    with pytest.raises(UnknownNameError, match="^result: expected one of A0, "):
        results.match(asked)


@pytest.mark.usefixtures("as_users_call")
def test_a_result_that_workers_would_not_find_is_refused():
    other = replace(A3, title="Another one")
    for ask in (results.get, results.match, results.check, lambda one: results.sweep(one, over={"sigma": [1.0]})):
        with pytest.raises(ArgumentError, match="^result: expected a result of the catalogue, or its label, got "):
            ask(other)


def test_every_table_takes_labels_and_results_alike():
    choices = {"kernel": "linear", "dim": 1, "inputs": "normal"}
    tables = {
        "check": lambda asked: results.check(asked, **choices, workers=1),
        "replay": lambda asked: results.replay(asked, 0, **choices),
        "sweep": lambda asked: results.sweep(asked, over={"sigma": [1.0, 2.0]}, rtol=0.3),
        "replay_sweep": lambda asked: results.replay_sweep(asked, 0, over={"sigma": [1.0]}),
    }
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table("A1"), table(A1), obj=name)
    assert set(results.power("A1", **choices, workers=1)["result"]) == {"A1"}
