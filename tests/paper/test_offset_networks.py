"""Speeds of small networks against the closed form of a readout; kernels of delays against Gaussian integrals."""

import numpy as np
import pandas as pd
import pytest
import torch

from warptheory.paper.analyses import critical_multiplier, rules_of_practice
from warptheory.paper.analyses._offset_networks import OffsetNetwork, speed_ratio, speeds
from warptheory.paper.analyses._practice_networks import TapNetwork, TransformerNetwork


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.arange(6) % 3


def test_the_readout_moves_outputs_by_its_kernel(batch):
    images, labels = batch
    torch.manual_seed(0)
    network = OffsetNetwork("plain", 3, 2, 3).double().train()
    found = speeds(network, images, labels)
    with torch.no_grad():
        y = network.stem(images)
        for block in network.blocks:
            y = block(y)
        features = y.mean((2, 3))
        residual = (network.readout(features).softmax(1) - torch.nn.functional.one_hot(labels, 3)) / len(labels)
        expected = (features @ features.T + 1) @ residual
    # Differences over a step of 1e-5 of outputs of order one have ten digits.
    assert found.readout == pytest.approx(expected.square().mean().sqrt().item(), rel=1e-6)
    assert found.heads <= sum(found.layers) * (1 + 1e-6)
    assert len(found.layers) == len(found.feature) == len(found.slope) == 3


@pytest.mark.parametrize(
    "build",
    [
        lambda: TapNetwork(2, 3, predicted=True),
        lambda: TapNetwork(2, 3, predicted=False),
        lambda: TransformerNetwork(2, 3, 8),
    ],
    ids=["predicted", "static", "transformer"],
)
def test_the_ratio_of_speeds_leaves_a_network_as_it_was(batch, build):
    torch.manual_seed(0)
    network = build().double().train()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    ratio = speed_ratio(network, *batch, network.offsets())
    assert 0 < ratio < np.inf
    for was, parameter in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), was, rtol=0, atol=1e-15)  # added and taken away again


@pytest.mark.parametrize("width", [0.23, 12.0])
def test_delays_have_gaussian_energies_and_basins(width):
    assert rules_of_practice.slowness(width) == pytest.approx(2 * width**2, rel=1e-4)  # second-order differences
    assert rules_of_practice.basin(width) == pytest.approx(2**0.5 * width, rel=0.01)  # a step of the grid


def test_exponents_are_those_of_a_record():
    rows = [
        {"family": family, "depth": depth, "seed": seed, "block": 0, "heads": depth**1.5 * np.exp(seed), "rest": 1.0}
        for family in critical_multiplier.FAMILIES
        for depth in critical_multiplier.DEPTHS
        for seed in (-1, 1)
    ]
    table = pd.DataFrame(rows)
    for family in critical_multiplier.FAMILIES:
        assert critical_multiplier.exponent(table, family) == pytest.approx(-1.5)
    found = critical_multiplier.critical(table)
    assert found["critical"].iloc[0] == pytest.approx(3**-1.5 / 3)
