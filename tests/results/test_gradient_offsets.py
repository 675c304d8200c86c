"""B13: gradient offsets against eigenvalues drawn by NumPy, and against fields of the library's own sampler."""

import numpy as np
import pytest
import torch

from warptheory import results
from warptheory.fields import FieldSampler, GradientSampler, SquaredExponential
from warptheory.results.backward.gradient_offsets import gradient_offsets, negative_eigenvalues
from warptheory.warping.jacobian import offset_jacobian

ROWS = 200_000
Z = 4.5  # standard errors


def ensemble(dim: int, tau: float) -> np.ndarray:
    """Return Hessians of an isotropic potential by Cholesky's factor of their covariance, shape (ROWS, d, d)."""
    pairs = [(i, j) for i in range(dim) for j in range(i, dim)]
    c = dim * tau**2 / (dim + 2)
    covariance = [
        [c * ((i == j) * (k == m) + (i == k) * (j == m) + (i == m) * (j == k)) for k, m in pairs] for i, j in pairs
    ]
    drawn = np.random.default_rng(5).standard_normal((ROWS, len(pairs))) @ np.linalg.cholesky(covariance).T
    hessian = np.empty((ROWS, dim, dim))
    for column, (i, j) in enumerate(pairs):
        hessian[:, i, j] = hessian[:, j, i] = drawn[:, column]
    return hessian


@pytest.mark.parametrize("dim", [2, 3])
def test_shares_of_eigenvalues_of_numpy(dim):
    eigenvalues = np.linalg.eigvalsh(ensemble(dim, 0.7))
    found = {
        "share of slopes all positive": (eigenvalues > 0).all(1),
        "share of slopes with one negative": (eigenvalues < 0).sum(1) == 1,
        "fold probability": np.prod(1 + eigenvalues, 1) < 0,
    }
    for quantity, share in found.items():
        expected = results.get("B13").evaluate(quantity, dim=dim, **({"tau": 0.7} if "fold" in quantity else {}))
        assert abs(share.mean() - expected) <= Z * np.sqrt(expected * (1 - expected) / ROWS)


@pytest.mark.parametrize("dim", [2, 3])
def test_long_waves_have_the_slopes_of_an_isotropic_potential(dim):
    slopes = offset_jacobian(gradient_offsets(np.random.default_rng(1), ROWS, dim, 0.7)).flatten(1).numpy()
    found, expected = np.cov(slopes.T), np.cov(ensemble(dim, 0.7).reshape(ROWS, -1).T)
    assert np.abs(found - expected).max() <= Z * np.sqrt(2 * 2 / ROWS) * expected.max()


@pytest.mark.parametrize("dim", [2, 3])
def test_signs_of_minors_count_negative_eigenvalues(dim):
    hessian = ensemble(dim, 1.0)[:2000]
    slopes = torch.from_numpy(hessian).reshape(2000, dim, dim, *[1] * dim)
    assert np.array_equal(negative_eigenvalues(slopes).flatten(), (np.linalg.eigvalsh(hessian) < 0).sum(1))


def test_fields_of_the_sampler_have_the_shares():
    length, fields = 5.0, 24
    sampler = GradientSampler(FieldSampler(SquaredExponential(length, dim=2), (96, 96)))
    slopes = offset_jacobian(sampler.sample(fields, np.random.default_rng(3)))
    symmetric = (slopes + slopes.transpose(1, 2)) / 2
    shares = [(negative_eigenvalues(field[None]) == 0).double().mean().item() for field in symmetric]
    expected = results.get("B13").evaluate("share of slopes all positive", dim=2)
    # One step is a fifth of the length: forward differences smooth the slopes a little, and turn no sign on average.
    assert abs(np.mean(shares) - expected) <= Z * np.std(shares) / np.sqrt(fields)


def test_potential_folds_more_often_than_independent_components():
    for dim in (2, 3):
        for tau in (0.3, 0.6, 1.0):
            fold = {label: results.get(label).evaluate("fold probability", dim=dim, tau=tau) for label in ("B7", "B13")}
            assert fold["B13"] > 1.3 * fold["B7"]
