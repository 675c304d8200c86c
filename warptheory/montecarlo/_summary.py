"""The law of an experiment's rows: moments to order 4 and quantiles, in bounded memory."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warptheory.core.checks import check_integer
from warptheory.core.presented import Presented
from warptheory.core.streams import Stream
from warptheory.montecarlo._chunks import ChunkPlan, drawn, one_thread, text_of
from warptheory.montecarlo._experiment import Experiment, as_experiment, check_given
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._quantiles import Quantiles
from warptheory.montecarlo._workers import workers as workers_of
from warptheory.symbolic import MomentStatistic


@dataclass(frozen=True)
class Summary(Presented):
    """What is known of a sample of rows.

    Attributes:
        moments: moments of the columns.
        quantiles: quantiles of each column.
        seed: the seed.
        label: name of the random stream.
    """

    moments: Moments
    quantiles: tuple[Quantiles, ...]
    seed: int
    label: str

    def merge(self, other: "Summary") -> "Summary":
        """Return the summary of both samples together, of the same columns."""
        known = self.quantiles or (Quantiles(),) * len(other.quantiles)
        quantiles = tuple(before.merge(added) for before, added in zip(known, other.quantiles, strict=True))
        return Summary(self.moments.merge(other.moments), quantiles, self.seed, self.label)


def summarise(
    experiment: Experiment | MomentStatistic,
    values: Mapping[str, float],
    rows: int,
    seed: int = 0,
    *,
    label: str | None = None,
    device: str = "cpu",
    workers: int | None = 1,
    scheduler: str | None = None,
) -> Summary:
    """Return moments and quantiles of at least so many rows, drawn plainly, chunk by chunk.

    Of a symbolic statistic the columns are its averaged expressions, and a row is one realisation of its fields.

    Args:
        experiment: a symbolic statistic, or any `Experiment`.
        values: a number for every symbol, by name.
        rows: number of rows, rounded up to whole chunks.
        seed: the seed.
        label: name of the random stream; by default the experiment's own text.
        device: torch device on which the operator runs.
        workers: number of workers; None takes one for each core. The summary does not depend on it.
        scheduler: who they are, as in `workers`. Nor on this.

    Raises:
        ArgumentError: no rows, neither an experiment nor a statistic, a symbol without a value, a value for
            none, or an unknown scheduler.
        ChunkError: the experiment raised, or returned what is no sample.
    """
    check_integer("rows", rows)
    runnable = as_experiment(experiment)
    check_given(runnable, values)
    plan = ChunkPlan.of(runnable.row_elements(values), 1)
    name = text_of(experiment) if label is None else label
    part = _Part(runnable, values, seed, name, plan.rows, device)
    found = Summary(Moments(), (), seed, name)
    with workers_of(scheduler, workers) as hands, hands.open() as executor:
        for together in _batched(range(math.ceil(rows / plan.rows)), 2 * hands.count):
            for own in executor.map(part, together):
                found = found.merge(own)
    return found


def _batched(chunks: range, size: int) -> Iterator[range]:
    """Yield so many chunks at a time, for what they give is held in memory."""
    for first in range(chunks.start, chunks.stop, size):
        yield chunks[first : first + size]


@dataclass(frozen=True)
class _Part:
    """What gives the summary of a chunk, by its number."""

    experiment: Experiment
    values: Mapping[str, float]
    seed: int
    label: str
    rows: int
    device: str

    def __call__(self, chunk: int) -> Summary:
        with one_thread():
            sample = drawn(self.experiment, Stream(self.seed, self.label, chunk), self.rows, self.values, self.device)
            columns = (sample[:, None] if sample.ndim == 1 else sample).unbind(1)
            return Summary(Moments.of(sample), tuple(map(Quantiles.of, columns)), self.seed, self.label)
