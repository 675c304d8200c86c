"""F1 against SciPy and independent code: roots, bivariate normal probabilities, Brent's method, finite sums."""

import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, optimize, stats

from warptheory import results
from warptheory.core.errors import ArgumentError
from warptheory.fields import Exponential, Matern, PowerLaw, RationalQuadratic, SquaredExponential
from warptheory.results._setting import Setting
from warptheory.results.selfwarp import burgers
from warptheory.results.selfwarp._characteristics import burgers_solution
from warptheory.results.selfwarp._fold_experiments import STRIDES, WEIGHTS
from warptheory.results.selfwarp._kac_rice import fold_rate_steps
from warptheory.results.selfwarp._layers import own_pixel_layer
from warptheory.symbolic import evaluate

RESULT = results.get("F1")
VALUES = {"sigma": 1.3, "l": 2.0, "alpha": 1.6}


def rate_on_a_grid(covariance, scale, spacing):
    """P(the slope over a cell is above −1, over the next one below) per length: two normal forward differences."""
    at = [float(covariance(n * spacing)) for n in range(3)]
    variance = 2 * (at[0] - at[1])
    correlation = (2 * at[1] - at[0] - at[2]) / variance
    level = spacing / (scale * math.sqrt(variance))
    below = stats.norm.sf(level)
    both = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([-level, -level])
    return (below - both) / spacing


@pytest.mark.parametrize(
    "covariance",
    [
        SquaredExponential(2.0, 1.7, dim=1),
        Matern(length=2.0, variance=1.7, dim=1, nu=4.5),
        RationalQuadratic(length=2.0, variance=1.7, dim=1, alpha=4),
    ],
    ids=lambda covariance: type(covariance).__name__,
)
def test_fold_rate_is_the_limit_of_grids(covariance):
    """Exact rates on grids of h, 2h and 4h, extrapolated as in the experiment; what is left is of order h⁶.

    Of the Matérn field it is of order h⁵, 1e-3 at the experiment's ℓ/8 and 1/32 of that at the ℓ/16 here.
    """
    scale, spacing = 1.6, 0.125
    rates = [rate_on_a_grid(covariance, scale, stride * spacing) for stride in STRIDES]
    extrapolated = np.dot(WEIGHTS, rates)
    limit = evaluate(fold_rate_steps(covariance, sp.Float(scale))[-1].expression, {})
    assert extrapolated == pytest.approx(limit, rel=2e-4)
    assert abs(rates[0] / limit - 1) > 5e-4  # which the extrapolation takes away


@pytest.mark.parametrize(
    "rough",
    [Exponential(length=2, dim=1), Matern(length=2, dim=1, nu=1.5), Matern(length=2, dim=1, nu=2)],
    ids=["exponential", "nu=3/2", "nu=2"],
)
def test_fields_without_a_curvature_are_refused(rough):
    with pytest.raises(ArgumentError, match=r"covariance.*fourth spectral moment"):
        fold_rate_steps(rough, sp.Integer(1))


def test_fold_rate_of_a_power_law_is_that_of_its_moments():
    """Any covariance with moments, here numbers by quadrature of the spectrum."""
    covariance = PowerLaw(length=2.0, dim=1, exponent=4, inner=1.5)

    def moment(order):
        density = sp.lambdify(_OMEGA, covariance.spectral_density(_OMEGA), ["scipy", "numpy"])
        return integrate.quad(lambda w: w**order * density(w), 0, np.inf, epsrel=1e-10)[0] / math.pi

    slope, curvature = moment(2), moment(4)
    expected = math.sqrt(curvature / slope) / (2 * math.pi) * math.exp(-1 / (2 * slope))
    found = evaluate(fold_rate_steps(covariance, sp.Integer(1))[-1].expression, {})
    assert found == pytest.approx(expected, rel=1e-6)


_OMEGA = sp.Symbol("omega", positive=True)


def test_the_experiment_counts_begins_of_folds_alone():
    """Both directions would be twice as many: the difference is far beyond the scatter of 64 fields."""
    experiment = burgers.fold_rate(Setting())
    counts = experiment.sample(np.random.default_rng(1), 64, VALUES)
    rate, error = float(counts.mean()), float(counts.std() / 8)
    assert abs(rate - RESULT.evaluate("folds per pixel", **VALUES)) < 5 * error < 0.1 * rate


