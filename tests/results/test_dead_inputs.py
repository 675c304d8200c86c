"""B4, dead inputs: derivation steps, limits and the operator against SciPy, occupancy theory and dense matrices."""

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import stats

import warptheory as wt
from tests.simulated import check_simulation, claims_of
from warptheory import montecarlo
from warptheory.core.errors import ArgumentError
from warptheory.results import Setting
from warptheory.results.backward._reading import UnreadProbability, reading_probability, watch
from warptheory.results.backward.dead_inputs import DeadShare, WideDeadShare, result
from warptheory.symbolic import NotReducible, evaluate

WIDE = [quantity for quantity in result.quantities if "wide" in quantity.name]
CLAIMS = claims_of(result)


def choices(setting):
    return {"kernel": setting.kernel, "dim": setting.dim, "offsets": setting.offsets}


@pytest.mark.parametrize(("quantity", "setting"), CLAIMS)
def test_the_operator_verifies_it_and_a_planted_error_is_refused(quantity, setting):
    """Every quantity, kernel, number of axes and law; `make test-slow` has them for every quantity."""
    check_simulation(result, quantity, setting, family=len(CLAIMS))


@pytest.mark.parametrize(
    ("offsets", "kernel", "dim"),
    [
        (law, kernel, 1 + (i + j) % 2)
        for i, law in enumerate(("normal", "uniform", "laplace"))
        for j, kernel in enumerate(("nearest", "linear", "keys", "bspline3", "triangle(1.5)"))
    ],
)
def test_finite_spread_steps_agree(offsets, kernel, dim):
    """Indicators against the joint density, reading probabilities by quadrature, and by distribution functions.

    Products of up to 10³ factors, each rounded, of quadratures that are exact to rounding.
    """
    law = {"normal": ("s", 0.55), "uniform": ("a", 0.85), "laplace": ("b", 0.1)}[offsets]
    steps = DeadShare(Setting(kernel, dim, offsets)).derive().steps
    numbers = [evaluate(step.expression, dict([law])) for step in steps]
    assert numbers == pytest.approx([numbers[-1]] * len(steps), rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("offsets", ["normal", "uniform"])
@pytest.mark.parametrize("kernel", ["nearest", "linear", "keys", "bspline3"])
@pytest.mark.parametrize("dim", [1, 2])
def test_steps_of_the_limit_agree(offsets, kernel, dim):
    """Extrapolated from finite spreads. Limits of 5 spreads (d = 2) are good to 1e-9 of the largest factor, one."""
    steps = WideDeadShare(Setting(kernel, dim, offsets)).derive().steps
    numbers = [evaluate(step.expression, {}) for step in steps]
    assert numbers == pytest.approx([numbers[-1]] * len(steps), rel=1e-6, abs=1e-11)


@pytest.mark.parametrize(
    ("kernel", "exponent"), [("nearest", 1), ("linear", 2), ("keys", 4), ("triangle(1.25)", sp.Rational(5, 2))]
)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_limit_in_closed_form(kernel, exponent, dim):
    assert WideDeadShare(Setting(kernel, dim)).doit() == sp.exp(-(exponent**dim))


def test_finite_spread_against_scipy():
    """Linear kernel, N(0, s²): ∏ (1 − Φ((1 − n)/s) + Φ((−1 − n)/s)) by SciPy, to rounding of 10² factors."""
    outputs = np.arange(-40, 41)
    for scale in (0.3, 1.0, 3.0):
        mass = stats.norm.cdf(1 - outputs, scale=scale) - stats.norm.cdf(-1 - outputs, scale=scale)
        assert result.evaluate(s=scale, standard=True) == pytest.approx(np.prod(1 - mass), rel=1e-12)


@pytest.mark.parametrize("quantity", WIDE, ids=lambda quantity: quantity.name)
def test_the_wide_experiment_is_wide_enough(quantity):
    """The exact share on the experiment's torus is within a tenth of the smallest effect of the limit."""
    for setting in result.settings(quantity.name):
        claim = result.claim(quantity.name, **choices(setting))
        experiment = WideDeadShare(setting)
        probability = reading_probability(experiment.kernel, experiment.offsets.axis_law)
        torus = watch(UnreadProbability, probability, experiment.kernel, experiment.offsets, experiment.grid[0])
        exact = evaluate(torus, claim.values)
        assert exact == pytest.approx(claim.theory, rel=quantity.smallest_effect / 10)
        assert exact != claim.theory
        # Positions are uniform over the torus: the share is that of occupancy theory, (1 − |S|ᵈ/Nᵈ)^(Nᵈ).
        pixels = experiment.row_elements({})
        readings = float(-sp.log(experiment.doit()))
        assert exact == pytest.approx((1 - readings / pixels) ** pixels, rel=1e-7)


def test_offsets_that_are_not_wide_are_refuted():
    """The limit is not what the operator does at s = 0.5."""
    assert montecarlo.verify(result.claim(WIDE[0].name, s=0.5)).verdict == "refuted"


@pytest.mark.parametrize("kernel", ["nearest", "linear", "keys", "bspline3", "gauss(0.5)"])
@pytest.mark.parametrize("dim", [1, 2])
def test_a_pixel_without_gradient_is_a_column_without_entries(kernel, dim):
    """What the experiment counts, zeros of Wᵀg for one random g, are the zero columns of W."""
    generator = torch.Generator().manual_seed(5)
    size = (24,) * dim
    offsets = 8 * torch.randn(4, dim, *size, generator=generator, dtype=torch.float64)
    g = 0.5 + torch.rand(4, 1, *size, generator=generator, dtype=torch.float64)
    unread = wt.splat(g, offsets, kernel=kernel, boundary="periodic").flatten(1) == 0
    columns = wt.warp_matrix(offsets, kernel=kernel, boundary="periodic").to_dense().abs().sum(1)
    assert torch.equal(unread, columns == 0)
    assert kernel in ("bspline3", "keys", "gauss(0.5)") or unread.any()


def test_offsets_that_would_go_around_the_grid_are_refused():
    """By the experiment, and by the claim before anything runs."""
    for work in (
        lambda: DeadShare(Setting()).sample(np.random.default_rng(0), 1, {"s": 5.0}),
        lambda: result.claim(s=5.0),
    ):
        with pytest.raises(ArgumentError, match="^values: expected offsets below 31 pixels, got up to"):
            work()


@pytest.mark.parametrize("offsets", ["constant", "rademacher"])
def test_laws_without_a_density_are_refused(offsets):
    with pytest.raises(NotReducible):
        result.derive(offsets=offsets)


@pytest.mark.parametrize("quantity", result.quantities, ids=lambda quantity: quantity.name)
def test_every_step_prints(quantity):
    for dim in (1, 2):
        derivation = quantity.experiment(Setting("linear", dim)).derive()
        assert str(derivation)
        assert derivation.latex()
        assert all(step.mathml().startswith("<math") for step in derivation.steps)
