"""Each way in which training fails, alone: a network that violates one condition, its repair, and its unwarped twin.

Seven mechanisms (theory section G): offsets that run away, gradients that explode, samples off the image, offsets that
are stuck, a start on knots, folds, and gradients in few positions. For each a network violates that condition and no
other as far as that can be had, its repair differs in that alone, and its twin has no warps. All are trained for the
same few steps on digits under random affine maps, with the same batches.

Said before the networks were trained: the first four stop training or ruin it, which means that the violated network
loses more than 0.15 of what the better of its repair and its twin gains on a network that knows nothing; folds do not
(G1 and G3 bound where theory is valid); of knots and of localisation it is to be seen.

Changed after they had been trained: a twin that is worse than what knows nothing, as one with a classifier that cannot
learn, stands in its place; and a lost share counts as above the threshold if two standard errors are left over, those
of the differences of networks of one seed. The networks of localisation are those of the explosion, with the gradient
of each parameter clipped: they also read beyond the image, so that localisation is not alone there.

Writes `stability_mechanisms.parquet`, a row for each step of each training, with the column of the monitor that shows
the mechanism; and `stability_mechanism_diagnoses.parquet`, what `stability.diagnose` says of each at the start.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from markupsafe import Markup
from torch import nn
from torch.nn import functional

from warptheory import montecarlo
from warptheory.core import records
from warptheory.paper.analyses._stability_mechanism_plots import BAD, losses_at_end, plot_mechanisms
from warptheory.paper.analyses._stability_mechanisms import AFFINE, MECHANISMS, Mechanism, Trainee
from warptheory.paper.analyses._stability_trainings import (
    MOST_LOSS,
    losses_of,
    optimiser_of,
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
from warptheory.stability import Diagnosis, diagnose, monitor

RECORD, DIAGNOSES = "stability_mechanisms.parquet", "stability_mechanism_diagnoses.parquet"
SEEDS = 3
INTERVAL = 8  # steps from one record of the monitor to the next


def trained(mechanism: Mechanism, trainee: Trainee, seed: int) -> Iterator[dict[str, Any]]:
    """Train, and yield a row for each step: its loss, and the column of the monitor where it was recorded."""
    network = trainee.network

    def clip(step: int, network: nn.Module) -> None:
        if trainee.clip is not None:
            for parameter in network.parameters():
                nn.utils.clip_grad_norm_(parameter, trainee.clip)

    with monitor(network, INTERVAL) as watching:
        losses = losses_of(network, task_of(AFFINE), trainee.multiplier, seed, before_step=clip)
    seen = watching.table()
    values = {step: mechanism.value(rows) for step, rows in seen.groupby("step")} if len(seen) else {}
    for step, loss in enumerate(losses):
        yield {"step": step, "loss": min(loss, MOST_LOSS), "value": values.get(step, math.nan)}


def diagnosed(trainee: Trainee, seed: int) -> dict[str, Any]:
    """Return what a diagnosis says before the first step."""
    batches = [(each.images, each.labels) for each in task_of(AFFINE).batches(seed + 1000, 4)]
    optimiser = optimiser_of(trainee.network, trainee.multiplier)
    if not optimiser.param_groups or not any(group["lr"] > 0 for group in optimiser.param_groups):
        return {"verdict": "", "reason": "", "rho": math.nan, "explosion": math.nan, **_of_layers(None)}
    found = diagnose(trainee.network, batches, functional.cross_entropy, optimiser)
    told = {"verdict": found.verdict, "reason": found.reason or "", "rho": found.rho, "explosion": found.explosion}
    return {**told, **_of_layers(found)}


def _of_layers(found: Diagnosis | None) -> dict[str, float]:
    layers = () if found is None else found.layers
    profile = None if found is None else found.profile
    return {
        "outside": max((each.outside_fraction for each in layers), default=math.nan),
        "folds": max((each.fold_fraction for each in layers), default=math.nan),
        "share": min((each.energy_share for each in layers), default=math.nan),
        "kept": math.nan if profile is None else _kept(profile.multiples, profile.losses, profile.promise),
        "kept_central": math.nan
        if profile is None
        else _kept(profile.multiples, profile.losses, profile.central_promise),
    }


def _kept(multiples: tuple[float, ...], losses: tuple[float, ...], promise: float) -> float:
    """Return the decrease over the promised one at the smallest multiple that is resolved."""
    start = losses[0]
    for multiple, loss in zip(multiples, losses, strict=True):
        if multiple > 0 and promise > 0 and abs(start - loss) > 1e-6 * abs(start):
            return (start - loss) / (multiple * promise)
    return math.nan


def work(name: str, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of a mechanism's diagnoses, and of the steps of its trainings."""
    torch.set_num_threads(1)
    mechanism = MECHANISMS[name]
    diagnoses, steps = [], []
    for role, trainee in mechanism.trainees(seed).items():
        described = {"mechanism": name, "role": role, "seed": seed}
        diagnoses.append({**described, "multiplier": trainee.multiplier, **diagnosed(trainee, seed)})
        steps += [{**described, **row} for row in trained(mechanism, trainee, seed)]
    return diagnoses, steps


