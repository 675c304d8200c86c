"""Gradients of Gaussian fields against the covariance of the potential and its derivatives."""

import numpy as np
import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.fields import FieldSampler, GradientSampler, SquaredExponential

LENGTH, FIELDS = 3.0, 4000


def sampler(dim: int = 2, size: int = 6, **options: float) -> GradientSampler:
    return GradientSampler(FieldSampler(SquaredExponential(LENGTH, 1.7, dim), (size,) * dim, **options))


def covariance(lag: np.ndarray, spacing: float = 1.0) -> np.ndarray:
    """Return −∂ᵢ∂ⱼC at a lag, worked out by hand for C = 1.7 exp(−|τ|²/2ℓ²), shape (d, d)."""
    at = spacing * lag
    value = 1.7 * np.exp(-(at @ at) / (2 * LENGTH**2))
    return value * (np.eye(len(lag)) / LENGTH**2 - np.outer(at, at) / LENGTH**4)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("spacing", [1.0, 0.5])
def test_components_have_the_second_derivatives_as_covariances(dim, spacing):
    fields = {1: FIELDS, 2: FIELDS, 3: 300}[dim]
    drawn = sampler(dim, 3, spacing=spacing).sample(fields, np.random.default_rng(2)).numpy()
    first = drawn[(..., *[0] * dim)]
    for lag in np.ndindex(*[3] * dim):
        other = drawn[(..., *lag)]
        found = first.T @ other / fields
        expected = covariance(np.array(lag, dtype=float), spacing)
        assert np.abs(found - expected).max() <= 5 * 1.7 / LENGTH**2 * np.sqrt(2 / fields)


def test_fields_of_a_pair_are_independent_and_their_number_is_any():
    drawn = sampler().sample(3, np.random.default_rng(0))
    assert drawn.shape == (3, 2, 6, 6)
    many = sampler().sample(FIELDS, np.random.default_rng(1))[:, 0, 0, 0]
    deviation = 1.7 / LENGTH**2 / np.sqrt(FIELDS / 2)
    assert abs((many[::2] * many[1::2]).mean()) <= 5 * deviation


def test_a_seed_gives_the_same_field_in_both_precisions():
    double = sampler().sample(2, np.random.default_rng(4))
    assert torch.equal(double, sampler().sample(2, np.random.default_rng(4)))
    assert sampler().sample(2, np.random.default_rng(4), dtype=torch.float32).dtype == torch.float32


def test_bad_input_is_named():
    with pytest.raises(ArgumentError, match="batch"):
        sampler().sample(-1, np.random.default_rng(0))
    with pytest.raises(ArgumentError, match="dtype"):
        sampler().sample(1, np.random.default_rng(0), dtype=torch.int32)
