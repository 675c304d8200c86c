"""`warptheory diagnose`: tell from a few batches whether a model will train, and what to set if not."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warptheory.cli import _names as names
from warptheory.cli import _options as options
from warptheory.cli._assignments import assignments
from warptheory.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from warptheory.cli._named_models import NamedTraining
    from warptheory.training import TrainingSettings
    from warptheory.training.data import LabelledImages

EXAMPLES = (
    "Examples:  warptheory diagnose train:build  ·  "
    "warptheory diagnose package.module:model --data digits --warping-multiplier 0.01  ·  "
    "warptheory diagnose train:build --batches 8 --html diagnosis.html"
)

CALLED = {"data_options": "data_option"}


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="Callable in a module, such as train:build; it returns a model, or model, batches, loss, optimizer.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Data set, by name, where the callable returns no batches.", callback=names.optional_data),
    ] = None,
    data_option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the data set, such as size=16 of patches; may be repeated."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set's files, by checksum.")] = False,
    batch: Annotated[int, typer.Option(help="Images of a batch, with --data.")] = 64,
    count: Annotated[int, typer.Option("--batches", help="Batches that are used; the error of ρ falls with them.")] = 4,
    optimizer: Annotated[str, typer.Option(help="sgd or adamw, where the callable returns no optimizer.")] = "sgd",
    learning_rate: Annotated[float, typer.Option(help="Its learning rate; about 0.001 suits adamw.")] = 0.05,
    warping_multiplier: Annotated[float, typer.Option(help="Factor on the learning rate of self-warps.")] = 0.01,
    momentum: Annotated[float, typer.Option(help="Momentum; of adamw, decay rate of the first moment.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of filters and matrices.")] = 1e-4,
    steps: Annotated[int | None, typer.Option(help="Steps that training will have: can samples move enough?")] = None,
    seed: options.Seed = 0,
    html: Annotated[Path | None, typer.Option(help="HTML page to write, with plots.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for diagnosis.json and diagnosis.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnosis as a JSON object instead.")] = False,
) -> None:
    """Diagnose a model before it is trained; exit code 0 only if the verdict is 'ok'.

    The callable is imported, with the current folder on the path, and called without arguments. It returns a torch
    model, or a tuple (model, batches, loss, optimizer), or a dict or an object with these names. Batches are pairs
    (inputs, target); inputs are a tensor, or a tuple of the model's arguments. What it does not return comes from the
    options: batches of --data, cross-entropy, and the optimizer of `warptheory train`.
    """
    from torch.nn import functional

    from warptheory.cli._console import console
    from warptheory.cli._diagnosis_view import print_diagnosis
    from warptheory.cli._named_models import current_folder_on_path, named_training
    from warptheory.core import records
    from warptheory.core.errors import ArgumentError
    from warptheory.core.plain_values import plain
    from warptheory.report import write_diagnosis
    from warptheory.stability.diagnosing import diagnose
    from warptheory.training import TrainingSettings

    settings = TrainingSettings(
        steps=1,
        batch=batch,
        learning_rate=learning_rate,
        warping_multiplier=warping_multiplier,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule="constant",
        seed=seed,
    )
    pages = [] if html is None else [records.output_folder(html.parent, "html") / html.name]
    folder = None if out is None else records.output_folder(out)
    if folder is not None:
        pages.append(folder / "diagnosis.html")
        records.check_free(folder / "diagnosis.json")
    records.check_free(*pages)
    chosen = {"data_option": data_option, "data_dir": data_dir, "download": download}
    if data is None and any(chosen.values()):
        raise ArgumentError("data", expected="a data set, for options of it", received="none")
    with current_folder_on_path():
        found = named_training(target, seed)
        batches = found.batches
        if batches is None or data is not None:
            loaded = {"data_dir": data_dir, "download": download, **assignments("data_option", data_option)}
            batches = _batches(found, target, data, loaded, settings, count)
        loss = functional.cross_entropy if found.loss is None else found.loss
        trainer = _built(found.model, settings) if found.optimizer is None else found.optimizer
        try:
            diagnosis = diagnose(found.model, batches, loss, trainer, count=count, steps=steps, seed=seed)
        except ArgumentError as error:
            if error.argument in ("model", "batches", "loss", "optimizer"):
                raise error.called(f"{error.argument} of {target}") from error
            raise
    written = {"target": target, "data": data, "batches": count, **asdict(settings)}
    manifest = records.Manifest(records.command_line(), seed, "cpu", written)
    for page in pages:
        write_diagnosis(diagnosis, page, manifest=manifest)
    if folder is not None:
        records.write_json(folder / "diagnosis.json", {**asdict(manifest), "diagnosis": plain(diagnosis)})
    if as_json:
        print(diagnosis.to_json())
    else:
        print_diagnosis(diagnosis, console)
    for path in [*pages, *([] if folder is None else [folder / "diagnosis.json"])]:
        typer.echo(one_line(f"written: {path}"), err=True)
    if diagnosis.verdict != "ok":
        raise typer.Exit(1)


def _batches(
    found: "NamedTraining",
    target: str,
    data: str | None,
    options_of_data: dict[str, Any],
    settings: "TrainingSettings",
    count: int,
) -> "list[tuple[Tensor, Tensor]]":
    """Return the first batches of a data set.

    Raises:
        ArgumentError: batches from both sides or from neither, or a data set or options that cannot be used.
    """
    from warptheory.core.checks import check_integer
    from warptheory.core.errors import ArgumentError
    from warptheory.training import data as data_sets

    if data is None:
        expected = f"a data set, as {target} returns no batches"
        raise ArgumentError("data", expected=expected, received="none")
    if found.batches is not None:
        raise ArgumentError("data", expected=f"none, as {target} returns batches", received=repr(data))
    for name in ("name", "seed"):
        if name in options_of_data:
            raise ArgumentError("data_option", expected=f"no {name}", received=options_of_data[name])
    images = data_sets.load(data, seed=settings.seed, **options_of_data).train
    check_integer("batch", settings.batch, 1, len(images.images))
    check_integer("count", count, 1)
    return list(_drawn(images, settings, count))


def _drawn(images: "LabelledImages", settings: "TrainingSettings", count: int) -> "Iterator[tuple[Tensor, Tensor]]":
    """Yield the batches (images, labels) of the first steps of training, without augmentation."""
    import torch

    from warptheory.training.batches import batch_positions

    for step in range(count):
        positions = batch_positions(len(images.images), settings.batch, settings.seed, step)
        chosen = images.at(torch.from_numpy(positions))
        yield chosen.images, chosen.labels


def _built(model: "nn.Module", settings: "TrainingSettings") -> "Optimizer":
    """Return the optimizer of the options, with its learning rates."""
    from warptheory.training.optimizers import build_optimizer, set_learning_rate

    built = build_optimizer(
        model,
        settings.optimizer,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        warping_multiplier=settings.warping_multiplier,
    )
    set_learning_rate(built, settings.learning_rate)
    return built
