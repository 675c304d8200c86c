"""The law on two points: every probability, against the Bernoulli law of SciPy."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.fields.laws import ARGUMENT
from warptheory.fields.laws.two_point import two_point


@settings(max_examples=10)
@given(st.integers(1, 99))
def test_cumulants_of_the_bernoulli_law(percent):
    mean, variance, skewness, kurtosis = (float(v) for v in stats.bernoulli(percent / 100).stats("mvsk"))
    found = [float(two_point(sp.Rational(percent, 100)).at(0, 1).cumulant(order)) for order in (1, 2, 3, 4)]
    # SciPy's own skewness and kurtosis lose some digits near p = 1/2 and at the ends.
    assert found == pytest.approx([mean, variance, skewness * variance**1.5, kurtosis * variance**2], abs=1e-13)


def test_location_scale_and_characteristic_function():
    law = two_point("1/3").at(2, 5)
    assert law.mean == 2 + sp.Rational(5, 3)
    assert law.variance == 25 * sp.Rational(2, 9)
    t = 0.7
    exact = np.exp(2j * t) * (2 / 3 + np.exp(5j * t) / 3)
    assert complex(law.characteristic_function(sp.Float(t))) == pytest.approx(exact, abs=1e-15)


def test_probabilities_are_exact():
    assert two_point("0.1").atoms == ((0, sp.Rational(9, 10)), (1, sp.Rational(1, 10)))
    assert laws.get("two_point").atoms[1][1] == sp.Rational(1, 4)


def test_samples():
    """The share of ones within 5 standard errors (6e-7)."""
    drawn = two_point("1/10").at(-1, 3).sample(np.random.default_rng(4), (200, 1000))
    assert set(np.unique(drawn)) == {-1.0, 2.0}
    assert abs((drawn == 2.0).mean() - 0.1) <= 5 * np.sqrt(0.09 / drawn.size)


def test_distribution():
    distribution = sp.lambdify([ARGUMENT], two_point("1/10").distribution, "numpy")
    np.testing.assert_allclose(distribution(np.array([-0.1, 0.0, 0.99, 1.0])), [0, 0.9, 0.9, 1], rtol=0, atol=1e-15)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("probability", [0, 1, -0.1, 1.5, sp.Symbol("p")])
def test_bad_input(probability):
    with pytest.raises(ArgumentError, match=r"^probability: expected a number in \(0, 1\), got"):
        two_point(probability)
