"""How a diagnosis is judged on the development set: counts on made-up tables."""

import math

import pandas as pd
import pytest

from warptheory.paper.analyses import stability_diagnosed
from warptheory.paper.analyses.stability_diagnosed import Bounds, best_bounds, judged, repairs, transferred


def table_of(rows):
    """Return configurations, as many as rows of (architecture, displacement, label, verdict)."""
    found = [
        {
            "architecture": architecture,
            "task": "task",
            "depth": 1,
            "optimizer": "sgd",
            "alpha": 1.0,
            "displacement": displacement,
            "rho": 0.1,
            "reach": 100 * displacement,
            "explosion": 1.0,
            "outside": 0.0,
            "label": label,
            "verdict": verdict,
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
    assert 1.2 <= found.displacement < 3
    assert 0.1 < found.reach <= 10
    assert list(found.bad(BOTH)) == list(BOTH["label"] != "ok")


def test_an_unknown_ratio_decides_nothing():
    unknown = BOTH.assign(rho=math.nan, outside=math.nan)
    assert list(Bounds(2.0, 1.0, 3.0).bad(unknown)) == list(BOTH["label"] != "ok")


def test_bounds_are_those_of_the_other_half():
    shifted = BOTH.copy()
    is_other = shifted["architecture"] == "spaced"
    shifted.loc[is_other, ["displacement", "reach"]] *= 3
    found = transferred(shifted)
    wrong = found[found["predicted_bad"] != (found["label"] != "ok")]
    # 1.2 of the second half becomes 3.6, beyond what the first half bears; and 1.2 … 2.8 of the first hold there.
    assert set(wrong["architecture"]) <= {"spaced", "attention"}
    assert len(wrong) > 0


def test_counts():
    told = BOTH.assign(verdict=["ok"] * len(BOTH))
    row = judged(told).set_index("group").loc["all"]
    assert row["count"] == 12
    assert row["right"] == row["always"] == 0.5
    assert (row["missed"], row["missed_failures"], row["false"]) == (6, 4, 0)


def test_what_a_repair_keeps():
    found = repairs(BOTH)
    assert len(found) == 6
    assert found["mended_share"].to_list() == pytest.approx([0.025] * 6)
    assert found["within"].all()  # 1.05 is 5 % over the best, which is 1
    assert found["kept"].to_list() == pytest.approx([0.95] * 6)


def test_a_configuration_is_diagnosed_and_repaired():
    row = {"architecture": "spaced", "task": "echoes", "depth": 1, "alpha": 1.0, "multiplier": 1e-3}
    row |= {"zero_head": True, "optimizer": "sgd", "slowed": "all", "seed": 0}
    configuration = stability_diagnosed.configuration_of(row)
    found = stability_diagnosed.diagnosed(configuration)
    assert (found["verdict"], found["reason"]) == ("worse", "stuck")
