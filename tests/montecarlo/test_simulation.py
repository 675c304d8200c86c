"""The simulation of statistics: unbiased moments, calibrated standard errors, and what it asks for."""

import numpy as np
import pytest
import sympy as sp
from scipy import stats

from tests.symbolic.enumeration import joint_cumulant
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Combination, Experiment, Moments, Simulation
from warptheory.symbolic import (
    Covariance,
    ExcessKurtosis,
    Expectation,
    IIDField,
    JointCumulant,
    OffsetField,
    Variance,
    evaluate,
    splat,
    warp,
)

VALUES = {"mu": 0.7, "sigma": 1.3, "Delta": 0.35}
X, G = IIDField("x", law="two_point"), IIDField("g", law="two_point")
EPS = OffsetField("two_point", location="-1/2", scale="5/2")
PLANE = OffsetField("two_point", 2, location="3/10", scale="6/10")
SHARED = OffsetField("two_point", location="3/10", scale="6/10", shared=True)
FIRST = OffsetField("two_point", location="3/10", scale="6/10", name="e1")


def run(statistic, rows, seed, values=VALUES, simulation=None):
    simulation = simulation or Simulation(statistic)
    sample = simulation.sample(np.random.default_rng(seed), rows, values)
    moments = Moments.of(sample)
    value, gradient = simulation.combine(moments.mean, values)
    return value, moments.standard_error(gradient)


PAIRS = {
    "warped": (warp(X, EPS)[0], warp(X, EPS)[0]),
    "neighbours": (warp(X, EPS)[0], warp(X, EPS)[1]),
    "splatted": (splat(G, EPS)[0], splat(G, EPS)[1]),
    "splatted, keys": (splat(G, EPS, "keys")[0], splat(G, EPS, "keys")[0]),
    "pixel": (warp(X, EPS)[0], X[-1]),
    "source": (splat(G, EPS)[0], G[-2]),
    "displaced": (warp(X, EPS)[0], warp(X, EPS + sp.Symbol("Delta", real=True))[1]),
    "left slope": (warp(X, OffsetField("rademacher", scale=1)).diff(0, "left")[0], X[1]),
    "central slopes": tuple(warp(X, OffsetField("rademacher", scale=1)).diff(0, "central")[i] for i in (0, 0)),
    "shared": (splat(G, SHARED)[0], splat(G, SHARED)[1]),
    "plane": (warp(X, PLANE)[0, 0], warp(X, PLANE)[0, 1]),
    "stack": (warp(splat(G, FIRST), EPS)[0], warp(splat(G, FIRST), EPS)[1]),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_covariances_are_those_of_the_enumeration(pair):
    """Against the exact finite sum, within 4.4 standard errors (1e-5 each); 10 of them off would be seen."""
    found, stderr = run(Covariance(*PAIRS[pair]), 2000, seed=1)
    exact = joint_cumulant(*PAIRS[pair], values=VALUES)
    assert abs(found - exact) <= 4.4 * stderr + 1e-12
    assert stderr < 0.1


def test_given_offsets():
    y = warp(X, EPS)
    values = {**VALUES, "epsilon": 0.3}
    found, stderr = run(Covariance(y[0], X[1], given=EPS), 4000, 2, values)
    assert abs(found - joint_cumulant(y[0], X[1], values=values, given=EPS)) <= 4.4 * stderr
    fraction = {**VALUES, "f": 0.3}
    found, stderr = run(Variance(y[0] | EPS.fraction), 4000, 3, fraction)
    assert abs(found - 1.3**2 * (0.7**2 + 0.3**2)) <= 4.4 * stderr


CALIBRATED = {
    "variance": Variance(splat(G, EPS)[0]),
    "excess kurtosis": ExcessKurtosis(warp(IIDField("x", law="uniform"), OffsetField("uniform", scale="1/2"))[0]),
    "third cumulant": JointCumulant(*[warp(X, EPS)[0]] * 3),
}


@pytest.mark.parametrize("statistic", CALIBRATED)
def test_standard_errors_are_calibrated(statistic):
    """z-scores of 160 seeds are standard normal (Kolmogorov–Smirnov and χ², at 1e-3 each).

    As a control, standard errors that are a third too small are rejected.

    With 500 rows of 64 pixels the bias, of order 1/n, is below a tenth of a standard error.
    """
    exact = evaluate(CALIBRATED[statistic].doit(), VALUES)
    once = Simulation(CALIBRATED[statistic])  # compiles its functions once
    runs = np.array([run(CALIBRATED[statistic], 500, seed, simulation=once) for seed in range(160)])
    scores = (runs[:, 0] - exact) / runs[:, 1]
    assert stats.kstest(scores, "norm").pvalue > 1e-3
    assert 5e-4 < stats.chi2(len(scores)).cdf(np.sum(scores**2)) < 1 - 5e-4
    assert stats.chi2(len(scores)).sf(np.sum((1.5 * scores) ** 2)) < 5e-4


def test_gradient_of_the_combination():
    """The delta method's gradient against finite differences; their error is of second order in the step."""
    simulation = Simulation(CALIBRATED["excess kurtosis"])
    means = Moments.of(simulation.sample(np.random.default_rng(5), 100, VALUES)).mean
    value, gradient = simulation.combine(means, VALUES)
    steps = 1e-6 * np.eye(len(means))
    slopes = [
        (simulation.combine(means + s, VALUES)[0] - simulation.combine(means - s, VALUES)[0]) / 2e-6 for s in steps
    ]
    assert np.isfinite(value)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)


