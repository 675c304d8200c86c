"""Train self-warp networks and their plain twins on real data: how well they learn, and what their warps do meanwhile.

Writes `selfwarp_accuracy.parquet`, a row for each run: three tasks, with and without warps, over several seeds of the
weights, the order of the images and the patches; on a GPU, one task with a deep network in two precisions. Besides, of
the first task, `selfwarp_steps.parquet` has the loss of every step, and `selfwarp_layers.parquet` what the monitor
recorded of every warp: the data of Figure 2.
Finished runs, and checkpoints of the one in hand, are kept in a folder beside the records: a later call goes on there.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from warptheory.core import records
from warptheory.core.analysis import run_as_script
from warptheory.core.device import device_name
from warptheory.montecarlo import check_device
from warptheory.stability import monitor
from warptheory.training import TrainedModel, TrainingRun, TrainingSettings, history_table, train

SCRIPT = "analyses/selfwarp_training.py"
SEEDS = 3
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


def run(
    out: Path,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[float, str], None] | None = None,
    *,
    seeds: int = SEEDS,
    most_steps: int | None = None,
    tasks: tuple[Task, ...] | None = None,
) -> Path:
    """Train everything that is not trained already, and write the records; return the path of the first.

    Args:
        out: folder of the records.
        seed: the first seed.
        device: torch device.
        on_progress: called with the share of the runs that is done, and what is trained.
        seeds: number of seeds, of successive numbers.
        most_steps: of every run, at most so many steps.
        tasks: what is trained on what; None for `tasks_for(device)`.
    """
    check_device(device)
    tasks = tasks_for(device) if tasks is None else tasks
    folder = records.output_folder(out)
    report = on_progress or (lambda share, name: None)
    plan = list(_plan(tasks, range(seed, seed + seeds), most_steps))
    trained = []
    for number, (task, one) in enumerate(plan):
        report(number / len(plan), f"train {one.model}, seed {one.settings.seed}")
        watched = _is_warped(one) and task is tasks[0]
        trained.append(_train(one, records.inner_folder(folder.parent, "training"), device, watched=watched))
    settings = {"seeds": seeds, "most_steps": most_steps, "tasks": [task.data for task in tasks]}
    manifest = records.Manifest(SCRIPT, seed, device, settings)
    first = [
        (_described(one, device), found) for (task, one), found in zip(plan, trained, strict=True) if task is tasks[0]
    ]
    steps = pd.concat(history_table(found.history).assign(**described) for described, found in first)
    layers = pd.concat(found.monitored.assign(**described) for described, found in first if found.monitored is not None)
    records.write_table(folder / "selfwarp_steps.parquet", steps, manifest)
    records.write_table(folder / "selfwarp_layers.parquet", layers, manifest)
    path = folder / "selfwarp_accuracy.parquet"
    rows = [_row(task, one, found, device) for (task, one), found in zip(plan, trained, strict=True)]
    records.write_table(path, pd.DataFrame(rows), manifest)
    return path


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


if __name__ == "__main__":
    run_as_script(run, __doc__)
