"""Estimation to a requested precision, chunk by chunk, each chunk from its own random stream."""

import math
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.streams import Stream
from warptheory.montecarlo._continuum import simulation_of
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._simulation import Simulation
from warptheory.symbolic import MomentStatistic
from warptheory.symbolic._evaluate import check_values

# A chunk holds about this many pixels: large enough that torch's overhead is small, small enough for
# the caches, and never more than a few megabytes.
_CHUNK_ELEMENTS = 2**16
_FEWEST_CHUNKS = 16
_FEWEST_ROWS = 64  # fewer would leave the standard error itself uncertain
DEFAULT_MAX_ELEMENTS = 2**31
# A value of fewer standard errors cannot be told from zero: one in 16,000 that are zero would seem not to be.
_DISTINCT = 4.0


@runtime_checkable
class Experiment(Protocol):
    """Anything that can be estimated: independent, unbiased rows from a random stream."""

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels that a row draws; it bounds the memory of a chunk."""

    @property
    def symbols(self) -> Set[str]:
        """Names of the symbols that need a number before the experiment can run."""

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"] | Float[Tensor, "rows k"]:
        """Draw independent rows: estimates, shape (rows,), or what they are functions of, shape (rows, k)."""


@runtime_checkable
class Combination(Protocol):
    """An experiment whose value is a function of the means of its columns, such as a variance of two moments."""

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the function's value and its gradient, shape (k,), at means of shape (k,)."""


class NotFiniteError(WarpTheoryError):
    """An experiment returned NaN or infinity; the message names the chunk's stream."""


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


def as_experiment(experiment: Experiment | MomentStatistic) -> Experiment:
    """Return the experiment itself, or the simulation of a symbolic statistic.

    Raises:
        ArgumentError: neither an experiment nor a statistic.
    """
    if isinstance(experiment, MomentStatistic):
        return simulation_of(experiment)
    if isinstance(experiment, Experiment):
        return experiment
    raise ArgumentError(
        "experiment", expected="a symbolic statistic or an Experiment", received=type(experiment).__name__
    )


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
        on_progress: called with the share of the work that is done, in [0, 1].

    Raises:
        ArgumentError: rtol and atol not positive, an unknown device, or a symbol without a value.
        NotFiniteError: the experiment returned NaN or infinity.
    """
    if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise ArgumentError("rtol", expected="rtol, atol ≥ 0 and not both 0", received=f"rtol={rtol}, atol={atol}")
    check_device(device)
    runnable = as_experiment(experiment)
    check_values(runnable.symbols, values)
    name = str(experiment) if label is None else label
    elements = runnable.row_elements(values)
    rows = max(1, _CHUNK_ELEMENTS // elements)
    most_chunks = max(_FEWEST_CHUNKS, max_elements // (rows * elements))
    fewest = max(_FEWEST_CHUNKS, math.ceil(_FEWEST_ROWS / rows))
    moments, chunk, next_check, reached = Moments(), 0, fewest, False
    value, stderr, size = math.nan, math.inf, math.nan
    with _one_thread():
        while not reached and chunk < most_chunks:
            moments = moments.merge(_run_chunk(runnable, Stream(seed, name, chunk), rows, values, device))
            chunk += 1
            if chunk < next_check and chunk < most_chunks:
                continue
            value, stderr = _value(runnable, moments, values)
            size = _size(runnable, moments.n, value, stderr, values)
            target = max(rtol * abs(value), rtol * size / _DISTINCT, atol)
            reached = stderr <= target
            # The variance is known to a few percent by now, so the number of chunks is as well.
            needed = chunk if reached else chunk * (stderr / target) ** 2 if target > 0 else most_chunks
            next_check = max(chunk + 1, math.ceil(min(1.02 * needed, 2 * chunk)))
            if on_progress is not None:
                on_progress(1.0 if reached else min(1.0, chunk / min(needed, most_chunks)))
    return Estimate(value, stderr, moments.n, seed, name, reached, size)


def _value(experiment: Experiment, moments: Moments, values: Mapping[str, float]) -> tuple[float, float]:
    """Return the value that the means give, and its standard error."""
    if isinstance(experiment, Combination):
        value, gradient = experiment.combine(moments.mean, values)
        return value, moments.standard_error(gradient)
    return float(moments.mean[0]), moments.standard_error(np.ones(1))


def _size(experiment: Experiment, rows: int, value: float, stderr: float, values: Mapping[str, float]) -> float:
    """Return the size that the precision of a value is relative to: |value|, unless it cannot be told from zero."""
    if abs(value) > _DISTINCT * stderr:
        return abs(value)
    if not isinstance(experiment, Simulation):
        return stderr * math.sqrt(rows)
    # The pixels of a row scatter like independent ones, but for neighbours that share taps.
    own = experiment.statistic.size(value)
    return max(own, stderr * math.sqrt(rows * experiment.row_elements(values)))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread: a chunk's tensors are too small to gain from more.

    On a machine that others use too, threads that wait for each other cost up to fifty times the work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def _run_chunk(experiment: Experiment, stream: Stream, rows: int, values: Mapping[str, float], device: str) -> Moments:
    sample = experiment.sample(stream.generator(), rows, values, device)
    if not bool(torch.isfinite(sample).all()):
        raise NotFiniteError(f"{stream.label}: chunk {stream.chunk} of seed {stream.seed} returned NaN or infinity")
    return Moments.of(sample)
