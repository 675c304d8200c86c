import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from warptheory.montecarlo import Moments


def reference(values):
    x = np.asarray(values, dtype=np.longdouble)
    centred = x - x.mean()
    return [float(v) for v in (x.mean(), (centred**2).sum(), (centred**3).sum(), (centred**4).sum())]


@given(st.integers(0, 2**31), st.lists(st.integers(1, 40), min_size=1, max_size=6), st.sampled_from([0.0, 3.0, 1e8]))
def test_merging_equals_the_concatenated_sample(seed, sizes, mean):
    """Also at mean 1e8, where Σx² − n·mean² would have lost every digit of the variance."""
    generator = np.random.default_rng(seed)
    parts = [mean + generator.standard_normal(size) for size in sizes]
    merged = Moments()
    for part in parts:
        merged = merged.merge(Moments.of(torch.from_numpy(part)))
    everything = np.concatenate(parts)
    exact = reference(everything)
    assert merged.n == everything.size
    # Data at 1e8 are themselves rounded to 1.5e-8, and so are differences of means: an error of δ in the mean
    # moves Mₖ by k·δ·Σ|c|ᵏ⁻¹.
    delta = 4e-16 * max(1.0, abs(mean)) * 4
    assert merged.mean == pytest.approx(exact[0], abs=delta)
    scale = np.abs(everything - everything.mean())
    for order, found, true in ((2, merged.m2, exact[1]), (3, merged.m3, exact[2]), (4, merged.m4, exact[3])):
        assert found == pytest.approx(true, rel=1e-12, abs=4 * order * delta * (1 + (scale ** (order - 1)).sum()))


def test_standard_error():
    x = torch.tensor([1.0, 2.0, 4.0])
    moments = Moments.of(x)
    assert moments.variance == pytest.approx(x.var().item())
    assert moments.standard_error == pytest.approx((x.var() / 3).sqrt().item())
    assert Moments.of(x[:1]).standard_error == np.inf
