"""E3 by the singular values of the matrices of warps, with wrong weights planted; and what the two families share."""

import numpy as np
import pytest
import torch

from warptheory import matrices, results, warp_matrix

MODES = 12
TAU = 0.4


def distance_to_unitary(kernel, pixels, weight):
    """The mean square distance of a weighted warp from an isometry of waves up to a frequency, on N pixels."""
    t = 2 * np.pi * np.arange(pixels) / pixels
    offsets = torch.from_numpy(pixels / (2 * np.pi) * TAU * np.sin(t))[None, None]
    jacobian = 1 + TAU * np.cos(t)
    matrix = matrices.samples(warp_matrix(offsets, kernel=kernel, boundary="periodic"))[0]
    waves = np.linalg.qr(np.cos(np.outer(t, np.arange(MODES))))[0]
    spectrum = matrices.singular_spectrum(weight(jacobian)[:, None] * (matrix @ waves))
    return spectrum.mean_square_distance_to_isometry


# Amplitudes err by h² and h³ for linear and Keys' kernel, so that squares fall by 2⁴ and 2⁶ as h is halved. (Keys'
# singular values feel only the part of its error that does not turn the phase, of the order h⁴.)
@pytest.mark.parametrize(("kernel", "order"), [("linear", 4), ("keys", 6)])
def test_distance_to_unitary_falls_with_the_spacing(kernel, order):
    found = [distance_to_unitary(kernel, pixels, np.sqrt) for pixels in (256, 512)]
    assert np.log2(found[0] / found[1]) >= order - 0.2
    assert found[1] < 1e-3


@pytest.mark.parametrize("weight", [np.ones_like, lambda jacobian: jacobian])
def test_wrong_weights_stay_away(weight):
    """Without the weight the distance tends to ⟨(1 − √J)²⟩ or thereabouts; it does not fall."""
    found = [distance_to_unitary("keys", pixels, weight) for pixels in (256, 512)]
    assert found[1] == pytest.approx(found[0], rel=1e-2)
    assert found[1] > 0.01


@pytest.mark.parametrize("name", ["forward gain of the weighted warp", "backward gain of the weighted warp"])
def test_wrong_weights_are_refused(name, monkeypatch):
    """|J| in place of its root fails forward by τ²/2, and no weight backward by 1/√(1 − τ²) − 1."""
    from warptheory.results.orthogonality.weighted_composition import WeightedGrid

    result = results.get("E3")
    placed = result.place(name)
    true = WeightedGrid.weights
    power, expected = (2, 1 + 0.5**2 / 2) if name.startswith("forward") else (0, 1 / np.sqrt(1 - 0.5**2))
    monkeypatch.setattr(WeightedGrid, "weights", lambda self, phases, tau: true(self, phases, tau) ** power)
    rows = placed.drawn.sample(np.random.default_rng(0), 4, {"tau": 0.5})
    assert rows.mean().item() == pytest.approx(expected, rel=1e-3)
    assert abs(rows.mean().item() - placed.theory) > 0.1


def test_only_whole_shifts_are_both():
    """A constant offset gives a convolution; it is orthogonal for whole pixels only."""
    for offset, orthogonal in ((3.0, True), (0.5, False)):
        matrix = warp_matrix(torch.full((1, 1, 16), offset, dtype=torch.float64), boundary="periodic")[0]
        assert matrices.nearest_convolution(matrix, (1, 16)).share_of_energy == pytest.approx(1)
        assert (matrices.singular_spectrum(matrix).mean_square_distance_to_isometry < 1e-25) == orthogonal
    permutation = np.eye(16)[np.random.default_rng(0).permutation(16)]
    assert matrices.singular_spectrum(permutation).mean_square_distance_to_isometry < 1e-25
    assert matrices.nearest_convolution(permutation, (1, 16)).share_of_energy < 1


def test_shift_departure_by_its_matrix():
    """⟨(|ĥ|² − 1)²⟩ of the transfer function, by NumPy."""
    f = 0.3
    gains = abs(1 - f + f * np.exp(1j * 2 * np.pi * np.arange(64) / 64)) ** 2
    found = results.get("E3").evaluate("departure of a fractional shift from a unitary one", f=f, kernel="linear")
    assert found == pytest.approx(np.mean((gains - 1) ** 2), rel=1e-12)
