"""How a diagnosis is judged on the development set: counts on made-up tables."""

import math

import pandas as pd
import pytest

from warptheory.core import records
from warptheory.paper.analyses import stability_diagnosed
from warptheory.paper.analyses._stability_labels import CHOICES
from warptheory.paper.analyses.stability_diagnosed import (
    Bounds,
    best_bounds,
    error_rates,
    judged,
    repairs,
    seeds_agree,
    transferred,
)
from warptheory.paper.committed import committed_record
from warptheory.stability.error_rates import PATH, how_often_right


def table_of(rows):
    """Return configurations, as many as rows of (architecture, displacement, label, verdict)."""
    found = [
        {
            "architecture": architecture,
            "task": "task",
            "depth": 1,
            "optimizer": "sgd",
            "alpha": 1.0,
            "rehearsed": 0.3 * displacement,
            "displacement": displacement,
            "rho": 0.1,
            "reach": 100 * displacement,
            "explosion": 1.0,
            "outside": 0.0,
            "label": label,
            "verdict": verdict,
            "reason": "" if verdict == "ok" else "runaway",
            "alarms": "" if verdict == "ok" else "displacement",
            "multiplier": 1.0,
            "agreement": 1.0,
            "zero_head": True,
            "needs_warp": True,
            "near": False,
            "lost_share": {"ok": 0.0, "worse": 0.3, "fail": 1.0}[label],
            "reference": 1.0,
            "twin": 2.0,
            "chance": 3.0,
            "repaired_loss": math.nan if label == "ok" else 1.05,
        }
        for architecture, displacement, label, verdict in rows
    ]
    return pd.DataFrame(found)


WINDOW = [(0.001, "fail"), (0.1, "ok"), (0.3, "ok"), (1.2, "ok"), (3.0, "fail"), (9.0, "worse")]
BOTH = table_of(
    [(name, px, label, "ok" if label == "ok" else "fail") for name in ("attention", "spaced") for px, label in WINDOW]
)


def test_bounds_lie_in_the_gaps():
    found = best_bounds(BOTH)
    assert 0.36 <= found.speed < 0.9
    assert 0.1 < found.reach <= 10
    assert list(found.bad(BOTH)) == list(BOTH["label"] != "ok")


def test_an_unknown_ratio_decides_nothing():
    unknown = BOTH.assign(rho=math.nan, outside=math.nan)
    assert list(Bounds(0.5, math.inf, 1.0, 3.0).bad(unknown)) == list(BOTH["label"] != "ok")


def test_bounds_are_those_of_the_other_half():
    shifted = BOTH.copy()
    is_other = shifted["architecture"] == "spaced"
    shifted.loc[is_other, ["rehearsed", "displacement", "reach"]] *= 3
    found = transferred(shifted)
    wrong = found[found["predicted_bad"] != (found["label"] != "ok")]
    # What is ok at a speed of 0.36 in one half is so at 1.08 in the other, beyond what the first half bears at 0.9.
    assert set(wrong["architecture"]) <= {"spaced", "attention"}
    assert len(wrong) > 0


def test_counts():
    told = BOTH.assign(verdict=["ok"] * len(BOTH))
    row = judged(told).set_index("group").loc["all"]
    assert row["count"] == 12
    assert row["right"] == row["always"] == 0.5
    assert (row["missed"], row["missed_failures"], row["false"]) == (6, 4, 0)


def test_who_knows_that_the_warp_is_not_needed_may_disregard_that_it_is_stuck():
    told = BOTH.assign(verdict="worse", reason="stuck", needs_warp=False)
    row = judged(told).set_index("group").loc["all"]
    assert (row["right"], row["minded"]) == (0.5, 0.5)
    row = judged(told[told["label"] == "ok"]).set_index("group").loc["all"]
    assert (row["right"], row["minded"]) == (0.0, 1.0)


def test_multipliers_in_tens_are_those_that_were_planned():
    told = BOTH.assign(multiplier=[1e-3, 0.0, 10.0, 3.16, 0.0316, 1000.0] * 2)
    counts = judged(told).set_index("group")["count"]
    assert counts["multipliers in tens, planned beforehand"] == 8


def test_alarms_are_counted_by_condition():
    assert error_rates(BOTH) == {
        "displacement": {"raised": 6, "right": 6},
        "ok": {"raised": 6, "right": 6},
    }
    both = BOTH.assign(alarms="reach; speed ratio", label="ok", verdict="worse")
    assert error_rates(both)["speed ratio"] == {"raised": 12, "right": 0}
    assert error_rates(both)["ok"] == {"raised": 0, "right": 0}


def test_how_often_seeds_agree():
    """One configuration of three seeds has one pair of three that agrees, another three of three."""
    runs = pd.DataFrame(dict.fromkeys(CHOICES, "x"), index=range(6)).assign(
        alpha=[1.0] * 3 + [2.0] * 3, run_label=["ok", "ok", "fail", "worse", "fail", "worse"]
    )
    assert seeds_agree(runs) == pytest.approx(4 / 6)


def test_the_error_rates_of_the_package_are_those_of_the_record():
    table = records.read_table(committed_record(stability_diagnosed.RECORD))
    known = records.read_json(PATH)
    assert known == error_rates(table), "run: python -m warptheory.paper.error_rates"
    assert how_often_right("reach") == "{right} of {raised}".format(**known["reach"])
    assert how_often_right("folds") == ""


def test_what_a_repair_keeps():
    found = repairs(BOTH)
    assert len(found) == 6
    assert found["mended_share"].to_list() == pytest.approx([0.025] * 6)
    assert found["within"].all()  # 1.05 is 5 % over the best, which is 1
    assert found["close"].all()  # and less than 0.05 · (3 − 1) over it
    assert found["kept"].to_list() == pytest.approx([0.95] * 6)


def test_a_configuration_is_diagnosed_and_repaired():
    row = {"architecture": "spaced", "task": "echoes", "depth": 1, "alpha": 1.0, "multiplier": 1e-3}
    row |= {"zero_head": True, "optimizer": "sgd", "slowed": "all", "seed": 0}
    configuration = stability_diagnosed.configuration_of(row)
    found = stability_diagnosed.diagnosed(configuration)
    assert (found["verdict"], found["reason"]) == ("worse", "stuck")
