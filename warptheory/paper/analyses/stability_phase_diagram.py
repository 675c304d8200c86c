"""Which multiplier of the offsets' learning rate is too large: predicted before the first step, and measured (G5, G6).

Criterion, written before any network was trained. Of a task, a family and a number of layers, networks are trained for
the same few steps with multipliers m of a grid, and so is the twin without warps. L(m) is the mean over seeds of the
training loss over the last steps, L* the least of them, the twin's included; the lost share is
(L(m) − L*)/(ln K − L*), K classes. A multiplier is *bad* at a lost share above 0.15. The *bracket* of the critical
multiplier goes from the largest multiplier that is not bad to the smallest bad one above the best; the grid steps by
√10 through a hundredfold range about the prediction, and a bracket is open on a side where it ends. Where no network
learns, L* > 0.9 ln K, nothing is measured. The *prediction* is α²m_c = (1/3) / (ρ per α²m), with ρ the speed ratio of
one step, its geometric mean over batches and seeds, at a multiplier so small that ρ is proportional to it. It is
*inside* if it lies in the bracket; its standard error, of ln ρ over batches, is reported beside.

With heads of zero a training by gradient descent depends on α and m by α²m alone: one map shows that, and what happens
with heads that are drawn.

Writes `stability_phase_diagram.parquet`, a row for each training, and `stability_predictions.parquet`, a row for each
prediction.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from warptheory.core import files, records
from warptheory.paper.analyses._stability_networks import FAMILIES
from warptheory.paper.analyses._stability_trainings import (
    OUTCOME,
    TASKS,
    ShortTraining,
    computed,
    log_speed_ratios,
    outcome,
    settings_of_trainings,
)
from warptheory.paper.entries import RunSettings

RECORD, PREDICTIONS = "stability_phase_diagram.parquet", "stability_predictions.parquet"
SMALL = 1e-3  # multiplier at which ρ is measured
THRESHOLD = 1 / 3  # of ρ (G5)
BAD = 0.15  # lost share
STEP = math.sqrt(10)  # from one multiplier to the next
REACH = 2  # multipliers on either side of the one next to the prediction
PREDICTION_SEEDS = 2
MAP_FAMILY, MAP_LAYERS, MAP_TASK = "residual self-warp", 3, "affine digits"
MAP_SCALES, MAP_MULTIPLIERS, MAP_GAINS = (0.3, 1.0, 3.0), (0.01, 0.1, 1.0, 10.0), (0.0, 1.0)


def cells() -> Iterator[ShortTraining]:
    """Yield a network of each task, family and number of layers."""
    for task in TASKS:
        for family in FAMILIES.values():
            for layers in family.layers if task == MAP_TASK else family.layers[:1]:
                yield ShortTraining(task, family.name, layers, multiplier=SMALL)


def map_cells() -> Iterator[ShortTraining]:
    """Yield the networks of the map of α and m."""
    for gain in MAP_GAINS:
        for scale in MAP_SCALES:
            yield ShortTraining(MAP_TASK, MAP_FAMILY, MAP_LAYERS, scale, gain, SMALL)


def multipliers(critical: float) -> list[float]:
    """Return the multipliers of the grid about a prediction."""
    nearest = round(math.log(critical, STEP))
    return [STEP**power for power in range(nearest - REACH, nearest + REACH + 1)]


def predictions(settings: RunSettings, folder: Path) -> pd.DataFrame:
    """Measure speed ratios; return a row for each cell, with the critical α²m and the standard error of its logarithm."""
    seeds = range(settings.seed, settings.seed + PREDICTION_SEEDS)
    plan = [replace(cell, seed=seed) for cell in (*cells(), *map_cells()) for seed in seeds]
    found = computed(log_speed_ratios, plan, folder, settings.workers, settings.on_progress)
    rows = []
    for cell in (*cells(), *map_cells()):
        first, *others = [found[replace(cell, seed=seed)] for seed in seeds]
        for other in others:
            first = first.merge(other)
        per_unit = math.exp(first.mean[0]) / (cell.scale**2 * SMALL)
        error = math.sqrt(first.covariance[0, 0] / first.n)
        rows.append({**_described(cell), "ratio": per_unit, "critical": THRESHOLD / per_unit, "error": error})
    return pd.DataFrame(rows).drop(columns=["multiplier", "seed"])


def plan_of(settings: RunSettings, predicted: pd.DataFrame) -> list[ShortTraining]:
    """Return all trainings, seed by seed."""
    critical = {_key(row): row["critical"] for row in predicted.to_dict("records")}
    plan = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        for cell in cells():
            plan.append(replace(cell, scale=0.0, multiplier=0.0, seed=seed))
            for each in multipliers(critical[_key(asdict(cell))]):
                plan.append(replace(cell, multiplier=each, seed=seed))
        plan.append(ShortTraining(MAP_TASK, MAP_FAMILY, MAP_LAYERS, 0.0, 0.0, 0.0, seed))
        plan += [replace(cell, multiplier=each, seed=seed) for cell in map_cells() for each in MAP_MULTIPLIERS]
    return plan


def _key(described: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(described[name] for name in ("task", "family", "layers", "scale", "gain"))


def run(settings: RunSettings) -> Path:
    """Predict, train everything that is not trained already, and write the records; return the path of the first."""
    folder = records.output_folder(settings.out)
    store = files.inner_folder(folder.parent, "stability_trainings")
    predicted = predictions(settings, store)
    found = computed(outcome, plan_of(settings, predicted), store, settings.workers, settings.on_progress)
    rows = [{**_described(one), **dict(zip(OUTCOME, moments.mean, strict=True))} for one, moments in found.items()]
    chosen = {"seeds": settings.seeds, **settings_of_trainings()}
    manifest = records.Manifest(__name__, settings.seed, "cpu", chosen)
    records.write_table(folder / PREDICTIONS, predicted, manifest)
    records.write_table(folder / RECORD, pd.DataFrame(rows), manifest)
    return folder / RECORD


def _described(one: ShortTraining) -> dict[str, Any]:
    return asdict(one)
