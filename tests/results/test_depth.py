"""Stacks of any depth against matrices, branching processes by hand, and simulations that share nothing with them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from warptheory import results, warping
from warptheory.results._depth import LAYERS
from warptheory.results.backward._compound_poisson import THRESHOLD
from warptheory.results.backward._descendants import CompoundTail, GeneratedTail

A9, B8 = "variance after L layers, wide offsets", "share without a gradient after L layers, wide offsets"
TAIL = "tail after L layers, wide offsets"


@pytest.mark.parametrize(("kernel", "energy"), [("linear", 2 / 3), ("nearest", 1.0)])
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("layers", [1, 2, 7])
def test_variance_is_a_power(kernel, energy, dim, layers):
    found = results.get("A9").evaluate(A9, kernel=kernel, dim=dim, L=layers, sigma=1.3)
    assert found == pytest.approx(1.3**2 * energy ** (dim * layers), rel=1e-12)


def test_variance_after_one_layer_is_that_of_the_matrix():
    """The trace of WWᵀ over the number of rows, 200 matrices with uniform positions; 4.5 standard errors."""
    offsets = torch.from_numpy(np.random.default_rng(0).uniform(0, 64, (200, 1, 64)))
    shares = [warping.warp_matrix(one[None], kernel="keys", boundary="periodic")[0].to_dense() for one in offsets]
    energy = np.array([matrix.square().sum().item() / 64 for matrix in shares])
    exact = results.get("A9").evaluate(A9, kernel="keys", L=1, sigma=1.0)
    assert abs(energy.mean() - exact) < 4.5 * energy.std() / math.sqrt(len(energy))


@pytest.mark.parametrize(("kernel", "mean"), [("linear", 2.0), ("nearest", 1.0)])
@pytest.mark.parametrize("dim", [1, 2])
def test_dead_share_is_that_of_a_branching_process(kernel, mean, dim):
    """By hand: q → E q^R, R Poisson by SciPy."""
    readings = np.arange(200)
    law = stats.poisson.pmf(readings, mean**dim)
    q = 0.0
    for layers in range(1, 6):
        q = float(np.sum(law * q**readings))
        found = results.get("B8").evaluate(B8, kernel=kernel, dim=dim, L=layers)
        assert found == pytest.approx(q, rel=1e-12)


def test_one_layer_is_the_dead_share_of_one_operator():
    name = "share of dead inputs, wide offsets"
    for kernel, dim in [("linear", 1), ("linear", 2)]:
        one = results.get("B4").evaluate(name, kernel=kernel, dim=dim)
        assert results.get("B8").evaluate(B8, kernel=kernel, dim=dim, L=1) == pytest.approx(one, rel=1e-12)


def test_survivors_become_rare_as_two_over_the_depth():
    """Kolmogorov's law of critical branching processes: L(1 − q) → 2 / variance of the offspring = 2, as log L/L."""
    survivors = 1 - results.get("B8").evaluate(B8, kernel="nearest", L=200)
    assert survivors * 200 == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("threshold", [0.0, 1.5, 6.0])
def test_the_tail_is_that_of_a_simulated_tree(layers, threshold):
    """Generations of Poisson families, drawn by NumPy; both routes agree to rounding."""
    generator = np.random.default_rng(layers)
    count = np.ones(200_000, dtype=int)
    for _ in range(layers):
        count = generator.poisson(count)
    share = (count > threshold).mean()
    nodes = [kind(LAYERS, THRESHOLD).probabilities(layers, int(threshold)) for kind in (CompoundTail, GeneratedTail)]
    first, second = (1 - found.sum() for found in nodes)
    assert first == pytest.approx(second, abs=1e-13)
    assert abs(first - share) < 4.5 * math.sqrt(first * (1 - first) / len(count))


def test_one_layer_is_poisson():
    found = results.get("B8").evaluate(TAIL, kernel="nearest", L=1, t=2.5)
    assert found == pytest.approx(stats.poisson.sf(2.5, 1), rel=1e-12)
