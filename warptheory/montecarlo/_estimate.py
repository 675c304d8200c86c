"""Estimation to a requested precision, chunk by chunk, each chunk from its own random stream."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from warptheory.core import html
from warptheory.core.checks import as_float, check_integer
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.presented import Presented
from warptheory.core.text import printable, shortened, shown
from warptheory.montecarlo._chunks import (
    FEWEST_CHUNKS,
    Batch,
    ChunkError,
    ChunkPlan,
    SupportsExperiment,
    experiment_of,
    text_of,
    told,
)
from warptheory.montecarlo._controls import ControlledSimulation
from warptheory.montecarlo._experiment import Experiment, as_experiment, check_given
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._reading import DISTINCT, PointEstimate, read, size_of
from warptheory.montecarlo._scatter import ChunkMeans, mismatch
from warptheory.montecarlo._simulation import Simulation
from warptheory.montecarlo._variance_reduction import what_is_drawn
from warptheory.symbolic import MomentStatistic

DEFAULT_MAX_ELEMENTS = 2**31
_FEWEST_CHUNKS_TO_COMPARE = 4  # where the standard error is held against the scatter between them


class EstimateError(WarpTheoryError):
    """Chunks were run, but no estimate can be made of them; the message names their stream and their number.

    Attributes:
        label: name of the random stream.
        seed: the seed.
        chunks: how many chunks had been merged: numbers 0, 1, … of the stream.
        cause: what went wrong.
    """

    def __init__(self, label: str, seed: int, chunks: int, cause: str) -> None:
        super().__init__(f"{label}: the first {chunks} chunks of seed {seed}: {cause}")
        self.label, self.seed, self.chunks, self.cause = label, seed, chunks, cause


@dataclass(frozen=True)
class Estimate(Presented):
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
        return abs(self.value) <= DISTINCT * self.stderr

    def __str__(self) -> str:
        zero = f"not told from zero at a size of {self.size:.3g}, " if self.is_zero else ""
        limit = "" if self.reached else "short of the precision, "
        found = f"{self.value:.6g} ± {self.stderr:.1g} ({zero}{limit}n = {self.n}, seed {self.seed})"
        return printable(f"{self.label}: {found}")

    def _parts(self) -> Iterable[str]:
        return [f"{self.value:.6g}", f"stderr={self.stderr:.2g}", f"n={self.n}", repr(shortened(self.label, 50))]

    def _subtitle(self) -> str:
        return self.label

    def _card(self) -> Iterable[object]:
        yield html.properties(
            [
                ("value ± standard error", f"{self.value:.6g} ± {self.stderr:.2g}"),
                ("independent rows", self.n),
                ("told from zero", "no" if self.is_zero else "yes"),
                ("precision reached", "yes" if self.reached else "no: the limit on the work came first"),
                ("seed", self.seed),
            ]
        )


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
    _chunk_means: ChunkMeans = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        rtol, atol = as_float(self.rtol), as_float(self.atol)
        if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
            received = f"rtol={shown(self.rtol)}, atol={shown(self.atol)}"
            raise ArgumentError("rtol", expected="rtol, atol ≥ 0 and not both 0", received=received)
        check_integer("seed", self.seed, least=None)
        check_given(self.experiment, self.values)
        self._run = experiment_of(self.experiment, self.values, self.plain)
        fewest = FEWEST_CHUNKS if self._is_ours else _FEWEST_CHUNKS_TO_COMPARE
        self.plan = ChunkPlan.of(self._run.row_elements(self.values), self.max_elements, fewest)
        self._found, self._size = PointEstimate(math.nan, math.inf, 0.0), math.nan
        self._needed = float(self.plan.fewest)
        self._next_look = min(self.plan.fewest, self.plan.most)
        self.is_done = self.reached = False

    @property
    def _is_ours(self) -> bool:
        """Whether the experiment is the library's run of a statistic, whose rows and gradients need no comparison."""
        return isinstance(self._run, Simulation | ControlledSimulation)

    @property
    def drawn(self) -> str:
        """What is drawn, of what the experiment is made of: "everything", or what `reduced` leaves of it."""
        return what_is_drawn(self._run)

    @property
    def wanted(self) -> range:
        """Numbers of the chunks until the next look at the precision; none when it is done."""
        return range(self.merged, self.merged if self.is_done else self._next_look)

    def batch(self, chunks: range) -> Batch:
        """Return the work of running some chunks."""
        source = self.experiment if self.source is None else self.source
        return Batch(source, self.values, self.seed, self.label, self.plan.rows, chunks, self.device, self.plain)

    def add(self, chunk: int, moments: Moments) -> None:
        """Take what a chunk gave; chunks may come in any order, and more than once.

        Raises:
            ChunkError: a chunk of other columns than those before.
            EstimateError: what the chunks gave makes no finite number.
        """
        if chunk >= self.merged:
            self._early[chunk] = moments
        while not self.is_done and self.merged in self._early:
            self._merge(self._early.pop(self.merged))

    def _merge(self, moments: Moments) -> None:
        before, now = len(self.moments.mean), len(moments.mean)
        if self.merged and now != before:
            cause = f"rows of {now} columns, where those of chunks before it have {before}"
            raise ChunkError(self.label, self.seed, self.merged, cause)
        # What overflows is seen when the estimate is looked at.
        with np.errstate(all="ignore"):
            self.moments = self.moments.merge(moments)
            self.merged += 1
            if not self._is_ours:
                self._chunk_means.append((moments.n, moments.mean))
            if self.merged == self._next_look:
                self._look()

    def _look(self) -> None:
        """Compare the precision with what is asked for, and plan the next look."""
        self._found = found = self._read()
        self._size = size_of(self._run, self.moments.n, found, self.values)
        target = self.target
        reached = found.stderr <= target and self.moments.n >= found.rows
        is_done = reached or self.merged >= self.plan.most
        if is_done:
            self._compare_scatter()  # what does not stand this is never done
        self.reached, self.is_done = reached, is_done
        # The variance is known to a few percent by now, so the number of chunks is as well.
        excess = found.stderr / target if target > 0 else math.inf
        # A square that may overflow, to infinity.
        self._needed = max(self.merged * excess * excess, found.rows / self.plan.rows)
        ahead = max(self.merged + 1, math.ceil(min(1.02 * self._needed, 2 * self.merged)))
        self._next_look = min(ahead, self.plan.most)

    def _compare_scatter(self) -> None:
        """Hold the standard error against the scatter between chunks.

        Raises:
            EstimateError: they have nothing to do with each other.
        """
        if self._is_ours or not self.moments.scatter.any():
            return
        cause = mismatch(self._run, self._chunk_means, self._found.stderr, self.values)
        if cause:
            raise EstimateError(self.label, self.seed, self.merged, cause)

    def _read(self) -> PointEstimate:
        try:
            found = read(self._run, self.moments, self.values)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also of a combination that would end the program
            raise EstimateError(self.label, self.seed, self.merged, told(error)) from error
        if not found.is_finite:
            cause = f"an estimate of {found.value:g} ± {found.stderr:g}, which is no finite number"
            raise EstimateError(self.label, self.seed, self.merged, cause)
        return found

    @property
    def target(self) -> float:
        """The standard error that is asked for; NaN before the first look."""
        return max(self.rtol * abs(self._found.value), self.rtol * self._size / DISTINCT, self.atol)

    @property
    def shortfall(self) -> str:
        """What is missing of the precision that is asked for; empty where nothing is."""
        if self.reached:
            return ""
        found, rows = self._found, self.moments.n
        missing = [f"a standard error of {found.stderr:.3g} where {self.target:.3g} is asked for"]
        if rows < found.rows:
            missing.append(f"{rows} rows where their skewness or kurtosis asks for {found.rows:.3g}")
        return f"the simulation ended at its limit of {self.max_elements} elements, with {' and '.join(missing)}"

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]."""
        return 1.0 if self.is_done else min(1.0, self.merged / min(max(self._needed, 1.0), self.plan.most))

    @property
    def estimate(self) -> Estimate:
        """What has been estimated up to the last look."""
        found = self._found
        return Estimate(found.value, found.stderr, self.moments.n, self.seed, self.label, self.reached, self._size)


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
    linearised at the means (delta method), and its bias, of order 1/n, is far below it. Rows of skewness γ and
    excess kurtosis κ are drawn until there are 25 γ² and 36 κ of them, however small their standard error seems. While
    all rows are alike, as those of an event that has not happened yet, the standard error is 1/n, of 1 or of the value
    where that is larger.

    A value of zero has no relative precision. While |mean| ≤ 4·stderr, so that the value cannot be told from zero,
    rtol is relative to the size of what is averaged, and 4·stderr ≤ rtol·size is enough. That size is the standard
    deviation of one pixel (stderr·√n, with n pixels drawn, or n rows of an `Experiment` that is no statistic), or
    the statistic's own `size` where that is larger. So values below rtol·size may be reported as zero; a smaller
    rtol tells them from it.

    Args:
        experiment: a symbolic statistic, or any `Experiment`, giving rows of shape (rows,) or (rows, k).
        values: a number for every symbol of the experiment, by name, and for no other.
        rtol: stop when stderr ≤ rtol·|mean|, or at a mean of zero as described above (without unit).
        seed: the seed; results depend on seed, label, and nothing else.
        atol: stop also when stderr ≤ atol (in the unit of the estimate).
        label: name of the random stream; by default the experiment's own text, without addresses in memory.
        device: torch device on which the operator runs.
        max_elements: limit on the number of pixels drawn.
        plain: whether to draw everything independently. By default a statistic has its variance reduced where that is
            possible: its mean given the offsets is summed exactly, offsets are spread evenly, and n counts sets of
            them, or what is known of the input corrects the estimate.
        on_progress: called with the share of the work that is done, in [0, 1].

    Raises:
        ArgumentError: rtol and atol not positive, an unknown device, a symbol without a value, or a value for none.
        ChunkError: the experiment raised, or returned what is no sample; NotFiniteError if it is NaN or infinity.
        EstimateError: the value or its standard error is NaN or infinite, or the scatter between chunks is another by
            far: rows that are not independent, or a gradient that is not that of the combination.
    """
    check_device(device)
    runnable = as_experiment(experiment)
    name = text_of(experiment) if label is None else label
    estimation = Estimation(runnable, values, rtol, atol, seed, name, device, max_elements, plain=plain)
    run_here(Measurement(math.nan, estimation), on_progress)
    return estimation.estimate


def check_device(device: str) -> None:
    """Check that torch can compute on a device.

    Raises:
        ArgumentError: no such device here.
    """
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ArgumentError(
            "device", expected="a device that torch can use here, such as cpu", received=repr(device)
        ) from error
