"""The share of positions that holds a share of the energy, against laws whose Lorenz curve is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from warptheory.core.errors import ArgumentError
from warptheory.fields.localisation import share_of_positions


def test_by_hand():
    energy = torch.tensor([[4.0, 1.0, 3.0, 2.0], [0.0, 7.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
    # Half of 10 is 4 and a third of the 3; half of 7 is half of the one that has all.
    torch.testing.assert_close(share_of_positions(energy).tolist(), [(1 + 1 / 3) / 4, 0.5 / 4, 0.5])
    assert share_of_positions(energy.long(), held=1.0).tolist() == [1.0, 0.25, 1.0]


def test_it_does_not_depend_on_scale_order_or_shape():
    generator = torch.Generator().manual_seed(0)
    energy = torch.randn(3, 8, 9, generator=generator, dtype=torch.float64).square()
    share = share_of_positions(energy, 0.7)
    flat = energy.flatten(1)[:, torch.randperm(72, generator=generator)]
    torch.testing.assert_close(share_of_positions(1e-300 * flat, 0.7), share)
    torch.testing.assert_close(share_of_positions(1e305 * flat, 0.7), share)
    torch.testing.assert_close(share_of_positions(energy.float(), 0.7), share)


@pytest.mark.parametrize("held", [0.1, 0.5, 0.9])
def test_log_normal_energy(held):
    """exp(σZ): the largest that hold a share h are those above σ − Φ⁻¹(h): Φ(Φ⁻¹(h) − σ) of them."""
    sigma = 1.3
    ends = stats.norm.ppf(np.linspace(0, 1, 20_001))
    energy = torch.from_numpy(np.diff(stats.norm.cdf(ends - sigma)))[None]  # exact over each of equal parts
    expected = stats.norm.cdf(stats.norm.ppf(held) - sigma)
    # The Lorenz curve is exact at the ends of parts, and linear between: wrong by a part of 5e-5 at most.
    assert float(share_of_positions(energy, held)) == pytest.approx(expected, abs=5e-5)


def test_exponential_energy():
    """A share p of positions holds p(1 − log p) of an exponential energy: 0.1867 holds half."""
    above = np.linspace(1, 0, 20_001)
    held = above * (1 - np.log(np.maximum(above, 1e-300)))
    share = float(share_of_positions(torch.from_numpy(-np.diff(held))[None]))
    assert share * (1 - np.log(share)) == pytest.approx(0.5, abs=1e-6)  # linear over parts of 5e-5: their square


def test_a_map_without_energy():
    assert torch.isnan(share_of_positions(torch.zeros(2, 5))).all()


@pytest.mark.parametrize(
    "energy",
    [
        torch.tensor([[1.0, -1.0]]),
        torch.tensor([[1.0, float("nan")]]),
        torch.tensor([[1.0, float("inf")]]),
        torch.ones(3),
        torch.ones(2, 0),
    ],
)
def test_what_is_no_energy_is_refused(energy):
    with pytest.raises(ArgumentError, match="energy"):
        share_of_positions(energy)


@pytest.mark.parametrize("held", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(held):
    with pytest.raises(ArgumentError, match="held"):
        share_of_positions(torch.ones(1, 4), held)


@pytest.mark.parametrize(
    "energy",
    [
        np.ones((2, 3)),
        [[1.0, 2.0]],
        None,
        "energy",
        torch.ones(2, 3, dtype=torch.complex64),
        torch.ones(2, 3).to_sparse(),
    ],
    ids=lambda energy: type(energy).__name__,
)
def test_what_is_no_tensor_of_energies_is_refused(energy, as_users_call):
    with pytest.raises(ArgumentError, match="energy: expected a (dense )?tensor"):
        share_of_positions(energy)
