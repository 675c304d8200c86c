import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate

from warptheory import montecarlo
from warptheory.results._setting import Setting
from warptheory.results.backward._smooth_offsets import WaveGrid
from warptheory.results.backward.jensen import BackwardGain, ForwardGain, SmallSlopes, TorusMean, result
from warptheory.symbolic import evaluate


@pytest.mark.parametrize("experiment", [ForwardGain, BackwardGain, SmallSlopes])
@pytest.mark.parametrize(
    ("dim", "tau"),
    [
        pytest.param(dim, tau, marks=[] if (dim, tau) in ((1, 0.1), (2, 0.5), (3, 0.8)) else pytest.mark.slow)
        for dim in (1, 2, 3)
        for tau in (0.1, 0.5, 0.8)
    ],
)
def test_every_step_equals_the_one_before(experiment, dim, tau):
    """The trapezoid rule converges like ((1 − √(1 − τ²))/τ)ᴺ: to rounding at N = 96 for τ = 0.8."""
    values = {"tau": tau, "omega": 1.7, "t_1": 0.4, "t_2": 2.9, "t_3": 5.1}
    steps = experiment(Setting(dim=dim)).derive().steps
    assert len(steps) >= 2
    for before, after in itertools.pairwise(steps):
        first, second = evaluate(before.expression, values), evaluate(after.expression, values)
        assert second == pytest.approx(first, rel=1e-12), after.name
        assert second * (1 + 1e-10) != pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_backward_gain_against_scipy(dim):
    tau = 0.6
    one_axis = integrate.quad(lambda t: 1 / (1 + tau * math.cos(t)), 0, 2 * math.pi)[0] / (2 * math.pi)
    found = evaluate(BackwardGain(Setting(dim=dim)).doit(), {"tau": tau})
    assert found == pytest.approx(one_axis**dim, rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2])
def test_small_slopes_err_at_fourth_order(dim):
    def remainder(tau):
        setting = Setting(dim=dim)
        gain, quadratic = (evaluate(s(setting).doit(), {"tau": tau}) for s in (BackwardGain, SmallSlopes))
        return gain - quadratic

    # Halved, τ⁴ falls by 16, but for the next order, about τ² = 0.01 of it.
    assert remainder(0.1) / remainder(0.05) == pytest.approx(16, rel=0.02)
    assert remainder(0.1) > 0


@pytest.mark.parametrize("seed", range(5))
def test_jensen_for_any_diffeomorphism(seed):
    """⟨1/J⟩ ≥ 1 for random slopes of mean zero above −1, and 1 + E(div ε)² once they are small; no sine is special."""
    generator = np.random.default_rng(seed)
    t = 2 * np.pi * np.arange(512) / 512
    slope = sum(generator.normal() * np.cos(k * t + generator.uniform(0, 6)) for k in range(1, 6))
    slope *= 0.8 / np.abs(slope).max()
    assert np.mean(1 / (1 + slope)) > 1.02
    small = 0.01 * slope
    # The next term is the third moment, at most 0.008 of the second.
    assert np.mean(1 / (1 + small)) - 1 == pytest.approx(np.mean(small**2), rel=0.01)


def relative_bias(grid, backward, tau=0.5):
    """Mean gain on a grid against the continuum, without the scatter of the wave's phase.

    cos² + sin² = 1: over two waves a quarter of a period apart the mean over the wave's phase is exact.
    """
    phases = 2 * math.pi * torch.rand(8, 1 + grid.dim, generator=torch.Generator().manual_seed(1)).double()
    quarter = torch.zeros_like(phases)
    quarter[:, 0] = math.pi / 2
    energy = grid.splatted_energy if backward else grid.warped_energy
    gains = (energy(phases, tau) + energy(phases + quarter, tau)) / 2
    theory = (1 - tau**2) ** (-grid.dim / 2) if backward else 1.0
    return gains.mean().item() / theory - 1


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("kernel", "order"), [("linear", 2), ("gauss(0.5)", 2), ("keys", 4)])
def test_discretization_error_falls_with_the_square_of_the_spacing(kernel, order, backward):
    """Quadratically; Keys' kernel reproduces parabolas, and errs at fourth order.

    Factors 2^order, but for the next order and the beat of positions with the grid: 30 %.
    """
    coarse, middle, fine = (
        relative_bias(WaveGrid(kernel, 1, period, oversampling=8 if backward else 1), backward)
        for period in (32, 64, 128)
    )
    assert abs(fine) < abs(middle) < abs(coarse)
    assert math.sqrt(coarse / fine) == pytest.approx(2**order, rel=0.3)


@pytest.mark.parametrize("gain", [ForwardGain, BackwardGain])
@pytest.mark.parametrize("kernel", ["linear", "keys"])
@pytest.mark.parametrize("dim", [1, 2])
def test_bias_of_the_checked_experiments_is_below_a_twentieth_of_the_effect(kernel, dim, gain):
    assert abs(relative_bias(gain(Setting(kernel, dim)).waves, gain is BackwardGain)) < 0.0005


def test_as_many_outputs_as_inputs_miss_the_continuum():
    """Gaps between neighbouring positions add energy that no refinement of both grids takes away: 0.9 % here."""
    biases = [relative_bias(WaveGrid("linear", 1, period, oversampling=1), True) for period in (512, 1024)]
    assert min(biases) > 0.005
    assert abs(relative_bias(WaveGrid("linear", 1, 512), True)) < 0.0002


@pytest.mark.parametrize("name", ["forward gain", "backward gain"])
def test_a_smooth_kernel(name):
    verdict = montecarlo.verify(result.claim(name, kernel="gauss(0.5)"))
    assert verdict.verdict == "verified", str(verdict)


def test_the_mirror_of_the_forward_pass_is_refuted():
    """Backward gain one, as a unitary operator would have."""
    claim = result.claim("backward gain", tau=0.3)
    wrong = montecarlo.Claim(claim.label, 1.0, claim.experiment, claim.values)
    assert montecarlo.verify(wrong).verdict == "refuted"


SMALL = "backward gain, small slopes"


def test_small_slopes_are_small_enough():
    """What is neglected, and what the grid adds, are below a tenth of the smallest effect together."""
    claim = result.claim(SMALL)
    tau = claim.values["tau"]
    neglected = result.evaluate("backward gain", tau=tau, standard=True) - claim.theory
    grid = relative_bias(claim.experiment.waves, True, tau)
    assert 0 < neglected + abs(grid) < 0.1 * claim.absolute_effect
    assert claim.absolute_effect == pytest.approx(0.1 * (claim.theory - 1))


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_other_gains_at_small_slopes_are_refuted(factor):
    """No gain at all, or half or twice E (div ε)²: the check is of what exceeds one."""
    claim = result.claim(SMALL)
    wrong = replace(claim, theory=1 + factor * (claim.theory - 1))
    assert montecarlo.verify(wrong).verdict == "refuted"
    assert montecarlo.verify(claim).verdict == "verified"


def test_torus_mean():
    s, t = sp.symbols("s t", real=True)
    mean = TorusMean(1 / (2 + sp.cos(s) * sp.sin(t)), s, t)
    expected = integrate.dblquad(lambda t, s: 1 / (2 + np.cos(s) * np.sin(t)), 0, 2 * np.pi, 0, 2 * np.pi)[0]
    assert evaluate(mean, {}) == pytest.approx(expected / (4 * np.pi**2), rel=1e-8)
    assert mean.free_symbols == set()
    assert str(mean) == str(mean.integral)