def test_bound_on_the_probability_of_a_fold():
    """P(a fold in the interval) is below the expected number, and near it while folds are rare: the second is 2 % here.

    100 000 intervals: the standard error is 0.001.
    """
    spacing, length, interval, scale = 0.125, 2.0, 3.0, 1.0
    x = SquaredExponential(length, dim=1).sample(2000, (1200,), np.random.default_rng(0), spacing=spacing)
    folded = torch.diff(x[:, 0]) * scale / spacing < -1
    cells = int(interval / spacing)
    share = float(folded[:, : 1199 // cells * cells].reshape(2000, -1, cells).any(2).double().mean())
    bound = RESULT.evaluate("folds that meet an interval", sigma=1.0, l=length, alpha=scale, T=interval)
    assert 0.95 * bound < share < 1.02 * bound


@pytest.mark.parametrize("time", [0.3, 0.95])
def test_solution_against_brents_method(time):
    t = np.linspace(0, 2 * math.pi, 41)
    expected = [optimize.brentq(lambda u, p=p: u - math.sin(p + time * u), -1.1, 1.1, xtol=1e-15) for p in t]
    np.testing.assert_allclose(burgers_solution(np.sin, t, time, 1.0), expected, atol=1e-12)


def test_solution_solves_the_equation():
    """∂ₛu = u ∂ₜu by central differences, right to the square of the step; the opposite sign is refused."""
    t, step, time = np.linspace(0, 6, 61), 1e-4, 0.6

    def u(at, when):
        return burgers_solution(np.sin, at, when, 1.0)

    in_time = (u(t, time + step) - u(t, time - step)) / (2 * step)
    in_space = (u(t + step, time) - u(t - step, time)) / (2 * step)
    np.testing.assert_allclose(in_time, u(t, time) * in_space, atol=1e-6)
    assert np.abs(in_time + u(t, time) * in_space).max() > 0.1


def test_a_bound_that_is_too_small_is_refused():
    with pytest.raises(ArgumentError, match="bound"):
        burgers_solution(np.sin, np.linspace(0, 6, 7), 0.5, bound=0.1)


def test_repeated_self_warps_converge_to_the_solution():
    """Of order 1 in the step; the spline's own error on 256 points is below 1e-5."""
    points, time = 256, 0.8
    t = 2 * math.pi / points * np.arange(points)
    exact = burgers_solution(np.sin, t, time, 1.0)

    def error(steps):
        layer = own_pixel_layer([[1.0]], time / steps * points / (2 * math.pi), "bspline3(prefilter=True)")
        x = torch.from_numpy(np.sin(t))[None, None]
        for _ in range(steps):
            x = layer(x)
        return float(np.abs(x[0, 0].numpy() - exact).max())

    assert error(32) / error(64) == pytest.approx(2, rel=0.06)


def test_the_map_folds_where_the_flow_spreads():
    """αx′ < −1 folds the map of one step, αx′ > 1 breaks the solution: another place, not another name."""
    points = 400
    t = 2 * math.pi / points * np.arange(points)
    x = torch.from_numpy(np.sin(t) + 0.35 * np.sin(2 * t + 1.0))
    offsets = own_pixel_layer([[1.0]], 1.5 * points / (2 * math.pi)).offsets(x[None, None])[0, 0, 0]
    folded = (torch.diff(offsets) < -1).numpy()
    slope = 1.5 * np.diff(x.numpy()) / np.diff(t)
    assert folded.any()
    np.testing.assert_array_equal(folded, slope < -1)
    assert (slope > 1).any()
    assert not folded[slope > 0].any()


@pytest.mark.parametrize("tau", [0.05, 0.5, 0.9])
def test_distance_against_a_finite_sum(tau):
    t = 2 * math.pi / 4096 * np.arange(4096)
    gap = np.sin(t + tau * np.sin(t)) - burgers_solution(np.sin, t, tau, 1.0)
    name = "distance of a self-warp from Burgers' solution"
    assert RESULT.evaluate(name, tau=tau) == pytest.approx(2 * np.mean(gap**2), rel=1e-9)
    assert RESULT.evaluate(name, tau=0.05) == pytest.approx(0.05**4 / 8, rel=0.02)


@pytest.mark.parametrize("gain", [1.5, 4.0, 100.0])
def test_pile_ups_before_the_first_fold(gain):
    """E[J; J < 1/M] by adaptive quadrature over the time, and its power law."""

    def at(v):
        angle = math.acos((1 - 1 / gain) / v)
        return (angle - v * math.sin(angle)) / math.pi

    expected = integrate.quad(at, 1 - 1 / gain, 1, epsabs=1e-14)[0]
    name = "gradients above M times, before the first fold"
    assert RESULT.evaluate(name, M=gain) == pytest.approx(expected, rel=1e-7)
    if gain == 100:
        assert expected == pytest.approx(2 * math.sqrt(2) / (5 * math.pi) * gain**-2.5, rel=0.02)


def test_pile_ups_after_folds():
    tau, gain = 1.6 * 1.3 / 2.0, 20.0
    expected = integrate.quad(lambda j: abs(j) * stats.norm.pdf(j, 1, tau), -1 / gain, 1 / gain, points=[0])[0]
    found = RESULT.evaluate("gradients above M times, after folds", M=gain, **VALUES)
    assert found == pytest.approx(expected, rel=1e-8)
    assert found == pytest.approx(stats.norm.pdf(0, 1, tau) / gain**2, rel=0.01)


def test_fold_probability_is_the_normal_tail():
    expected = stats.norm.cdf(-2.0 / (1.6 * 1.3))
    assert RESULT.evaluate("fold probability", dim=2, **VALUES) == pytest.approx(expected, rel=1e-12)
