"""Control variates: against the regression of the textbook, unbiased, with honest errors, on the same numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from warptheory.fields import SquaredExponential
from warptheory.montecarlo import ControlledSimulation, Moments, Simulation, estimate, simulation_of
from warptheory.montecarlo._controls import Controlled, corrected
from warptheory.symbolic import (
    Covariance,
    Expectation,
    GaussianField,
    IIDField,
    OffsetField,
    Variance,
    evaluate,
    warp,
)

VALUES = {"mu": 0.7, "sigma": 1.3, "s": 0.45}
WHITE, SKEWED = IIDField("x", law="normal"), IIDField("g", law="exponential")
NORMAL = OffsetField("normal")
SMOOTH = GaussianField("u", SquaredExponential(length=3, dim=1))
STATISTICS = {
    "variance": Variance(warp(WHITE, NORMAL)[0]),
    "mean": Expectation(warp(SKEWED, NORMAL)[0]),
    "two fields": Covariance(warp(WHITE, NORMAL)[0] + warp(SKEWED, NORMAL)[0], warp(SKEWED, NORMAL)[0]),
    "continuum": Variance(SMOOTH(0.5) - SMOOTH(1)),
}


def moments_of(sample):
    return Moments.of(torch.from_numpy(np.ascontiguousarray(sample)))


def of_sample(sample, controls):
    """Return the corrected mean of a first column, and its error."""
    means, covariance = corrected(moments_of(sample), controls)
    return means[0], math.sqrt(covariance[0, 0])


def regression(y, controls):
    """Return the intercept of y on the controls and its standard error, by least squares."""
    design = np.column_stack([np.ones(len(y)), controls])
    coefficients, squares, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance = squares[0] / (len(y) - design.shape[1])
    return coefficients[0], math.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(8, 60))
def test_it_is_the_intercept_of_a_regression(seed, controls, n):
    """Estimate and error of least squares with an intercept; both sides lose a few digits to the condition number."""
    generator = np.random.default_rng(seed)
    sample = generator.standard_normal((n, 1 + controls)) @ generator.standard_normal((1 + controls, 1 + controls))
    sample[:, 0] += 5
    value, error = regression(sample[:, 0], sample[:, 1:])
    assert of_sample(sample, controls) == pytest.approx((value, error), rel=1e-6, abs=1e-7)


def test_of_a_function_of_two_means():
    """A linear combination of two means: the regression of that combination."""
    generator = np.random.default_rng(3)
    sample = generator.standard_normal((200, 4)) @ generator.standard_normal((4, 4)) + [3, -2, 0, 0]
    means, covariance = corrected(moments_of(sample), 2)
    gradient = np.array([-1.7, 0.6])
    linear, its_error = regression(sample[:, :2] @ gradient, sample[:, 2:])
    assert means @ gradient == pytest.approx(linear, rel=1e-10)
    assert math.sqrt(gradient @ covariance @ gradient) == pytest.approx(its_error, rel=1e-10)


def test_a_variance_of_means_that_scatter_widely_is_unbiased():
    """Rows of a long-ranged field: that of a row's mean is most of the variance, and the controls take it away.

    Scores of 60 seeds, Kolmogorov–Smirnov at 1e-4; corrected after the raw means are squared they are off by 10.
    """
    smooth = GaussianField("u", SquaredExponential(length=8, dim=1))
    statistic = Variance(warp(smooth, OffsetField("uniform", scale="1/2"))[0])
    exact = evaluate(statistic.doit(), {})
    found = [
        estimate(ControlledSimulation(simulation_of(statistic)), {}, 1.0, seed, max_elements=1) for seed in range(60)
    ]
    assert stats.kstest([(e.value - exact) / e.stderr for e in found], "norm").pvalue > 1e-4


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.95])
def test_the_variance_falls_by_one_less_the_squared_correlation(correlation):
    """1 − ρ² of the plain error for a bivariate normal law, within 4.4 √(2·2/n) at n = 20,000."""
    n = 20_000
    noise = np.random.default_rng(1).standard_normal((n, 2))
    y = correlation * noise[:, 1] + math.sqrt(1 - correlation**2) * noise[:, 0]
    error = of_sample(np.column_stack([y, noise[:, 1]]), 1)[1]
    assert n * error**2 == pytest.approx(1 - correlation**2, rel=4.4 * math.sqrt(4 / n))


@pytest.mark.parametrize("law", ["normal", "exponential"])
def test_it_is_unbiased_with_an_honest_error(law):
    """Scores of 2000 repeats with 16 rows and 3 controls: Student's with 12 degrees of freedom, for normal rows.

    Mean and variance at 1e-4. Exponential rows of 64, whose regression has a bias of order 1/n: that is below a third
    of the error.
    """
    generator = np.random.default_rng(2)
    n = 16 if law == "normal" else 64
    scores = []
    for _ in range(2000):
        draw = generator.standard_normal if law == "normal" else lambda size: generator.exponential(size=size) - 1
        sample = draw((n, 4)) @ np.array([[1, 0, 0, 0], [0.5, 1, 0, 0], [0.3, 0.2, 1, 0], [-1, 0, 0, 1]])
        value, error = of_sample(sample, 3)
        scores.append(value / error)
    scores = np.array(scores)
    degrees = n - 1 - 3
    if law == "normal":
        assert stats.kstest(scores, stats.t(degrees).cdf).pvalue > 1e-4
        variance, kurtosis = stats.t(degrees).stats("vk")
        allowed = 3.9 * math.sqrt((2 + kurtosis) / 2000)
        assert abs(scores.var() / variance - 1) < allowed
        assert 1.1**2 * scores.var() / variance - 1 > allowed  # errors that are a tenth too small
    else:
        assert abs(scores.mean()) <= 1 / 3
        assert scores.var() == pytest.approx(stats.t(degrees).var(), rel=0.15)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_too_few_rows_have_an_infinite_error(rows):
    """Of a row for the mean, one for each of two controls, and one for the scatter that is left."""
    sample = np.random.default_rng(4).standard_normal((rows, 3))
    value, error = of_sample(sample, 2)
    assert math.isinf(error) == (rows < 4)
    assert math.isfinite(value)


def test_controls_that_do_not_scatter_do_nothing():
    """The variance of signs in a row is always the same: a control of zeros, and one that is another's double."""
    sample = np.random.default_rng(5).standard_normal((50, 2))
    alone = of_sample(sample, 1)[0]
    zeros = np.column_stack([sample, np.zeros(50)])
    doubled = np.column_stack([sample, 2 * sample[:, 1]])
    assert of_sample(zeros, 2)[0] == pytest.approx(alone, rel=1e-12)
    assert of_sample(doubled, 2)[0] == pytest.approx(alone, rel=1e-12)


