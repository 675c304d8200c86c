"""C3: layers of roughening, and what a grid lets through of it."""

import numpy as np
import pytest
from scipy import interpolate, special

from warptheory import results
from warptheory.results._setting import Setting
from warptheory.results.fields._ceiling import Ceiling
from warptheory.symbolic import evaluate

C3 = results.get("C3")


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("layers", [1, 4, 40])
def test_any_number_of_layers(dim, layers):
    values = {"sigma": 1.2, "l": 2.5, "s": 0.9, "l_e": 4.0}
    found = C3.evaluate("slope variance after L layers", dim=dim, L=layers, **values)
    assert found == pytest.approx((1.2 / 2.5) ** 2 * (1 + dim * (0.9 / 4) ** 2) ** layers, rel=1e-12)
    if layers == 1:
        assert found == pytest.approx(C3.evaluate(dim=dim, **values), rel=1e-12)
        plane = C3.evaluate("slope variance after L layers in the plane", dim=dim, L=layers, **values)
        assert plane == found


def gradient_by_scipy(covariance, order):
    """Var ∂Wx on a line at uniform fractions: the slope of SciPy's B-spline of the given degree, without prefilter."""
    knots = np.arange(-(order + 1) / 2, (order + 3) / 2)
    slope = interpolate.BSpline.basis_element(knots, extrapolate=False).derivative()
    nodes, weights = np.polynomial.legendre.leggauss(8)
    taps, total = np.arange(-4, 5), 0.0
    for f, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        share = np.nan_to_num(slope(f - taps))
        total += weight * share @ covariance(np.abs(taps[:, None] - taps)) @ share
    return total


@pytest.mark.parametrize(("kernel", "order"), [("linear", 1), ("bspline3", 3)])
def test_no_field_exceeds_the_ceiling_and_one_reaches_it(kernel, order):
    largest = C3.evaluate("ceiling on the grid", kernel=kernel, sigma=1.0, h=1.0)
    waves = [gradient_by_scipy(lambda lag, t=theta: np.cos(t * lag), order) for theta in np.linspace(0, np.pi, 401)]
    assert max(waves) <= largest * (1 + 1e-12)
    assert max(waves) == pytest.approx(largest, rel=1e-4)
    for smooth in (lambda lag: np.exp(-lag / 2), lambda lag: special.j0(2 * lag), lambda lag: 1.0 * (lag == 0)):
        assert gradient_by_scipy(smooth, order) < largest


def test_ceilings_of_linear_interpolation():
    """4C(0)/h² for any d; twice what white noise has on a line, and fields of correlations that are not negative."""
    for dim in (1, 2, 3):
        assert C3.evaluate("ceiling on the grid", dim=dim, sigma=1.5, h=0.5) == pytest.approx(4 * 1.5**2 / 0.25)
    white = results.get("A7").evaluate("variance", sigma=1.0)
    assert white == pytest.approx(2)


@pytest.mark.parametrize("kernel", ["linear", "keys", "bspline3"])
def test_both_routes_to_the_ceiling(kernel):
    steps = Ceiling(Setting(kernel=kernel, dim=2)).steps()
    first, last = (evaluate(step.expression, {"sigma": 1.0, "h": 1.0}) for step in steps)
    assert first == pytest.approx(last, rel=1e-10)


@pytest.mark.parametrize("kernel", ["linear", "keys"])
def test_a_wave_of_another_frequency_stays_below(kernel):
    experiment = Ceiling(Setting(kernel=kernel))
    rows = experiment.sample(np.random.default_rng(0), 400, {"sigma": 1.0, "h": 1.0})
    largest = C3.evaluate("ceiling on the grid", kernel=kernel, sigma=1.0, h=1.0)
    assert float(rows.mean()) == pytest.approx(largest, abs=5 * float(rows.std()) / 20)


def test_layers_spend_their_variance_on_gradients():
    """On a line G_l/6 of the variance is lost in layer l, so that all gradient variances add up to 6 at most."""
    d8, d9, values = results.get("D8"), results.get("D9"), {"ell": 3.0, "tau": 0.45, "ell_epsilon": 4.0}
    before = 2 * (1 - np.exp(-1 / 18))
    spent = before / 6
    for layers in range(1, 4):
        lost = d8.evaluate("variance lost in L layers", L=layers, **values)
        assert lost == pytest.approx(spent, rel=1e-9)
        spent += before * d9.evaluate("growth of the gradient variance in L layers", L=layers, **values) / 6
