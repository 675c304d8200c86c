"""What every kernel has to satisfy; a new kernel is checked by these tests without an edit.

The truth is SciPy's quadrature of the definition k(u), exact sums of it over the pixels, or, for a
kernel without finite support, Fourier interpolation by NumPy's transform.
"""

import inspect
import itertools
import math
from functools import cache

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate

from tests.cards import check_shows_itself, text_of
from warptheory import kernels
from warptheory.core.catalogue import load_entry
from warptheory.core.errors import ArgumentError
from warptheory.kernels import FRACTION, FREQUENCY, POSITION, SHIFT, NoClosedFormError, PiecewiseKernel, tap_weights

# Every entry, with its defaults and, where it has parameters, with one other value of each.
NAMES = kernels.names()
MODULES = {name: load_entry(kernels.__name__, name, "kernel") for name in NAMES}
VARIANTS = [kernels.get(call).name for module in MODULES.values() for call in getattr(module, "EXAMPLES", ())]
# scipy.integrate.quad on smooth pieces returns 1e-13 or better; the factor covers sums of pieces.
QUADRATURE = 1e-11
# A weight is a few dozen roundings of numbers of size one, and each derivative multiplies by π or by the
# steepness of the kernel; 2⁻⁵³·10³ covers both.
WEIGHT = 1e-13
FRACTIONS = (0.0, 0.1, 0.25, 0.5, 0.7, 0.999)
# The sinc's tails cannot be cut: Σ 1/m² beyond M leaves 1/M. Its sums are checked by other routes.
DECAYING = [name for name in NAMES + VARIANTS if kernels.get(name).reach is not None]


def numeric(expression, symbol):
    """Return a function of Python's floats, which goes through the one branch that holds."""
    return sp.lambdify([symbol], expression, "math")


@cache
def definition(kernel, order=0):
    """The definition k⁽ᵒʳᵈᵉʳ⁾(u), as a float function."""
    return numeric(kernel.value(order=order), POSITION)


def piecewise_integral(function, edges):
    return sum(integrate.quad(function, low, high, epsabs=1e-13)[0] for low, high in itertools.pairwise(edges))


def knots(kernel):
    """Where the definition may change its formula: the pieces' ends, or every integer within reach."""
    if isinstance(kernel, PiecewiseKernel):
        return sorted({float(edge) for piece in kernel.pieces for edge in (piece.lower, piece.upper)})
    return [float(m) for m in range(-kernel.reach, kernel.reach + 1)]


@pytest.fixture(params=NAMES + VARIANTS)
def kernel(request):
    return kernels.get(request.param)


@pytest.fixture(params=DECAYING)
def decaying(request):
    return kernels.get(request.param)


def test_it_shows_itself(kernel):
    """By a line, and by formula, plots of k and of its spectrum, and properties."""
    card = check_shows_itself(kernel)
    kinds = [each.tag.rpartition("}")[2] for each in card.iter()]
    assert (kinds.count("math"), kinds.count("svg")) == (1, 2)
    assert repr(kernel.name) in repr(kernel)
    assert kernel.source in text_of(card)
    assert kernel._repr_latex_().startswith(r"$\displaystyle k(u) = ")


def test_every_entry_with_parameters_has_a_variant():
    for name, module in MODULES.items():
        if inspect.signature(getattr(module, name)).parameters:
            assert any(call.partition("(")[0] == name for call in VARIANTS), f"{name} declares no EXAMPLES"


def test_name_is_the_call_that_makes_it(kernel):
    assert kernel.name.partition("(")[0] in NAMES
    assert kernels.get(kernel.name) is kernel
    assert kernels.get(kernel) is kernel
    assert hash(kernel) == hash(kernels.get(kernel.name))
    assert kernel.source


def test_is_even(kernel):
    """At positions that are no knots; none of the catalogue's kernels prefers a direction."""
    for position in (0.123, 0.77, 1.456, 2.31):
        assert definition(kernel)(position) == pytest.approx(definition(kernel)(-position), abs=WEIGHT)


