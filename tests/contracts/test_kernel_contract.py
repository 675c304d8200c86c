"""What every kernel has to satisfy; a new kernel is checked by these tests without an edit."""

import itertools
import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate

from warptheory import kernels
from warptheory.kernels import FRACTION, FREQUENCY, POSITION, SHIFT
from warptheory.kernels._weights import tap_weights

NAMES = kernels.names()
# scipy.integrate.quad on smooth pieces returns 1e-13 or better; the factor covers sums of pieces.
QUADRATURE = 1e-11


def numeric(expression, symbol):
    return sp.lambdify([symbol], expression, "numpy")


def piecewise_integral(function, edges):
    return sum(integrate.quad(function, low, high, epsabs=1e-13)[0] for low, high in itertools.pairwise(edges))


def knots(kernel):
    return sorted({float(edge) for piece in kernel.pieces for edge in (piece.lower, piece.upper)})


@pytest.fixture(params=NAMES)
def kernel(request):
    return kernels.get(request.param)


def test_name_is_the_file_name(kernel):
    assert kernel.name in NAMES
    assert kernel.source


def test_taps_are_the_kernel(kernel):
    """The taps' cells, worked out separately, equal the definition at every fraction."""
    value = numeric(kernel.value(), POSITION)
    for fraction in (0.0, 0.1, 0.25, 0.5, 0.7, 0.999):
        for tap, weight in kernel.taps.items():
            assert float(weight.at(sp.Float(fraction))) == pytest.approx(float(value(fraction - tap)), abs=1e-14)


def test_torch_weights_are_the_taps(kernel):
    fraction = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.7, 0.999], dtype=torch.float64)
    for order in (0, 1):
        value = numeric(kernel.value(order=order), POSITION)
        for tap, weights in tap_weights(kernel, fraction, order):
            expected = [float(value(f - tap)) for f in fraction.tolist()]
            np.testing.assert_allclose(weights.numpy(), expected, atol=1e-14)


def test_functionals_against_quadrature(kernel):
    functionals = kernel.functionals()
    value, slope = numeric(kernel.value(), POSITION), numeric(kernel.derivative, POSITION)
    edges = knots(kernel)
    floats = functionals.as_floats()
    assert floats["rho_bar"] == pytest.approx(piecewise_integral(lambda u: value(u) ** 2, edges), abs=QUADRATURE)
    assert floats["delta_bar"] == pytest.approx(piecewise_integral(lambda u: slope(u) ** 2, edges), abs=QUADRATURE)
    assert floats["kappa4"] == pytest.approx(piecewise_integral(lambda u: value(u) ** 4, edges), abs=QUADRATURE)
    reach = math.ceil(max(map(abs, edges))) + 1
    rho, delta = numeric(functionals.rho, FRACTION), numeric(functionals.delta, FRACTION)
    for fraction in (0.0, 0.2, 0.4, 0.6, 0.95):
        taps = np.arange(-reach, reach + 2)
        assert float(rho(fraction)) == pytest.approx(sum(float(value(fraction - m)) ** 2 for m in taps), abs=1e-12)
        assert float(delta(fraction)) == pytest.approx(sum(float(slope(fraction - m)) ** 2 for m in taps), abs=1e-12)


def test_autocorrelation_against_quadrature(kernel):
    value = numeric(kernel.value(), POSITION)
    autocorrelation = numeric(kernel.functionals().autocorrelation, SHIFT)
    for shift in (-3.1, -1.3, -0.4, 0.0, 0.4, 1.0, 1.7, 5.0):
        edges = sorted({*knots(kernel), *(edge - shift for edge in knots(kernel))})
        exact = piecewise_integral(lambda u, s=shift: value(u) * value(u + s), edges)
        assert float(autocorrelation(shift)) == pytest.approx(exact, abs=QUADRATURE)


def test_spectrum_against_quadrature(kernel):
    value = numeric(kernel.value(), POSITION)
    for frequency in (0.0, 0.3, 2.0, math.pi, 7.5):
        exact = piecewise_integral(lambda u, w=frequency: value(u) * math.cos(w * u), knots(kernel))
        assert float(kernel.spectrum.subs(FREQUENCY, frequency)) == pytest.approx(exact, abs=QUADRATURE)


@pytest.mark.parametrize("orders", [(0, 0), (1, 1), (0, 1), (0, 0, 0, 0)])
def test_fourier_coefficients_rebuild_the_function(kernel, orders):
    """c_j equals the quadrature of F e^{−2πijf}, real and imaginary parts."""
    function = kernel.tap_sum(orders)
    j = sp.Symbol("j", integer=True, positive=True)
    coefficient = function.fourier_coefficient(j)
    value = numeric(function.at(FRACTION), FRACTION)
    edges = [float(cell.lower) for cell in function.cells] + [1.0]
    for index in (1, 2, 5):
        found = complex(coefficient.subs(j, index))
        real = piecewise_integral(lambda f, k=index: float(value(f)) * math.cos(2 * math.pi * k * f), edges)
        imaginary = piecewise_integral(lambda f, k=index: -float(value(f)) * math.sin(2 * math.pi * k * f), edges)
        assert found == pytest.approx(complex(real, imaginary), abs=QUADRATURE)


def test_poisson_summation_links_tap_sum_and_spectrum(kernel):
    """ρ̄ = a_k(0), and the mean of a product of taps is its integral over the line."""
    functionals = kernel.functionals()
    assert functionals.autocorrelation.subs(SHIFT, 0) == functionals.rho_bar
