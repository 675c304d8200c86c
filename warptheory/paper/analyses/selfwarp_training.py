"""Train self-warp networks and their plain twins on real data: how well they learn, and what their warps do meanwhile.

Writes `selfwarp_accuracy.parquet`, a row for each run: three tasks, with and without warps, over several seeds of the
weights, the order of the images and the patches; on a GPU, one task with a deep network in two precisions. Besides, of
the first task, `selfwarp_steps.parquet` has the loss of every step, and `selfwarp_layers.parquet` what the monitor
recorded of every warp: the data of Figure 2.
Finished runs, and checkpoints of the one in hand, are kept in a folder beside the records: a later call goes on there.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from markupsafe import Markup
from matplotlib.figure import Figure

from warptheory.core import records
from warptheory.core.device import device_name
from warptheory.montecarlo import check_device
from warptheory.paper.committed import digest
from warptheory.paper.entries import (
    Analysis,
    Cost,
    DocumentTable,
    LongComputation,
    Plot,
    RecomputedCell,
    ReportPassage,
    RunSettings,
    Section,
)
from warptheory.report import Columns, fragment, house_style, html_table, markdown_table, table_rows
from warptheory.report.style import BLUE, GREY
from warptheory.stability import monitor
from warptheory.training import TrainedModel, TrainingRun, TrainingSettings, history_table, train

ACCURACY, STEPS, LAYERS = (f"selfwarp_{part}.parquet" for part in ("accuracy", "steps", "layers"))
NAMES = {"patches": "photograph patches", "mnist1d": "MNIST-1D", "digits": "handwritten digits"}
INTERVAL = 10  # steps from one record of the monitor to the next
LAST = 20  # steps over which the last training loss is averaged


@dataclass(frozen=True)
class Task:
    """Data, and how a network and its twin are trained on them.

    Attributes:
        data: name of the data set.
        network: name of the plain network; with "selfwarp-" before it, that of its twin.
        settings: settings of the training, without the seed.
        model_options: options of both networks.
        published_accuracy: what others report on the same test set, or one drawn like it; None if nobody does.
        published_by: with what, and where.
    """

    data: str
    network: str
    settings: Mapping[str, Any]
    model_options: Mapping[str, Any] = field(default_factory=dict)
    published_accuracy: float | None = None
    published_by: str = ""

    def run(self, seed: int, most_steps: int | None, *, warped: bool) -> TrainingRun:
        """Return one run, of at most so many steps."""
        chosen = dict(self.settings)
        if most_steps is not None:
            chosen["steps"] = min(chosen["steps"], most_steps)
        name = f"selfwarp-{self.network}" if warped else self.network
        return TrainingRun(name, self.data, TrainingSettings(**chosen, seed=seed), dict(self.model_options))


# The first is what `warptheory train` does unless it is told otherwise.
TASKS = (
    Task("patches", "resnet20", {"steps": 300, "batch": 128}),
    Task(
        "mnist1d",
        "net1d",
        {"steps": 2000, "batch": 100, "learning_rate": 0.1, "weight_decay": 5e-4},
        published_accuracy=0.94,
        published_by="convolutional network, github.com/greydanus/mnist1d",
    ),
    Task(
        "digits",
        "resnet8",
        {"steps": 300, "batch": 64, "weight_decay": 5e-4},
        {"width": 8},
        published_accuracy=0.97,
        published_by="support vectors, scikit-learn's example on recognizing hand-written digits",
    ),
)


# What takes a GPU: minutes for each run.
GPU_TASKS = tuple(
    Task("patches", "resnet56", {"steps": 2000, "batch": 128, "precision": precision}) for precision in ("fp32", "bf16")
)


def tasks_for(device: str) -> tuple[Task, ...]:
    """Return what is trained on a device."""
    return GPU_TASKS if torch.device(device).type == "cuda" else TASKS


def run(settings: RunSettings, tasks: tuple[Task, ...] | None = None) -> Path:
    """Train everything that is not trained already, and write the records; return the path of the first.

    Args:
        settings: how; seeds are successive numbers from the first.
        tasks: what is trained on what; None for `tasks_for(device)`.
    """
    device = settings.device
    check_device(device)
    tasks = tasks_for(device) if tasks is None else tasks
    folder = records.output_folder(settings.out)
    plan = list(_plan(tasks, range(settings.seed, settings.seed + settings.seeds), settings.most_steps))
    trained = []
    for number, (task, one) in enumerate(plan):
        settings.on_progress(number / len(plan), f"train {one.model}, seed {one.settings.seed}")
        watched = _is_warped(one) and task is tasks[0]
        trained.append(_train(one, records.inner_folder(folder.parent, "training"), device, watched=watched))
    chosen = {"seeds": settings.seeds, "most_steps": settings.most_steps, "tasks": [task.data for task in tasks]}
    manifest = records.Manifest(__name__, settings.seed, device, chosen)
    first = [
        (_described(one, device), found) for (task, one), found in zip(plan, trained, strict=True) if task is tasks[0]
    ]
    steps = pd.concat(history_table(found.history).assign(**described) for described, found in first)
    layers = pd.concat(found.monitored.assign(**described) for described, found in first if found.monitored is not None)
    records.write_table(folder / STEPS, steps, manifest)
    records.write_table(folder / LAYERS, layers, manifest)
    rows = [_row(task, one, found, device) for (task, one), found in zip(plan, trained, strict=True)]
    records.write_table(folder / ACCURACY, pd.DataFrame(rows), manifest)
    return folder / ACCURACY


def _plan(tasks: tuple[Task, ...], seeds: range, most_steps: int | None) -> Iterator[tuple[Task, TrainingRun]]:
    for task in tasks:
        for seed in seeds:
            for warped in (True, False):
                yield task, task.run(seed, most_steps, warped=warped)


def _train(one: TrainingRun, folder: Path, device: str, *, watched: bool) -> TrainedModel:
    """Train, or go on where an earlier call was interrupted."""
    watch = partial(monitor, interval=INTERVAL) if watched else None
    return train(one, device=torch.device(device), out=folder / one.name, resume=True, watch=watch)


def _is_warped(one: TrainingRun) -> bool:
    return one.model.startswith("selfwarp-")


def _described(one: TrainingRun, device: str) -> dict[str, Any]:
    return {
        "data": one.data,
        "network": one.model,
        "warped": _is_warped(one),
        "seed": one.settings.seed,
        "warping_multiplier": one.settings.warping_multiplier,
        "precision": one.settings.precision,
        "device": device_name(device),
    }


def _row(task: Task, one: TrainingRun, trained: TrainedModel, device: str) -> dict[str, Any]:
    last = trained.history[-LAST:]
    return {
        **_described(one, device),
        "steps": one.settings.steps,
        "batch": one.settings.batch,
        "learning_rate": one.settings.learning_rate,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "test_accuracy": trained.test_accuracy,
        "tested": trained.tested,
        "classes": trained.classes,
        "last_loss": sum(step.loss for step in last) / len(last),
        "images_per_second": trained.images_per_second,
        "published_accuracy": task.published_accuracy,
        "published_by": task.published_by,
    }


def accuracy_summary(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each task, network and precision: mean, deviation and extremes over the seeds, their number.

    Args:
        accuracy: the record.
    """
    grouped = accuracy.groupby(["data", "network", "warped", "precision"], sort=False)
    found = grouped["test_accuracy"].agg(["mean", "std", "min", "max", "count"])
    settings = grouped[["steps", "batch", "classes", "tested", "parameters", "last_loss", "warping_multiplier"]].mean()
    published = grouped[["published_accuracy", "published_by"]].first()
    return found.join(settings).join(published).reset_index()


