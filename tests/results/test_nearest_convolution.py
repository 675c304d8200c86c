"""E1 and E2 where the answer is known without them: by counting, by brute force, and for constant offsets."""

import numpy as np
import pytest
import torch

from warptheory import matrices, results, warp_matrix

E1, E2 = results.get("E1"), results.get("E2")


def stacked_rows(offsets, period):
    """The rows of a linear warp on a circle, seen from their pixels, by NumPy: shape (N, period)."""
    found = np.zeros((len(offsets), period))
    for row, offset in zip(found, offsets, strict=True):
        whole = int(np.floor(offset))
        row[whole % period] += 1 - (offset - whole)
        row[(whole + 1) % period] += offset - whole
    return found


def test_the_nearest_convolution_is_the_kernel_over_the_histogram():
    offsets = np.random.default_rng(0).normal(0, 2, 30)
    matrix = warp_matrix(torch.from_numpy(offsets)[None, None], boundary="periodic")[0]
    found = matrices.nearest_convolution(matrix, (1, 30)).filters[0, 0]
    np.testing.assert_allclose(found, stacked_rows(offsets, 30).mean(0), atol=1e-15)


@pytest.mark.parametrize("label", ["E1", "E2"])
def test_finite_grid_by_counting(label):
    """Offsets 0 or half a pixel on a circle of four: all 16 draws, with the mean over them exact."""
    energies, commutators = [], []
    for bits in range(16):
        offsets = np.array([(bits >> place & 1) / 2 for place in range(4)])
        matrix = warp_matrix(torch.from_numpy(offsets)[None, None], boundary="periodic")[0]
        energies.append(matrices.nearest_convolution(matrix, (1, 4)).explained_energy / 4)
        commutators.append(matrices.energy(matrices.shift_commutator(matrix, (1,), (1, 4))) / 4)
    own, common = (1 + 0.5) / 2, 0.75**2 + 0.25**2
    if label == "E1":
        assert np.mean(energies) == pytest.approx(common + (own - common) / 4)
    else:
        assert np.mean(commutators) == pytest.approx(2 * (own - common))


def test_wide_limit_of_the_theory():
    """1/(2√π s ρ̄) for normal offsets; the exact share approaches it."""
    exact = E1.evaluate("share of the energy", s=6.0, standard=True)
    limit = E1.evaluate("share of the energy, wide offsets", s=6.0)
    assert limit == pytest.approx(1 / (2 * np.sqrt(np.pi) * 6 * 2 / 3))
    assert exact == pytest.approx(limit * (1 + 1 / 216) ** -0.5, rel=1e-4)


@pytest.mark.parametrize("kernel", ["linear", "keys", "nearest"])
def test_commutes_iff_offsets_are_constant(kernel):
    def commutes(offsets):
        matrix = warp_matrix(torch.tensor([offsets], dtype=torch.float64)[None], kernel=kernel, boundary="periodic")[0]
        return matrices.energy(matrices.shift_commutator(matrix, (1,), (1, 8))) < 1e-25

    assert commutes([0.3] * 8)
    assert commutes([0.3] * 7 + [8.3])  # the same place of the circle
    assert not commutes([0.3] * 7 + [0.8])
    assert commutes([0.3] * 7 + [0.4]) == (kernel == "nearest")  # which rounds: its rows do not tell the offset


def test_smallest_grid_is_checked():
    with pytest.raises(ValueError, match="at least the 4 pixels"):
        E1.claim("energy of the nearest convolution", kernel="keys", N=3)
