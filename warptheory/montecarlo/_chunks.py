"""Chunks: the unit of work, a pure function of an experiment and of the address of a random stream.

Whoever runs a chunk, on whatever machine and after however many restarts, gets the same moments to the last bit.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from warptheory.core.allocator import keep_freed_memory
from warptheory.core.checks import check_integer
from warptheory.core.definition import identity
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.streams import Stream
from warptheory.montecarlo._experiment import Experiment
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._variance_reduction import reduced

# A chunk holds about this many pixels: large enough that torch's overhead is small, small enough for
# the caches, and never more than a few megabytes.
CHUNK_ELEMENTS = 2**17
FEWEST_CHUNKS = 2
_MOST_ELEMENTS = 2**28  # of a row: 2 GiB in double precision
_FEWEST_ROWS = 64  # fewer would leave the standard error itself uncertain


class ChunkError(WarpTheoryError):
    """A chunk could not be run; the message names its stream and its number, by which it can be run alone.

    Attributes:
        label: name of the random stream.
        seed: the seed.
        chunk: number of the chunk.
        cause: what went wrong.
    """

    def __init__(self, label: str, seed: int, chunk: int, cause: str) -> None:
        super().__init__(f"{label}: chunk {chunk} of seed {seed}: {cause}")
        self.label, self.seed, self.chunk, self.cause = label, seed, chunk, cause


class NotFiniteError(ChunkError):
    """A chunk in which the experiment returned NaN or infinity."""


@runtime_checkable
class SupportsExperiment(Protocol):
    """What stands for an experiment that is made where it is run, such as a reference to a quantity of a result."""

    def experiment(self) -> Experiment:
        """Return the experiment."""


@dataclass(frozen=True)
class ChunkPlan:
    """How an estimation is cut into chunks.

    Attributes:
        rows: rows of a chunk.
        fewest: number of chunks before the first look at the precision.
        most: number of chunks at which an estimation stops, whatever its precision.
    """

    rows: int
    fewest: int
    most: int

    @classmethod
    def of(cls, elements: int, max_elements: int, fewest: int = FEWEST_CHUNKS) -> "ChunkPlan":
        """Return the plan for rows of so many pixels, of which at most `max_elements` are drawn in all.

        At least `fewest` chunks are wanted before the first look.
        """
        check_integer("row_elements", check_integer("row_elements", elements), most=_MOST_ELEMENTS)
        check_integer("max_elements", max_elements)
        rows = max(1, CHUNK_ELEMENTS // elements)
        most = max(FEWEST_CHUNKS, max_elements // (rows * elements))
        return cls(rows, max(fewest, math.ceil(_FEWEST_ROWS / rows)), most)


@dataclass(frozen=True)
class Batch:
    """Neighbouring chunks of one stream, to be run one after the other.

    Attributes:
        source: the experiment, or what makes it.
        values: a number for every symbol, by name.
        seed: the seed.
        label: name of the random stream.
        rows: rows of a chunk.
        chunks: numbers of the chunks.
        device: device on which the operator runs.
        plain: whether the experiment is run as it is, without any reduction of its variance.
    """

    source: Experiment | SupportsExperiment
    values: Mapping[str, float]
    seed: int
    label: str
    rows: int
    chunks: range
    device: str = "cpu"
    plain: bool = False

    def run(self) -> list[Moments]:
        """Return the moments of each chunk.

        Raises:
            ChunkError: the experiment raised, ran out of memory, or returned what is no sample, or NaN or infinity.
            ArgumentError: the experiment said so of its values.
        """
        keep_freed_memory()
        with one_thread():
            return [self._run(chunk) for chunk in self.chunks]

    def _run(self, chunk: int) -> Moments:
        stream = Stream(self.seed, self.label, chunk)
        with _failing(stream):
            experiment = experiment_of(self.source, self.values, self.plain)
        sample = drawn(experiment, stream, self.rows, self.values, self.device)
        if not bool(torch.isfinite(sample).all()):
            raise NotFiniteError(self.label, self.seed, chunk, "the experiment returned NaN or infinity")
        return Moments.of(sample)


def drawn(experiment: Experiment, stream: Stream, rows: int, values: Mapping[str, float], device: str) -> Tensor:
    """Return the rows of a chunk, shape (rows,) or (rows, k).

    Raises:
        ChunkError: the experiment raised, even by what would end the program, or returned what is no sample.
        ArgumentError: the experiment said so of its values.
    """
    with _failing(stream):
        sample = experiment.sample(stream.generator(), rows, values, device)
        _check_sample(sample, rows)
    return sample


@contextmanager
def _failing(stream: Stream) -> Iterator[None]:
    """Name the chunk in which an experiment fails."""
    try:
        yield
    except (ArgumentError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also of an experiment that would end the program
        raise ChunkError(stream.label, stream.seed, stream.chunk, told(error)) from error


def _check_sample(sample: object, rows: int) -> None:
    """Check that an experiment returned rows of numbers.

    Raises:
        TypeError: anything else.
    """
    expected = f"a real tensor of shape ({rows},) or ({rows}, k)"
    if not isinstance(sample, Tensor):
        raise TypeError(f"sample: expected {expected}, got {type(sample).__name__}")
    is_held = sample.layout == torch.strided and not sample.is_meta
    if not is_held or sample.ndim not in (1, 2) or len(sample) != rows or 0 in sample.shape or sample.is_complex():
        raise TypeError(f"sample: expected {expected}, got {sample.dtype} of shape {tuple(sample.shape)}")


def told(error: BaseException) -> str:
    """Return an error in words: one of this library as it is, others with their kind."""
    try:
        text = str(error)
    except Exception:  # an error of a user's own
        text = "an error that cannot be told"
    return text if isinstance(error, WarpTheoryError) else f"{type(error).__name__}: {text}"


def text_of(experiment: object) -> str:
    """Return the text of an experiment, which is the same in every process: addresses in memory are taken out."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", identity(experiment))


def experiment_of(
    source: Experiment | SupportsExperiment, values: Mapping[str, float], plain: bool = False
) -> Experiment:
    """Return the experiment that is run: made if need be, and with less variance unless it is to be plain."""
    experiment = source.experiment() if isinstance(source, SupportsExperiment) else source
    return experiment if plain else reduced(experiment, values)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: a chunk's tensors are too small to gain from more.

    On a machine that others use too, threads that wait for each other cost up to fifty times the work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
