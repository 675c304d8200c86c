"""A standard error, held against what it stands for: the scatter of a value between chunks.

An experiment of one's own says how its rows scatter, and a combination its own gradient. Rows that are not independent,
or a gradient that is wrong, give a standard error that is wrong, and verdicts that are sure of themselves. Groups of
chunks give the value again and again, from other random numbers, and need neither.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import special

from warptheory.montecarlo._experiment import Combination, Experiment

# Of every chunk its number of rows, and the means of its columns, shape (k,).
ChunkMeans = list[tuple[int, Float[ndarray, "k"]]]

# Values of few rows are not linear in their means: neighbouring chunks are taken together.
_MOST_GROUPS = 16
# A ratio that is beyond doubt, and that no curvature of a combination explains.
_GROSS = 4.0
_CHANCE = 1e-6


def mismatch(experiment: Experiment, chunks: ChunkMeans, stderr: float, values: Mapping[str, float]) -> str:
    """Return what is wrong with a standard error, empty where the scatter between chunks allows it.

    With g groups of n/g rows each, the variance of their values over g estimates the square of the standard error, with
    the law of χ² with g − 1 degrees of freedom.

    Args:
        experiment: the experiment, as it was run.
        chunks: number of rows, and means of the columns, of each chunk.
        stderr: the standard error of the value of all of them.
        values: a number for every symbol, by name.
    """
    groups = min(_MOST_GROUPS, len(chunks))
    found = np.array([_value(experiment, group, values) for group in _grouped(chunks, groups)])
    if groups < 2 or not np.isfinite(found).all():
        return ""
    between = float(found.std(ddof=1)) / math.sqrt(groups)
    # Of rows that are alike, rounding is all that scatters.
    rounding = 1e-12 * float(np.abs(found).max())
    ratio = max(between, rounding) / max(stderr, rounding, math.ulp(0.0))
    scaled = (groups - 1) * ratio * ratio
    larger = ratio > _GROSS and float(special.chdtrc(groups - 1, scaled)) < _CHANCE
    smaller = ratio < 1 / _GROSS and float(special.chdtr(groups - 1, scaled)) < _CHANCE
    if not (larger or smaller):
        return ""
    combined = "the gradient that its combine returns" if isinstance(experiment, Combination) else "the scatter of rows"
    return (
        f"a standard error of {stderr:.3g} by {combined}, where the scatter between {groups} groups of chunks gives "
        f"{between:.3g}: rows have to be independent, and a gradient that of the value"
    )


def _grouped(chunks: ChunkMeans, groups: int) -> list[ChunkMeans]:
    """Return the chunks in groups of neighbours."""
    bounds = np.linspace(0, len(chunks), groups + 1).astype(int)
    return [chunks[start:stop] for start, stop in itertools.pairwise(bounds)]


def _value(experiment: Experiment, group: ChunkMeans, values: Mapping[str, float]) -> float:
    """Return the value of a group; NaN where it has none, as of too few rows."""
    means = np.average([mean for _, mean in group], axis=0, weights=[rows for rows, _ in group])
    if not isinstance(experiment, Combination):
        return float(means[0])
    try:
        return float(experiment.combine(means, values)[0])
    except Exception:
        return math.nan
