"""Quantiles in bounded memory, against NumPy on the whole sample."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Quantiles
from warptheory.montecarlo._quantiles import BUFFER


def summary(sample, parts):
    merged = Quantiles()
    for part in np.array_split(sample, parts):
        merged = merged.merge(Quantiles.of(torch.from_numpy(part)))
    return merged


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 3 * BUFFER), st.integers(1, 60))
def test_small_samples_are_exact(seed, size, parts):
    """Up to a buffer every value is kept; beyond that ranks are within the stated bound."""
    sample = np.random.default_rng(seed).standard_normal(size)
    found, ordered = summary(sample, parts), np.sort(sample)
    assert found.n == size
    for probability in (0.0, 0.01, 0.5, 0.77, 1.0):
        rank = np.searchsorted(ordered, found.value(probability), side="right") / size
        assert abs(rank - probability) <= found.rank_error + 1 / size
    assert (found.value(0.0), found.value(1.0)) == (ordered[0], ordered[-1])


@pytest.mark.parametrize("law", ["normal", "lognormal", "sorted", "few values"])
def test_a_million_values_within_the_stated_rank_error(law):
    generator = np.random.default_rng(3)
    sample = generator.standard_normal(1_000_000)
    sample = {
        "normal": lambda x: x,
        "lognormal": lambda x: np.exp(3 * x),
        "sorted": np.sort,
        "few values": np.round,
    }[law](sample)
    found, ordered = summary(sample, 250), np.sort(sample)
    assert found.rank_error < 1.1e-3
    for probability in (1e-3, 0.1, 0.5, 0.9, 0.999):
        value = found.value(probability)
        low = np.searchsorted(ordered, value, side="left") / len(ordered)
        high = np.searchsorted(ordered, value, side="right") / len(ordered)
        assert low - found.rank_error <= probability <= high + found.rank_error


def test_the_same_merges_give_the_same_summary():
    sample = np.random.default_rng(0).standard_normal(40_000)
    first, second = summary(sample, 13), summary(sample, 13)
    probabilities = np.linspace(0, 1, 201)
    assert [first.value(p) for p in probabilities] == [second.value(p) for p in probabilities]


def test_intervals_cover_the_quantile_of_the_law():
    """95 % intervals of the median in 400 samples of 500: coverage is at least 0.95 − 4.4 standard errors."""
    generator = np.random.default_rng(5)
    intervals = [summary(generator.exponential(size=500), 3).interval(0.5) for _ in range(400)]
    covered = np.mean([low <= np.log(2) <= high for low, high in intervals])
    assert covered >= 0.95 - 4.4 * np.sqrt(0.95 * 0.05 / 400)
    assert covered < 1
    assert stats.expon.cdf(intervals[0][1]) < 0.65


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Quantiles().value(0.5), "^quantiles: expected a sample"),
        (lambda: Quantiles.of(torch.ones(3)).value(1.5), "^probability: expected a number in"),
        (lambda: Quantiles.of(torch.ones(3)).interval(0.5, 1.0), "^level: expected a probability"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
