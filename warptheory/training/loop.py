"""One readable training loop."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn
from torch.nn import functional

from warptheory.core.checks import check_integer, check_known
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.training.batches import draw_batch
from warptheory.training.checkpoint import Checkpoint, Checkpoints, check_settings
from warptheory.training.diagnosis import diverged, grown, loss_growth
from warptheory.training.metrics import TrainingStep, history_table
from warptheory.training.model_state import restore_state, state_tensors
from warptheory.training.optimizers import build_optimizer, gradient_norms, set_learning_rate
from warptheory.training.precision import Precision
from warptheory.training.processes import Processes
from warptheory.training.schedules import learning_rate_factor
from warptheory.training.settings import TrainingSettings

LabelledTensors = tuple[Float[Tensor, "M C *S"], Int[Tensor, " M"]]


@runtime_checkable
class TrainingMonitor(Protocol):
    """What the loop asks of a monitor, such as `stability.monitor`: the rows that it has recorded."""

    def table(self) -> pd.DataFrame:
        """Return a row for each record, with a column "step"."""


def fit(
    model: nn.Module,
    images: Float[Tensor, "N C *S"],
    labels: Int[Tensor, " N"],
    settings: TrainingSettings | None = None,
    *,
    test: LabelledTensors | None = None,
    evaluation_interval: int | None = None,
    checkpoints: Checkpoints | None = None,
    monitor: TrainingMonitor | None = None,
    on_step: Callable[[TrainingStep], None] | None = None,
    **chosen: Any,
) -> list[TrainingStep]:
    """Train a classifier in place.

    The weights that come out depend on the settings, the model, the data and the device, and not on interruptions.
    In processes that torch.distributed joined each trains on its share of every batch, and gradients and batch
    statistics are those of the whole batch: losses are those of one process, up to rounding.

    Args:
        model: a classifier, on the device that trains it; its `parameter_groups()`, if it has them, are "warping" and
            "rest", else the parameters of its self-warps are "warping"; see `networks.parameter_groups`.
        images: training images, shape (N, C, *S), in the model's dtype, on any device.
        labels: their classes, shape (N,).
        settings: of the run; made of `chosen` if there are none.
        test: images (M, C, *S) and labels (M,) that the model is evaluated on after the last step.
        evaluation_interval: steps between evaluations on `test`, besides the last one.
        checkpoints: where the run's state is kept, and from where it goes on if there is one.
        monitor: what it recorded is kept in checkpoints, and told if training diverges.
        on_step: called after every step.
        chosen: fields of `TrainingSettings`, by name, such as steps=300; they replace those of `settings`.

    Returns:
        One `TrainingStep` per update, those before an interruption included.

    Raises:
        ArgumentError: settings that cannot be used, images and labels that do not belong together, a batch with more
            images than there are, or a checkpoint of another model or of other settings.
        DivergedError: the loss or a gradient became infinite or NaN, or the loss has grown by an order of magnitude
            when all steps are done, by the rule of `training.diagnosis`; the model has the weights of that step.
        CheckpointError: a checkpoint could not be written.
    """
    settings = _settings(settings, chosen)
    processes = Processes.current()
    check_inputs(model, images, labels, settings, test=test, evaluation_interval=evaluation_interval)
    run = _Run(model, labels, settings, processes, checkpoints, monitor)
    history = run.resume()
    model.train()
    with processes.parallel(model) as parallel, _reproducible(run.device):
        for step in range(len(history), settings.steps):
            started = perf_counter()
            factor = learning_rate_factor(settings.schedule, step, settings.steps, settings.warm_up)
            set_learning_rate(run.optimizer, settings.learning_rate * factor)
            inputs, truth = draw_batch(images, labels, settings, step, processes, run.device)
            _seed_model(settings.seed, step, processes.rank)
            loss, right = run.forward(parallel, inputs, truth)
            loss_value, accuracy_value, norms = run.backward(loss, right)
            measured = TrainingStep(step, loss_value, accuracy_value, settings.learning_rate * factor, norms)
            run.check(measured, history)
            run.update(norms)
            speed = settings.batch / (perf_counter() - started)
            tested = run.evaluate(test, step, evaluation_interval)
            measured = replace(measured, images_per_second=speed, test_accuracy=tested)
            history.append(measured)
            run.keep(history)
            if on_step is not None:
                on_step(measured)
    run.check_success(history)
    return history


def check_inputs(
    model: nn.Module,
    images: Float[Tensor, "N C *S"],
    labels: Int[Tensor, " N"],
    settings: TrainingSettings,
    *,
    test: LabelledTensors | None = None,
    evaluation_interval: int | None = None,
) -> None:
    """Check what `fit` is given, before anything is trained or written.

    Args:
        model: as in `fit`.
        images: training images, shape (N, C, *S).
        labels: their classes, shape (N,).
        settings: of the run.
        test: images (M, C, *S) and labels (M,) to evaluate on.
        evaluation_interval: steps between evaluations.

    Raises:
        ArgumentError: as `fit` does.
    """
    _check_data(model, images, labels, settings)
    _check_evaluation(test, evaluation_interval)
    Precision(settings.precision, next((p.device for p in model.parameters()), images.device))


@torch.no_grad()
def accuracy(model: nn.Module, images: Float[Tensor, "N C *S"], labels: Int[Tensor, " N"], batch: int = 256) -> float:
    """Return the share of images (N, C, *S) with labels (N,) that a classifier gets right, in evaluation mode.

    Raises:
        ArgumentError: no images, or images and labels that do not belong together.
    """
    _check_labels("images", "labels", images, labels)
    if len(images) == 0:
        raise ArgumentError("images", expected="at least one image", received="none")
    return _count_right(model, images, labels, batch) / len(images)


class _Run:
    """A model in training: its optimizer, its precision, and how its state is kept."""

    def __init__(
        self,
        model: nn.Module,
        labels: Tensor,
        settings: TrainingSettings,
        processes: Processes,
        checkpoints: Checkpoints | None,
        monitor: TrainingMonitor | None,
    ) -> None:
        self.optimizer = build_optimizer(
            model,
            settings.optimizer,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            warping_multiplier=settings.warping_multiplier,
        )
        self.device = next(model.parameters()).device
        self._precision = Precision(settings.precision, self.device)
        self._labels = range(int(labels.min()), int(labels.max()) + 1)
        self._model, self._settings, self._processes = model, settings, processes
        self._checkpoints, self._monitor = checkpoints, monitor

    def resume(self) -> list[TrainingStep]:
        """Take the state of the last checkpoint, if there is one; return the steps before it."""
        if self._checkpoints is None:
            return []
        checkpoint = self._checkpoints.latest()
        if checkpoint is None:
            return []
        check_settings(self._checkpoints.folder, checkpoint.settings, asdict(self._settings))
        history = checkpoint.history
        restore_state(self._model, self.optimizer, checkpoint.tensors)
        try:
            self._precision.scaler.load_state_dict(dict(checkpoint.scalars))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            expected = "the scale of the loss, and how it changes"
            raise ArgumentError("checkpoint", expected=expected, received=f"{checkpoint.scalars}") from error
        return history

    def forward(self, parallel: nn.Module, inputs: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss of this process's images, and the share of them that is classified correctly."""
        with self._precision.autocast():
            scores = self._precision.exact(parallel(inputs))
        self._check_classes(scores.shape[1])
        loss = functional.cross_entropy(scores, truth)
        return loss, (scores.argmax(1) == truth).to(loss.dtype).mean()

    def backward(self, loss: Tensor, right: Tensor) -> tuple[float, float, dict[str, float]]:
        """Compute the gradients; return loss and accuracy of the whole batch, and the norms by parameter group."""
        self.optimizer.zero_grad()
        torch.autograd.backward(self._precision.scaler.scale(loss))
        self._precision.scaler.unscale_(self.optimizer)
        norms = gradient_norms(self.optimizer)
        means = self._processes.mean(torch.stack([loss.detach(), right]))
        # One transfer: on a GPU, each would wait for the whole step.
        loss_value, accuracy_value, *values = torch.cat([means, torch.stack([*norms.values()])]).tolist()
        return loss_value, accuracy_value, dict(zip(norms, values, strict=True))

    def check(self, measured: TrainingStep, history: list[TrainingStep]) -> None:
        """Raise DivergedError if the loss or a gradient is not finite."""
        finite = all(map(math.isfinite, measured.gradient_norms.values())) or self._precision.may_skip()
        if not (finite and math.isfinite(measured.loss)):
            raise self._diverged(measured, history)

    def check_success(self, history: list[TrainingStep]) -> None:
        """Raise DivergedError if the loss of the finished run has grown."""
        growth = loss_growth([measured.loss for measured in history], len(self._labels))
        if growth is not None:
            raise grown(growth, history, *self._known())

    def update(self, norms: dict[str, float]) -> None:
        """Clip the gradients, if asked to, and update the weights."""
        if self._settings.clip is not None:
            norm = torch.tensor(math.hypot(*norms.values()), device=self.device)
            torch.nn.utils.clip_grads_with_norm_(self._model.parameters(), self._settings.clip, norm)
        self._precision.scaler.step(self.optimizer)
        self._precision.scaler.update()

    def evaluate(self, test: LabelledTensors | None, step: int, interval: int | None) -> float | None:
        """Return the accuracy on the test images after a step, if it is due."""
        last = step + 1 == self._settings.steps
        if test is None or not (last or (interval is not None and (step + 1) % interval == 0)):
            return None
        images, labels = test
        rank, count = self._processes.rank, self._processes.count
        right = torch.tensor(_count_right(self._model, images[rank::count], labels[rank::count]), device=self.device)
        if count > 1:
            distributed.all_reduce(right)
        return right.item() / len(images)

    def keep(self, history: list[TrainingStep]) -> None:
        """Write a checkpoint, if it is due; raise DivergedError if a number in it is not finite."""
        done = len(history)
        if self._checkpoints is None or not self._checkpoints.due(done, self._settings.steps):
            return
        tensors = state_tensors(self._model, self.optimizer)
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise self._diverged(history[-1], history[:-1])
        if self._processes.rank > 0:
            return
        tables = {"metrics": history_table(history)}
        if self._monitor is not None:
            tables["monitor"] = self._monitor.table()
        scalars = self._precision.scaler.state_dict()
        self._checkpoints.save(Checkpoint(done, tensors, scalars, tables, asdict(self._settings)))

    def _check_classes(self, classes: int) -> None:
        if self._labels.start < 0 or self._labels.stop > classes:
            found = f"{self._labels.start} … {self._labels.stop - 1}"
            raise ArgumentError("labels", expected=f"classes 0 … {classes - 1} of the model", received=found)

    def _diverged(self, measured: TrainingStep, history: list[TrainingStep]) -> Exception:
        return diverged(measured, history, *self._known())

    def _known(self) -> tuple[pd.DataFrame | None, Path | None]:
        """Return what the monitor recorded, and the last checkpoint."""
        monitored = None if self._monitor is None else self._monitor.table()
        return monitored, None if self._checkpoints is None else self._checkpoints.latest_path()


