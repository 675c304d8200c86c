"""Estimation to a requested precision, chunk by chunk, each chunk from its own random stream."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from warptheory.core.errors import ArgumentError
from warptheory.montecarlo._chunks import Batch, ChunkPlan, SupportsExperiment, experiment_of
from warptheory.montecarlo._controls import Controlled, ControlledSimulation, corrected
from warptheory.montecarlo._experiment import Combination, Experiment, as_experiment
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._simulation import Simulation
from warptheory.symbolic import MomentStatistic
from warptheory.symbolic._evaluate import check_values

DEFAULT_MAX_ELEMENTS = 2**31
# A value of fewer standard errors cannot be told from zero: one in 16,000 that are zero would seem not to be.
_DISTINCT = 4.0


@dataclass(frozen=True)
class Estimate:
    """The mean of an experiment.

    Attributes:
        value: mean over the rows.
        stderr: standard error of the mean, from the scatter of independent rows.
        n: number of independent rows.
        seed: the seed.
        label: name of the random stream.
        reached: whether the requested precision was reached before the limit on the work.
        size: what the relative precision is of: |value|, or where the value cannot be told from zero, the
            statistic's own size.
    """

    value: float
    stderr: float
    n: int
    seed: int
    label: str
    reached: bool
    size: float

    @property
    def is_zero(self) -> bool:
        """Whether the value cannot be told from zero: it is within 4 standard errors of it."""
        return abs(self.value) <= _DISTINCT * self.stderr

    def __str__(self) -> str:
        zero = f"not told from zero at a size of {self.size:.3g}, " if self.is_zero else ""
        limit = "" if self.reached else "short of the precision, "
        return f"{self.label}: {self.value:.6g} ± {self.stderr:.1g} ({zero}{limit}n = {self.n}, seed {self.seed})"


@dataclass
class Estimation:
    """An estimate in the making: it says which chunks it wants, takes what they gave, and stops when that is enough.

    Chunks are merged in the order of their numbers, and the precision is looked at after numbers of chunks that depend
    on what was merged alone. So the estimate is the same whoever runs the chunks, and in whatever order they come.

    Attributes:
        experiment: the experiment.
        values: a number for every symbol, by name.
        rtol: relative precision that is asked for.
        atol: absolute precision that is asked for, in the unit of the estimate.
        seed: the seed.
        label: name of the random stream.
        device: device on which the operator runs.
        max_elements: limit on the number of pixels drawn.
        source: what workers make the experiment of, if not the experiment itself.
        plain: whether the experiment is run as it is, without any reduction of its variance.
    """

    experiment: Experiment
    values: Mapping[str, float]
    rtol: float
    atol: float
    seed: int
    label: str
    device: str = "cpu"
    max_elements: int = DEFAULT_MAX_ELEMENTS
    source: Experiment | SupportsExperiment | None = None
    plain: bool = False
    moments: Moments = field(default_factory=Moments, init=False)
    merged: int = field(default=0, init=False)
    _early: dict[int, Moments] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not (self.rtol >= 0 and self.atol >= 0 and self.rtol + self.atol > 0):
            received = f"rtol={self.rtol}, atol={self.atol}"
            raise ArgumentError("rtol", expected="rtol, atol ≥ 0 and not both 0", received=received)
        check_values(self.experiment.symbols, self.values)
        self._run = experiment_of(self.experiment, self.values, self.plain)
        self.plan = ChunkPlan.of(self._run.row_elements(self.values), self.max_elements)
        self._value, self._stderr, self._size = math.nan, math.inf, math.nan
        self._needed = float(self.plan.fewest)
        self._next_look = min(self.plan.fewest, self.plan.most)
        self.is_done = self.reached = False

    @property
    def wanted(self) -> range:
        """Numbers of the chunks until the next look at the precision; none when it is done."""
        return range(self.merged, self.merged if self.is_done else self._next_look)

    def batch(self, chunks: range) -> Batch:
        """Return the work of running some chunks."""
        source = self.experiment if self.source is None else self.source
        return Batch(source, self.values, self.seed, self.label, self.plan.rows, chunks, self.device, self.plain)

    def add(self, chunk: int, moments: Moments) -> None:
        """Take what a chunk gave; chunks may come in any order, and more than once."""
        if chunk >= self.merged:
            self._early[chunk] = moments
        while not self.is_done and self.merged in self._early:
            self.moments = self.moments.merge(self._early.pop(self.merged))
            self.merged += 1
            if self.merged == self._next_look:
                self._look()

    def _look(self) -> None:
        """Compare the precision with what is asked for, and plan the next look."""
        self._value, self._stderr = _value(self._run, self.moments, self.values)
        self._size = _size(self._run, self.moments.n, self._value, self._stderr, self.values)
        target = self.target
        self.reached = self._stderr <= target
        self.is_done = self.reached or self.merged >= self.plan.most
        # The variance is known to a few percent by now, so the number of chunks is as well.
        excess = self._stderr / target if target > 0 else math.inf
        self._needed = self.merged * excess * excess  # a square that may overflow, to infinity
        ahead = max(self.merged + 1, math.ceil(min(1.02 * self._needed, 2 * self.merged)))
        self._next_look = min(ahead, self.plan.most)

    @property
    def target(self) -> float:
        """The standard error that is asked for; NaN before the first look."""
        return max(self.rtol * abs(self._value), self.rtol * self._size / _DISTINCT, self.atol)

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]."""
        return 1.0 if self.is_done else min(1.0, self.merged / min(max(self._needed, 1.0), self.plan.most))

    @property
    def estimate(self) -> Estimate:
        """What has been estimated up to the last look."""
        n = self.moments.n
        return Estimate(self._value, self._stderr, n, self.seed, self.label, self.reached, self._size)


