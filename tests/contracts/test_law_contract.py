"""What every law has to satisfy; a new law is checked by these tests without an edit."""

import itertools

import numpy as np
import pytest
import sympy as sp
from scipy import integrate, stats

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import IID, laws
from warptheory.fields.laws import ARGUMENT
from warptheory.symbolic import evaluate
from warptheory.symbolic._averages import average_over_law
from warptheory.symbolic._quadrature import quadrature

NAMES = laws.names()


class ContaminatedNormal(stats.rv_continuous):
    """Three quarters N(0, 1) and one quarter N(0, 9), by SciPy's own normal law."""

    def _pdf(self, x):
        return 0.75 * stats.norm.pdf(x) + 0.25 * stats.norm.pdf(x, scale=3)

    def _cdf(self, x):
        return 0.75 * stats.norm.cdf(x) + 0.25 * stats.norm.cdf(x, scale=3)

    def _stats(self):
        second = 0.75 * stats.norm.moment(2) + 0.25 * stats.norm(scale=3).moment(2)
        fourth = 0.75 * stats.norm.moment(4) + 0.25 * stats.norm(scale=3).moment(4)
        return 0.0, second, 0.0, fourth / second**2 - 3


SCIPY = {
    "normal": stats.norm(),
    "uniform": stats.uniform(-1, 2),
    "laplace": stats.laplace(),
    "exponential": stats.expon(),
    "mixture": ContaminatedNormal()(),
}
N = 200_000


@pytest.fixture(params=NAMES)
def law(request):
    return laws.get(request.param)


@pytest.fixture
def canonical(law):
    return law.at(location=0, scale=1)


def test_source_and_name(law):
    assert law.name in NAMES
    assert law.source


def test_characteristic_function_is_the_transform_of_the_law(canonical):
    density = None if canonical.atoms else sp.lambdify([ARGUMENT], canonical.density, "numpy")
    for t in (0.3, 1.0, 4.0):
        found = complex(canonical.characteristic_function(sp.Float(t)))
        if canonical.atoms:
            exact = sum(float(p) * np.exp(1j * t * float(v)) for v, p in canonical.atoms)
        else:
            breaks = [-60, -1, 0, 1, 60]
            parts = [
                sum(
                    integrate.quad(lambda u, t=t, f=f: float(density(u)) * f(t * u), a, b, limit=400)[0]
                    for a, b in itertools.pairwise(breaks)
                )
                for f in (np.cos, np.sin)
            ]
            exact = complex(*parts)
        assert found == pytest.approx(exact, abs=1e-8)


def test_cumulants_against_scipy(canonical):
    """SciPy's moments, and for laws with atoms the exact sums."""
    if canonical.atoms:
        values, weights = (np.array([float(pair[i]) for pair in canonical.atoms]) for i in (0, 1))
        raw = [float(np.sum(weights * values**k)) for k in range(5)]
        mean, variance = raw[1], raw[2] - raw[1] ** 2
        third = float(np.sum(weights * (values - mean) ** 3))
        fourth = float(np.sum(weights * (values - mean) ** 4)) - 3 * variance**2
    else:
        mean, variance, skewness, kurtosis = (float(m) for m in SCIPY[canonical.name].stats("mvsk"))
        third, fourth = skewness * variance**1.5, kurtosis * variance**2
    found = [float(canonical.cumulant(order)) for order in (1, 2, 3, 4)]
    assert found == pytest.approx([mean, variance, third, fourth], abs=1e-14)


def test_samples_follow_the_law(canonical):
    """By Kolmogorov–Smirnov against SciPy, at level 1e-4; samples 5 % too wide are rejected, as a control."""
    sample = canonical.sample(Stream(0, f"law/{canonical.name}").generator(), (N,))
    assert sample.shape == (N,)
    assert sample.dtype == np.float64
    if canonical.atoms:
        values, counts = np.unique(sample, return_counts=True)
        assert list(values) == sorted(float(v) for v, _ in canonical.atoms)
        expected = [N * float(p) for _, p in sorted(canonical.atoms)]
        assert len(counts) == 1 or stats.chisquare(counts, expected).pvalue > 1e-4
        return
    assert stats.kstest(sample, SCIPY[canonical.name].cdf).pvalue > 1e-4
    assert stats.kstest(sample * 1.05, SCIPY[canonical.name].cdf).pvalue < 1e-4


def test_location_and_scale(law):
    moved = law.at(location=2, scale=sp.Rational(1, 2))
    reference = law.at(location=0, scale=1)
    assert moved.cumulant(1) == 2 + reference.cumulant(1) / 2
    assert moved.cumulant(4) == reference.cumulant(4) / 16


def test_standardised(law):
    if law.variance == 0:
        with pytest.raises(ArgumentError, match="^law: expected a law with positive variance, got 'constant'$"):
            law.standardised(0, 1)
        return
    standard = law.standardised("7/10", "13/10")
    assert sp.simplify(standard.mean - sp.Rational(7, 10)) == 0
    assert sp.simplify(standard.variance - sp.Rational(169, 100)) == 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "constant"])
def test_fields_have_the_moments_that_they_state(name):
    """Mean, variance and fourth cumulant of 2·10⁵ pixels within 4.4 standard errors (false alarm 1e-5 each)."""
    field = IID(name, mean=0.7, deviation=1.3)
    x = field.sample(N // 1000, (10, 10), Stream(1, f"iid/{name}").generator(), channels=10).flatten().numpy()
    centred = x - 0.7
    assert abs(x.mean() - 0.7) <= 4.4 * x.std() / np.sqrt(N)
    for order, stated in ((2, float(field.variance)), (4, float(field.cumulant(4)) + 3 * float(field.variance) ** 2)):
        powers = centred**order
        # The floor covers laws whose power has no scatter at all (Rademacher), where only rounding is left.
        assert abs(powers.mean() - stated) <= 4.4 * powers.std() / np.sqrt(N) + 1e-12


@pytest.mark.parametrize("orders", [(0, 0), (0, 1), (0, 0, 0, 0)])
def test_averages_of_tap_sums_over_it(law, orders):
    """The Poisson sum (or the sum over atoms) against Gauss–Legendre quadrature with the law's density.

    (0, 1) is a sawtooth with a jump, whose series is the slowest; series are promised to a relative 1e-9.
    """
    moved = law.at(location="37/100", scale="1/4")
    function = kernels.get("linear").tap_sum(orders)
    points, weights = quadrature(moved, {}, lambda expression, environment: float(expression))
    value = sp.lambdify([kernels.FRACTION], function.at(kernels.FRACTION), "numpy")
    exact = float(np.sum(weights * value(points - np.floor(points))))
    assert evaluate(average_over_law(function, moved), {}) == pytest.approx(exact, abs=2e-9)
