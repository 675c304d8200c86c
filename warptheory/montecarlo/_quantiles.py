"""Quantiles of a stream in bounded memory: sorted buffers that are merged pairwise, every second value kept.

A buffer of level j holds K values, each of which stands for 2ʲ values of the stream. Two buffers of one level become
one of the next: they are merged, and alternately the first, third, … or the second, fourth, … values stay. A merge
moves no rank by more than its weight, so after n values ranks are known to n·levels/2K. There is no chance in it: the
same sequence of merges gives the same quantiles to the last bit.

Source: J. I. Munro, M. S. Paterson, Selection and sorting with limited storage, 1980; G. S. Manku, S. Rajagopalan,
B. G. Lindsay, Approximate medians and other quantiles in one pass and with limited memory, 1998.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.core.errors import ArgumentError

BUFFER = 4096  # values of a buffer; ranks of a million values are known to 0.1 %


@dataclass(frozen=True)
class Quantiles:
    """A summary of a sample from which its quantiles can be read.

    Attributes:
        n: number of values.
        lowest: the smallest of them.
        highest: the largest of them.
        loose: values that do not fill a buffer yet, each of which stands for itself.
        levels: a buffer for each level, sorted, or None where there is none.
        parity: for each level, which of two neighbours the next merge keeps.
    """

    n: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    loose: Float[ndarray, "m"] = field(default_factory=lambda: np.zeros(0))
    levels: tuple[Float[ndarray, "K"] | None, ...] = ()
    parity: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: Float[Tensor, "n"]) -> "Quantiles":
        """Return the summary of a sample of shape (n,), in float64."""
        sample = values.detach().to("cpu", torch.float64).numpy()
        if not len(sample):
            return cls()
        return cls().merge(cls(len(sample), float(sample.min()), float(sample.max()), sample))

    def merge(self, other: "Quantiles") -> "Quantiles":
        """Return the summary of both samples together."""
        levels, parity = list(self.levels), list(self.parity)
        for level, buffer in enumerate(other.levels):
            if buffer is not None:
                _insert(levels, parity, buffer, level)
        loose = np.concatenate([self.loose, other.loose])
        whole = len(loose) - len(loose) % BUFFER
        for buffer in loose[:whole].reshape(-1, BUFFER):
            _insert(levels, parity, np.sort(buffer), 0)
        lowest, highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        return Quantiles(self.n + other.n, lowest, highest, loose[whole:], tuple(levels), tuple(parity))

    @property
    def rank_error(self) -> float:
        """Bound on the error of a rank, as a share of n."""
        return len(self.levels) / (2 * BUFFER)

    def value(self, probability: float) -> float:
        """Return the quantile at a probability, the smallest value whose rank reaches it.

        Raises:
            ArgumentError: a probability outside [0, 1], or no values.
        """
        if not 0 <= probability <= 1:
            raise ArgumentError("probability", expected="a number in [0, 1]", received=probability)
        if self.n == 0:
            raise ArgumentError("quantiles", expected="a sample", received="no values")
        if probability in (0, 1):
            return self.highest if probability else self.lowest
        values, weights = (np.concatenate(parts) for parts in zip(*self._weighted(), strict=True))
        order = np.argsort(values, kind="stable")
        ranks = np.cumsum(weights[order])
        place = int(np.searchsorted(ranks, probability * ranks[-1] - 1e-9))
        return float(values[order][min(place, len(values) - 1)])

    def interval(self, probability: float, level: float = 0.95) -> tuple[float, float]:
        """Return the ends of a confidence interval of the quantile, from the binomial law of ranks and their error.

        Args:
            probability: the probability of the quantile.
            level: probability that the interval covers the quantile of the law that was sampled.

        Raises:
            ArgumentError: as `value`, or a level outside (0, 1).
        """
        if not 0 < level < 1:
            raise ArgumentError("level", expected="a probability in (0, 1)", received=level)
        from scipy import special

        half = special.ndtri((1 + level) / 2) * math.sqrt(probability * (1 - probability) / max(self.n, 1))
        half += self.rank_error
        return self.value(max(0.0, probability - half)), self.value(min(1.0, probability + half))

    def _weighted(self) -> Iterator[tuple[ndarray, ndarray]]:
        yield self.loose, np.ones(len(self.loose))
        for level, buffer in enumerate(self.levels):
            if buffer is not None:
                yield buffer, np.full(len(buffer), 2.0**level)


def _insert(levels: list[ndarray | None], parity: list[int], buffer: ndarray, level: int) -> None:
    """Put a buffer into its level; two of one level become one of the next, as in a binary counter."""
    while True:
        levels += [None] * (level + 1 - len(levels))
        parity += [0] * (level + 1 - len(parity))
        present = levels[level]
        if present is None:
            levels[level] = buffer
            return
        buffer = np.sort(np.concatenate([present, buffer]))[parity[level] :: 2]
        levels[level], parity[level] = None, 1 - parity[level]
        level += 1
