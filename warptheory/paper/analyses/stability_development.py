"""Which settings of sampling networks train, and which do not: what predictions of stability are made on and judged by.

Writes `stability_development.parquet`, a row for each training run: networks of eleven kinds in plain torch, on tasks
that need a warp and on some that do not, at several depths, scales α and multipliers of the learning rate of what
computes positions, with heads that start at zero or not, under three optimisers; with the label that the run and its
configuration have (the rule is in `_stability_labels.py`, and was fixed before any prediction was looked at).

Multipliers are tried in tens first, and in further tens where the largest is still ok. Between one that is ok and
its neighbour that is not, others follow, until the critical one is known to within a factor of two. Every run is
computed from its row alone (`build`), which gives a diagnosis exactly what was trained. Finished runs are kept
beside the record, in `stability_runs/`, one file each: what was interrupted goes on where it was.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from markupsafe import Markup

from warptheory.core import records
from warptheory.core.processes import process_context
from warptheory.paper.analyses._stability_configurations import LAST, RATES, Configuration, build, train
from warptheory.paper.analyses._stability_labels import (
    CURVE,
    FAIL,
    WORSE,
    configurations,
    critical_multipliers,
    labelled,
    near_critical,
)
from warptheory.paper.analyses._stability_plan import CURVES, MultiplierCurve
from warptheory.paper.analyses._stability_tasks import TASKS, TaskBatches, chance
from warptheory.paper.committed import digest
from warptheory.paper.entries import (
    Analysis,
    Cost,
    LongComputation,
    RecomputedCell,
    ReportPassage,
    RunSettings,
    Section,
)
from warptheory.report import Columns, fragment, html_table, table_rows

RECORD = "stability_development.parquet"
RUNS = "stability_runs"  # folder of finished runs
NARROW = 2.0  # ratio of a bracket that is not divided again
MOST = 1000.0  # multiplier that is tried
ROUNDS = 6  # of refinement, at most


def configuration_of(row: Mapping[Any, Any] | pd.Series) -> Configuration:
    """Return the configuration of a row of the record, from which `build` makes what was trained."""
    return Configuration(
        architecture=str(row["architecture"]),
        task=str(row["task"]),
        depth=int(row["depth"]),
        alpha=float(row["alpha"]),
        multiplier=float(row["multiplier"]),
        zero_head=bool(row["zero_head"]),
        optimizer=str(row["optimizer"]),
        slowed=str(row["slowed"]),
        seed=int(row["seed"]),
    )


def measured(configuration: Configuration, steps: int) -> dict[str, Any]:
    """Train a configuration by one thread, and return its row."""
    with _one_thread():
        start = time.perf_counter()
        outcome = train(configuration, steps=steps)
    return {
        **asdict(configuration),
        "steps": steps,
        "loss": outcome.loss,
        "accuracy": outcome.accuracy,
        "chance": chance(configuration.task),
        "seconds": time.perf_counter() - start,
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Runs:
    """Runs that are finished or to be made, kept in a folder."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._folder = records.inner_folder(records.output_folder(settings.out), RUNS)
        self._rows: dict[Configuration, dict[str, Any]] = {}

    @property
    def table(self) -> pd.DataFrame:
        """A row for each run."""
        return pd.DataFrame(list(self._rows.values()))

    def complete(self, wanted: Iterable[Configuration], what: str) -> None:
        """Make the runs that are missing."""
        missing = []
        for each in dict.fromkeys(wanted):
            row = self._kept(each)
            if row is None:
                missing.append(each)
            else:
                self._rows[each] = row
        for number, (each, row) in enumerate(self._made(missing)):
            self._settings.on_progress(number / len(missing), f"{what}: {each.architecture}, {each.task}")
            records.write_json(self._path(each), row)
            self._rows[each] = row

    def _steps(self, configuration: Configuration) -> int:
        steps, most = TASKS[configuration.task].steps, self._settings.most_steps
        return steps if most is None else min(steps, most)

    def _path(self, configuration: Configuration) -> Path:
        return self._folder / f"{configuration.name}-{self._steps(configuration)}.json"

    def _kept(self, configuration: Configuration) -> dict[str, Any] | None:
        path = self._path(configuration)
        return dict(records.read_json(path)) if path.is_file() else None

    def _made(self, missing: list[Configuration]) -> Iterator[tuple[Configuration, dict[str, Any]]]:
        workers = self._settings.workers or 1  # others work beside it for hours
        if workers == 1:
            for each in missing:
                yield each, measured(each, self._steps(each))
            return
        with ProcessPoolExecutor(min(workers, os.cpu_count() or 1), mp_context=process_context([__name__])) as pool:
            waiting: dict[Future[dict[str, Any]], Configuration] = {
                pool.submit(measured, each, self._steps(each)): each for each in missing
            }
            for done in as_completed(waiting):
                yield waiting[done], done.result()


def coarse(curves: Iterable[MultiplierCurve], seeds: range) -> Iterator[Configuration]:
    """Yield the twins without warps, and each curve's multipliers in tens, with every seed."""
    for curve in curves:
        for seed in seeds:
            base = replace(curve.base, seed=seed)
            yield replace(base, alpha=0.0, multiplier=1.0, zero_head=True, slowed="all")
            for multiplier in curve.multipliers:
                yield replace(base, multiplier=multiplier)