def _settings(settings: TrainingSettings | None, chosen: dict[str, Any]) -> TrainingSettings:
    known = TrainingSettings.__dataclass_fields__
    for name in chosen:
        check_known(name, name, known)
    if settings is not None:
        return replace(settings, **chosen)
    if "steps" not in chosen:
        raise ArgumentError("steps", expected="a positive integer", received="nothing")
    return TrainingSettings(**chosen)


def _check_data(model: nn.Module, images: Tensor, labels: Tensor, settings: TrainingSettings) -> None:
    _check_labels("images", "labels", images, labels)
    dtype = next((parameter.dtype for parameter in model.parameters()), images.dtype)
    if images.ndim < 2 or images.dtype != dtype:
        shape = f"{images.dtype} {tuple(images.shape)}"
        raise ArgumentError("images", expected=f"shape (N, C, *S), {dtype} as the model", received=shape)
    if not bool(images.isfinite().all()):
        wrong = int((~images.isfinite()).flatten(1).any(1).nonzero()[0])
        raise ArgumentError("images", expected="finite numbers", received=f"infinite or NaN in image {wrong}")
    if settings.batch > len(images):
        raise ArgumentError("batch", expected=f"an integer in 1 … {len(images)}", received=settings.batch)
    Processes.current().share(settings.batch)


