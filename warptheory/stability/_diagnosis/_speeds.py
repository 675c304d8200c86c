"""How fast a step of the offset-only parameters moves a model, against a step of all others (G5)."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._diagnosis._calls import Calls, displacements, largest, recorded
from warptheory.stability._diagnosis._trial import Attempt, Run, Update, distance


@dataclass(frozen=True)
class Speeds:
    """What one optimiser step does to a model on one batch.

    Attributes:
        offset_only: root mean square change of the model's output by the step of the offset-only parameters.
        rest: the same by the step of all others.
        steps: displacement of the samples of each operation by the step of the offset-only parameters, in pixels.
        coasting: the same by as many steps as momentum remembers.
    """

    offset_only: float
    rest: float
    steps: tuple[float, ...]
    coasting: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """ρ on this batch; NaN if the rest stands still."""
        if not math.isfinite(self.offset_only):
            return math.inf
        return self.offset_only / self.rest if self.rest > 0 else math.nan

    @property
    def mean_displacement(self) -> float:
        """The mean displacement of all layers after coasting, in pixels; infinite if one is no number."""
        known = [each if math.isfinite(each) else math.inf for each in self.coasting]
        return sum(known) / len(known) if known else math.nan

    @property
    def largest_displacement(self) -> float:
        """The largest displacement after coasting, in pixels; infinite if one is no number."""
        return largest(self.coasting)


def speeds(
    trial: Attempt,
    still: tuple[Run, Calls],
    parts: tuple[Update, Update],
    memory: float,
    modules: Mapping[str, SamplingLayout],
) -> Speeds:
    """Measure what a step does to a model on its batch, in three runs without a gradient.

    Args:
        trial: the model on a batch.
        still: a run without a step, with its sampling operations.
        parts: what the optimizer's step changes in the offset-only parameters, and in all others.
        memory: number of steps that momentum remembers.
        modules: modules whose outputs are offsets.
    """
    own, rest = parts
    with torch.no_grad():
        before, places = still[0].observed(), still[1].offsets()
        with trial.moved(own), recorded(trial.model, modules) as calls:
            by_offsets = trial.run().observed()
        steps = displacements(places, calls.offsets())
        with trial.moved(rest):
            by_rest = trial.run().observed()
        coasting = steps
        if memory > 1:
            with trial.moved(own, memory), recorded(trial.model, modules) as calls:
                trial.run()
            coasting = displacements(places, calls.offsets())
    return Speeds(distance(by_offsets, before), distance(by_rest, before), tuple(steps), tuple(coasting))


def memory_of(optimizer: torch.optim.Optimizer) -> float:
    """Return how many steps momentum remembers, 1/(1 − momentum); 1 of optimisers whose steps have a size of their own.

    Adam's first step is as long as its later ones, so that nothing is to be added up.
    """
    momenta = [group.get("momentum", 0.0) or 0.0 for group in optimizer.param_groups]
    largest = max((float(each) for each in momenta), default=0.0)
    return 1 / (1 - largest) if 0 < largest < 1 else 1.0


def geometric_mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the geometric mean of positive numbers, and its standard error; the usual mean if one is not positive."""
    count = len(values)
    if not all(0 < each < math.inf for each in values):
        mean = sum(values) / count
        return mean, math.nan if count < 2 or not math.isfinite(mean) else statistics.stdev(values) / math.sqrt(count)
    logs = [math.log(each) for each in values]
    mean = math.exp(sum(logs) / count)
    return mean, math.nan if count < 2 else mean * statistics.stdev(logs) / math.sqrt(count)
