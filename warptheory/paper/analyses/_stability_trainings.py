"""Trainings of a second or two: two tasks, an outcome for each run, and the speed ratio before the first step (G5)."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory import montecarlo
from warptheory.core.streams import Stream
from warptheory.paper.analyses._stability_networks import FAMILIES, WIDTH, Heads, offset_parameters
from warptheory.paper.entries import OnProgress
from warptheory.training import data
from warptheory.training.data import LabelledImages

SIZE, CLASSES = 12, 4  # pixels, side of an image; classes that are told apart
STEPS, BATCH, RATE, MOMENTUM = 80, 16, 0.1, 0.9
RATIO_BATCHES = 4  # of a network, over which the speed ratio is averaged
LAST = 20  # steps over which the last loss is averaged
MOST_LOSS = 100.0  # nats; a loss that is greater, or not finite, counts as this
# Digits under random affine maps, which a warp can undo; and the same digits upright, where there is nothing to undo.
_UPRIGHT = {"rotation": 0.0, "smallest": 1.5, "largest": 1.5, "aspect": 1.0, "shear": 0.0}
_OPTIONS: dict[str, dict[str, Any]] = {"affine digits": {"smallest": 0.75, "largest": 1.5}, "upright digits": _UPRIGHT}
TASKS = tuple(_OPTIONS)


@dataclass(frozen=True)
class LabelledTask:
    """Labelled images, to train on and to test on.

    Attributes:
        train: images to train on.
        test: others.
        classes: number of classes.
    """

    train: LabelledImages
    test: LabelledImages
    classes: int

    @property
    def chance(self) -> float:
        """Loss of a network that knows nothing, in nats."""
        return math.log(self.classes)

    def batches(self, seed: int, count: int, size: int = BATCH) -> Iterator[LabelledImages]:
        """Yield batches of images drawn at random, always the same for a seed."""
        for step in range(count):
            chosen = (
                Stream(seed, "batches of short trainings", step).generator().integers(len(self.train.images), size=size)
            )
            yield self.train.at(torch.from_numpy(chosen))


@cache
def task_of(name: str) -> LabelledTask:
    """Return a task by its name in `TASKS`."""
    found = data.load("affine_digits", seed=0, canvas=SIZE, **_OPTIONS[name])
    return LabelledTask(_first_classes(found.train), _first_classes(found.test), CLASSES)


def _first_classes(part: LabelledImages) -> LabelledImages:
    return part.at((part.labels < CLASSES).nonzero()[:, 0])


@dataclass(frozen=True)
class ShortTraining:
    """A training, by what it depends on.

    Attributes:
        task: name of the task.
        family: name of the family of networks.
        layers: number of sampling layers.
        scale: α of the offsets.
        gain: of the heads' first weights.
        multiplier: m, factor on the learning rate of the parameters that compute offsets.
        seed: of weights and batches.
    """

    task: str
    family: str
    layers: int
    scale: float = 1.0
    gain: float = 0.0
    multiplier: float = 1.0
    seed: int = 0

    @property
    def name(self) -> str:
        """A name of the run without its seed."""
        numbers = f"scale {self.scale:g}, gain {self.gain:g}, multiplier {self.multiplier:.6g}"
        return f"{self.task}/{self.family}/{self.layers} layers, {numbers}"

    def network(self) -> nn.Module:
        """Build the network as it starts."""
        heads = Heads(self.scale, self.gain)
        return FAMILIES[self.family].network(self.layers, task_of(self.task).classes, heads, SIZE, self.seed)


def optimiser_of(network: nn.Module, multiplier: float) -> torch.optim.SGD:
    """Return gradient descent with momentum, slower by a factor on parameters that compute offsets."""
    offset = offset_parameters(network)
    known = {id(parameter) for parameter in offset}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups: list[dict[str, Any]] = [{"params": rest, "lr": RATE}, {"params": offset, "lr": multiplier * RATE}]
    learning = [{**group, "params": [one for one in group["params"] if one.requires_grad]} for group in groups]
    return torch.optim.SGD([group for group in learning if group["params"]], RATE, momentum=MOMENTUM)


def losses_of(
    network: nn.Module,
    task: LabelledTask,
    multiplier: float,
    seed: int,
    steps: int = STEPS,
    *,
    before_step: Callable[[int, nn.Module], None] | None = None,
) -> list[float]:
    """Train a network in place, and return its losses, in nats; those after a number that is not finite are infinite.

    Args:
        network: a classifier.
        task: what it is trained on.
        multiplier: m, on the learning rate of what computes offsets.
        seed: of the batches.
        steps: number of updates.
        before_step: called with the number of a step and the network, when its gradients are known.
    """
    optimiser = optimiser_of(network, multiplier)
    found: list[float] = []
    for step, batch in enumerate(task.batches(seed, steps)):
        loss = functional.cross_entropy(network(batch.images), batch.labels)
        if not math.isfinite(loss.item()):
            return found + [math.inf] * (steps - len(found))
        found.append(loss.item())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        if before_step is not None:
            before_step(step, network)
        optimiser.step()
    return found


@torch.no_grad()
def tested(network: nn.Module, task: LabelledTask) -> tuple[float, float]:
    """Return loss, in nats, and accuracy on the test images, in evaluation mode."""
    network.eval()
    scores = network(task.test.images)
    loss = float(functional.cross_entropy(scores, task.test.labels))
    network.train()
    return loss, float((scores.argmax(1) == task.test.labels).float().mean())


def last_loss(losses: Sequence[float]) -> float:
    """Return the mean of the last losses, at most `MOST_LOSS`."""
    return min(float(np.mean(losses[-LAST:])), MOST_LOSS)


OUTCOME = ("loss", "test_loss", "test_accuracy")


def outcome(training: ShortTraining) -> Float[Tensor, "1 3"]:
    """Train, and return last training loss, test loss and test accuracy, shape (1, 3)."""
    network, task = training.network(), task_of(training.task)
    losses = losses_of(network, task, training.multiplier, training.seed)
    loss, accuracy = tested(network, task)
    loss = min(loss, MOST_LOSS) if math.isfinite(loss) else MOST_LOSS
    return torch.tensor([[last_loss(losses), loss, accuracy]], dtype=torch.float64)


def log_speed_ratios(training: ShortTraining) -> Float[Tensor, "N 1"]:
    """Return ln ρ before the first step, for each of some batches, shape (N, 1)."""
    network, batches = training.network(), task_of(training.task).batches(training.seed + 1000, RATIO_BATCHES)
    found = [math.log(speed_ratio(network, each, training.multiplier)) for each in batches]
    return torch.tensor(found, dtype=torch.float64)[:, None]


LATER = (20, 40, 60)  # steps of the rest after which ρ is measured again


def later_log_speed_ratios(training: ShortTraining) -> Float[Tensor, "N 3"]:
    """Return ln ρ after some steps of the rest alone, offsets being held at zero: a row a batch, shape (N, 3)."""
    network, task = training.network(), task_of(training.task)
    columns = []

    def measure(step: int, network: nn.Module) -> None:
        if step in LATER:
            batches = task.batches(training.seed + 1000, RATIO_BATCHES)
            columns.append([math.log(speed_ratio(network, each, training.multiplier)) for each in batches])

    losses_of(network, task, 0.0, training.seed, max(LATER) + 1, before_step=measure)
    return torch.tensor(columns, dtype=torch.float64).T


Work = Callable[[ShortTraining], Tensor]


def _on_one_thread(work: Work, training: ShortTraining) -> Tensor:
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        return work(training)


def computed(
    work: Work, plan: Iterable[ShortTraining], folder: Path | None, workers: int | None, on_progress: OnProgress
) -> dict[ShortTraining, montecarlo.Moments]:
    """Compute what is not in the store already, and return the moments of every outcome.

    A training is a chunk of the Monte Carlo engine: a pure function of its address, kept as soon as it is known, so
    that a run that is killed goes on where it was.

    Args:
        work: computes rows (N, k) of a training.
        plan: the trainings.
        folder: of the store; None keeps nothing.
        workers: processes; None takes one for each core.
        on_progress: told of every training that ends.
    """
    left, total = list(dict.fromkeys(plan)), len(dict.fromkeys(plan))
    found: dict[ShortTraining, montecarlo.Moments] = {}
    with montecarlo.chunk_store(folder, settings_of_trainings()) as store, montecarlo.workers(count=workers) as ready:
        for one in tuple(left):
            known = store.load(f"{work.__name__}/{one.name}", one.seed)
            if 0 in known:
                found[one] = known[0]
                left.remove(one)
        executor = ready.open()
        running: dict[Future[Tensor], ShortTraining] = {}
        while left or running:
            while left and len(running) < ready.count:
                one = left.pop(0)
                running[executor.submit(_on_one_thread, work, one)] = one
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                one = running.pop(ended)
                found[one] = montecarlo.Moments.of(ended.result())
                store.save(f"{work.__name__}/{one.name}", one.seed, {0: found[one]})
                on_progress(len(found) / total, f"{one.name}, seed {one.seed}")
        executor.shutdown()
    return found


# ---- before the first step


def speed_ratio(network: nn.Module, batch: LabelledImages, multiplier: float) -> float:
    """Return ρ: how far a step of what computes offsets moves the scores, over how far a step of the rest does.

    Args:
        network: in training mode; it is left as it is.
        batch: what the step is taken on.
        multiplier: m of the step.

    Source: theory label G5.
    """
    moved = [_displaced(network, batch, multiplier, of_offsets=each) for each in (True, False)]
    return moved[0] / moved[1] if moved[1] > 0 else math.inf


def _displaced(network: nn.Module, batch: LabelledImages, multiplier: float, *, of_offsets: bool) -> float:
    """Return by how much scores move, root mean square, when one of the two groups takes the optimiser's step."""
    copy = deepcopy(network).double()
    images = batch.images.double()
    before = copy(images)
    torch.autograd.backward(functional.cross_entropy(before, batch.labels))
    offset = {id(parameter) for parameter in offset_parameters(copy)}
    for parameter in copy.parameters():
        if (id(parameter) in offset) is not of_offsets:
            parameter.grad = None
    optimiser_of(copy, multiplier).step()
    with torch.no_grad():
        return float((copy(images) - before).square().mean().sqrt())


def settings_of_trainings() -> dict[str, Any]:
    """Return what outcomes depend on besides a training's own numbers."""
    numbers = {"steps": STEPS, "batch": BATCH, "rate": RATE, "momentum": MOMENTUM, "last": LAST}
    return {**numbers, "width": WIDTH, "classes": CLASSES, "ratio_batches": RATIO_BATCHES, "data": _OPTIONS}
