"""Point sets: every point uniform, sets unbiased and independent, and as even as each design promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from warptheory.core.errors import UnknownNameError
from warptheory.montecarlo import DESIGNS
from warptheory.montecarlo._points import get_design

NAMES = sorted(DESIGNS)
SETS = 1000


def sets_of(name, points, dims, sets=SETS, seed=0):
    """Return independent sets, shape (sets, points, dims)."""
    generator = np.random.default_rng(seed)
    return np.stack([DESIGNS[name](generator, points, dims) for _ in range(sets)])


def smooth(points):
    """A smooth function of mean (e − 1)ᵈ that is no sum over the axes."""
    return np.exp(points).prod(-1)


@pytest.mark.parametrize("name", NAMES)
def test_each_point_is_uniform(name):
    """Kolmogorov–Smirnov and χ² on each point and axis over independent sets, 48 tests at level 1e-5 each.

    As a control, points that are squeezed by 10 % on each side are rejected.
    """
    points = sets_of(name, 8, 3, 1500)
    for number in range(8):
        for axis in range(3):
            sample = points[:, number, axis]
            assert stats.kstest(sample, "uniform").pvalue > 1e-5
            assert stats.chisquare(np.histogram(sample, 20, (0, 1))[0]).pvalue > 1e-5
    assert stats.kstest(0.8 * points[:, 0, 0] + 0.1, "uniform").pvalue < 1e-5


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 5))
def test_points_lie_inside_the_cube(name, seed, points, dims):
    found = sets_of(name, 2 ** (points % 6) if name == "sobol" else points, dims, 1, seed)[0]
    assert found.shape[1] == dims
    assert found.dtype == np.float64
    assert np.all(found > 0)
    assert np.all(found < 1)


class Extreme(np.random.Generator):
    """A generator whose uniform numbers are all the same."""

    def __init__(self, number):
        super().__init__(np.random.PCG64(0))
        self.number = number

    def random(self, size=None):
        return np.full(size, self.number)


@pytest.mark.parametrize("number", [0.0, 2.0**-53, 1 - 2.0**-53])
@pytest.mark.parametrize("name", ["independent", "antithetic"])
def test_the_ends_of_the_interval_are_never_reached(name, number):
    """Quantiles of 0 and 1 are infinite; generators return 0 once in 2⁵³, and 1 − u is 1 for the smallest u."""
    found = DESIGNS[name](Extreme(number), 4, 2)
    assert np.all(found > 0)
    assert np.all(found < 1)


def test_strata_do_not_reach_the_ends(monkeypatch):
    """SciPy returns (k − u)/n: one where k = n, and u is zero or is lost beside n."""

    class Ends:
        def __init__(self, dims, rng):
            self.dims = dims

        def random(self, points):
            return np.linspace(0, 1, points)[:, None].repeat(self.dims, 1)

    monkeypatch.setattr("scipy.stats.qmc.LatinHypercube", Ends)
    found = DESIGNS["stratified"](np.random.default_rng(0), 4, 2)
    assert np.all(found > 0)
    assert np.all(found < 1)


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 4))
def test_antithetic_pairs_sum_to_one(seed, pairs, dims):
    points = sets_of("antithetic", 2 * pairs, dims, 1, seed)[0]
    np.testing.assert_allclose(points[:pairs] + points[pairs:], 1.0, rtol=0, atol=2e-16)


def test_an_odd_number_of_antithetic_points_leaves_one_alone():
    points = sets_of("antithetic", 5, 2, 1)[0]
    assert points.shape == (5, 2)
    np.testing.assert_allclose(points[:2] + points[3:], 1.0, rtol=0, atol=2e-16)


@pytest.mark.parametrize("name", ["stratified", "sobol"])
@given(st.integers(0, 2**32), st.integers(0, 7), st.integers(1, 6))
def test_each_stratum_of_each_axis_holds_one_point(name, seed, power, dims):
    points = sets_of(name, 2**power, dims, 1, seed)[0]
    strata = np.floor(points * 2**power).astype(int)
    np.testing.assert_array_equal(np.sort(strata, axis=0), np.arange(2**power)[:, None].repeat(dims, 1))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 6))
def test_strata_of_any_number(seed, points, dims):
    found = np.floor(sets_of("stratified", points, dims, 1, seed)[0] * points).astype(int)
    np.testing.assert_array_equal(np.sort(found, axis=0), np.arange(points)[:, None].repeat(dims, 1))


@given(st.integers(0, 2**32), st.integers(0, 6))
def test_a_sobol_sequence_in_the_plane_is_a_net(seed, power):
    """Of the first two axes every elementary rectangle 2⁻ᵃ × 2⁻ᵇ with a + b = m holds one of 2ᵐ points."""
    points = sets_of("sobol", 2**power, 2, 1, seed)[0]
    for first in range(power + 1):
        cells = np.floor(points * [2**first, 2 ** (power - first)]).astype(int)
        assert len(np.unique(cells, axis=0)) == 2**power


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dims", [1, 3])
def test_means_over_sets_are_unbiased_and_independent(name, dims):
    """Within 4.4 standard errors of (e − 1)ᵈ, and neighbouring sets uncorrelated within as many of 1/√n."""
    means = smooth(sets_of(name, 16, dims)).mean(1)
    assert abs(means.mean() - np.expm1(1) ** dims) <= 4.4 * means.std(ddof=1) / np.sqrt(SETS)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) <= 4.4 / np.sqrt(SETS)


@pytest.mark.parametrize(
    ("name", "dims", "order"),
    [("independent", 2, 1), ("antithetic", 2, 1), ("stratified", 1, 3), ("sobol", 1, 3), ("sobol", 2, 3)],
)
def test_variance_falls_at_the_expected_order(name, dims, order):
    """Points⁻¹ by chance; points⁻³ for strata on a line, and but for a logarithm for scrambled nets (Owen 1997).

    Each variance of 300 sets is known to √(2/300) = 8 %, and the slope over 4 octaves to less than 0.1; the logarithm
    costs the net in the plane up to half an order.
    """
    counts = np.array([4, 16, 64])
    variances = [smooth(sets_of(name, int(count), dims, 300)).mean(1).var(ddof=1) for count in counts]
    slope = np.polyfit(np.log2(counts), np.log2(variances), 1)[0]
    assert -order - 0.3 < slope < -order + (0.5 if (name, dims) == ("sobol", 2) else 0.3)


def test_strata_take_away_the_scatter_of_sums():
    """Of a sum over the axes a Latin hypercube leaves points⁻³; of a product the part that is no sum, points⁻¹."""
    few, many = (sets_of("stratified", count, 3, 300) for count in (8, 64))
    of_sums = np.exp(many).sum(-1).mean(1).var() / np.exp(few).sum(-1).mean(1).var()
    of_products = smooth(many).mean(1).var() / smooth(few).mean(1).var()
    assert of_sums == pytest.approx(8.0**-3, rel=0.5)
    assert of_products == pytest.approx(1 / 8, rel=0.5)


def test_antithetic_points_cancel_what_is_odd():
    points = sets_of("antithetic", 8, 3, 50)
    odd = ((points - 0.5) ** 3).sum(-1).mean(1)
    np.testing.assert_allclose(odd, 0.0, rtol=0, atol=1e-16)


@pytest.mark.parametrize("name", NAMES)
def test_sets_depend_on_the_generator_alone(name):
    assert np.array_equal(sets_of(name, 8, 2, 3, seed=5), sets_of(name, 8, 2, 3, seed=5))
    assert not np.array_equal(sets_of(name, 8, 2, 3, seed=5), sets_of(name, 8, 2, 3, seed=6))
    counter_based = DESIGNS[name](np.random.Generator(np.random.Philox(key=1, counter=7)), 8, 2)
    again = DESIGNS[name](np.random.Generator(np.random.Philox(key=1, counter=7)), 8, 2)
    assert np.array_equal(counter_based, again)


def test_designs_have_names():
    assert all(get_design(name) is DESIGNS[name] for name in NAMES)
    with pytest.raises(
        UnknownNameError, match="^design: expected one of antithetic, independent, sobol, stratified, got 'halton'"
    ):
        get_design("halton")
