"""Which multiplier of the offsets' learning rate is too large: predicted before the first step, and measured (G5, G6).

Criterion, written before any network was trained. Of a task, a family and a number of layers, networks are trained for
the same few steps with multipliers m of a grid, and so is the twin without warps. L(m) is the mean over seeds of the
training loss over the last steps, L* the least of them, the twin's included; the lost share is
(L(m) − L*)/(ln K − L*), K classes. A multiplier is *bad* at a lost share above 0.15. The *bracket* of the critical
multiplier goes from the largest multiplier that is not bad to the smallest bad one above the best; the grid steps by
√10 about the prediction, and a bracket is open on a side where it ends. Where no network learns, L* > 0.9 ln K, nothing
is measured. The *prediction* is α²m_c = (1/3) / (ρ per α²m), with ρ the speed ratio of one step, its geometric mean
over batches and seeds, at a multiplier so small that ρ is proportional to it. It is *inside* if it lies in the bracket;
its standard error, of ln ρ over batches, is reported beside.

Changed after the first networks had been trained: the grid, which had gone as far below the prediction as above it,
was carried on below, because the bracket lay there; and a second prediction was added, by the largest ρ after 20, 40
and 60 steps of the rest, for which nothing was said before.

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
from markupsafe import Markup
from matplotlib.figure import Figure

from warptheory.core import files, records
from warptheory.paper.analyses._stability_networks import FAMILIES
from warptheory.paper.analyses._stability_phase_plots import (
    BAD,
    brackets,
    plot_phase_diagram,
    plot_scale_and_multiplier,
)
from warptheory.paper.analyses._stability_trainings import (
    OUTCOME,
    TASKS,
    ShortTraining,
    computed,
    later_log_speed_ratios,
    log_speed_ratios,
    outcome,
    settings_of_trainings,
    task_of,
)
from warptheory.paper.committed import digest
from warptheory.paper.entries import (
    Analysis,
    Cost,
    LongComputation,
    Plot,
    RecomputedCell,
    ReportPassage,
    RunSettings,
    Section,
)
from warptheory.report import Columns, fragment, html_table, table_rows

RECORD, PREDICTIONS = "stability_phase_diagram.parquet", "stability_predictions.parquet"
SMALL = 1e-3  # multiplier at which ρ is measured
THRESHOLD = 1 / 3  # of ρ (G5)
STEP = math.sqrt(10)  # from one multiplier to the next
BELOW, ABOVE = 4, 1  # multipliers on either side of the one next to the prediction
SEEDS, PREDICTION_SEEDS = 2, 2
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
    return [STEP**power for power in range(nearest - BELOW, nearest + ABOVE + 1)]


def predictions(settings: RunSettings, folder: Path) -> pd.DataFrame:
    """Measure speed ratios; return a row for each cell: critical α²m, and the standard error of its logarithm."""
    seeds = range(settings.seed, settings.seed + PREDICTION_SEEDS)
    plan = [replace(cell, seed=seed) for cell in (*cells(), *map_cells()) for seed in seeds]
    found = computed(log_speed_ratios, plan, folder, settings.workers, settings.on_progress)
    usual = [replace(cell, seed=settings.seed) for cell in cells()]
    later = computed(later_log_speed_ratios, usual, folder, settings.workers, settings.on_progress)
    rows = []
    for cell in dict.fromkeys((*cells(), *map_cells())):
        first, *others = [found[replace(cell, seed=seed)] for seed in seeds]
        for other in others:
            first = first.merge(other)
        per_unit = math.exp(first.mean[0]) / (cell.scale**2 * SMALL)
        error = math.sqrt(first.covariance[0, 0] / first.n)
        largest = max(later[cell].mean) if cell in later else math.nan
        later_ratio = math.exp(largest) / SMALL
        rows.append(
            {
                **_described(cell),
                "ratio": per_unit,
                "critical": THRESHOLD / per_unit,
                "error": error,
                "later_critical": THRESHOLD / later_ratio,
            }
        )
    return pd.DataFrame(rows).drop(columns=["multiplier", "seed"])


def plan_of(settings: RunSettings, predicted: pd.DataFrame) -> list[ShortTraining]:
    """Return all trainings, seed by seed, those of the map last."""
    critical = {_key(row): row["critical"] for row in table_rows(predicted)}
    plan = []
    for seed in range(settings.seed, settings.seed + SEEDS):
        for cell in cells():
            plan.append(replace(cell, scale=0.0, multiplier=0.0, seed=seed))
            plan += [replace(cell, multiplier=each, seed=seed) for each in multipliers(critical[_key(asdict(cell))])]
    plan += [replace(cell, multiplier=each, seed=settings.seed) for cell in map_cells() for each in MAP_MULTIPLIERS]
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
    manifest = records.Manifest(__name__, settings.seed, "cpu", configuration())
    records.write_table(folder / PREDICTIONS, predicted, manifest)
    records.write_table(folder / RECORD, pd.DataFrame(rows), manifest)
    return folder / RECORD


def _described(one: ShortTraining) -> dict[str, Any]:
    return asdict(one)


def configuration() -> dict[str, Any]:
    """Return what the committed records depend on."""
    data = {task: digest(task_of(task).train.images.numpy()) for task in TASKS}
    layers = {name: family.layers for name, family in FAMILIES.items()}
    grid = {"step": STEP, "below": BELOW, "above": ABOVE, "small": SMALL}
    maps = {"scales": MAP_SCALES, "multipliers": MAP_MULTIPLIERS, "gains": MAP_GAINS}
    return {**settings_of_trainings(), "seeds": SEEDS, "layers": layers, "grid": grid, "map": maps, "digests": data}


def cell(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Measure one prediction anew, and compare."""
    one = next(each for each in cells() if each.family == "spatial transformers")
    settings.on_progress(0.0, one.name)
    seeds = range(PREDICTION_SEEDS)
    logs = [float(log_speed_ratios(replace(one, seed=seed)).mean()) for seed in seeds]
    table = records.read_table(committed / PREDICTIONS)
    (known,) = table[(table["task"] == one.task) & (table["family"] == one.family) & (table["layers"] == one.layers)][
        "ratio"
    ]
    return RecomputedCell(
        what="speed ratio for each α²m of a spatial transformer",
        committed=float(known),
        recomputed=math.exp(sum(logs) / len(logs)) / SMALL,
        tolerance=1e-3 * float(known),
        reason="rounding differs between processors, and moves values across the corner of a ReLU",
    )


