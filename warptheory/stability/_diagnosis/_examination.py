"""A model examined on a few batches: what diagnosis and repair both measure.

Everything here changes the model and puts it back step by step; `untouched` must be around it all the same.
"""

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown
from warptheory.core.torch_internals import without_checkpoints
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._diagnosis._calls import Calls, recorded
from warptheory.stability._diagnosis._heads import head_names, is_zero, zeroed
from warptheory.stability._diagnosis._offset_only import OffsetOnly, offset_only
from warptheory.stability._diagnosis._remarks import learning_rates
from warptheory.stability._diagnosis._speeds import Speeds, geometric_mean, memory_of, speeds
from warptheory.stability._diagnosis._trial import Attempt, Loss, Run, Update, checked_batch, dot, norm_of, present
from warptheory.stability._sampling._opaque import scripts, unseen
from warptheory.stability._sampling._steering import TO_A_SIDE, Steering, moved_by
from warptheory.stability._sampling._watch import check_modules
from warptheory.stability.diagnosis import StepProfile

Batches = Iterable[tuple[Any, Any]]
_MULTIPLES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
LEAST_STEPS = 100
_REWRITES = 10


@dataclass(frozen=True, eq=False)
class OptimizerStep:
    """The optimizer's step on a batch: the run before it, its operations, its gradients, what it changes."""

    run: Run
    calls: Calls
    gradients: dict[str, Tensor | None]
    update: dict[str, Tensor]