@dataclass(frozen=True)
class Measurement:
    """One estimate in the making, beside the number that a theory gives for it.

    Attributes:
        theory: the number; NaN where there is none.
        estimation: the estimate.
    """

    theory: float
    estimation: Estimation

    @property
    def is_done(self) -> bool:
        """Whether no more chunks are wanted."""
        return self.estimation.is_done

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]."""
        return self.estimation.share

    def add(self, label: str, chunk: int, moments: Moments) -> None:
        """Take what a chunk of the stream gave."""
        if label == self.estimation.label:
            self.estimation.add(chunk, moments)


@runtime_checkable
class Trial(Protocol):
    """One or several estimates in the making, one after the other, such as a `Judgement`."""

    @property
    def estimation(self) -> Estimation:
        """The estimate that is in the making."""

    @property
    def is_done(self) -> bool:
        """Whether no more chunks are wanted."""

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]."""

    def add(self, label: str, chunk: int, moments: Moments) -> None:
        """Take what a chunk of a stream gave."""


def run_here(trial: Trial, on_progress: Callable[[float], None] | None = None) -> None:
    """Run the chunks of a trial one after the other, in this process, until it wants no more.

    Args:
        trial: the trial.
        on_progress: called with the share of the work that is done, in [0, 1].
    """
    while not trial.is_done:
        estimation = trial.estimation
        for chunk in estimation.wanted:
            (moments,) = estimation.batch(range(chunk, chunk + 1)).run()
            trial.add(estimation.label, chunk, moments)
        if on_progress is not None:
            on_progress(trial.share)


def estimate(
    experiment: Experiment | MomentStatistic,
    values: Mapping[str, float],
    rtol: float = 1e-3,
    seed: int = 0,
    *,
    atol: float = 0.0,
    label: str | None = None,
    device: str = "cpu",
    max_elements: int = DEFAULT_MAX_ELEMENTS,
    plain: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Estimate:
    """Estimate the mean of an experiment until its standard error is small enough.

    Where the value is a function of several means (a `Combination`), its standard error is that of the function
    linearised at the means (delta method), and its bias, of order 1/n, is far below it.

    A value of zero has no relative precision. While |mean| ≤ 4·stderr, so that the value cannot be told from zero,
    rtol is relative to the size of what is averaged, and 4·stderr ≤ rtol·size is enough. That size is the standard
    deviation of one pixel (stderr·√n, with n pixels drawn, or n rows of an `Experiment` that is no statistic), or
    the statistic's own `size` where that is larger. So values below rtol·size may be reported as zero; a smaller
    rtol tells them from it.

    Args:
        experiment: a symbolic statistic, or any `Experiment`, giving rows of shape (rows,) or (rows, k).
        values: a number for every symbol, by name.
        rtol: stop when stderr ≤ rtol·|mean|, or at a mean of zero as described above (without unit).
        seed: the seed; results depend on seed, label, and nothing else.
        atol: stop also when stderr ≤ atol (in the unit of the estimate).
        label: name of the random stream; by default the experiment's own text.
        device: torch device on which the operator runs.
        max_elements: limit on the number of pixels drawn.
        plain: whether to draw everything independently. By default a statistic has its variance reduced where that is
            possible: its mean given the offsets is summed exactly, offsets are spread evenly, and n counts sets of
            them, or what is known of the input corrects the estimate.
        on_progress: called with the share of the work that is done, in [0, 1].

    Raises:
        ArgumentError: rtol and atol not positive, an unknown device, or a symbol without a value.
        NotFiniteError: the experiment returned NaN or infinity.
    """
    check_device(device)
    runnable = as_experiment(experiment)
    name = str(experiment) if label is None else label
    estimation = Estimation(runnable, values, rtol, atol, seed, name, device, max_elements, plain=plain)
    run_here(Measurement(math.nan, estimation), on_progress)
    return estimation.estimate


def _value(experiment: Experiment, moments: Moments, values: Mapping[str, float]) -> tuple[float, float]:
    """Return the value that the means give, and its standard error."""
    if isinstance(experiment, Controlled):
        means, covariance = corrected(moments, experiment.controls)
        value, gradient = experiment.combine(means, values)
        return value, float(np.sqrt(max(0.0, gradient @ covariance @ gradient)))
    if isinstance(experiment, Combination):
        value, gradient = experiment.combine(moments.mean, values)
        return value, moments.standard_error(gradient)
    return float(moments.mean[0]), moments.standard_error(np.ones(1))


def _size(experiment: Experiment, rows: int, value: float, stderr: float, values: Mapping[str, float]) -> float:
    """Return the size that the precision of a value is relative to: |value|, unless it cannot be told from zero."""
    if abs(value) > _DISTINCT * stderr:
        return abs(value)
    if not isinstance(experiment, Simulation | ControlledSimulation):
        return stderr * math.sqrt(rows)
    # The pixels of a row scatter like independent ones, but for neighbours that share taps.
    own = experiment.statistic.size(value)
    return max(own, stderr * math.sqrt(rows * experiment.row_elements(values)))


def check_device(device: str) -> None:
    """Check that torch can compute on a device.

    Raises:
        ArgumentError: no such device here.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(
            "device", expected="a device that torch can use here, such as cpu", received=repr(device)
        ) from error
