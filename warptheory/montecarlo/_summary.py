"""The law of an experiment's rows: moments to order 4 and quantiles, in bounded memory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.montecarlo._chunks import ChunkPlan, one_thread, text_of
from warptheory.montecarlo._experiment import Experiment, as_experiment
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._quantiles import Quantiles
from warptheory.symbolic import MomentStatistic
from warptheory.symbolic._evaluate import check_values


@dataclass(frozen=True)
class Summary:
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


def summarise(
    experiment: Experiment | MomentStatistic,
    values: Mapping[str, float],
    rows: int,
    seed: int = 0,
    *,
    label: str | None = None,
    device: str = "cpu",
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

    Raises:
        ArgumentError: no rows, neither an experiment nor a statistic, or a symbol without a value.
    """
    if rows < 1:
        raise ArgumentError("rows", expected="a number ≥ 1", received=rows)
    runnable = as_experiment(experiment)
    check_values(runnable.symbols, values)
    plan = ChunkPlan.of(runnable.row_elements(values), 1)
    name = text_of(experiment) if label is None else label
    moments = Moments()
    quantiles: tuple[Quantiles, ...] = ()
    with one_thread():
        for chunk in range(math.ceil(rows / plan.rows)):
            sample = runnable.sample(Stream(seed, name, chunk).generator(), plan.rows, values, device)
            columns = (sample[:, None] if sample.ndim == 1 else sample).unbind(1)
            moments = moments.merge(Moments.of(sample))
            found = [Quantiles.of(column) for column in columns]
            known = quantiles or (Quantiles(),) * len(found)
            quantiles = tuple(before.merge(added) for before, added in zip(known, found, strict=True))
    return Summary(moments, quantiles, seed, name)
