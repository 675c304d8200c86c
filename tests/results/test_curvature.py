"""A11 against numbers that are not ours: torch's Hessian, finite differences, and sums over SciPy's B-spline."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import interpolate

from warptheory import montecarlo, results, warping
from warptheory.core.errors import ArgumentError
from warptheory.results import Setting
from warptheory.results.iid.channels import GroupGradient
from warptheory.results.iid.curvature import AutomaticCurvature, AutomaticCurvatureOfCorrelatedInput

AUTOMATIC = "curvature by automatic differentiation"
SPLINE = interpolate.BSpline.basis_element(np.arange(-2, 3), extrapolate=False)


def correlation(distance):
    """The linear kernel's autocorrelation, the cubic B-spline by SciPy."""
    return np.nan_to_num(SPLINE(distance))


def covariance(*lag, length=1.8, sigma=1.3):
    return sigma**2 * math.exp(-sum(part**2 for part in lag) / (2 * length**2))


@pytest.mark.parametrize(
    ("kernel", "dim", "correlated"), [("linear", 1, False), ("linear", 2, True), ("keys", 1, True)]
)
def test_the_experiment_is_torchs_hessian(kernel, dim, correlated):
    """The same draws; `torch.func.hessian` of each image's loss by itself, to rounding."""
    experiment = (AutomaticCurvatureOfCorrelatedInput if correlated else AutomaticCurvature)(Setting(kernel, dim))
    values = {experiment.displacement.name: 0.3, "sigma": 1.3, "l": 1.8}
    found = experiment.sample(np.random.default_rng(4), 1, values)

    generator = np.random.default_rng(4)
    size = ({1: 64, 2: 16}[dim],) * dim
    x = experiment._images(generator, 1, values, "cpu")
    offsets = torch.from_numpy(generator.random((1, dim, *size)))
    target = warping.warp(x, offsets, kernel, "periodic")

    def loss(displacement):
        moved = offsets + displacement.reshape(1, dim, *[1] * dim)
        return (warping.warp(x, moved, kernel, "periodic") - target).square().mean() / 2

    at = torch.zeros(dim, dtype=torch.float64)
    at[0] = 0.3
    assert found.item() == pytest.approx(torch.func.hessian(loss)(at)[0, 0].item(), rel=1e-11)


def test_automatic_differentiation_is_blind_to_the_kinks():
    """On one image, d = 1, linear: torch's Hessian is the mean of (∂y)², the loss itself curves as σ²(2 − 3Δ) does."""
    experiment = AutomaticCurvature(Setting())
    at_half, beyond = (
        experiment.sample(np.random.default_rng(0), 4000, {"Delta": d, "sigma": 1.0}) for d in (0.5, 0.9)
    )
    for found in (at_half, beyond):
        assert abs(found.mean().item() - 2) < 4.5 * found.std().item() / math.sqrt(len(found))
    assert results.get("A11").evaluate("curvature", Delta=0.9, sigma=1.0, step=0.05) == pytest.approx(2 - 2.7)


def test_the_true_curvature_is_not_what_autograd_returns():
    claim = results.get("A11").claim(AUTOMATIC)
    true = results.get("A11").evaluate("curvature", sigma=1.3, standard=True)
    assert montecarlo.verify(replace(claim, theory=true)).verdict == "refuted"


@pytest.mark.parametrize("dim", [1, 2])
def test_with_a_covariance(dim):
    """Sums over the lags that the linear kernel reads, SciPy's spline and its second derivative."""
    bend = SPLINE.derivative(2)
    lags = np.stack(np.meshgrid(*[np.arange(-3, 4)] * dim), -1).reshape(-1, dim)
    across = [np.prod([correlation(float(part)) for part in lag[1:]]) for lag in lags]
    shape = [covariance(*lag) for lag in lags]
    still = [correlation(float(lag[0])) for lag in lags]
    a11 = results.get("A11")
    for f in (0.0, 0.3, 0.85):
        moved = [correlation(f - lag[0]) for lag in lags]
        curved = [np.nan_to_num(bend(f - lag[0])) if abs(f - lag[0]) < 2 else 0.0 for lag in lags]
        loss = sum(c * a * (s - m) for c, a, s, m in zip(shape, across, still, moved, strict=True))
        assert a11.evaluate("loss, correlated input", dim=dim, f=f, sigma=1.3, l=1.8) == pytest.approx(loss, abs=1e-12)
        curvature = -sum(c * a * b for c, a, b in zip(shape, across, curved, strict=True))
        name = "curvature, correlated input"
        assert a11.evaluate(name, dim=dim, f=f, sigma=1.3, l=1.8) == pytest.approx(curvature, rel=1e-11)


@pytest.mark.parametrize("dim", [1, 2])
def test_automatic_curvature_with_a_covariance(dim):
    """2(C(0) − C(1)), d = 1; in the plane the lags across are weighed by the linear kernel's autocorrelation."""
    across = {-1: 1 / 6, 0: 2 / 3, 1: 1 / 6} if dim == 2 else {0: 1.0}
    expected = sum(weight * 2 * (covariance(0, lag) - covariance(1, lag)) for lag, weight in across.items())
    found = results.get("A11").evaluate(f"{AUTOMATIC}, correlated input", dim=dim, sigma=1.3, l=1.8)
    assert found == pytest.approx(expected, rel=1e-12)


def test_channels_of_a_group_add_and_groups_do_not():
    """Twelve channels: by one group, by four, by twelve. Each gets σ_g²σ²·2·C/G, d = 1; 4.5 standard errors."""
    values = {"C": 12.0, "mu": 0.7, "sigma": 1.3, "sigma_g": 0.8}
    for groups in (1, 4, 12):
        found = GroupGradient(Setting()).sample(np.random.default_rng(groups), 400, values | {"G": float(groups)})
        exact = 12 / groups * 0.8**2 * 1.3**2 * 2
        assert abs(found.mean().item() - exact) < 4.5 * found.std().item() / math.sqrt(len(found))
        assert found.std().item() / math.sqrt(len(found)) < 0.03 * exact


def test_channels_that_make_no_whole_groups_are_refused():
    with pytest.raises(ArgumentError, match="^C: expected a whole multiple of the number of groups G = 4, got 6.0"):
        results.get("A8").claim("variance, groups of offsets", C=6, G=4)