def _check_labels(image_argument: str, label_argument: str, images: Tensor, labels: Tensor) -> None:
    for argument, given in ((image_argument, images), (label_argument, labels)):
        if not isinstance(given, Tensor):
            raise ArgumentError(argument, expected="a torch tensor", received=type(given).__name__)
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        expected, received = f"int64 of shape ({len(images)},)", f"{labels.dtype} {tuple(labels.shape)}"
        raise ArgumentError(label_argument, expected=expected, received=received)


def _check_evaluation(test: LabelledTensors | None, interval: int | None) -> None:
    if test is not None:
        _check_labels("test", "test", *test)
        if len(test[0]) == 0:
            raise ArgumentError("test", expected="at least one image", received="none")
    if interval is None:
        return
    check_integer("evaluation_interval", interval)
    if test is None:
        raise ArgumentError("evaluation_interval", expected="None, without images to test on", received=interval)


def _count_right(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 256) -> int:
    """Return how many images a classifier gets right in evaluation mode; all its modes are as before afterwards."""
    modes, device = {module: module.training for module in model.modules()}, next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        parts = [slice(start, start + batch) for start in range(0, len(images), batch)]
        hits = [model(images[part].to(device)).argmax(1) == labels[part].to(device) for part in parts]
        right = sum(int(hit.sum()) for hit in hits)
    for module, training in modes.items():
        module.training = training
    return right


@contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Let cuDNN repeat itself, and leave torch's global generators and settings as they were."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    try:
        cudnn.benchmark, cudnn.deterministic = False, True
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def _seed_model(seed: int, step: int, rank: int) -> None:
    """Make what the model draws by torch's global generator, as dropout does, a function of (seed, step, rank)."""
    torch.manual_seed(int(Stream(seed, f"model noise/{rank}", step).generator().integers(2**63)))
