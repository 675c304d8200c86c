"""E4: spectra and ranks against matrices that NumPy makes and decomposes, without the library's operator."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse import csgraph

from warptheory import results
from warptheory.results.orthogonality._band_limited import BandLimitedWarp, wave_offsets
from warptheory.results.orthogonality._gaussian_distances import GaussianDistance
from warptheory.results.orthogonality._ranks import structural_ranks
from warptheory.results.orthogonality._white_pixels import slow_offsets
from warptheory.results.orthogonality.singular_values import Distance, band_limited_spectrum


def trigonometric_spectrum(tau: float, modes: int) -> np.ndarray:
    """Singular values of x ↦ x(t + τ sin t) on the waves exp(ikt), evaluated where they are read, by NumPy's SVD."""
    t = 2 * np.pi * np.arange(16 * modes) / (16 * modes)
    frequencies = np.arange(modes) - modes // 2
    waves = np.exp(1j * np.outer(t + tau * np.sin(t), frequencies)) / math.sqrt(len(t))
    return np.linalg.svd(waves, compute_uv=False)


@pytest.mark.parametrize("tau", [0.3, 0.8, 1.5])
def test_spectrum_of_the_operator_is_that_of_trigonometric_evaluation(tau):
    # The spline takes 1.7e-3 ω⁴ off a wave of ω radians a pixel, here at most 7e-5.
    found = band_limited_spectrum(tau, 33, 240)
    np.testing.assert_allclose(found[::-1], trigonometric_spectrum(tau, 33), atol=2e-4)


@pytest.mark.parametrize("tau", [0.2, 0.5, 0.8])
def test_quantiles_follow_the_law_of_the_jacobian(tau):
    """Szegő's law as a whole: the share of singular values above 1/√(1 + τ cos a) is 1 − (a + τ sin a)/π."""
    modes = 401
    found = trigonometric_spectrum(tau, modes)
    angle = np.linspace(0, np.pi, 2001)
    places = (np.arange(modes) + 0.5) / modes
    law = np.interp(places, (angle + tau * np.sin(angle)) / np.pi, (1 + tau * np.cos(angle)) ** -0.5)

    def deviation(spectrum: np.ndarray) -> float:
        return float(np.abs(np.interp(spectrum, law, places) - places).max())

    # Eigenvalues of a Toeplitz matrix lie within a few places of their quantiles.
    assert deviation(np.sort(found)) < 6 / modes
    assert deviation(np.sort(trigonometric_spectrum(0.8 * tau, modes))) > 15 / modes


@pytest.mark.parametrize(("tau", "distance"), [(0.2, 0.0050), (0.5, 0.0333), (0.8, 0.0975)])
def test_differences_of_bands_are_free_of_their_ends(tau, distance):
    sums = [((1 - trigonometric_spectrum(tau, modes)) ** 2).sum() for modes in (33, 65)]
    expected = results.get("E4").evaluate("distance to the nearest isometry", tau=tau)
    # What is left of the ends falls as the 32nd power of (1 − √(1 − τ²))/τ, 2.3e-10 at τ = 0.8.
    assert (sums[1] - sums[0]) / 32 == pytest.approx(expected, rel=1e-5)
    assert sums[1] / 65 != pytest.approx(expected, rel=1e-2)
    assert expected == pytest.approx(distance, abs=6e-5)


def test_waves_in_the_plane_multiply_the_spectra_of_the_line():
    amplitudes = torch.diag(torch.tensor([0.3, 0.2], dtype=torch.float64))[None]
    plane = BandLimitedWarp(2, 48, (5,))
    found = plane.singular_values(wave_offsets(amplitudes, torch.zeros_like(amplitudes), 48))[0][0].numpy()
    lines = [trigonometric_spectrum(tau, 5) for tau in (0.3, 0.2)]
    np.testing.assert_allclose(found, np.sort(np.outer(*lines).ravel()), atol=1e-4)


def test_a_translation_is_an_isometry_and_a_wrong_slope_is_seen():
    still = torch.full((1, 1, 96), 0.37, dtype=torch.float64)
    band_limited = BandLimitedWarp(1, 96, (5, 9))
    assert float(band_limited.mean(Distance.function, still)) < 1e-9
    values = {"tau": 0.14}
    rows = GaussianDistance(results.Setting()).sample(np.random.default_rng(0), 400, values)
    mean, error = float(rows.mean()), float(rows.std()) / 20
    theory = results.get("E4").evaluate("distance to the nearest isometry, Gaussian slopes", **values)
    wrong = results.get("E4").evaluate("distance to the nearest isometry, Gaussian slopes", tau=0.145)
    assert abs(mean - theory) < 4.5 * error < abs(mean - wrong)


def test_folds_keep_the_mean_square_and_let_the_largest_value_grow():
    spectra = [trigonometric_spectrum(1.5, modes) for modes in (65, 129, 257)]
    assert all((values**2).mean() == pytest.approx(1, abs=1e-12) for values in spectra)
    ratios = [after[0] / before[0] for before, after in itertools.pairwise(spectra)]
    assert ratios == pytest.approx([2**0.25] * 2, abs=0.03)  # as M^(1/4), slowly


def test_offsets_of_white_pixels_have_uniform_fractions():
    offsets = slow_offsets(torch.full((1, 1, 1), 0.5, dtype=torch.float64), 64)
    assert np.allclose(np.sort(offsets.flatten()), np.repeat((np.arange(32) + 0.5) / 32, 2), atol=1e-12)


def brute_lost_share(cells: int) -> float:
    """The share of dimensions that a linear warp of a ring loses, over every way to hit its cells, with random weights.

    Ranks come from NumPy for each way to hit; the weights do not matter.
    """
    generator, lost = np.random.default_rng(0), 0
    places = list(itertools.product(range(cells), repeat=cells))
    for hit in places:
        matrix = np.zeros((cells, cells))
        for row, (cell, fraction) in enumerate(zip(hit, generator.random(cells), strict=True)):
            matrix[row, cell] += 1 - fraction
            matrix[row, (cell + 1) % cells] += fraction
        lost += cells - np.linalg.matrix_rank(matrix)
    return lost / cells / len(places)


@pytest.mark.parametrize("cells", [3, 4, 5])
def test_lost_share_of_small_rings_by_enumeration(cells):
    assert results.get("E4").evaluate("lost share, linear", N=cells) == pytest.approx(
        brute_lost_share(cells), rel=1e-12
    )


def test_lost_share_tends_to_its_limit():
    law = results.get("E4")
    limit = law.evaluate("lost share, linear, large grid", standard=True)
    assert limit == pytest.approx(math.exp(-2) / (1 - math.exp(-1)), rel=1e-14)
    for pixels in (100, 1000):
        assert abs(law.evaluate("lost share, linear", N=pixels) - limit) < 1 / pixels


@pytest.mark.parametrize("size", [(20,), (5, 5), (3, 3, 3)])
def test_rank_is_the_structural_one(size):
    generator = np.random.default_rng(7)
    for matching, matrix in zip(*structural_ranks(generator, 40, size), strict=True):
        assert np.linalg.matrix_rank(matrix.toarray()) == matching


def test_rank_is_less_than_the_structural_one_where_fractions_are_alike():
    """The proof needs fractions with a density: two outputs that read one place match two pixels, at rank 1."""
    matrix = np.array([[0.3, 0.7, 0.0], [0.3, 0.7, 0.0], [0.0, 0.0, 1.0]])
    assert np.linalg.matrix_rank(matrix) == 2
    assert csgraph.structural_rank(sparse.csr_matrix(matrix)) == 3