def test_reproduces_what_it_claims_and_no_more(decaying):
    """Σₘ mᵠ k(p − m) = pᵠ up to the claimed degree, by sums of the definition."""
    pixels = range(-decaying.reach, decaying.reach + 2)

    def error(degree, fraction):
        return sum(float(m) ** degree * definition(decaying)(fraction - m) for m in pixels) - fraction**degree

    for degree in range(decaying.reproduces + 1):
        size = sum(abs(float(m) ** degree * definition(decaying)(0.3 - m)) for m in pixels)
        assert error(degree, 0.3) == pytest.approx(0, abs=WEIGHT * size)
    assert max(abs(error(decaying.reproduces + 1, fraction)) for fraction in (0.1, 0.3)) > 1e-6


def test_taps_are_the_kernel(kernel):
    """The taps' cells, worked out separately, equal the definition of what gathers at every fraction."""
    if not kernel.is_compact:
        with pytest.raises(NoClosedFormError, match="infinitely many taps"):
            _ = kernel.taps
        return
    gathers = kernel if kernel.prefilter is None else kernel.spline
    for fraction in FRACTIONS:
        for tap, weight in kernel.taps.items():
            exact = definition(gathers)(fraction - tap)
            assert float(weight.at(sp.Float(fraction))) == pytest.approx(exact, abs=WEIGHT)


