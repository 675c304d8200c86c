"""Streaming moments of vectors, against NumPy on the whole sample."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from warptheory.montecarlo import Moments


def merge_all(parts):
    merged = Moments()
    for part in parts:
        merged = merged.merge(Moments.of(torch.from_numpy(part)))
    return merged


def assert_moments(found, sample, mean):
    """Data at 1e8 are rounded to 1.5e-8, and so are means: δ in a mean moves the scatter by δ(nδ + Σ|c|)."""
    reference = np.asarray(sample, dtype=np.longdouble)
    centred = reference - reference.mean(0)
    delta = 4e-16 * max(1.0, abs(mean)) * 8
    assert found.n == len(sample)
    np.testing.assert_allclose(found.mean, reference.mean(0).astype(float), rtol=0, atol=delta)
    size = float(np.abs(centred).sum(0).max()) + len(sample) * delta
    np.testing.assert_allclose(found.scatter, (centred.T @ centred).astype(float), rtol=1e-12, atol=4 * delta * size)


@given(
    st.integers(0, 2**31),
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.integers(1, 4),
    st.sampled_from([0.0, 3.0, 1e8]),
)
def test_merging_equals_the_concatenated_sample(seed, sizes, columns, mean):
    """Also at mean 1e8, where Σxxᵀ − n·mean·meanᵀ would have lost every digit of the covariance."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((columns, columns))
    parts = [mean + generator.standard_normal((size, columns)) @ mixing for size in sizes]
    assert_moments(merge_all(parts), np.concatenate(parts), mean)


@given(st.integers(0, 2**31), st.permutations(range(5)), st.sampled_from([0.0, 1e8]))
def test_the_order_of_merging_does_not_matter(seed, order, mean):
    generator = np.random.default_rng(seed)
    parts = [mean + generator.standard_normal((size, 2)) for size in (1, 2, 7, 30, 400)]
    assert_moments(merge_all([parts[i] for i in order]), np.concatenate(parts), mean)
    pairs = merge_all(parts[:2]).merge(merge_all(parts[2:]))
    assert_moments(pairs, np.concatenate(parts), mean)


@pytest.mark.parametrize("mean", [0.0, 1e8])
def test_covariance_against_numpy(mean):
    generator = np.random.default_rng(1)
    noise = generator.standard_normal((1000, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -2.0], [0.0, 0.0, 0.1]])
    found = merge_all(np.array_split(mean + noise, 7))
    # Adding 1e8 rounds each number to 1.5e-8, which averages out over a thousand.
    np.testing.assert_allclose(found.covariance, np.cov(noise.T), rtol=0, atol=1e-14 if mean == 0 else 1e-8)


def test_one_column_may_be_a_plain_sample():
    x = torch.tensor([1.0, 2.0, 4.0])
    found = Moments.of(x)
    assert found.mean.shape == (1,)
    assert found.covariance.item() == pytest.approx(x.var().item())
    assert found.standard_error(np.ones(1)) == pytest.approx((x.var() / 3).sqrt().item())
    assert Moments.of(x.to(torch.float32)).mean.dtype == np.float64


def test_standard_error_of_a_function():
    """√(∇fᵀ Σ ∇f / n); also where rounding makes the form negative, and for too few vectors."""
    sample = np.random.default_rng(2).standard_normal((50, 2)) @ np.array([[1.0, 3.0], [0.0, 1.0]])
    found, gradient = Moments.of(torch.from_numpy(sample)), np.array([2.0, -1.0])
    assert found.standard_error(gradient) == pytest.approx(np.std(sample @ gradient, ddof=1) / np.sqrt(50), rel=1e-13)
    twin = Moments.of(torch.from_numpy(np.repeat(sample[:, :1], 2, axis=1)))
    assert twin.standard_error(np.array([1.0, -1.0])) == pytest.approx(0.0, abs=1e-7)
    one = Moments.of(torch.from_numpy(sample[:1]))
    assert one.standard_error(gradient) == np.inf
    assert np.isnan(found.standard_error(gradient * np.nan))
    assert np.all(np.isinf(one.covariance))


def test_nothing_merges_into_anything():
    some = Moments.of(torch.from_numpy(np.arange(6.0).reshape(3, 2)))
    assert Moments().merge(some) is some
    assert some.merge(Moments()) is some
    assert Moments().merge(Moments()).n == 0