def test_protocols_and_columns():
    simulation = Simulation(Variance(warp(X, EPS)[0]))
    assert isinstance(simulation, Experiment)
    assert isinstance(simulation, Combination)
    sample = simulation.sample(np.random.default_rng(0), 5, VALUES)
    assert sample.shape == (5, 2)  # E y and E y²
    again = simulation.sample(np.random.default_rng(0), 5, VALUES)
    assert bool((sample == again).all())


@pytest.mark.parametrize(
    ("statistic", "size"),
    [
        (Variance(warp(X, OffsetField("normal", scale=30))[0]), (64,)),  # one position, wherever it is
        (Variance(warp(X, OffsetField("normal"), "sinc")[0]), (65,)),  # band-limited: an odd axis
        (Variance(warp(X, OffsetField("normal", 2))[0]), (12, 12)),
        (Variance(warp(X, OffsetField("normal", 3))[0]), (6, 6, 6)),
        (Covariance(warp(X, FIRST)[0], warp(X, FIRST)[100]), (104,)),  # pixels −1 < m ≤ 101.9
    ],
)
def test_size_of_a_row(statistic, size):
    simulation = Simulation(statistic)
    assert simulation.shape({**VALUES, "s": 0.5}) == size
    assert simulation.row_elements({**VALUES, "s": 0.5}) == int(np.prod(size))


def test_rows_are_as_wide_as_the_offsets_wander():
    """A splat sees where positions lie: 10⁻⁷ of normal offsets lie outside ±5.2 deviations, twice that is the width."""
    statistic = Variance(splat(G, OffsetField("normal"))[0])
    widths = {scale: Simulation(statistic).shape({**VALUES, "s": scale})[0] for scale in (0.1, 20.0, 40.0)}
    assert widths[0.1] == 64
    assert 2 * 5.1 * 20 <= widths[20.0] <= 2 * 5.3 * 20 + 8
    assert 2 * 5.1 * 40 <= widths[40.0] <= 2 * 5.3 * 40 + 8


def test_symbols_that_need_numbers():
    n, delta = sp.Symbol("n", integer=True), sp.Symbol("Delta", real=True)
    eps = OffsetField("normal")
    y = warp(IIDField("x", mean=0), eps)
    assert Simulation(Variance(y[n])).symbols == {"sigma", "s"}
    assert Simulation(Variance(y[n] | eps.fraction)).symbols == {"sigma", "f"}
    assert Simulation(Variance(y[n] | eps)).symbols == {"sigma", "epsilon"}
    moved = warp(X, eps + delta)
    assert Simulation(Expectation(sp.Symbol("c", real=True) * moved[n])).symbols == {"mu", "sigma", "s", "Delta", "c"}
    correlated = OffsetField("normal", 2, correlation=sp.Symbol("r", real=True))
    assert Simulation(Variance(warp(X, correlated)[n])).symbols == {"mu", "sigma", "s", "r"}


@pytest.mark.parametrize("correlation", [-0.4, 1])
def test_correlated_offsets_are_drawn_correlated(correlation):
    eps = OffsetField("normal", 2, scale="3/10", correlation=correlation)
    statistic = Variance(warp(IIDField("x", law="normal"), eps)[0])
    found, stderr = run(statistic, 4000, 7)
    assert abs(found - evaluate(statistic.doit(), VALUES)) <= 4.4 * stderr


def test_laws_that_are_left_open_are_chosen_by_the_simulation():
    """Fourth cumulants of a pixel: 0 for normal input, −2σ⁴ for signs."""
    statistic = ExcessKurtosis(IIDField("x", mean=0)[0])
    for law, exact in (("normal", 0.0), ("rademacher", -2.0)):
        simulation = Simulation(statistic, inputs=law)
        moments = Moments.of(simulation.sample(np.random.default_rng(9), 500, VALUES))
        value, gradient = simulation.combine(moments.mean, VALUES)
        assert abs(value - exact) <= 4.4 * moments.standard_error(gradient) + 1e-9


@pytest.mark.usefixtures("as_users_call")
def test_fields_of_different_axes_are_refused():
    statistic = Covariance(warp(X, OffsetField("normal"))[0], warp(X, OffsetField("normal", 2, name="eta"))[0])
    with pytest.raises(ArgumentError, match=r"^statistic: expected fields of one number of axes, got \[1, 2\] axes"):
        Simulation(statistic).shape(VALUES)
