"""Estimation to a requested precision, chunk by chunk, each chunk from its own random stream."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.streams import Stream
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._simulation import Simulation
from warptheory.symbolic import Statistic

# A chunk holds about this many pixels: large enough that torch's overhead is small, small enough for
# the caches, and never more than a few megabytes.
_CHUNK_ELEMENTS = 2**16
_FEWEST_CHUNKS = 16
DEFAULT_MAX_ELEMENTS = 2**31


@runtime_checkable
class Experiment(Protocol):
    """Anything that can be estimated: independent, unbiased rows from a random stream."""

    @property
    def row_elements(self) -> int:
        """Number of pixels that a row draws; bounds the memory of a chunk."""

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw `rows` independent estimates, shape (rows,)."""


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
    """

    value: float
    stderr: float
    n: int
    seed: int
    label: str
    reached: bool


def as_experiment(experiment: Experiment | Statistic) -> Experiment:
    """Return the experiment itself, or the simulation of a symbolic statistic.

    Raises:
        ArgumentError: neither an experiment nor a statistic.
    """
    if isinstance(experiment, Statistic):
        return Simulation(experiment)
    if isinstance(experiment, Experiment):
        return experiment
    raise ArgumentError(
        "experiment", expected="a symbolic statistic or an Experiment", received=type(experiment).__name__
    )


def estimate(
    experiment: Experiment | Statistic,
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

    Args:
        experiment: a symbolic statistic, or any `Experiment`, giving rows of shape (rows,).
        values: a number for every symbol, by name.
        rtol: stop when stderr ≤ rtol·|mean| (without unit).
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
    name = str(experiment) if label is None else label
    rows = max(1, _CHUNK_ELEMENTS // runnable.row_elements)
    most_chunks = max(_FEWEST_CHUNKS, max_elements // (rows * runnable.row_elements))
    moments, chunk, next_check, reached = Moments(), 0, _FEWEST_CHUNKS, False
    with _one_thread():
        while not reached and chunk < most_chunks:
            moments = moments.merge(_run_chunk(runnable, Stream(seed, name, chunk), rows, values, device))
            chunk += 1
            if chunk < next_check and chunk < most_chunks:
                continue
            target = max(rtol * abs(moments.mean), atol)
            reached = moments.standard_error <= target
            # The variance is known to a few percent by now, so the number of chunks is as well.
            needed = chunk if reached else chunk * (moments.standard_error / target) ** 2 if target > 0 else most_chunks
            next_check = max(chunk + 1, math.ceil(min(1.02 * needed, 2 * chunk)))
            if on_progress is not None:
                on_progress(1.0 if reached else min(1.0, chunk / min(needed, most_chunks)))
    return Estimate(moments.mean, moments.standard_error, moments.n, seed, name, reached)


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
