"""Gradients of Gaussian fields against the covariance of the potential and its derivatives."""

import numpy as np
import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.fields import Exponential, FieldSampler, GradientSampler, SquaredExponential, White

LENGTH, FIELDS = 3.0, 4000


def sampler(dim: int = 2, size: int = 6, length: float = LENGTH, **options: float) -> GradientSampler:
    return GradientSampler(FieldSampler(SquaredExponential(length, 1.7, dim), (size,) * dim, **options))


def covariance(lag: np.ndarray, spacing: float = 1.0, length: float = LENGTH) -> np.ndarray:
    """Return −∂ᵢ∂ⱼC at a lag, worked out by hand for C = 1.7 exp(−|τ|²/2ℓ²), shape (d, d)."""
    at = spacing * lag
    value = 1.7 * np.exp(-(at @ at) / (2 * length**2))
    return value * (np.eye(len(lag)) / length**2 - np.outer(at, at) / length**4)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("spacing", [1.0, 0.5])
def test_components_have_the_second_derivatives_as_covariances(dim, spacing):
    """Volumes have half the length: their torus has as many lengths along each axis, and an eighth of the points."""
    fields, length = {1: (FIELDS, LENGTH), 2: (FIELDS, LENGTH), 3: (300, LENGTH / 2)}[dim]
    drawn = sampler(dim, 3, length, spacing=spacing).sample(fields, np.random.default_rng(2)).numpy()
    first = drawn[(..., *[0] * dim)]
    for lag in np.ndindex(*[3] * dim):
        other = drawn[(..., *lag)]
        found = first.T @ other / fields
        expected = covariance(np.array(lag, dtype=float), spacing, length)
        assert np.abs(found - expected).max() <= 5 * 1.7 / length**2 * np.sqrt(2 / fields)


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


def test_moments_are_those_of_what_is_drawn():
    """Of fields as short as the grid, which holds a part of their gradient, and exact for long ones."""
    short = GradientSampler(FieldSampler(SquaredExponential(0.5, 1.7), (6, 7)))
    drawn = short.sample(FIELDS, np.random.default_rng(3)).numpy()
    found = short.spectral_moments()
    assert found.shape == (2,)
    assert (found < 0.7 * 1.7 / 0.5**2).all()
    # Neighbours are nearly independent; a fully dependent field would have the deviation of one pixel.
    np.testing.assert_allclose((drawn**2).mean((0, 2, 3)), found, rtol=5 * np.sqrt(2 / FIELDS))
    np.testing.assert_allclose(sampler().spectral_moments(), 1.7 / LENGTH**2, rtol=1e-6)
    np.testing.assert_allclose(sampler().spectral_moments(4), 3 * 1.7 / LENGTH**4, rtol=1e-6)


@pytest.mark.parametrize(
    "potential", [FieldSampler(Exponential(3), (8, 8)), FieldSampler(White(), (8, 8)), SquaredExponential(3), None, "Ψ"]
)
def test_potentials_that_are_refused(potential, as_users_call):
    with pytest.raises(ArgumentError, match="potential: expected a (sampler of a differentiable|FieldSampler)"):
        GradientSampler(potential)


@pytest.mark.parametrize("order", [1, -2, 2.0, None])
def test_orders_that_are_refused(order, as_users_call):
    with pytest.raises(ArgumentError, match="order: expected"):
        sampler().spectral_moments(order)
