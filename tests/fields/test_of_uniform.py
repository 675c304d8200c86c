"""Mixtures and the law on two points as functions of a uniform number: shares, stated cumulants, distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from warptheory.fields import laws
from warptheory.fields.laws.mixture import mixture
from warptheory.fields.laws.two_point import two_point

PARTS = [(0.25, stats.norm(-1, 0.5)), (0.5, stats.uniform(-2, 4)), (0.25, stats.laplace(3, 1 / 3))]
SKEWED = mixture(
    (
        ("1/4", laws.get("normal").at(-1, "1/2")),
        ("1/2", laws.get("uniform").at(0, 2)),
        ("1/4", laws.get("laplace").at(3, "1/3")),
    )
)
N = 2**16


def midpoints(count):
    return (np.arange(count) + 0.5) / count


def canonical_cumulants(law):
    moved = law.at(0, 1)
    return np.array([float(moved.cumulant(order)) for order in (1, 2, 3, 4)])


def cumulants_over_the_interval(law, breaks):
    """Return κ₁ … κ₄ of the values, integrated over u between the breaks.

    Towards each break panels shrink by powers of two, since values grow like a power of log u there; Gauss–Legendre
    of 20 nodes in each. The last panels, of 2⁻⁴⁴, hold values of at most 38, and 1e-7 of the fourth moment in all.
    """
    nodes, weights = np.polynomial.legendre.leggauss(20)
    shrinking = 2.0 ** np.arange(-44, -2)
    edges = np.unique(np.clip([x for b in breaks for x in (b, *(b + shrinking), *(b - shrinking))], 0, 1))
    width = np.diff(edges)[:, None] / 2
    u = ((edges[1:] + edges[:-1])[:, None] / 2 + width * nodes).ravel()
    values, share = law.of_uniform(u), (width * weights).ravel()
    mean = share @ values
    second, third, fourth = (share @ (values - mean) ** order for order in (2, 3, 4))
    return np.array([mean, second, third, fourth - 3 * second**2])


@pytest.mark.parametrize("law", [laws.get("mixture"), SKEWED], ids=["contaminated normal", "skewed"])
def test_cumulants_over_the_interval_are_the_stated_ones(law):
    """Parts of the mixtures begin and end at quarters."""
    found = cumulants_over_the_interval(law, (0, 0.25, 0.5, 0.75, 1))
    np.testing.assert_allclose(found, canonical_cumulants(law), rtol=1e-7, atol=1e-8)


def test_a_mixture_has_its_law():
    """Kolmogorov–Smirnov on evenly spread points: their distribution is exact to 1/2n, and to 1/n at ends of parts."""
    values = SKEWED.of_uniform(midpoints(N))
    distance = stats.kstest(values, lambda x: sum(p * part.cdf(x) for p, part in PARTS)).statistic
    assert distance <= (len(PARTS) + 1) / N
    wider = stats.kstest(1.01 * values, lambda x: sum(p * part.cdf(x) for p, part in PARTS)).statistic
    assert wider > 10 * (len(PARTS) + 1) / N


@pytest.mark.parametrize("shares", [("1/4", "3/4"), ("1/3", "2/3"), ("1/10", "9/10")])
def test_the_parts_of_a_mixture_have_their_shares(shares):
    """Evenly spread points hit each part within one point of its share."""
    law = mixture(tuple((p, laws.get("constant").at(n, 1)) for n, p in enumerate(shares)))
    _, counts = np.unique(law.of_uniform(midpoints(N)), return_counts=True)
    expected = [N * eval_fraction(p) for p in shares]
    np.testing.assert_allclose(counts, expected, rtol=0, atol=1)


def eval_fraction(text):
    above, below = map(int, text.split("/"))
    return above / below


def test_a_mixture_in_a_mixture():
    """Locations and scales of inner laws are in units of the outer scale, as for `draw`."""
    inner = mixture((("1/3", laws.get("constant").at(1, 1)), ("2/3", laws.get("uniform").at(0, 2)))).at(1, 1)
    outer = mixture((("1/2", inner), ("1/2", laws.get("rademacher").at(0, 3))))
    values = outer.of_uniform(midpoints(N))
    drawn = outer.draw(np.random.default_rng(0), (N,))
    assert stats.ks_2samp(values, drawn).pvalue > 1e-4
    assert (values == 2).mean() == pytest.approx(1 / 6, abs=1 / N)
    assert (values == -3).mean() == pytest.approx(1 / 4, abs=1 / N)


@given(st.integers(1, 99))
def test_two_points_have_their_shares(percent):
    values = two_point(f"{percent}/100").of_uniform(midpoints(1000))
    assert values.mean() == pytest.approx(percent / 100, abs=1e-3)
