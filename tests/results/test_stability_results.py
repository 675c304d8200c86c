"""Results G1 to G6 against numbers that share nothing with their files, and the numbers that their statements name."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from warptheory import results
from warptheory.results.stability._steps import delivered_energy


@pytest.mark.parametrize(("dim", "stated"), [(1, 0.430), (2, 0.358), (3, 0.319)])
def test_slope_bounds_are_quantiles_of_chi_square(dim, stated):
    found = results.get("G1").evaluate(dim=dim, p=0.01)
    assert found == pytest.approx(stats.chi2.isf(0.02, dim) ** -0.5, rel=1e-9)  # both by SciPy's gamma functions
    assert found == pytest.approx(stated, abs=5e-4)  # as many digits as the statement has


def test_slope_bound_in_the_plane_is_that_of_the_theory():
    assert results.get("G1").evaluate(dim=2, p=0.05) == pytest.approx(1 / math.sqrt(2 * math.log(10)), rel=1e-12)


@pytest.mark.parametrize("layers", [1, 4, 64])
def test_budgets_lie_on_their_sides_of_the_exponential(layers):
    roughening = results.get("G3").evaluate("growth of the slope energy", Q=0.4, L=layers)
    gain = results.get("G4").evaluate("energy of gradients from ones", B=0.3, L=layers)
    assert 1.4 <= roughening < math.exp(0.4)
    assert gain > math.exp(0.3) > (1 + 0.3 / layers) ** layers


def test_energy_over_the_twin_is_that_of_the_slopes_for_guides_as_smooth_as_features():
    found = results.get("G2").evaluate(dim=2, L=5, l=3.0, l_e=3.0, s=1.2)
    assert found == pytest.approx((1 + 2 * 0.4**2) ** 5, rel=1e-12)


def test_a_step_at_the_knot_delivers_a_quarter_of_what_autograd_promises():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 400_000)))
    right, left = x[2] - x[1], x[1] - x[0]
    delivered = (right * (right + left) / 2).mean().item()
    assert delivered == pytest.approx(float(delivered_energy("linear")), abs=0.01)  # five standard errors
    assert right.square().mean().item() == pytest.approx(4 * float(delivered_energy("linear")), abs=0.03)
    assert delivered_energy("keys") == delivered_energy("linear")


def test_many_outputs_take_the_ratio_from_the_patch_energy_to_its_root():
    def ratio(outputs: int) -> float:
        name = "predicted over static positions, N outputs"
        return results.get("G5").evaluate(name, N=outputs, P=72, mu=0.0, sigma=1.0) ** 0.5

    assert ratio(60_000) == pytest.approx(72**0.5, rel=0.01)  # the rest is of order P/N
    assert ratio(5) == pytest.approx(72, rel=0.5)
    assert ratio(5) > ratio(50) > ratio(500)


@pytest.mark.parametrize(("start", "stated"), [(0.5, 1.7), (1.0, 1.6), (2.0, 1.4)])
def test_the_exponent_of_depth_is_as_stated(start, stated):
    def ratio(layers: int) -> float:
        return results.get("G6").evaluate(standard=True, L=layers, E_0=start)

    assert math.log(ratio(18) / ratio(3)) / math.log(6) == pytest.approx(stated, abs=0.05)  # its digits
    # An exponent of two less 1/ln L: at most 65536 layers may be counted.
    assert math.log(ratio(60_000) / ratio(6_000)) / math.log(10) == pytest.approx(1.9, abs=0.03)


def test_the_ratio_of_a_stream_is_the_sum_over_its_layers():
    energies = 0.7 + np.arange(5.0)
    gradient = energies[-1] / energies
    heads = (gradient[:-1] * energies[:-1] ** 2).sum() * 6 / 2  # dP e, e = 1/2
    weights = 3 * (energies[-1] + gradient[1:].sum())
    found = results.get("G6").evaluate(kernel="keys", alpha=1.0, m=1.0, C=3, P=6, L=4, E_0=0.7)
    assert found == pytest.approx(heads / weights, rel=1e-12)
