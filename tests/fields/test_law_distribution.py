"""The distribution functions that sympy integrates, against SciPy's."""

import numpy as np
import pytest
import sympy as sp
from scipy import stats

from warptheory.fields import laws
from warptheory.fields.laws import ARGUMENT

SCIPY = {
    "normal": stats.norm(),
    "uniform": stats.uniform(-1, 2),
    "laplace": stats.laplace(),
    "exponential": stats.expon(),
}
POINTS = np.array([-9.0, -2.5, -1.0, -0.3, 0.0, 0.2, 1.0, 1.7, 6.0, 40.0])


def at_points(name):
    return sp.lambdify([ARGUMENT], laws.get(name).distribution, "scipy")(POINTS)


@pytest.mark.parametrize("name", SCIPY)
def test_distribution_against_scipy(name):
    """Both sides are rounded a few times, at values up to one."""
    np.testing.assert_allclose(at_points(name), SCIPY[name].cdf(POINTS), rtol=0, atol=4e-16)


@pytest.mark.parametrize("name", laws.names())
def test_distribution_is_the_law_of_the_samples(name):
    """The share of 10⁵ samples at or below each point, within 5 standard errors (1e-5 over all points)."""
    law = laws.get(name)
    sample = law.at(0, 1).sample(np.random.default_rng(3), (100_000,))
    found = (sample[:, None] <= POINTS).mean(0)
    exact = at_points(name)
    assert np.all(np.abs(found - exact) <= 5 * np.sqrt(exact * (1 - exact) / len(sample)) + 1e-15)
    assert at_points(name)[-1] == pytest.approx(1.0, abs=1e-15)