@dataclass(eq=False)
class Examination:
    """A model on a few batches.

    Attributes:
        trials: the model on each batch.
        modules: modules whose outputs are offsets, by name.
        run: the first run, after its backward pass.
        calls: its sampling operations.
        gradients: gradient of each parameter in the first run.
        offset_only: the parameters that reach the loss only through positions.
        heads: names of the last factors before positions.
        memory: steps that momentum remembers.
    """

    trials: list[Attempt]
    modules: Mapping[str, SamplingLayout]
    run: Run
    calls: Calls
    gradients: dict[str, Tensor | None]
    offset_only: OffsetOnly
    heads: list[str]
    memory: float

    @classmethod
    def of(
        cls,
        model: nn.Module,
        batches: Sequence[tuple[Any, Any]],
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        modules: Mapping[str, SamplingLayout] | None,
    ) -> "Examination":
        """Run a model on the first of some batches, and find what moves its samples.

        Raises:
            ArgumentError: no batch, batches that the model cannot take, a loss that is no scalar, or no sampling.
        """
        named = check_modules(model, modules)
        taken = [checked_batch(each) for each in batches]
        if not taken:
            raise ArgumentError("batches", expected="at least one batch", received="none")
        trials = [Attempt(model, loss, optimizer, *batch) for batch in taken]
        with recorded(model, named) as calls:
            run, gradients = trials[0].gradients()
        if not run.loss.requires_grad:
            received = "a loss without a gradient"
            raise ArgumentError("loss", expected="a function of what the model computed", received=received)
        if not calls.calls:
            hidden = scripts(model)
            received = unseen(hidden) if hidden else "no sampling operation"
            raise ArgumentError("model", expected="a model that samples", received=received)
        found = offset_only(trials[0], named)
        movers = found or _all_with(gradients)
        heads = head_names(trials[0], (call.raw for call in calls.calls), movers)
        return cls(trials, named, run, calls, gradients, found, heads, memory_of(optimizer))

    @property
    def moves_samples(self) -> bool:
        """Whether parameters move samples: offset-only ones, or others."""
        return bool(self.offset_only) or any(call.raw.requires_grad for call in self.calls.calls)

    @property
    def is_finite(self) -> bool:
        """Whether the loss and all gradients of the first run are finite."""
        tensors = [self.run.loss, *(each for each in self.gradients.values() if each is not None)]
        return all(bool(torch.isfinite(each).all()) for each in tensors)

    def trained(self, gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
        """Return the gradients (*S) of those parameters that are trained, None for the others."""
        parameters = self.trials[0].parameters
        return {name: each if parameters[name].requires_grad else None for name, each in gradients.items()}

    @cached_property
    def steps(self) -> list[OptimizerStep]:
        """The optimizer's step on each batch."""
        first = OptimizerStep(self.run, self.calls, self.gradients, self.trials[0].update(self.trained(self.gradients)))
        return [first, *map(self._step, self.trials[1:])]

    def _step(self, trial: Attempt) -> OptimizerStep:
        with recorded(trial.model, self.modules) as calls:
            run, gradients = trial.gradients()
        return OptimizerStep(run, calls, gradients, trial.update(self.trained(gradients)))

    @property
    def movers(self) -> OffsetOnly:
        """The offset-only parameters; where there are none, all of them: then there is no rest."""
        if self.offset_only or not self.moves_samples:
            return self.offset_only
        return _all_with(self.gradients)

    def speeds(self, factor: float = 1.0) -> list[Speeds]:
        """Return what a step does to the model, for each batch, with a factor on that of what moves samples."""
        own, memory = self.movers, self.memory
        found = []
        for trial, step in zip(self.trials, self.steps, strict=True):
            mine: Update = {name: part * factor for name, part in own.of(step.update).items()}
            parts = (mine, own.rest_of(step.update))
            found.append(speeds(trial, (step.run, step.calls), parts, memory, self.modules))
        return found

    def explosion(self) -> float:
        """Return R: the norm of the gradient of the rest over that of the same with all heads at zero.

        1 where heads are zero already or there are none, or no rest; NaN where the rest has no gradient.
        """
        trial = self.trials[0]
        if not self.offset_only or not self.heads or is_zero(trial, self.heads, self.offset_only):
            return 1.0
        with trial.set_to(zeroed(trial, self.heads, self.offset_only)):
            _, still = trial.gradients()
        rest = (self.offset_only.rest_of(present(each)) for each in (self.gradients, still))
        own, zero = (norm_of(list(each.values())) for each in rest)
        if not math.isfinite(own):
            return math.inf
        return own / zero if zero > 0 else math.nan

    def profile(self) -> StepProfile | None:
        """Return the loss along the step of the offset-only parameters; None if that step is nothing."""
        trial = self.trials[0]
        step = self.offset_only.of(self.steps[0].update)
        if not step or not norm_of(list(step.values())):
            return None
        losses = []
        with torch.no_grad():
            for multiple in _MULTIPLES:
                with trial.moved(step, multiple):
                    losses.append(float(trial.run().loss))
        promises = [-dot(gradients, step) for gradients in self._one_sided()]
        return StepProfile(_MULTIPLES, tuple(losses), -dot(self.gradients, step), sum(promises) / len(promises))

    def steps_needed(self) -> int:
        """Return how many steps a training with these rates must have at least, a hundred or more.

        Ten times as many as the rest needs to change its filters and matrices by their own size, at the speed that
        momentum builds up: the median over them.
        """
        trial, update = self.trials[0], self.steps[0].update
        rest = self.offset_only.rest_of(update) if self.offset_only else update
        sizes = [
            (norm_of([trial.parameters[name].detach()]), norm_of([step]))
            for name, step in rest.items()
            if step.ndim > 1
        ]
        needed = [size / (self.memory * step) for size, step in sizes if step > 0]
        return max(LEAST_STEPS, round(_REWRITES * median(needed))) if needed else LEAST_STEPS

    def multiplier(self) -> float:
        """Return the median learning rate of offset-only parameters over that of the rest; NaN if either is missing."""
        rates = learning_rates(self.trials[0])
        own = [rates[name] for name in self.offset_only.rows]
        rest = [rate for name, rate in rates.items() if name not in self.offset_only and rate]
        if not own or not (rest or any(own)):
            return math.nan
        if not any(own):
            return 0.0
        return median(own) / median(rest) if rest else math.nan

    def _one_sided(self) -> Iterator[dict[str, Tensor | None]]:
        """Yield the gradients with all positions beside where they are, on every side."""
        trial = self.trials[0]
        dim = max(call.offsets(1).shape[2] for call in self.calls.calls)
        for sides in itertools.product((-TO_A_SIDE, TO_A_SIDE), repeat=dim):
            yield trial.gradients(Steering(trial.model, moved_by(sides), self.modules))[1]


def summary(found: Sequence[Speeds]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the speed ratio and the largest displacement, each with its standard error over batches."""
    ratio = geometric_mean([each.ratio for each in found])
    return ratio, geometric_mean([each.largest_displacement for each in found])


def _all_with(gradients: Mapping[str, Tensor | None]) -> OffsetOnly:
    """Return all parameters that have a gradient: what moves samples where nothing does so alone."""
    return OffsetOnly(dict.fromkeys(present(gradients)))


@contextmanager
def as_written(model: nn.Module) -> Iterator[None]:
    """Run a model as it is written: compiled parts, so that what samples in them is seen, and checkpoints, only once.

    What a checkpoint computes again on the way back would be computed outside of the contexts of the way there.
    """
    with ExitStack() as stack:
        if any(hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) for part in model.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(without_checkpoints())
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what torch and the monitor warn of while a model is tried."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_model(model: Any, optimizer: Any) -> None:
    """Check what a model and its optimizer are.

    Raises:
        ArgumentError: no module, or no optimizer.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError("model", expected="a torch module", received=shown(model))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ArgumentError("optimizer", expected="a torch optimizer", received=shown(optimizer))