def run(settings: RunSettings) -> Path:
    """Diagnose and train all networks, and write the records; return the path of the first."""
    plan = [(name, seed) for seed in range(settings.seed, settings.seed + SEEDS) for name in MECHANISMS]
    with montecarlo.workers(count=settings.workers) as ready:
        executor = ready.open()
        jobs = [executor.submit(work, *each) for each in plan]
        found = []
        for number, (job, (name, seed)) in enumerate(zip(jobs, plan, strict=True)):
            settings.on_progress(number / len(plan), f"{name}, seed {seed}")
            found.append(job.result())
        executor.shutdown()
    manifest = records.Manifest(__name__, settings.seed, "cpu", configuration())
    folder = records.output_folder(settings.out)
    records.write_table(folder / DIAGNOSES, pd.DataFrame([row for each, _ in found for row in each]), manifest)
    records.write_table(folder / RECORD, pd.DataFrame([row for _, each in found for row in each]), manifest)
    return folder / RECORD


def configuration() -> dict[str, Any]:
    """Return what the committed records depend on."""
    data = [digest(task_of(AFFINE).train.images.numpy())]
    return {**settings_of_trainings(), "seeds": SEEDS, "interval": INTERVAL, "data of affine digits": data}


def cell(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Train the network whose offsets run away anew, and compare its last loss."""
    settings.on_progress(0.0, "runaway, seed 0")
    mechanism = MECHANISMS["runaway"]
    rows = pd.DataFrame(trained(mechanism, mechanism.trainees(0)["repaired"], 0))
    table = records.read_table(committed / RECORD)
    table = table[(table["mechanism"] == "runaway") & (table["seed"] == 0) & (table["role"] == "repaired")]
    last = [float(each[each["step"] >= each["step"].max() - 20]["loss"].mean()) for each in (table, rows)]
    return RecomputedCell(
        what="last loss of the repaired network of the runaway, seed 0, in nats",
        committed=last[0],
        recomputed=last[1],
        tolerance=0.25,
        reason=(
            "the order of sums differs between processors, after which trainings part; last losses of other "
            "seeds differ by as much"
        ),
    )


def chance() -> float:
    """Return the loss of a network that knows nothing of the task, in nats."""
    return task_of(AFFINE).chance


def outcome_table(table: pd.DataFrame, diagnoses: pd.DataFrame) -> Markup:
    """Return last losses of all mechanisms, and what was diagnosed of the violated network, as an HTML table."""
    told = diagnoses[diagnoses["role"] == "violated"]
    grouped = told.groupby("mechanism")
    worst = grouped[["rho", "explosion", "outside", "folds", "share", "kept", "kept_central"]].median()
    worst["verdict"] = pd.Series({name: _verdicts(rows) for name, rows in grouped})
    rows = losses_at_end(table, chance()).merge(worst.reset_index(), on="mechanism")
    columns: Columns = {
        "mechanism": lambda row: f"{row['mechanism']} ({MECHANISMS[row['mechanism']].label})",
        "violated": "{violated:.3g} ± {violated_deviation:.2g}",
        "repaired": "{repaired:.3g} ± {repaired_deviation:.2g}",
        "twin": "{twin:.3g} ± {twin_deviation:.2g}",
        "lost share": "{lost:.2f} ± {lost_error:.2f}",
        "ρ": "{rho:.2g}",
        "R": "{explosion:.2g}",
        "off the image": "{outside:.0%}",
        "folds": "{folds:.0%}",
        "half of the gradient in": "{share:.1%}",
        "promise kept, one-sided / central": "{kept:.2g} / {kept_central:.2g}",
        "diagnosis": "{verdict}",
    }
    return html_table(table_rows(rows), columns, text=("mechanism", "diagnosis"))


def _verdicts(rows: pd.DataFrame) -> str:
    said = (rows["verdict"] + ": " + rows["reason"]).str.removesuffix(": ")
    return ", ".join(f"{name} ({count} of {len(rows)})" for name, count in said.value_counts().items())


def finding(table: pd.DataFrame, diagnoses: pd.DataFrame) -> Markup:
    """Return what was found, with its numbers."""
    found = _by_name(table)
    ruined = [name for name, row in found.items() if _is_above(row)]
    others = [name for name in found if name not in ruined]
    return fragment(
        """Alone, {{ ruined | join(", ") }} stop training or ruin it, and the repaired twin trains; of {{ others |
join(", ") }} that is not seen (share of what could be gained that the violated network loses, with its standard error;
threshold {{ bad }}, {{ seeds }} seeds). Networks of the explosion and of localisation also read beyond the image.""",
        ruined=[_lost(found[name]) for name in ruined],
        others=[_lost(found[name]) for name in others],
        bad=BAD,
        seeds=table["seed"].nunique(),
    )


def _by_name(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["mechanism"]: row for row in table_rows(losses_at_end(table, chance()))}


def _lost(row: dict[str, Any]) -> str:
    return f"{row['mechanism']} ({row['lost']:.2f} ± {row['lost_error']:.2f})"


def holds(table: pd.DataFrame, diagnoses: pd.DataFrame) -> bool:
    """Return whether every mechanism does what was said of it."""
    found = _by_name(table)
    said = {name: mechanism.stops for name, mechanism in MECHANISMS.items() if mechanism.stops is not None}
    return all(_is_above(found[name]) == stops for name, stops in said.items())


def _is_above(row: dict[str, Any]) -> bool:
    """Return whether a mechanism loses more than the threshold, and more than chance would."""
    return bool(row["lost"] - 2 * row["lost_error"] > BAD)


def _plot(table: pd.DataFrame) -> Any:
    return plot_mechanisms(table, chance())


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD, DIAGNOSES),
    cost=Cost(quick=10, full=180),
    holds=holds,
    long=LongComputation(configuration=configuration, cell=cell),
    section=Section(
        title="Each mechanism alone",
        order=89,
        finding=ReportPassage(finding, (RECORD, DIAGNOSES)),
        parts=(
            """Networks that violate one condition of stable training and no other, their repairs, which differ in that
alone, and their twins without warps, on digits under random affine maps. <i>Stuck</i> and <i>knot</i> have a classifier
that knows upright digits and learns no more: there only the warp can help.""",
            Plot(
                _plot,
                (RECORD,),
                alt="Losses of networks that violate one condition, of their repairs and of their twins, over steps",
                caption="""Above: training loss, means over five steps, each seed (thin) and the mean of seeds (bold).
Below: what shows the mechanism, by the monitor. Dotted: the loss of a network that knows nothing.""",
            ),
            ReportPassage(outcome_table, (RECORD, DIAGNOSES)),
        ),
    ),
)
