"""B8's law for smooth offsets: one layer in closed form, two and three by SciPy, moments, and the grid's bias."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate

from warptheory import results
from warptheory.core.errors import ArgumentError
from warptheory.symbolic import NotConverged, evaluate

B8, NAME = results.get("B8"), "tail after L layers, smooth offsets"


def tail(tau, layers, t, dim=1):
    return B8.evaluate(NAME, dim=dim, L=layers, tau=tau, t=t)


def of_one(tau, t):
    """P(1/J > t): J < 1/t where cos θ < (1/t − 1)/τ, and θ has the density J/2π."""
    angle = math.acos(min(max((1 / t - 1) / tau, -1.0), 1.0))
    return 1 - (angle + tau * math.sin(angle)) / math.pi


def of_several(tau, factors, t):
    """The mean of the tail of one factor less at t·J, by SciPy, cut where that has singularities."""
    if factors == 1:
        return of_one(tau, t)
    edges = [(1 - tau) ** -k * (1 + tau) ** -(factors - 1 - k) / t for k in range(factors)]
    cuts = [math.acos((edge - 1) / tau) for edge in edges if abs(edge - 1) < tau]

    def integrand(theta):
        jacobian = 1 + tau * math.cos(theta)
        return of_several(tau, factors - 1, t * jacobian) * jacobian / math.pi

    ends = sorted([0.0, *cuts, math.pi])
    return sum(integrate.quad(integrand, a, b, epsabs=1e-11, epsrel=1e-10)[0] for a, b in itertools.pairwise(ends))


@pytest.mark.parametrize("tau", [0.05, 0.5, 0.9, 0.999])
def test_one_layer_in_closed_form(tau):
    for t in (1.01 / (1 + tau), 1.0, 1.03, 0.99 / (1 - tau)):
        assert tail(tau, 1, t) == pytest.approx(of_one(tau, t), abs=1e-12)
    for dim, layers in ((1, 1), (1, 3), (2, 2)):
        factors = dim * layers
        assert tail(tau, layers, 0.999 * (1 + tau) ** -factors, dim) == 1
        assert tail(tau, layers, 1.001 * (1 - tau) ** -factors, dim) == 0
    assert tail(tau, 2, 0.0) == 1


@pytest.mark.parametrize("tau", [0.3, 0.9])
@pytest.mark.parametrize("t", [0.8, 1.0, 1.15])
def test_two_factors_by_quadrature(tau, t):
    """Two layers on a line, or one in the plane. SciPy's estimate of its own error is below 1e-9."""
    exact = of_several(tau, 2, t)
    assert tail(tau, 2, t) == pytest.approx(exact, abs=2e-9)
    assert tail(tau, 1, t, dim=2) == pytest.approx(exact, abs=2e-9)


def test_three_layers_by_quadrature():
    assert tail(0.5, 3, 1.15) == pytest.approx(of_several(0.5, 3, 1.15), abs=1e-8)


def test_where_the_law_has_a_singularity():
    """One layer at its thinnest and one at its densest: log t is where panels meet."""
    assert tail(0.5, 2, 1 / (1 - 0.5**2)) == pytest.approx(of_several(0.5, 2, 1 / (1 - 0.5**2)), abs=2e-9)


@pytest.mark.parametrize(("dim", "layers", "tau"), [(1, 1, 0.5), (1, 2, 0.5), (1, 3, 0.65), (2, 2, 0.4)])
def test_moments_of_the_law(dim, layers, tau):
    """∫ P dt = 1 and ∫ 2tP dt = (1 − τ²)^(−dL/2), in s = log t; Gauss–Legendre sums where the law is smooth."""
    factors = dim * layers
    low, high = -math.log1p(tau), -math.log1p(-tau)
    first = second = 0.0
    x, w = np.polynomial.legendre.leggauss(12)
    x, w = (1 + np.sin(np.pi * x / 2)) / 2, w * np.pi / 4 * np.cos(np.pi * x / 2)  # roots at both ends are smooth
    for panel in range(factors):
        for place, weight in zip(x, w, strict=True):
            log_t = factors * low + (panel + place) * (high - low)
            found = tail(tau, layers, math.exp(log_t), dim) * weight * (high - low)
            first += found * math.exp(log_t)
            second += 2 * found * math.exp(2 * log_t)
    below = (1 + tau) ** -factors  # all is more than that
    assert below + first == pytest.approx(1, abs=1e-6)
    assert below**2 + second == pytest.approx((1 - tau**2) ** (-factors / 2), abs=1e-5)


@pytest.mark.parametrize(("dim", "layers", "tau", "t"), [(1, 1, 0.5, 1.15), (2, 1, 0.9, 0.9), (1, 5, 0.3, 1.3)])
def test_steps_agree(dim, layers, tau, t):
    """The Fourier series and the convolutions, both to 1e-10."""
    steps = B8.derive(NAME, dim=dim).steps
    numbers = [evaluate(step.expression, {"tau": tau, "L": layers, "t": t}) for step in steps]
    assert numbers[0] == pytest.approx(numbers[1], abs=2e-10)


def test_many_layers_are_log_normal():
    """The central limit theorem for log J: mean E J log J and variance by SciPy; the next order is 1/√L."""
    tau, layers = 0.1, 2000

    def mean(power):
        def weighted(u):
            return math.log1p(tau * math.cos(u)) ** power * (1 + tau * math.cos(u))

        return integrate.quad(weighted, 0, math.pi)[0] / math.pi

    deviation = math.sqrt(layers * (mean(2) - mean(1) ** 2))
    for z in (-1.0, 0.0, 1.0):
        found = tail(tau, layers, math.exp(-layers * mean(1) - z * deviation))
        assert found == pytest.approx((1 + math.erf(z / math.sqrt(2))) / 2, abs=0.01)


def test_slopes_that_fold_and_slopes_too_near_are_refused():
    with pytest.raises(ArgumentError, match="^tau: expected a slope in"):
        tail(1.0, 2, 1.1)
    with pytest.raises(NotConverged, match="angles"):
        tail(1 - 1e-14, 400, 1e-3)


@pytest.mark.parametrize(("dim", "layers", "tau", "t"), [(1, 1, 0.3, 1.05), (1, 2, 0.5, 1.15), (2, 1, 0.4, 1.15)])
def test_bias_of_the_grid(dim, layers, tau, t):
    """Pixels are counted whole: within a tenth of the smallest effect, and 4.5 standard errors."""
    claim = B8.claim(NAME, dim=dim, L=layers, tau=tau, t=t)
    sample = claim.experiment.sample(np.random.default_rng(dim), 300 if dim == 1 else 60, claim.values)
    error = float(sample.std()) / math.sqrt(len(sample))
    assert error < 0.2 * claim.absolute_effect
    assert abs(float(sample.mean()) - claim.theory) < 0.1 * claim.absolute_effect + 4.5 * error
