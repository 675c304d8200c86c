"""The law of rows, against laws that are known."""

import numpy as np
import pytest
import torch
from scipy import stats

from warptheory import montecarlo
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.symbolic import Expectation, IIDField, OffsetField, warp


class Pair:
    """Rows of a normal and of an exponential number."""

    symbols = frozenset()

    def row_elements(self, values):
        return 2

    def sample(self, generator, rows, values, device="cpu"):
        return torch.from_numpy(
            stats.norm(2, 3).ppf(generator.random((rows, 2))) * [1, 0] + generator.exponential(1, (rows, 2)) * [0, 1]
        )


def test_moments_and_quantiles_are_those_of_the_law():
    """About 200,000 rows: within 5 standard errors √(6/n), √(24/n) of a normal law; quantiles in their intervals."""
    found = montecarlo.summarise(Pair(), {}, rows=200_000, seed=3, label="pair")
    n = found.moments.n
    assert n >= 200_000
    assert found.moments.mean == pytest.approx([2, 1], abs=5 * 3 / n**0.5)
    assert abs(found.moments.skewness[0]) < 5 * (6 / n) ** 0.5
    assert abs(found.moments.excess_kurtosis[0]) < 5 * (24 / n) ** 0.5
    for column, law in enumerate((stats.norm(2, 3), stats.expon())):
        for probability in (0.01, 0.5, 0.99):
            low, high = found.quantiles[column].interval(probability, level=0.99999)
            assert low <= law.ppf(probability) <= high


@pytest.mark.parametrize(("scheduler", "workers"), [("threads", 3), ("processes", 2)])
def test_the_summary_does_not_depend_on_who_works(scheduler, workers):
    asked = {"rows": 600_000, "seed": 3, "label": "pair"}
    alone, found = (
        montecarlo.summarise(Pair(), {}, **asked, **who) for who in ({}, {"scheduler": scheduler, "workers": workers})
    )
    assert found.moments.n == alone.moments.n > 65_536 * 8
    for name in ("mean", "scatter", "third", "fourth"):
        np.testing.assert_array_equal(getattr(found.moments, name), getattr(alone.moments, name))
    probabilities = np.linspace(0, 1, 101)
    for mine, theirs in zip(found.quantiles, alone.quantiles, strict=True):
        assert [mine.value(p) for p in probabilities] == [theirs.value(p) for p in probabilities]


def test_the_rows_are_those_of_the_streams():
    found = montecarlo.summarise(Pair(), {}, rows=1, seed=3, label="pair")
    sample = Pair().sample(Stream(3, "pair", 0).generator(), found.moments.n, {})
    assert found.quantiles[1].highest == float(sample[:, 1].max())


def test_a_statistic_is_summarised_by_its_rows():
    statistic = Expectation(warp(IIDField(law="normal", mean=0, deviation=1), OffsetField())[0] ** 2)
    found = montecarlo.summarise(statistic, {"s": 0.3}, rows=3000)
    estimate = montecarlo.estimate(statistic, {"s": 0.3}, rtol=1e-3)
    error = found.moments.standard_error(found.moments.mean / found.moments.mean)
    assert abs(found.moments.mean[0] - estimate.value) < 5 * error
    assert found.quantiles[0].value(0.5) < found.moments.mean[0]  # mean squares are skewed to the right


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("experiment", "rows", "message"),
    [(Pair(), 0, "^rows: expected a positive integer, got 0"), (7, 10, "^experiment: expected a symbolic statistic")],
)
def test_bad_requests_are_refused(experiment, rows, message):
    with pytest.raises(ArgumentError, match=message):
        montecarlo.summarise(experiment, {}, rows)
