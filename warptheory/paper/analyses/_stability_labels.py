"""Labels of the stability study: whether a training went well, by the share of what could be learnt that was lost.

The rule was fixed before any dial of a diagnosis was looked at.

The loss of a run is the mean over its last steps, each on a batch never seen before. The *reference* is what can be
reached with the same network, task, depth and optimiser. The *best* is the mean of the three best configurations'
mean losses over the seeds, over all multipliers, both starts of the heads and every α. One α alone would not do:
where α is tiny or large, all multipliers fail alike, and the best of them would be called a success. Three, because
the least of many noisy numbers lies below what can be repeated.

A setting *needs the warp* if its twin without warps, the mean over the seeds, loses more than 0.15 against the
best: then the best is the reference, and positions that do not move are a failure. Elsewhere the twin's loss is: a
multiplier that happens to be a little better than others there does not make them failures.

The *lost share* of a run is (loss − reference) / (chance − reference), where chance is the loss of the best answer
that ignores the input (of a registration, that of leaving the pair as it is). A run is ok up to 0.15, worse up to
0.5, and fails above, or if its loss is not a number. The label of a configuration is that of the median of the lost
share over its seeds. Its noise is the standard deviation of the lost share over seeds, and the share of seeds whose
own label is the configuration's.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
import pandas as pd

from warptheory.paper.analyses._stability_configurations import Configuration

Label = Literal["ok", "worse", "fail"]
WORSE, FAIL = 0.15, 0.5  # lost shares
BEST = 3  # configurations that a reference is the mean of
MOST_LOST = 2.0  # lost shares count no more than this where they are averaged
SETTING = ["architecture", "task", "depth", "optimizer"]
CHOICES = [name for name in asdict(Configuration("", "", 1, 0.0, 0.0, zero_head=True)) if name != "seed"]
CURVE = [name for name in CHOICES if name != "multiplier"]


def label_of(lost: float) -> Label:
    """Return what a lost share is called; one that is not a number is a failure."""
    if not lost <= FAIL:
        return "fail"
    return "worse" if lost > WORSE else "ok"


def lost_share(loss: float, reference: float, chance: float) -> float:
    """Return the share of what could be learnt that was lost; infinite for a loss that is not a number."""
    return (loss - reference) / (chance - reference) if math.isfinite(loss) else math.inf


def reference(means: Sequence[float], twin: float, chance: float) -> tuple[float, bool]:
    """Return the loss that can be reached, and whether that needs the warp.

    Args:
        means: mean loss over the seeds of every configuration with warps.
        twin: mean loss over the seeds without.
        chance: loss that counts as having learnt nothing.
    """
    best = float(np.mean(sorted(means)[:BEST])) if means else twin
    needs_warp = lost_share(twin, best, chance) > WORSE
    return (best, True) if needs_warp else (twin, False)


def labelled(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs with the loss of their twins, the reference, lost shares and labels; twins themselves are left out.

    Args:
        runs: a row for each run: the fields of a `Configuration`, loss and chance.

    Returns:
        The rows with α > 0, and for each: the twin's loss over the seeds, the reference, its own lost share and label
        ("run_label"), and of its configuration the lost share and the label, their noise, and how many seeds there are.
    """
    found = []
    for _, rows in runs.groupby(SETTING, sort=False):
        twins, warped = rows[rows["alpha"] == 0], rows[rows["alpha"] > 0].copy()
        twin, chance = float(twins["loss"].mean()), float(rows["chance"].iloc[0])
        means = [float(each) for each in warped.groupby(CHOICES)["loss"].mean() if math.isfinite(each)]
        known, needs_warp = reference(means, twin, chance)
        warped["twin"], warped["reference"], warped["needs_warp"] = twin, known, needs_warp
        warped["run_lost_share"] = [lost_share(loss, known, chance) for loss in warped["loss"]]
        found.append(warped)
    table = pd.concat(found, ignore_index=True)
    table["run_label"] = [label_of(each) for each in table["run_lost_share"]]
    shares = table.assign(capped=table["run_lost_share"].clip(upper=MOST_LOST)).groupby(CHOICES)["capped"]
    table["lost_share"], table["lost_share_noise"] = shares.transform("median"), shares.transform("std")
    table["label"] = [label_of(each) for each in table["lost_share"]]
    table["agreement"] = (
        (table["run_label"] == table["label"]).groupby([table[each] for each in CHOICES]).transform("mean")
    )
    table["seeds"] = shares.transform("size")
    return table


def configurations(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each configuration of what `labelled` returned."""
    rows = table.drop(columns=["seed", "run_lost_share", "run_label", "seconds", "accuracy"], errors="ignore")
    return rows.drop_duplicates(CHOICES).reset_index(drop=True)


def critical_multipliers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the brackets between which a label changes from ok to another as the multiplier grows or falls.

    Args:
        table: a row for each configuration.

    Returns:
        A row for each curve and side: its choices, "side" ("upper" or "lower"), and the multipliers "ok" and "bad" that
        are next to each other.
    """
    found = []
    for choices, rows in table[table["multiplier"] > 0].groupby(CURVE, sort=False):
        ordered = rows.sort_values("multiplier")
        multipliers, good = ordered["multiplier"].to_numpy(), (ordered["label"] == "ok").to_numpy()
        named = dict(zip(CURVE, choices, strict=True))
        fine = np.flatnonzero(good)
        if len(fine) == 0:
            continue
        last, first = int(fine[-1]), int(fine[0])
        if last + 1 < len(good):
            found.append({**named, "side": "upper", "ok": multipliers[last], "bad": multipliers[last + 1]})
        if first > 0:
            found.append({**named, "side": "lower", "ok": multipliers[first], "bad": multipliers[first - 1]})
    return pd.DataFrame(found, columns=[*CURVE, "side", "ok", "bad"])


def near_critical(table: pd.DataFrame, factor: float = 3.0) -> pd.Series:
    """Return for each configuration whether its multiplier is within a factor of its curve's critical one.

    Args:
        table: a row for each configuration.
        factor: of the geometric mean of a bracket.
    """
    brackets = critical_multipliers(table)
    brackets["critical"] = np.sqrt(brackets["ok"] * brackets["bad"])
    merged = table[CHOICES].reset_index().merge(brackets[[*CURVE, "critical"]], on=CURVE)
    with np.errstate(divide="ignore"):
        apart = np.abs(np.log(merged["multiplier"] / merged["critical"]))
    inside = set(merged.loc[apart <= np.log(factor) + 1e-9, "index"])
    return pd.Series([index in inside for index in table.index], index=table.index)
