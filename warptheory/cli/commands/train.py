"""`warptheory train`: train a network, with or without warps, on real or synthetic images."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warptheory.cli import _names as names
from warptheory.cli import _options as options
from warptheory.cli._assignments import assignments
from warptheory.core.text import one_line

if TYPE_CHECKING:
    from warptheory.training import TrainedModel, TrainingRun, TrainingStep

EXAMPLES = (
    "Examples:  warptheory train --model selfwarp-resnet20 --data patches --steps 300 --out run  ·  "
    "warptheory train --data patches --steps 300 --out run --resume  ·  "
    "warptheory train --model-option placement=both --model-option lipschitz=0.9 --data-option size=16  ·  "
    "warptheory train --data cifar10 --download --augment flip --augment crop  ·  "
    "torchrun --nproc-per-node=2 -m warptheory train --data digits --steps 200"
)

GOING_ON = "The same command with --resume goes on from the last checkpoint."

CALLED = {
    "model_options": "model_option",
    "data_options": "data_option",
    "checkpoint_interval": "checkpoint_every",
    "evaluation_interval": "evaluate_every",
    "interval": "monitor_every",
}

Assignments = list[str] | None


def command(
    model: Annotated[
        str, typer.Option(help="Network, by name; `warptheory list` names them all.", callback=names.network)
    ] = ("selfwarp-resnet20"),
    data: Annotated[
        str, typer.Option(help="Data set, by name; `warptheory list` names them all.", callback=names.data)
    ] = "patches",
    steps: Annotated[int, typer.Option(help="Number of updates.")] = 300,
    batch: Annotated[int, typer.Option(help="Images per update, over all processes together.")] = 128,
    width: Annotated[int | None, typer.Option(help="Channels of the first stage.")] = None,
    model_option: Annotated[
        Assignments,
        typer.Option(
            metavar="NAME=VALUE", help="Option of the network or its warps, such as groups=4; may be repeated."
        ),
    ] = None,
    data_option: Annotated[
        Assignments,
        typer.Option(metavar="NAME=VALUE", help="Option of the data set, such as size=16 of patches; may be repeated."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set's files, by checksum.")] = False,
    optimizer: Annotated[str, typer.Option(help="sgd or adamw.")] = "sgd",
    learning_rate: Annotated[float, typer.Option(help="Largest learning rate; about 0.001 suits adamw.")] = 0.05,
    warping_multiplier: Annotated[float, typer.Option(help="Factor on the learning rate of offsets.")] = 0.01,
    momentum: Annotated[float, typer.Option(help="Momentum; of adamw, decay rate of the first moment.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of filters and matrices.")] = 1e-4,
    schedule: Annotated[str, typer.Option(help="cosine, step or constant.")] = "cosine",
    warm_up: Annotated[int, typer.Option(help="First steps, in which the learning rate grows.")] = 0,
    augment: Annotated[list[str] | None, typer.Option(help="flip or crop; give the option twice for both.")] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None,
    precision: Annotated[str, typer.Option(help="fp32, or mixed with bf16, or with fp16 on a GPU.")] = "fp32",
    seed: options.Seed = 0,
    device: Annotated[
        str, typer.Option(help="torch device that trains: cpu, cuda or cuda:1; with torchrun each process takes one.")
    ] = "cpu",
    out: options.Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out; start if there is none.")
    ] = False,
    fresh: options.Fresh = False,
    checkpoint_every: Annotated[int, typer.Option(help="Steps from one checkpoint to the next.", min=1)] = 100,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between evaluations on test images.", min=1)] = None,
    monitor_every: Annotated[int, typer.Option(help="Steps between records of every warp; 0 for none.", min=0)] = 10,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also log for TensorBoard, into --out.")] = False,
) -> None:
    """Train a network, and print its accuracy on the test images.

    With --out, metrics, monitor and weights are written there, and checkpoints: --resume goes on from the last one,
    to the same weights, to the last bit, as without an interruption. Exit code 1 if training diverges,
    or ends with a loss that has grown by an order of magnitude.

    The options of a network are those of its builder and of its warps (python -m pydoc
    warptheory.networks.selfwarp_resnet, warptheory.networks.selfwarp_net1d and warptheory.operators.SelfWarp);
    those of a data set are those of its function (python -m pydoc warptheory.training.data.patches, and so on).
    """
    from warptheory import training
    from warptheory.cli._console import progress_bar
    from warptheory.stability import monitor

    settings = training.TrainingSettings(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        warping_multiplier=warping_multiplier,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=schedule,
        warm_up=warm_up,
        augment=tuple(augment or ()),
        clip=clip,
        precision=precision,
        seed=seed,
    )
    chosen = _model_options(model_option, width)
    run = training.TrainingRun(
        model, data, settings, chosen, assignments("data_option", data_option), data_dir, download
    )
    with (
        training.joined_processes(device) as (processes, place),
        progress_bar("train", shown=processes.rank == 0) as update,
    ):
        try:
            trained = training.train(
                run,
                device=place,
                out=out,
                resume=resume,
                fresh=fresh,
                checkpoint_interval=checkpoint_every,
                evaluation_interval=evaluate_every,
                tensorboard=tensorboard,
                watch=None if monitor_every == 0 else partial(monitor, interval=monitor_every),
                on_step=partial(_show, update, steps),
            )
        except training.FirstProcessError:  # which says why
            raise typer.Exit(1) from None
        if processes.rank > 0:
            return
    _print(run, trained)
    if out is not None:
        typer.echo(one_line(f"written: {out}"), err=True)


def _show(update: Callable[[float, str], None], steps: int, measured: "TrainingStep") -> None:
    """Show how far training is: in the progress bar, and where there is none by ten lines in all."""
    done, scores = measured.step + 1, f"loss {measured.loss:.3f}, accuracy {measured.accuracy:.2f}"
    text = f"{scores}, {measured.images_per_second:.0f} images/s"
    update(done / steps, text)
    if not sys.stderr.isatty() and 10 * done // steps > 10 * measured.step // steps:
        typer.echo(f"step {done} of {steps}: {text}", err=True)


def _print(run: "TrainingRun", trained: "TrainedModel") -> None:
    """Print what the run came to."""
    last, settings = trained.history[-1], run.settings
    print(f"{run.model} on {run.data}: {settings.steps} steps of {settings.batch} images; seed {settings.seed}")
    print(f"last batch: loss {last.loss:.4g}, accuracy {last.accuracy:.3f}; {trained.images_per_second:.0f} images/s")
    print(f"test accuracy: {trained.test_accuracy:.4f} of {trained.tested} images in {trained.classes} classes")


def _model_options(texts: list[str] | None, width: int | None) -> dict[str, bool | int | float | str]:
    """Return the options of the network.

    Raises:
        ArgumentError: not NAME=VALUE, or the width is there twice.
    """
    from warptheory.core.errors import ArgumentError

    found = assignments("model_option", texts)
    if width is None:
        return found
    if "width" in found:
        raise ArgumentError("width", expected="either --width or --model-option width=…", received="both")
    return {**found, "width": width}
