"""B8: the recursion of the second moment through layers, and its fixed point."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate

from warptheory import montecarlo
from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.results.backward import stacked_gradients
from warptheory.results.backward.stacked_gradients import WideSecondMoment, result
from warptheory.symbolic import Expectation, NotReducible, WideOffsets, evaluate

WIDE = "second moment after L layers, wide offsets"
DEEP = "second moment after many layers, wide offsets"
SMOOTH = "second moment after L layers, smooth offsets"


def square_integral(kernel):
    """∫k² by SciPy, of definitions typed here."""
    functions = {
        "nearest": lambda u: float(u < 0.5),
        "linear": lambda u: max(1 - u, 0.0),
        "keys": lambda u: 1.5 * u**3 - 2.5 * u**2 + 1 if u < 1 else -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2,
    }
    ends = {"nearest": 0.5, "linear": 1.0, "keys": 2.0}
    return 2 * integrate.quad(lambda u: functions[kernel](u) ** 2, 0, ends[kernel], points=[1.0])[0]


@pytest.mark.parametrize("kernel", ["linear", "keys"])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_recursion_and_fixed_point_against_the_geometric_series(kernel, dim):
    """Σ_{l ≤ L} ρ̄ᵈˡ, summed term by term, with ρ̄ from quadrature."""
    energy = square_integral(kernel) ** dim
    for layers in (1, 2, 5):
        found = result.evaluate(WIDE, kernel=kernel, dim=dim, L=layers, standard=True)
        assert found == pytest.approx(sum(energy**power for power in range(layers + 1)), rel=1e-12)
    many = sum(energy**power for power in range(400))
    assert result.evaluate(DEEP, kernel=kernel, dim=dim, standard=True) == pytest.approx(many, rel=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "keys"])
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_correlated_layers_follow_the_recursion_of_white_ones(kernel, dim, layers):
    """The limit of whole stacks, with the covariance that each layer leaves, gives the same number."""
    setting = Setting(kernel, dim)
    moment = WideOffsets(Expectation(stacked_gradients.stack(setting, layers)[PIXEL] ** 2), HALF_WIDTH).doit()
    assert evaluate(moment, {}) == pytest.approx(
        result.evaluate(WIDE, kernel=kernel, dim=dim, L=layers, standard=True), rel=1e-12
    )


@pytest.mark.parametrize("name", [WIDE, DEEP])
def test_the_map_and_its_solution_agree(name):
    """Iterated in floating point, and solved; a hundred roundings at most."""
    for kernel in ("linear", "keys"):
        steps = result.derive(name, kernel=kernel, dim=2).steps
        numbers = [evaluate(step.expression, {"L": 6.0}) for step in steps]
        assert numbers == pytest.approx([numbers[-1]] * 2, rel=1e-13)


def test_nothing_is_lost_by_nearest():
    """ρ̄ = 1: no contraction and no fixed point, so the second moment grows by one with every layer."""
    with pytest.raises(NotReducible, match="has to contract"):
        result.derive(DEEP, kernel="nearest")


@pytest.mark.parametrize("dim", [1, 2])
def test_the_wide_experiment_is_wide_and_deep_enough(dim):
    """What the torus takes off, 1/N a layer, and the layers that are missing, below a tenth of the smallest effect."""
    claim = result.claim(DEEP, dim=dim)
    pixels, moment, energy = math.prod(claim.experiment.grid), 1.0, (2 / 3) ** dim
    for _ in range(claim.experiment.layers):
        moment = energy * moment + 1 - moment / pixels
    assert abs(moment / claim.theory - 1) < 0.1 * claim.smallest_effect


@pytest.mark.slow
def test_a_wrong_map_is_refuted():
    """A map without the share of the mean, and the fixed point of another number of axes."""
    for name, wrong in ((DEEP, 9 / 5), (WIDE, 2 * (1 - (2 / 3) ** 5))):
        claim = result.claim(name)
        assert montecarlo.verify(replace(claim, theory=wrong, size=3.0)).verdict == "refuted"


@pytest.mark.parametrize("layers", [2, 3])
def test_depth_is_a_parameter(layers):
    claim = result.claim(WIDE, dim=2, L=layers)
    assert claim.experiment == WideSecondMoment(Setting("linear", 2))
    assert montecarlo.verify(claim).verdict == "verified"
    smooth = result.claim(SMOOTH, kernel="keys", L=layers)
    assert smooth.theory == pytest.approx(0.75 ** (-layers / 2), rel=1e-14)
    assert montecarlo.verify(smooth).verdict == "verified"


def test_a_gain_that_does_not_grow_with_depth_is_refuted():
    claim = result.claim(SMOOTH, kernel="keys", L=3)
    assert montecarlo.verify(replace(claim, theory=result.evaluate(SMOOTH, L=2, standard=True))).verdict == "refuted"


@pytest.mark.parametrize(
    ("name", "kernel", "dim"),
    [
        (SMOOTH, "linear", 1),
        (SMOOTH, "keys", 1),
        ("second moment after L layers, smooth offsets in the plane", "keys", 2),
    ],
)
def test_bias_of_the_smooth_experiment(name, kernel, dim):
    """Over phases whose scatter is small: at most a tenth of the smallest effect."""
    claim = result.claim(name, kernel=kernel, dim=dim)
    sample = claim.experiment.sample(np.random.default_rng(1), 64, {**claim.values, "tau": 0.3})
    theory = result.evaluate(name, kernel=kernel, dim=dim, tau=0.3, standard=True)
    error = sample.std() / math.sqrt(len(sample)) / theory
    assert error < 0.001
    assert abs(sample.mean() / theory - 1) < 0.1 * claim.smallest_effect + 4.5 * error
    assert torch.isfinite(sample).all()