def plot_accuracy_of_networks(accuracy: pd.DataFrame) -> Figure:
    """Draw the test accuracy of every run, a row for each network, beside the published one.

    Args:
        accuracy: the record.
    """
    tasks = list(dict.fromkeys(accuracy["data"]))
    with house_style():
        figure = Figure(figsize=(7.2, 2.2), layout="constrained")
        for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
            rows = accuracy[accuracy["data"] == task]
            labels = _labels(rows)
            names = list(dict.fromkeys(labels))
            for place, name in enumerate(names):
                scores = 100 * rows[labels == name]["test_accuracy"]
                colour = BLUE if name.startswith("SelfWarp") else GREY
                axes.plot(scores, [place] * len(scores), "o", color=colour, markerfacecolor="white", markersize=5)
                axes.plot([scores.mean()] * 2, [place - 0.25, place + 0.25], color=colour, linewidth=2)
            published = rows["published_accuracy"].iloc[0]
            if not pd.isna(published):
                published *= 100
                axes.axvline(published, color=GREY, linestyle=":")
                label = {"fontsize": 7, "color": GREY, "rotation": 90, "va": "bottom", "ha": "right"}
                axes.annotate("published", (published, len(names) - 0.5), (-1, 2), textcoords="offset points", **label)
                axes.margins(x=0.12)
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_xlabel("test accuracy (%)")
            axes.set_title(NAMES.get(task, task))
    return figure


def _labels(rows: pd.DataFrame) -> pd.Series:
    """Return the network of each row, with the precision where there are several."""
    names = rows["network"].str.replace("selfwarp-", "SelfWarp ")
    return names if rows["precision"].nunique() == 1 else names + ", " + rows["precision"]


def networks_table(accuracy: pd.DataFrame) -> str:
    """Return a Markdown table of the networks with and without warps."""

    def published(row: Mapping[str, Any]) -> str:
        return "" if pd.isna(row["published_accuracy"]) else f"{100 * row['published_accuracy']:.0f} %"

    columns: Columns = {
        "data": "{data}",
        "network": "{network}",
        "steps × batch": "{steps:.0f} × {batch:.0f}",
        "test accuracy": lambda row: f"{100 * row['mean']:.1f} ± {100 * row['std']:.1f} %",
        "lowest to highest": lambda row: f"{100 * row['min']:.1f} to {100 * row['max']:.1f} %",
        "published": published,
    }
    summary = table_rows(accuracy_summary(accuracy))
    sources = {row["data"]: row["published_by"] for row in summary if row["published_by"]}
    seeds = sorted(accuracy["seed"].unique())
    footer = (
        f"Mean ± standard deviation over {len(seeds)} seeds ({seeds[0]} to {seeds[-1]}) of weights, order and patches. "
        "Images are classified by the photograph that they come from (patches), or by the digit. Offsets start at zero "
        f"and learn at {accuracy['warping_multiplier'].iloc[0]:g} of the learning rate. Published: "
        f"{'; '.join(f'{data}, {source}' for data, source in sources.items())}."
    )
    return markdown_table(summary, columns, footer)


