"""D3: the leading error of Matérn fields, and its order, against fine grids of mpmath."""

import itertools
import math
from functools import cache

import mpmath
import pytest

from warptheory import results
from warptheory.results.discretization._rough import functional, order_steps
from warptheory.symbolic import evaluate

D3 = results.get("D3")


def matern(nu, r):
    z = mpmath.sqrt(2 * nu) * r
    return mpmath.mpf(1) if r == 0 else 2 ** (1 - nu) / mpmath.gamma(nu) * z**nu * mpmath.besselk(nu, z)


@cache
def mean_error(nu, h):
    """D1 averaged over the fraction, ℓ = 1, in 30 digits, of which what cancels takes up to 17."""
    with mpmath.workdps(30):
        nu, h = mpmath.mpf(nu), mpmath.mpf(h)
        read = mpmath.quad(lambda f: (1 - f) * matern(nu, f * h), [0, 0.01, 0.1, 1])
        return float(5 * matern(nu, 0) / 3 - 4 * read + matern(nu, h) / 3)


@pytest.mark.parametrize("nu", [0.3, 0.5, 1.0, 1.4, 1.75])
def test_leading_error_is_the_limit(nu):
    """The next power is h^min(2ν + 2, 4); with ν the distance of the two powers falls."""
    h = 1e-4 if nu > 1.5 else 1e-3
    found = D3.evaluate("leading error, Matérn", nu=nu, l=1.0, h=h, sigma=1.0)
    assert found == pytest.approx(mean_error(nu, h), rel=5e-3)


def test_leading_errors_in_closed_form():
    for nu, expected in ((0.5, 0.01 / 3), (1.0, 7 / 36 * 0.01**2), (1.5, 2 * math.sqrt(3) / 15 * 0.01**3)):
        found = D3.evaluate("leading error, Matérn", nu=nu, l=2.0, h=0.02, sigma=1.0)
        assert found == pytest.approx(expected, rel=1e-12)
    assert D3.evaluate("leading error, Matérn", nu=0.5, l=2.0, h=0.02, standard=True) == pytest.approx(
        D3.evaluate("mean error, exponential covariance", l=2.0, h=0.02, standard=True), rel=1e-12
    )


@pytest.mark.parametrize(("nu", "order"), [(0.5, 1.0), (1.0, 2.0), (1.5, 3.0), (2.5, 4.0), (4.0, 4.0)])
def test_order_is_approached(nu, order):
    assert D3.evaluate("order in h, Matérn", nu=nu) == order
    orders = [math.log2(mean_error(nu, 2 * h) / mean_error(nu, h)) for h in (1e-2, 1e-3)]
    assert abs(orders[1] - order) < max(0.7 * abs(orders[0] - order), 1e-6)
    assert orders[1] == pytest.approx(order, abs=0.06)


def test_logarithm_at_two():
    """E/h⁴ grows by a constant for each halving of h: neither a power nor a limit."""
    ratios = [mean_error(2.0, 2.0**-n) * 16.0**n for n in (8, 9, 10, 11)]
    steps = [after - before for before, after in itertools.pairwise(ratios)]
    assert steps[1] == pytest.approx(steps[0], rel=1e-3)
    assert steps[2] == pytest.approx(steps[1], rel=1e-3)
    assert evaluate(order_steps("linear")[-1].expression, {"nu": 2.0}) == 4.0


@pytest.mark.parametrize("h", [1e-1, 1e-2, 1e-3])
def test_leading_error_at_two(h):
    """The next terms are of order h⁶ log(1/h)."""
    found = D3.evaluate("leading error, Matérn 2", l=1.0, h=h, sigma=1.0)
    assert found == pytest.approx(mean_error(2.0, h), rel=2 * h**2 * math.log(1 / h))


def test_coefficient_of_the_logarithm_at_two():
    """E/h⁴ grows by log(2)/5 for each halving of h, measured where h⁶ no longer counts; σ² and 1/ℓ⁴ by units."""
    before, after = (mean_error(2.0, 2.0**-n) * 16.0**n for n in (11, 12))
    known = [D3.evaluate("leading error, Matérn 2", l=1.0, h=2.0**-n, sigma=1.0) * 16.0**n for n in (11, 12)]
    assert known[1] - known[0] == pytest.approx(math.log(2) / 5, rel=1e-12)
    assert after - before == pytest.approx(math.log(2) / 5, rel=1e-5)
    scaled = D3.evaluate("leading error, Matérn 2", l=3.0, h=3 * 2.0**-11, sigma=1.7)
    assert scaled * 16.0**11 == pytest.approx(1.7**2 * known[0], rel=1e-12)


def test_the_limit_is_taken_numerically_too():
    """Both sides of ν = 2 in 60 digits, against the derivative of what is left of the poles."""
    steps = D3.derive("leading error, Matérn 2").steps
    values = {"h": 0.7, "l": 5.0, "sigma": 1.3}
    limit, closed = (evaluate(step.expression, values) for step in steps[-2:])
    assert limit == pytest.approx(closed, rel=1e-14)


def test_powers_under_linear_interpolation():
    """F(2) = 0: lines are exact in the mean square of a parabola's covariance; F(4) = 1/5."""
    found = functional("linear")
    assert evaluate(found, {"p": 2.0}) == 0
    assert evaluate(found, {"p": 4.0}) == pytest.approx(1 / 5)
    with pytest.raises(ArithmeticError, match="known are lags"):
        functional("keys")
