"""A training run by the names of its parts: network, data, settings; and the records that it leaves."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from warptheory import networks
from warptheory.core import html, records
from warptheory.core.checks import check_integer
from warptheory.core.device import device_name
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.files import remove
from warptheory.core.presented import Presented
from warptheory.operators import SamplingOperator
from warptheory.training import data
from warptheory.training.checkpoint import Checkpoint, open_checkpoints
from warptheory.training.data import Dataset, LabelledImages
from warptheory.training.diagnosis import DivergedError
from warptheory.training.loop import TrainingMonitor, check_inputs, fit
from warptheory.training.metrics import TrainingStep, history_table, summary_writer, tensorboard_log
from warptheory.training.model_state import fingerprint, weights_of
from warptheory.training.processes import Processes
from warptheory.training.settings import TrainingSettings

OnStep = Callable[[TrainingStep], None]


@runtime_checkable
class MonitorFactory(Protocol):
    """What makes a monitor of a model whose next step has a number, such as `stability.monitor`."""

    def __call__(self, model: nn.Module, *, first_step: int) -> AbstractContextManager[TrainingMonitor]:
        """Return the monitor; its table has columns "step" and "training"."""


@dataclass(frozen=True)
class TrainingRun(Presented):
    """What is trained on what, and how.

    Attributes:
        model: name of a network in `networks.names()`.
        data: name of a data set in `data.names()`.
        settings: of the run; their seed is also that of the initial weights, and of what the data set draws.
        model_options: options of the network, such as width.
        data_options: options of the data set, such as the size of patches.
        data_dir: folder of the files, for data that are read from files.
        download: fetch the files if they are not there.

    Raises:
        ArgumentError: an option that is an attribute of the run, or that the data decide.
    """

    model: str
    data: str
    settings: TrainingSettings
    model_options: Mapping[str, Any] = field(default_factory=dict)
    data_options: Mapping[str, Any] = field(default_factory=dict)
    data_dir: Path | None = None
    download: bool = False

    def __post_init__(self) -> None:
        _refuse("model_options", self.model_options, ("name", "classes", "channels_in"))
        _refuse("data_options", self.data_options, ("name", "data_dir", "download", "seed"))

    @property
    def name(self) -> str:
        """A name for a folder of this run alone: data, network, seed, and a digest of everything else chosen here."""
        chosen = {"settings": asdict(self.settings), "model": dict(self.model_options), "data": dict(self.data_options)}
        digest = sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()[:8]
        return f"{self.data}-{self.model}-{self.settings.seed}-{digest}"

    def load_data(self) -> Dataset:
        """Return the data set.

        Raises:
            UnknownNameError: no such data set.
            ArgumentError: options or files that cannot be used.
        """
        seed = self.settings.seed
        with _named("data"):
            return data.load(self.data, data_dir=self.data_dir, download=self.download, seed=seed, **self.data_options)

    def build_model(self, dataset: Dataset) -> nn.Module:
        """Return the network for a data set, with its initial weights.

        Raises:
            UnknownNameError: no such network.
            ArgumentError: options that cannot be used, or images for a network of signals, or the reverse.
        """
        options: dict[str, Any] = {"seed": self.settings.seed, **self.model_options}
        channels, *size = dataset.train.images.shape[1:]
        with _named("model", "model_options"):
            network = networks.build(self.model, classes=len(dataset.classes), channels_in=channels, **options)
        if network.dim != len(size):
            expected = f"a network for {self.data}, whose examples have {len(size)} axes"
            raise ArgumentError("model", expected=expected, received=f"{self.model!r}, for {network.dim}")
        return network

    def configuration(self, dataset: Dataset) -> dict[str, Any]:
        """Return everything that weights and accuracies depend on, as JSON has it: the data by their digests."""
        digests = {"data_sha256": _digest(dataset.train), "test_sha256": _digest(dataset.test)}
        network = {"model": self.model, "model_options": dict(self.model_options)}
        return {**network, "data": self.data, **digests, **asdict(self.settings)}


@dataclass(frozen=True)
class TrainedModel(Presented):
    """What a run came to.

    Attributes:
        model: the trained network.
        history: one entry per step, those before an interruption included.
        monitored: what the monitor recorded, None without one.
        classes: number of classes.
        tested: number of test images.
    """

    model: nn.Module
    history: Sequence[TrainingStep]
    monitored: pd.DataFrame | None
    classes: int
    tested: int

    def _parts(self) -> Iterable[str]:
        return [type(self.model).__name__, f"steps={len(self.history)}", f"test_accuracy={self._accuracy}"]

    def _subtitle(self) -> str:
        return f"{type(self.model).__name__} after {len(self.history)} steps"

    def _card(self) -> Iterable[object]:
        yield html.properties(
            [
                ("test accuracy", f"{self._accuracy} of {self.tested} images, {self.classes} classes"),
                ("speed", f"{self.images_per_second:.0f} images a second"),
                ("monitored", "no" if self.monitored is None else f"{len(self.monitored)} rows in `monitored`"),
            ]
        )
        losses = [step.loss for step in self.history]
        if len(losses) > 1:
            yield html.line_plot([step.step for step in self.history], losses, x_label="step", y_label="loss (nats)")

    @property
    def _accuracy(self) -> str:
        return "not asked for" if self.test_accuracy is None else f"{self.test_accuracy:.4f}"

    @property
    def test_accuracy(self) -> float | None:
        """Share of the test images that the trained network classifies correctly."""
        return self.history[-1].test_accuracy

    @property
    def images_per_second(self) -> float:
        """Median over the steps."""
        return median(step.images_per_second for step in self.history)


def train(
    run: TrainingRun,
    *,
    device: torch.device,
    out: str | Path | None = None,
    resume: bool = False,
    fresh: bool = False,
    checkpoint_interval: int = 100,
    evaluation_interval: int | None = None,
    tensorboard: bool = False,
    watch: MonitorFactory | None = None,
    on_step: OnStep | None = None,
) -> TrainedModel:
    """Train a network on a data set, and leave records of it.

    Inside `joined_processes` the processes train the network together, and the first one writes.

    Args:
        run: what is trained on what.
        device: where to train, such as the one that `joined_processes` yields.
        out: folder of checkpoints, metrics.parquet, monitor.parquet, weights.safetensors and their manifests; None
            writes nothing.
        resume: go on from the last checkpoint in the folder, or start if there is none.
        fresh: forget what the folder holds.
        checkpoint_interval: steps from one checkpoint to the next.
        evaluation_interval: steps between evaluations on the test images, besides the last one.
        tensorboard: also log every step for TensorBoard, into the folder.
        watch: makes the monitor of the model, such as `stability.monitor`; a network without warps has none.
        on_step: called after every step, in the first process.

    Raises:
        ArgumentError: names or options that cannot be used, or a folder that holds something else.
        DivergedError: the loss or a gradient became infinite or NaN, or the loss has grown by an order of magnitude at
            the end, as in `fit`; the metrics so far are written.
        CheckpointError: a checkpoint could not be written.
        KeyboardInterrupt: from outside; the metrics so far are written.
    """
    if out is None and (resume or fresh or tensorboard):
        raise ArgumentError("out", expected="a folder, for --resume, --fresh and --tensorboard", received="none")
    check_integer("checkpoint_interval", checkpoint_interval)
    processes = Processes.current()
    with ExitStack() as stack:
        # A run that cannot be started leaves no folder behind.
        with processes.first_alone():
            dataset = run.load_data()
            model = run.build_model(dataset).to(device)
            images, labels = _moved(dataset.train, device)
            test = _moved(dataset.test, device)
            check_inputs(model, images, labels, run.settings, test=test, evaluation_interval=evaluation_interval)
            if tensorboard:
                summary_writer()
            if out is not None and processes.rank == 0:
                records.check_free(*_record_paths(Path(out)))
        # Channels last is the order in which convolutions and warps of several channels are fastest.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs omit it
        configuration = run.configuration(dataset)
        checkpoints = stack.enter_context(
            open_checkpoints(out, configuration, interval=checkpoint_interval, resume=resume, fresh=fresh)
        )
        last = None if checkpoints is None else checkpoints.latest()
        measured = [] if last is None else last.history
        listeners: list[OnStep] = [measured.append] if on_step is None else [measured.append, on_step]
        if tensorboard and out is not None and processes.rank == 0:
            first = 0 if last is None else last.step
            listeners.append(
                stack.enter_context(tensorboard_log(records.inner_folder(Path(out), "tensorboard"), first))
            )
        monitor = None if watch is None or not _samples(model) else _watched(stack, watch, model, last)
        write = _Records(Path(out), configuration, device) if out is not None and processes.rank == 0 else None
        if write is not None and fresh:
            write.forget()
        try:
            history = fit(
                model,
                images,
                labels,
                run.settings,
                test=test,
                evaluation_interval=evaluation_interval,
                checkpoints=checkpoints,
                monitor=monitor,
                on_step=_together(listeners) if processes.rank == 0 else None,
            )
        except DivergedError as error:
            if write is not None:
                write.metrics(error.history)
            raise
        except KeyboardInterrupt:
            if write is not None and measured:
                write.metrics(measured)
            raise
        monitored = None if monitor is None else monitor.table()
        trained = TrainedModel(model, history, monitored, len(dataset.classes), len(dataset.test.images))
        if write is not None:
            write.everything(trained)
    return trained


class _ContinuedMonitor:
    """A monitor of training steps that goes on where another one stopped."""

    def __init__(self, before: Sequence[pd.DataFrame], monitor: TrainingMonitor) -> None:
        self._before, self._monitor = before, monitor

    def table(self) -> pd.DataFrame:
        """Return the rows of both that were recorded in training."""
        found = self._monitor.table()
        in_training = found[found["training"]]
        # A table without rows has columns without types, which would spoil those of the others.
        parts = [part for part in (*self._before, in_training) if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else in_training


def _watched(stack: ExitStack, watch: MonitorFactory, model: nn.Module, last: Checkpoint | None) -> TrainingMonitor:
    """Start a monitor, and put the rows that the last checkpoint holds before its own."""
    monitor = stack.enter_context(watch(model, first_step=0 if last is None else last.step))
    before = [] if last is None or "monitor" not in last.tables else [last.tables["monitor"]]
    return _ContinuedMonitor(before, monitor)


def _record_paths(folder: Path) -> list[Path]:
    return [folder / name for name in ("metrics.parquet", "monitor.parquet", "weights.safetensors")]


def _samples(model: nn.Module) -> bool:
    return any(isinstance(module, SamplingOperator) for module in model.modules())


class _Records:
    """The records of a run, in its folder."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any], device: torch.device) -> None:
        self._folder = folder
        self._manifest = records.Manifest(
            records.command_line(), configuration["seed"], device_name(device), {**configuration, **_surroundings()}
        )

    def forget(self) -> None:
        """Remove the records of an earlier run."""
        for path in _record_paths(self._folder):
            remove(path)
            remove(path.with_suffix(".json"), records.is_record)

    def metrics(self, history: Sequence[TrainingStep]) -> None:
        """Write what every step measured."""
        records.write_table(self._folder / "metrics.parquet", history_table(history), self._manifest)

    def everything(self, trained: TrainedModel) -> None:
        """Write metrics, what the monitor recorded, and the weights."""
        self.metrics(trained.history)
        if trained.monitored is not None:
            records.write_table(self._folder / "monitor.parquet", trained.monitored, self._manifest)
        found = {"test_accuracy": trained.test_accuracy, "weights_sha256": fingerprint(trained.model)}
        manifest = replace(self._manifest, settings={**self._manifest.settings, **found})
        path = self._folder / "weights.safetensors"
        try:
            records.write_arrays(path, weights_of(trained.model), manifest)
        except SafetensorError as error:  # what safetensors makes of a disk that is full
            raise OSError(f"{path}: {error}") from error


@contextmanager
def _named(name: str, option: str = "option") -> Iterator[None]:
    """Call a name or an option that is unknown what the run calls it."""
    called = {"name": name, "option": option}
    try:
        yield
    except UnknownNameError as error:
        if error.argument not in called:
            raise
        raise UnknownNameError(called[error.argument], error.name, error.known) from error


def _refuse(argument: str, options: Mapping[str, Any], decided: Sequence[str]) -> None:
    for name in decided:
        if name in options:
            raise ArgumentError(argument, expected=f"no {name}, which the run itself decides", received=options[name])


def _digest(images: LabelledImages) -> str:
    digest = sha256(images.images.contiguous().numpy().data)
    digest.update(images.labels.contiguous().numpy().data)
    return digest.hexdigest()


def _surroundings() -> dict[str, int]:
    """Return what the last bit of the weights depends on, besides the configuration and the device."""
    return {"processes": Processes.current().count, "threads": torch.get_num_threads()}


def _moved(images: LabelledImages, device: torch.device) -> tuple[Tensor, Tensor]:
    return images.images.to(device), images.labels.to(device)


def _together(listeners: Sequence[OnStep]) -> OnStep:
    def call(measured: TrainingStep) -> None:
        for listener in listeners:
            listener(measured)

    return call