def accuracies(accuracy: pd.DataFrame) -> Markup:
    """Return the accuracies of all networks as an HTML table."""
    columns: Columns = {
        "data": "{data}",
        "network": "{network}",
        "parameters": "{parameters:.0f}",
        "steps × batch": "{steps:.0f} × {batch:.0f}",
        "test accuracy": "{mean:.1%}",
        "standard deviation": "{std:.1%}",
        "lowest": "{min:.1%}",
        "highest": "{max:.1%}",
        "published": lambda row: f"{row['published_accuracy']:.1%}" if row["published_by"] else "",
        "seeds": "{count}",
        "last loss (nats)": "{last_loss:.5g}",
    }
    return html_table(table_rows(accuracy_summary(accuracy)), columns, text=("network",))


def introduction(accuracy: pd.DataFrame) -> Markup:
    """Return what was trained, as HTML."""
    return fragment(
        """<p>Residual networks whose branches read their input at offsets computed from that input, trained beside
plain twins: the same code with warping off, the same initial weights, images in the same order. Offsets start at zero
and learn at {{ "%g" | format(multiplier) }} of the learning rate.</p>""",
        multiplier=accuracy["warping_multiplier"].iloc[0],
    )


def caption(accuracy: pd.DataFrame) -> Markup:
    """Return the caption of the plot, which names who published what."""
    rows = table_rows(accuracy_summary(accuracy))
    others = [f"{row['data']}, {row['published_by']}" for row in rows if row["published_by"] and not row["warped"]]
    return fragment(
        """Test accuracy of every run (circles, one for each seed of weights, order and patches) and their mean (bar).
Dotted, what others report: {{ others | join("; ") }}.""",
        others=others,
    )


def configuration() -> dict[str, Any]:
    """Return what the committed records depend on: every run of the first seed with its data, and how many seeds."""
    plan = [one for _, one in _plan(TASKS, range(1), None)]
    loaded = {one.data: one.load_data() for one in plan}
    data = {name: [digest(part.images.numpy()) for part in (found.train, found.test)] for name, found in loaded.items()}
    return {"runs": [asdict(one) for one in plan], "data": data, "seeds": RunSettings.seeds, "interval": INTERVAL}


def train_cell(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Train the cheapest network with warps anew, as long as for the record, and compare its test accuracy."""
    task = TASKS[-1]
    one = task.run(0, None, warped=True)
    settings.on_progress(0.0, f"train {one.model}, seed 0")
    device = torch.device(settings.device)
    found = train(one, device=device)
    rows = records.read_table(committed / ACCURACY)
    known = rows[(rows["data"] == one.data) & (rows["network"] == one.model) & (rows["seed"] == 0)].iloc[0]
    assert found.test_accuracy is not None
    share = known["test_accuracy"]
    return RecomputedCell(
        what=f"test accuracy of {one.model} on {one.data}, seed 0, trained for {one.settings.steps} steps",
        committed=float(share),
        recomputed=found.test_accuracy,
        tolerance=3 * math.sqrt(2 * share * (1 - share) / known["tested"]),
        reason=(
            "the order of sums differs between processors and numbers of threads, after which trainings part; three "
            "standard errors of the difference of two shares"
        ),
    )


def finding(accuracy: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    summary = accuracy_summary(accuracy)
    means = summary.pivot_table(index="data", columns="warped", values="mean", sort=False)
    deviations = summary.pivot_table(index="data", columns="warped", values="std", sort=False)
    told = [
        f"{means.loc[data, True]:.1%} against {means.loc[data, False]:.1%} on {data} "
        f"(deviation over seeds {deviations.loc[data].max():.1%})"
        for data in means.index
    ]
    return fragment(
        "Test accuracy of networks that warp themselves, against their plain twins: {{ told | join(', ') }}.",
        told=told,
    )


ANALYSIS = Analysis(
    run=run,
    writes=(ACCURACY, STEPS, LAYERS),
    cost=Cost(quick=12, full=720, cores=2),
    long=LongComputation(configuration=configuration, cell=train_cell),
    section=Section(
        title="Self-warp networks",
        order=80,
        finding=ReportPassage(finding, (ACCURACY,)),
        parts=(
            ReportPassage(introduction, (ACCURACY,)),
            Plot(
                plot_accuracy_of_networks,
                (ACCURACY,),
                alt="Test accuracy of networks with and without warps",
                caption=caption,
            ),
            ReportPassage(accuracies, (ACCURACY,)),
        ),
    ),
    tables=(DocumentTable("networks", networks_table, (ACCURACY,)),),
)