def chance() -> float:
    """Return the loss of a network that knows nothing of a task, in nats."""
    return task_of(TASKS[0]).chance


def bracket_table(table: pd.DataFrame, predictions: pd.DataFrame) -> Markup:
    """Return predictions beside brackets as an HTML table."""
    columns: Columns = {
        "family": "{family}",
        "task": "{task}",
        "layers": "{layers}",
        "predicted α²m": lambda row: f"{row['critical']:.2g} ± {row['error']:.0%}",
        "by later ρ": "{later_critical:.2g}",
        "largest that trains": lambda row: f"{row['largest_ok']:.2g}",
        "smallest bad": lambda row: f"{row['smallest_bad']:.2g}",
        "inside": lambda row: _told(row["inside"], row["learns"]),
        "later inside": lambda row: _told(row["later_inside"], row["learns"]),
        "twin's loss": "{twin:.2f}",
        "best loss": "{best:.2f}",
    }
    return html_table(table_rows(brackets(table, predictions, chance())), columns, text=("family", "task"))


def _told(inside: bool, learns: bool) -> str:
    if not learns:
        return "nothing learnt"
    return "yes" if inside else "no"


def finding(table: pd.DataFrame, predictions: pd.DataFrame) -> Markup:
    """Return what was found, with its numbers."""
    found = brackets(table, predictions, chance())
    found = found[found["learns"]]
    closed = found[(found["largest_ok"] > 0) & (found["smallest_bad"] < math.inf)]
    middle = (closed["largest_ok"] * closed["smallest_bad"]) ** 0.5
    over, later = closed["critical"] / middle, closed["later_critical"] / middle
    return fragment(
        """The critical α²m that ρ = 1/3 before the first step predicts lies in the measured bracket in {{ inside }} of
{{ count }} networks that learn, of {{ families }} families and {{ least }} to {{ most }} sampling layers; it is
{{ median }} times the middle of the bracket (median; {{ low }} to {{ high }}). By the largest ρ after up to 60 steps of
the rest it lies inside in {{ later_inside }}, and is {{ later_median }} times the middle ({{ later_low }} to
{{ later_high }}).""",
        inside=int(found["inside"].sum()),
        later_inside=int(found["later_inside"].sum()),
        count=len(found),
        families=found["family"].nunique(),
        least=found["layers"].min(),
        most=found["layers"].max(),
        median=f"{over.median():.2g}",
        low=f"{over.min():.2g}",
        high=f"{over.max():.2g}",
        later_median=f"{later.median():.2g}",
        later_low=f"{later.min():.2g}",
        later_high=f"{later.max():.2g}",
    )


def _phase_diagram(table: pd.DataFrame, predictions: pd.DataFrame) -> Figure:
    return plot_phase_diagram(table, predictions, chance())


def _map(table: pd.DataFrame, predictions: pd.DataFrame) -> Figure:
    return plot_scale_and_multiplier(table, predictions, chance())


_READS = (RECORD, PREDICTIONS)
ANALYSIS = Analysis(
    run=run,
    writes=_READS,
    cost=Cost(quick=10, full=400, cores=2),
    long=LongComputation(configuration=configuration, cell=cell),
    section=Section(
        title="Critical multipliers",
        order=88,
        finding=ReportPassage(finding, _READS),
        parts=(
            Plot(
                _phase_diagram,
                _READS,
                alt="Outcomes of trainings over the number of sampling layers and α²m, with the predicted boundary",
                caption=f"""Outcomes of short trainings with heads of zero, over the number of sampling layers and α²m:
a network trains where it loses at most {BAD:g} of what the best of its column gains, the twin without warps included.
Black: where the speed ratio before the first step is predicted to be 1/3, with its standard error; dotted: by the
largest speed ratio after 20, 40 and 60 steps of the rest. Circles: digits under random affine maps; squares, moved
to the right: the same digits upright.""",
            ),
            ReportPassage(bracket_table, _READS),
            Plot(
                _map,
                _READS,
                alt="Lost share over α and the multiplier, for heads of zero and for drawn heads",
                caption=f"""Lost share over α and m of residual self-warp networks of {MAP_LAYERS} layers, one seed;
crosses: above {BAD:g}. Line: where ρ is predicted to be 1/3.""",
            ),
        ),
    ),
)