def finer(table: pd.DataFrame, seeds: range) -> list[Configuration]:
    """Return multipliers beyond the largest that are still ok, and in the middle of wide brackets, with every seed.

    Args:
        table: a row for each configuration, as `configurations` returns it.
        seeds: of the runs.
    """
    found = []
    largest = table.loc[table.groupby(CURVE, sort=False)["multiplier"].idxmax()]
    beyond = largest[(largest["label"] == "ok") & (largest["multiplier"] * 10 <= MOST)]
    for row in [*beyond.to_dict("records"), *critical_multipliers(table).to_dict("records")]:
        multiplier = 10 * row["multiplier"] if "multiplier" in row else _middle(row["ok"], row["bad"])
        if multiplier is not None:
            chosen = {**{name: row[name] for name in CURVE}, "multiplier": multiplier}
            found += [configuration_of({**chosen, "seed": seed}) for seed in seeds]
    return found


def _middle(first: float, second: float) -> float | None:
    """Return the geometric mean of a bracket, rounded; None if it is narrow."""
    least, most = sorted((first, second))
    return None if most / least <= NARROW * 1.01 else float(f"{np.sqrt(least * most):.3g}")


def run(settings: RunSettings) -> Path:
    """Train everything, and write the record; return its path."""
    runs, seeds = _Runs(settings), range(settings.seed, settings.seed + settings.seeds)
    runs.complete(coarse(CURVES[:: settings.thin], seeds), "multipliers in tens")
    for number in range(ROUNDS):
        wanted = finer(configurations(labelled(runs.table)), seeds)
        if not wanted:
            break
        runs.complete(wanted, f"finer multipliers, round {number + 1}")
    path = records.output_folder(settings.out) / RECORD
    chosen = {"seeds": settings.seeds, "most_steps": settings.most_steps, **_constants()}
    records.write_table(path, labelled(runs.table), records.Manifest(__name__, settings.seed, "cpu", chosen))
    return path


def _constants() -> dict[str, Any]:
    return {
        "steps": {name: task.steps for name, task in TASKS.items()},
        "last": LAST,
        "rates": dict(RATES),
        "worse": WORSE,
        "fail": FAIL,
        "narrow": NARROW,
    }


def configuration() -> dict[str, Any]:
    """Return what the committed record depends on."""
    drawn = {name: next(iter(TaskBatches(name, task.batch, 1, 0)))[1] for name, task in TASKS.items()}
    return {
        **_constants(),
        "seeds": RunSettings.seeds,
        "curves": [{**asdict(curve.base), "multipliers": curve.multipliers} for curve in CURVES],
        "data": {name: digest(target.double().numpy()) for name, target in drawn.items()},
    }


def recompute(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Train one configuration anew and compare."""
    table = records.read_table(committed / RECORD)
    row = table[(table["seed"] == 0) & (table["run_label"] == "ok")].sort_values("seconds").iloc[0]
    settings.on_progress(0.0, f"{row['architecture']}, {row['task']}")
    again = measured(configuration_of(row), int(row["steps"]))
    return RecomputedCell(
        what=f"loss of a {row['architecture']} on {row['task']}, seed 0",
        committed=float(row["loss"]),
        recomputed=again["loss"],
        tolerance=0.1 * float(row["chance"] - row["reference"]),
        reason="rounding differs between processors, after which trainings part; 0.15 of that range would be a failure",
    )


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many configurations of every architecture and task have which label, and what the warp gains.

    Args:
        table: the record.
    """
    each = configurations(table)
    each["near"] = near_critical(each)
    rows = []
    for (architecture, task), part in each.groupby(["architecture", "task"], sort=False):
        labels = part["label"].value_counts()
        gain = (part["twin"] - part["reference"]) / (part["chance"] - part["reference"])
        rows.append(
            {
                "architecture": architecture,
                "task": task,
                "count": len(part),
                **{label: int(labels.get(label, 0)) for label in ("ok", "worse", "fail")},
                "near": float(part["near"].mean()),
                "gain": float(gain.mean()),
                "agreement": float(part["agreement"].mean()),
            }
        )
    return pd.DataFrame(rows)


def table_of(table: pd.DataFrame) -> Markup:
    """Return the counts as an HTML table."""
    columns: Columns = {
        "architecture": "{architecture}",
        "task": "{task}",
        "configurations": "{count}",
        "ok": "{ok}",
        "worse": "{worse}",
        "fail": "{fail}",
        "near critical": "{near:.0%}",
        "twin loses": "{gain:.2f}",
        "seeds agree": "{agreement:.0%}",
    }
    return html_table(table_rows(summary(table)), columns, text=("architecture", "task"))


def finding(table: pd.DataFrame) -> Markup:
    """Return what was found, with its numbers."""
    each = configurations(table)
    return fragment(
        """Of {{ count }} configurations of {{ kinds }} architectures, {{ seeds }} seeds each, {{ bad }} do not train as
well as the network can: {{ fail }} fail. {{ near }} lie within a factor of three of a measured critical multiplier; in
{{ agreement }} of the runs a seed's own label is its configuration's.""",
        count=len(each),
        kinds=each["architecture"].nunique(),
        seeds=int(each["seeds"].min()),
        bad=f"{(each['label'] != 'ok').mean():.0%}",
        fail=f"{(each['label'] == 'fail').mean():.0%}",
        near=f"{near_critical(each).mean():.0%}",
        agreement=f"{each['agreement'].mean():.0%}",
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=5, full=2400),
    long=LongComputation(configuration=configuration, cell=recompute),
    section=Section(
        title="Which settings train: the development set",
        order=90,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            "Small networks of many kinds were trained at multipliers of the learning rate of what computes sampling "
            "positions, from far too small to far too large. What a run lost is counted against what the same network "
            "can reach, between it (0) and chance (1): ok up to 0.15, worse up to 0.5, a failure above. Where the twin "
            "without warps loses more than 0.15 the task needs the warp, and positions that do not move are a failure "
            "too.",
            ReportPassage(table_of, (RECORD,)),
        ),
    ),
)

__all__ = ["ANALYSIS", "build", "configuration_of"]
