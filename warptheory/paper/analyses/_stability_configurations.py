"""A configuration of the stability study, and what is built of it: for training and for a diagnosis the same."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from warptheory.core.streams import Stream
from warptheory.paper.analyses import _stability_classifiers as classifiers
from warptheory.paper.analyses import _stability_regressors as regressors
from warptheory.paper.analyses._stability_tasks import TASKS, TaskBatches, TaskLoss

Architecture = Callable[..., nn.Module]
ARCHITECTURES: Mapping[str, Architecture] = {
    build.__name__: build
    for build in (
        classifiers.selfwarp,
        classifiers.deformable,
        classifiers.transformer,
        classifiers.signal_selfwarp,
        classifiers.modulated,
        classifiers.attention,
        classifiers.feature_localiser,
        regressors.rectifier,
        regressors.registration,
        regressors.spaced,
        regressors.upsampler,
    )
}
RATES: Mapping[str, float] = {"sgd": 0.05, "adam": 3e-3, "adamw": 3e-3}
SLOWED: Mapping[str, tuple[str, ...]] = {
    "all": ("offset", "localiser"),
    "head": ("offset",),
    "localiser": ("localiser",),
}  # whose rate the multiplier slows: by what names of modules begin with


@dataclass(frozen=True)
class Configuration:
    """What is trained.

    Attributes:
        architecture: name of the network.
        task: name of the task.
        depth: number of sampling layers, or of the layers behind the single one.
        alpha: α, pixels (or, of affine maps, halves of an image) per unit of a head's output; 0 switches warps off.
        multiplier: of the learning rate of what computes positions.
        zero_head: whether heads start at zero.
        optimizer: "sgd" (momentum 0.9), "adam" or "adamw".
        slowed: what the multiplier slows: "all" that computes positions, the "head" or the "localiser" alone.
        seed: of weights and batches.
    """

    architecture: str
    task: str
    depth: int
    alpha: float
    multiplier: float
    zero_head: bool
    optimizer: str = "sgd"
    slowed: str = "all"
    seed: int = 0

    @property
    def name(self) -> str:
        """A name that tells it from all others, fit for a file."""
        values = (f"{value:g}" if isinstance(value, float) else str(value) for value in asdict(self).values())
        return "-".join(value.replace(" ", "_") for value in values)


class TrainingProblem(NamedTuple):
    """What is trained, and how.

    Attributes:
        model: the network, in training mode.
        batches: inputs and targets, the same whenever they are gone through.
        loss: of outputs and targets.
        optimizer: has not stepped yet.
    """

    model: nn.Module
    batches: TaskBatches
    loss: TaskLoss
    optimizer: torch.optim.Optimizer


def build(configuration: Configuration, *, steps: int | None = None) -> TrainingProblem:
    """Build what a configuration trains.

    Args:
        configuration: says what.
        steps: number of batches; None for as many as the task is trained with.
    """
    task = TASKS[configuration.task]
    batches = TaskBatches(configuration.task, task.batch, task.steps if steps is None else steps, configuration.seed)
    with torch.random.fork_rng(devices=[]):
        stream = Stream(configuration.seed, f"stability weights {configuration.architecture}")
        torch.manual_seed(int(stream.generator().integers(2**63)))
        model = ARCHITECTURES[configuration.architecture](
            task.channels,
            task.outputs,
            configuration.depth,
            configuration.alpha,
            zero=configuration.zero_head,
            dense=not task.tells_classes,
        ).train()
    return TrainingProblem(model, batches, task.loss, _optimizer(model, configuration))


def position_parameters(model: nn.Module, slowed: str = "all") -> list[nn.Parameter]:
    """Return the parameters of what computes positions, in the order of the model; all, or those that are slowed."""
    return [parameter for name, parameter in model.named_parameters() if _begins(name, SLOWED[slowed])]


def _begins(name: str, words: tuple[str, ...]) -> bool:
    return any(part.startswith(words) for part in name.split("."))


def _optimizer(model: nn.Module, configuration: Configuration) -> torch.optim.Optimizer:
    slowed = position_parameters(model, configuration.slowed)
    known = {id(parameter) for parameter in slowed}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    rate = RATES[configuration.optimizer]
    groups: list[dict[str, Any]] = [{"params": rest, "lr": rate}] if rest else []
    groups.append({"params": slowed, "lr": rate * configuration.multiplier})
    if configuration.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9)
    if configuration.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    return torch.optim.AdamW(groups, lr=rate, weight_decay=1e-2)


class TrainingOutcome(NamedTuple):
    """How a training went.

    Attributes:
        loss: mean over the last steps, each on a batch never seen before; infinite if it was not a number.
        accuracy: share of right classes over the same steps; NaN where there are no classes.
    """

    loss: float
    accuracy: float


LAST = 20  # steps whose loss counts


def train(
    configuration: Configuration,
    *,
    steps: int | None = None,
    prepare: Callable[[TrainingProblem], Callable[[int], None]] | None = None,
) -> TrainingOutcome:
    """Train a configuration, and return how it went.

    Args:
        configuration: says what.
        steps: number of steps; None for as many as the task is trained with.
        prepare: changes the problem before, and returns what is called after each step with the number of steps done.
    """
    problem = build(configuration, steps=steps)
    after_step = None if prepare is None else prepare(problem)
    losses, accuracies = [], []
    for output, target, loss in _steps(problem):
        losses.append(float(loss))
        if after_step is not None:
            after_step(len(losses))
        right = TASKS[configuration.task].tells_classes
        accuracies.append(float((output.argmax(1) == target).float().mean()) if right else float("nan"))
    last = torch.tensor(losses[-LAST:], dtype=torch.float64).mean()
    if len(losses) < len(problem.batches) or not torch.isfinite(last):
        return TrainingOutcome(float("inf"), float("nan"))
    return TrainingOutcome(float(last), float(torch.tensor(accuracies[-LAST:]).mean()))


def _steps(problem: TrainingProblem) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Take all steps, and yield output, target and loss of each; end at a loss that is no number."""
    for inputs, target in problem.batches:
        problem.optimizer.zero_grad()
        output = problem.model(*inputs) if isinstance(inputs, tuple) else problem.model(inputs)
        loss = problem.loss(output, target)
        if not torch.isfinite(loss):
            return
        torch.autograd.backward(loss)
        problem.optimizer.step()
        yield output.detach(), target, loss.detach()