def controlled(name):
    simulation = simulation_of(STATISTICS[name])
    return simulation, ControlledSimulation(simulation)


@pytest.mark.parametrize("name", STATISTICS)
def test_moments_are_those_of_the_plain_simulation(name):
    """From one stream the same numbers to the last bit, and controls of mean zero within 4.4 standard errors."""
    simulation, both = controlled(name)
    plain = simulation.sample(np.random.default_rng(6), 2000, VALUES)
    sample = both.sample(np.random.default_rng(6), 2000, VALUES)
    assert bool((sample[:, : plain.shape[1]] == plain).all())
    assert sample.shape[1] == plain.shape[1] + both.controls
    controls = moments_of(sample[:, plain.shape[1] :].numpy())
    assert np.all(np.abs(controls.mean) <= 4.4 * np.sqrt(np.diag(controls.covariance) / 2000))
    assert both.row_elements(VALUES) == simulation.row_elements(VALUES)
    assert both.symbols == simulation.symbols
    assert both.statistic is STATISTICS[name]
    assert isinstance(both, Controlled)


def test_the_correction_of_a_simulation():
    """Both means are corrected by the regression of their columns; the error is smaller than that of the plain ones."""
    simulation, both = controlled("variance")
    sample = both.sample(np.random.default_rng(7), 3000, VALUES)
    moments = Moments.of(sample)
    means, covariance = corrected(moments, both.controls)
    for column in range(2):
        mean, its_error = regression(sample[:, column].numpy(), sample[:, 2:].numpy())
        assert means[column] == pytest.approx(mean, rel=1e-9, abs=1e-12)
        assert math.sqrt(covariance[column, column]) == pytest.approx(its_error, rel=1e-9)
    value, gradient = both.combine(means, VALUES)
    error = math.sqrt(gradient @ covariance @ gradient)
    assert abs(value - evaluate(STATISTICS["variance"].doit(), VALUES)) <= 4.4 * error
    _, plain_gradient = simulation.combine(moments.mean[:2], VALUES)
    assert error < 0.8 * moments.standard_error(np.concatenate([plain_gradient, [0, 0]]))


@pytest.mark.parametrize("sigma", [1e-8, 1.0, 1e8])
def test_the_gain_does_not_depend_on_the_unit(sigma):
    """The error relative to σ², and the share that the controls take away, in any unit of the input."""
    simulation = Simulation(Variance(warp(IIDField("x", law="normal", mean=0), NORMAL)[0]))
    both = ControlledSimulation(simulation)

    def relative_error(deviation):
        values = {"sigma": deviation, "s": 0.45}
        moments = Moments.of(both.sample(np.random.default_rng(8), 500, values))
        means, covariance = corrected(moments, both.controls)
        _, gradient = both.combine(means, values)
        return math.sqrt(gradient @ covariance @ gradient) / deviation**2

    assert relative_error(sigma) == pytest.approx(relative_error(1.0), rel=1e-6)


def test_an_estimate_with_controls():
    """A statistic that cannot be conditioned, E y⁵ of five factors, with and without controls."""
    statistic = Expectation(warp(IIDField("x", law="uniform"), NORMAL)[0] ** 5)
    exact = evaluate(statistic.doit(), VALUES)
    plain, better = (
        estimate(statistic, VALUES, rtol=1e-9, max_elements=2**19, plain=plain, label="a") for plain in (True, False)
    )
    assert all(abs(found.value - exact) <= 4.4 * found.stderr for found in (plain, better))
    assert better.stderr < 0.8 * plain.stderr
    assert better.n == plain.n