def test_prefilter_makes_the_kernel_of_what_gathers(kernel):
    """Σₙ s[n] η(u − n) = β(u): the filter to be inverted, on the kernel that theory sees, gives back the taps."""
    if kernel.prefilter is None:
        return
    radius = len(kernel.prefilter) // 2
    for position in (0.0, 0.3, -0.8, 1.6, 2.7):
        filtered = sum(
            float(s) * definition(kernel)(position - n)
            for n, s in zip(range(-radius, radius + 1), kernel.prefilter, strict=True)
        )
        assert filtered == pytest.approx(definition(kernel.spline)(position), abs=WEIGHT)
    for pixel in range(-5, 6):
        assert definition(kernel)(pixel) == pytest.approx(float(pixel == 0), abs=WEIGHT)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_torch_weights_are_the_definition(kernel, order):
    """From both sides: at a knot, left-hand weights are the limit from below."""
    if not kernel.is_compact:
        return
    gathers = kernel if kernel.prefilter is None else kernel.spline
    scale = max(1.0, *(abs(definition(gathers, order)(u)) for u in np.arange(-3, 3, 0.1)))
    right = torch.tensor(FRACTIONS, dtype=torch.float64)
    for tap, weights in tap_weights(kernel, right, order):
        expected = [definition(gathers, order)(f - tap) for f in right.tolist()]
        np.testing.assert_allclose(weights.numpy(), expected, atol=WEIGHT * scale)
    left = torch.tensor([0.1, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
    for tap, weights in tap_weights(kernel, left, order, side="left"):
        # An even kernel from below is its mirror image from above, with the sign of the derivative's parity.
        expected = [(-1) ** order * definition(gathers, order)(tap - f) for f in left.tolist()]
        np.testing.assert_allclose(weights.numpy(), expected, atol=WEIGHT * scale)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_weights_of_all_pixels_are_fourier_interpolation(kernel, order, size):
    if kernel.is_compact:
        return
    x = np.random.default_rng(size).normal(size=size)
    fraction = torch.tensor([*FRACTIONS, 1.0], dtype=torch.float64)
    weights = tap_weights(kernel, fraction, order, size=size)
    assert sorted(tap % size for tap, _ in weights) == list(range(size))
    found = sum(weight.numpy() * x[tap % size] for tap, weight in weights)
    spectrum, rates = np.fft.fft(x), 2j * np.pi * np.fft.fftfreq(size)
    if size % 2 == 0:  # the Nyquist frequency, split between ±1/2
        spectrum = np.append(spectrum, spectrum[size // 2] / 2)
        spectrum[size // 2] /= 2
        rates = np.append(rates, -rates[size // 2])
    waves = spectrum * rates**order * np.exp(fraction.numpy()[:, None] * rates)
    np.testing.assert_allclose(found, waves.sum(1).real / size, atol=WEIGHT * math.pi**order * size)


def test_single_precision_weights_are_accurate(kernel):
    """Also next to integers, where quotients such as sin(πf)/(πf) lose their digits."""
    fraction = torch.tensor([0.0, 1e-7, 1e-4, 0.3, 1 - 2**-24, 1.0], dtype=torch.float32)
    for order in (0, 1, 2):
        exact = dict(tap_weights(kernel, fraction.double(), order, size=16))
        steepness = max(float(weight.abs().max()) for weight in exact.values()) + 1
        for tap, weights in tap_weights(kernel, fraction, order, size=16):
            # Coefficients of quotients grow with the order; a hundred roundings of the largest weight.
            tolerance = 100 * 2**-24 * steepness
            torch.testing.assert_close(weights.double(), exact[tap], rtol=0, atol=tolerance)


def test_gradients_of_the_weights_are_the_next_order(kernel):
    """Gradcheck off the knots; at knots, autograd returns the right-hand derivative and no NaN."""
    inside = torch.tensor([0.13, 0.37, 0.61, 0.93], dtype=torch.float64, requires_grad=True)
    ends = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    for order in (0, 1, 2):

        def weights(fraction, order=order):
            return torch.stack([weight for _, weight in tap_weights(kernel, fraction, order, size=6)])

        found = weights(inside)
        if found.requires_grad:
            # Central differences of step 1e-6: h²k‴/6 and rounding/h, both relative to the steepest derivative.
            size = float(found.detach().abs().max()) * 100 + 1
            assert torch.autograd.gradcheck(weights, inside, eps=1e-6, atol=1e-7 * size, rtol=1e-5, fast_mode=True)
            assert torch.autograd.gradgradcheck(weights, inside, eps=1e-6, atol=1e-4 * size, rtol=1e-4, fast_mode=True)
        for row, derivative in zip(weights(ends), weights(ends, order=order + 1), strict=True):
            gradient = (
                torch.autograd.grad(row.sum(), ends, retain_graph=True)[0]
                if row.requires_grad
                else torch.zeros_like(ends)
            )
            scale = float(derivative.detach().abs().max()) + 1
            torch.testing.assert_close(gradient, derivative.detach(), rtol=0, atol=1e-11 * scale)


def test_functionals_against_quadrature(decaying):
    functionals = decaying.functionals()
    value, slope = definition(decaying), definition(decaying, 1)
    edges = knots(decaying)
    floats = functionals.as_floats()
    assert floats["rho_bar"] == pytest.approx(piecewise_integral(lambda u: value(u) ** 2, edges), abs=QUADRATURE)
    exact = piecewise_integral(lambda u: slope(u) ** 2, edges)
    assert floats["delta_bar"] == pytest.approx(exact, abs=QUADRATURE * (1 + exact))
    assert floats["kappa4"] == pytest.approx(piecewise_integral(lambda u: value(u) ** 4, edges), abs=QUADRATURE)
    rho, delta = numeric(functionals.rho, FRACTION), numeric(functionals.delta, FRACTION)
    pixels = range(-decaying.reach, decaying.reach + 2)
    for fraction in (0.0, 0.2, 0.4, 0.6, 0.95):
        assert rho(fraction) == pytest.approx(sum(value(fraction - m) ** 2 for m in pixels), abs=1e-12)
        exact = sum(slope(fraction - m) ** 2 for m in pixels)
        assert delta(fraction) == pytest.approx(exact, abs=1e-12 * (1 + exact))


@pytest.mark.parametrize("size", [9, 31])
def test_functionals_against_sums_over_a_periodic_axis(kernel, size):
    """ρ and δ of the infinite axis are those of the Dirichlet kernel, up to O(1/N²) for δ (odd N)."""
    if kernel.reach is not None:
        return
    functionals = kernel.functionals()
    fraction = torch.tensor([0.2, 0.5], dtype=torch.float64)
    squares = [
        sum(weight**2 for _, weight in tap_weights(kernel, fraction, order, size=size)).numpy() for order in (0, 1)
    ]
    np.testing.assert_allclose(squares[0], float(functionals.rho), atol=WEIGHT)
    # Mean of (2πk/N)² over the N frequencies: (π²/3)(1 − 1/N²).
    np.testing.assert_allclose(squares[1], float(functionals.delta) * (1 - 1 / size**2), atol=WEIGHT * 10)
    tail = integrate.quad(lambda u: float(np.sinc(u)) ** 4, 0, 50, limit=400)[0]
    # sinc⁴ falls as (πu)⁻⁴: beyond 50 it holds less than 2·50⁻³/(3π⁴) < 6e-8.
    assert functionals.as_floats()["kappa4"] == pytest.approx(2 * tail, abs=1e-7)


def test_autocorrelation_against_quadrature(decaying):
    value = definition(decaying)
    autocorrelation = decaying.autocorrelation
    for shift in (-3.1, -1.3, -0.4, 0.0, 0.4, 1.0, 1.7, 5.0):
        edges = sorted({*knots(decaying), *(edge - shift for edge in knots(decaying))})
        exact = piecewise_integral(lambda u, s=shift: value(u) * value(u + s), edges)
        assert float(autocorrelation.subs(SHIFT, sp.Float(shift)).evalf()) == pytest.approx(exact, abs=QUADRATURE)


def test_spectrum_against_quadrature(decaying):
    value = definition(decaying)
    for frequency in (0.0, 0.3, 2.0, math.pi, 7.5):
        exact = piecewise_integral(lambda u, w=frequency: value(u) * math.cos(w * u), knots(decaying))
        found = float(decaying.spectrum.subs(FREQUENCY, sp.Float(frequency)).evalf())
        assert found == pytest.approx(exact, abs=QUADRATURE)


def test_spectrum_and_autocorrelation_are_a_pair(kernel):
    """Wiener–Khinchin: (1/2π) ∫ |k̂|² cos(ωΔ) dω = a_k(Δ); for kernels whose spectrum ends."""
    if kernel.reach is not None:
        return
    square = numeric(kernel.spectrum**2, FREQUENCY)
    edges = np.linspace(-4 * math.pi, 4 * math.pi, 9)
    for shift in (0.0, 0.3, 1.7):
        found = piecewise_integral(lambda w, s=shift: square(w) * math.cos(w * s), edges) / (2 * math.pi)
        assert float(kernel.autocorrelation.subs(SHIFT, shift)) == pytest.approx(found, abs=QUADRATURE)


@pytest.mark.parametrize("orders", [(0, 0), (1, 1), (0, 1), (0, 0, 0, 0)])
def test_fourier_coefficients_rebuild_the_function(kernel, orders):
    """c_j equals the quadrature of F e^{−2πijf}, real and imaginary parts, or there is no closed form."""
    function = kernel.tap_sum(orders)
    j = sp.Symbol("j", integer=True, positive=True)
    if not all(cell.expression.is_polynomial(FRACTION) for cell in function.cells):
        with pytest.raises(NoClosedFormError, match="polynomial pieces"):
            function.fourier_coefficient(j)
        return
    coefficient = function.fourier_coefficient(j)
    value = numeric(function.at(FRACTION), FRACTION)
    edges = [float(cell.lower) for cell in function.cells] + [1.0]
    for index in (1, 2, 5):
        found = complex(coefficient.subs(j, index))
        real = piecewise_integral(lambda f, k=index: value(f) * math.cos(2 * math.pi * k * f), edges)
        imaginary = piecewise_integral(lambda f, k=index: -value(f) * math.sin(2 * math.pi * k * f), edges)
        assert found == pytest.approx(complex(real, imaginary), abs=QUADRATURE)


def test_poisson_summation_links_tap_sum_and_spectrum(kernel):
    """ρ̄ = a_k(0), and the mean of a product of taps is its integral over the line."""
    functionals = kernel.functionals()
    origin = functionals.autocorrelation.subs(SHIFT, 0)
    if functionals.are_exact and not origin.has(sp.Integral):
        assert sp.expand(sp.radsimp(origin)) == sp.expand(functionals.rho_bar)
    assert float(origin.evalf()) == pytest.approx(float(functionals.rho_bar), abs=QUADRATURE)


@pytest.mark.usefixtures("as_users_call")
def test_arguments_of_the_weights_are_checked(kernel):
    fraction = torch.zeros(1)
    with pytest.raises(ArgumentError, match="^order: expected a number of derivatives ≥ 0, got -1$"):
        tap_weights(kernel, fraction, -1)
    with pytest.raises(ArgumentError, match="^side: expected left or right, got 'both'$"):
        tap_weights(kernel, fraction, side="both")
    if not kernel.is_compact:
        with pytest.raises(ArgumentError, match="^size: expected the number of pixels of the periodic axis"):
            tap_weights(kernel, fraction)
