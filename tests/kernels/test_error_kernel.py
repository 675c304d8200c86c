"""The error kernel is the sum over aliases, and what the kernel's own definition does to a wave."""

import functools
import math

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.kernels import FRACTION, FREQUENCY, POSITION, SHIFT, error_kernel, tap_weights

PREFILTERED = "bspline3(prefilter=True)"
COMPACT = [name for name in kernels.names() if kernels.get(name).is_compact]
TAPERED = ["gauss(0.2)", "gauss(0.01)", "triangle(2.3)", "keys(-0.75)"]
THETA = np.array([0.0, 0.03, 0.31, 0.97, 1.0, 1.9, 3.0, math.pi, -2.2, 4.4, 11.0])


def of(name, theta, *arguments, **options):
    """Return E of one axis."""
    return error_kernel(kernels.get(name), np.asarray(theta, dtype=float)[..., None], *arguments, **options)


@functools.cache
def definition(name, order):
    """Return k⁽ᵒʳᵈᵉʳ⁾(u) as a NumPy function, and the pixels beyond which it is zero."""
    kernel = kernels.get(name)
    return sp.lambdify([POSITION], kernel.value(order=order), "numpy"), kernel.reach


def quadrature(count=48, levels=20):
    """Return fractions and shares: nodes on panels that shrink towards the knots, at 0, 0.3, 0.5, 0.7 and 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    steps = [side * 0.1 * 2.0**-level for level in range(levels - 1) for side in (1, -1)]
    edges = np.unique([knot + step for knot in (0, 0.3, 0.5, 0.7, 1) for step in (0, *steps)])
    edges = edges[(edges >= 0) & (edges <= 1)]
    low, half = edges[:-1, None], np.diff(edges)[:, None] / 2
    return (low + half * (1 + nodes)).ravel(), (half * weights).ravel()


def response(name, theta, fractions, order):
    """Return Σₘ k⁽ᵒʳᵈᵉʳ⁾(f − m) exp(iθ(m − f)) by the definition, shape (N, F)."""
    value, reach = definition(name, order)
    pixels = np.arange(-reach - 1, reach + 2)
    with np.errstate(all="ignore"):  # pieces are evaluated everywhere, and chosen afterwards
        weights = np.broadcast_to(value(fractions[:, None] - pixels), (fractions.size, pixels.size))
    waves = np.exp(1j * np.multiply.outer(theta, pixels)) @ weights.T
    return waves * np.exp(-1j * np.multiply.outer(theta, fractions))


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", [*COMPACT, PREFILTERED, *TAPERED])
def test_it_is_what_the_definition_does_to_a_wave(name, order):
    fractions, shares = quadrature()
    residual = (1j * THETA[:, None]) ** order - response(name, THETA, fractions, order)
    np.testing.assert_allclose(of(name, THETA, order), np.abs(residual) ** 2 @ shares, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "aliases"), [("linear", 4000), ("keys", 400), ("bspline3", 100), (PREFILTERED, 100)])
def test_it_is_the_sum_over_aliases(name, aliases):
    """D4 and D5 as they are written, for kernels without jumps; the tails are below 1e−12 resp. 32/(2π)²·aliases."""
    spectrum = sp.lambdify([FREQUENCY], kernels.get(name).spectrum, "numpy")
    theta = THETA[np.abs(THETA) > 0.2]
    waves = theta[:, None] + 2 * math.pi * np.arange(-aliases, aliases + 1)
    powers, own = np.abs(spectrum(waves)) ** 2, spectrum(theta).real
    np.testing.assert_allclose(of(name, theta), 1 - 2 * own + powers.sum(1), atol=1e-12)
    derivative = theta**2 * (1 - 2 * own) + (waves**2 * powers).sum(1)
    tail = 32 / (2 * math.pi) ** 2 / aliases if name == "linear" else 0
    np.testing.assert_allclose(of(name, theta, 1), derivative, atol=1e-10 + tail)


@pytest.mark.parametrize("name", ["linear", "keys", "bspline3"])
def test_derivatives_are_correlated_exactly(name):
    """E₁ = θ² − 2θ²k̂ + Σ_Δ cos(Δθ) ∫k′(u) k′(u + Δ) du, for continuous kernels of polynomial pieces."""
    kernel = kernels.get(name)
    shifts = np.arange(-2 * kernel.reach, 2 * kernel.reach + 1)
    correlations = [float(kernel.correlation(1, 1, sp.Integer(int(shift)))) for shift in shifts]
    theta = THETA[np.abs(THETA) > 0.2]
    mean = sp.lambdify([FREQUENCY], kernel.spectrum, "numpy")(theta).real
    wanted = theta**2 * (1 - 2 * mean) + np.cos(np.multiply.outer(theta, shifts)) @ correlations
    np.testing.assert_allclose(of(name, theta, 1), wanted, atol=1e-11)


def test_jumps_have_no_derivative():
    """The operator's derivative of the nearest neighbour is zero, whatever the spectrum of the box says."""
    np.testing.assert_allclose(of("nearest", THETA, 1), THETA**2, rtol=1e-12)


@pytest.mark.parametrize("order", [0, 1])
def test_an_ideal_kernel_loses_what_is_beyond_nyquist(order):
    """Against the operator's own weights on a periodic axis, on which Fourier interpolation is exact."""
    size, fractions = 16, np.arange(512) / 512
    theta = 2 * math.pi / size * np.array([0, 1, 5, 7, 8, -8, 9, 12, 20])
    taps, weights = zip(*tap_weights(kernels.get("sinc"), torch.from_numpy(fractions), order, size), strict=True)
    waves = np.exp(1j * np.multiply.outer(theta, np.array(taps))) @ torch.stack(weights).numpy()
    residual = (1j * theta[:, None]) ** order - waves * np.exp(-1j * np.multiply.outer(theta, fractions))
    error = np.abs(residual) ** 2
    # The error is a sum of few waves in the fraction, whose mean over 512 equal steps is exact.
    np.testing.assert_allclose(of("sinc", theta, order), error.mean(1), atol=1e-10)
    np.testing.assert_allclose(of("sinc", theta, order, phases=4), error[:, ::128].mean(1), atol=1e-10)


def bernoulli(order):
    """Return |B₂ₗ|/(2L)! + (Bₗ/L!)², what splines of order L that interpolate lose of θ²ᴸ."""
    aliases = abs(sp.bernoulli(2 * order)) / sp.factorial(2 * order)
    return float(aliases + (sp.bernoulli(order) / sp.factorial(order)) ** 2)


def leading(name):
    """Return ∫(Σₘ k(f − m)(m − f)ᴸ/L!)² df exactly, what kernels of order L without a prefilter lose."""
    kernel = kernels.get(name)
    order = kernel.reproduces + 1
    moment = sum(weight.at(FRACTION) * (tap - FRACTION) ** order for tap, weight in kernel.taps.items())
    return float(sp.integrate(sp.expand(moment**2), (FRACTION, 0, 1)) / sp.factorial(order) ** 2)


@pytest.mark.parametrize(
    ("name", "order", "constant"),
    [("linear", 2, bernoulli(2)), ("keys", 3, leading("keys")), (PREFILTERED, 4, bernoulli(4))],
)
def test_low_frequencies_keep_their_digits(name, order, constant):
    """E/θ²ᴸ tends to its constant, where E itself is far below the rounding of its terms; the correction is O(θ²)."""
    theta = np.array([1e-8, 1e-5, 1e-3])
    np.testing.assert_allclose(of(name, theta) / theta ** (2 * order), constant, rtol=5e-6)
    fitted, _ = np.polyfit(np.log(theta), np.log(of(name, theta)) / 2, 1)
    assert fitted == pytest.approx(order, abs=1e-6)
    fitted, _ = np.polyfit(np.log(theta), np.log(of(name, theta, 1)) / 2, 1)
    assert fitted == pytest.approx(order, abs=1e-6)  # one order less of the slope iθ, which is of order one itself


@pytest.mark.parametrize("name", ["linear", "keys", PREFILTERED])
def test_every_frequency_keeps_its_digits(name):
    """Against 1 − 2k̂ + Σ_Δ a(Δ) cos Δθ with sixty digits, on both sides of where the power series ends."""
    kernel = kernels.get(name)
    spline = kernel.spline if name == PREFILTERED else kernel
    spectrum = sp.lambdify([FREQUENCY], kernel.spectrum, "mpmath")
    shifts = range(-2 * spline.reach, 2 * spline.reach + 1)
    correlations = [spline.autocorrelation.subs(SHIFT, shift) for shift in shifts]
    samples = kernel.prefilter or (sp.Integer(1),)
    theta = np.array([0.01, 0.2, 0.6, 0.667, 0.999, 1.001, 2.5])
    wanted = []
    with mpmath.workdps(60):
        for t in map(mpmath.mpf, theta):
            wave = sum(s * mpmath.cos((n - len(samples) // 2) * t) for n, s in enumerate(samples))
            power = sum(a * mpmath.cos(shift * t) for shift, a in zip(shifts, correlations, strict=True)) / wave**2
            wanted.append(float(mpmath.re(1 - 2 * spectrum(t) + power)))
    np.testing.assert_allclose(of(name, theta), wanted, rtol=1e-11)


def test_two_axes_of_a_smooth_field():
    """D2: the bilinear kernel loses (θ₁⁴ + θ₂⁴)/120 + θ₁²θ₂²/72, and exactly as much along either axis."""
    theta = 1e-3 * np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]])
    first, second = theta.T
    found = error_kernel(kernels.get("linear"), theta)
    np.testing.assert_allclose(found, (first**4 + second**4) / 120 + first**2 * second**2 / 72, rtol=1e-5)


@pytest.mark.parametrize("name", ["linear", "keys", PREFILTERED, "triangle(2.3)"])
@pytest.mark.parametrize("phases", [None, 2, 3])
def test_several_axes_are_independent(name, phases):
    """Two and three axes against the product of the definitions, with a truth that is not the derivative's."""
    fractions, shares = (
        quadrature(12, 1) if phases is None else (np.arange(phases) / phases, np.full(phases, 1 / phases))
    )
    theta = np.array([[0.3, 1.2, -0.4], [2.0, 0.1, 1.0], [-1.5, 2.9, 0.0]])
    truth = np.exp(1j * np.arange(3)) * theta[:, 2]
    plain = [response(name, axis, fractions, 0) for axis in theta.T]
    steep = response(name, theta[:, 2], fractions, 1)

    def mean(wanted, *factors):
        total = functools.reduce(lambda a, b: a[..., None] * b[(slice(None), *[None] * (a.ndim - 1))], factors)
        error = np.abs(wanted.reshape(-1, *[1] * len(factors)) - total) ** 2
        for _ in factors:
            error = error @ shares
        return error

    kernel, one = kernels.get(name), np.ones(3)
    found = error_kernel(kernel, theta[:, :2], phases=phases)
    np.testing.assert_allclose(found, mean(one, *plain[:2]), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(error_kernel(kernel, theta, phases=phases), mean(one, *plain), rtol=1e-10, atol=1e-12)
    found = error_kernel(kernel, theta, 1, axis=2, phases=phases, truth=truth)
    np.testing.assert_allclose(found, mean(truth, *plain[:2], steep), rtol=1e-10, atol=1e-12)


def test_grids_of_frequencies():
    """Any leading shape, and every frequency on its own."""
    theta = np.stack(np.meshgrid(np.linspace(-3, 3, 7), np.linspace(0, 5, 4), indexing="ij"), -1)
    found = error_kernel(kernels.get("keys"), theta, 1, axis=1)
    assert found.shape == (7, 4)
    single = [[float(error_kernel(kernels.get("keys"), wave, 1, axis=1)) for wave in row] for row in theta]
    np.testing.assert_allclose(found, single, rtol=1e-12)


BAD = {
    "no axes": (lambda: error_kernel(kernels.get("linear"), np.zeros((3, 0))), "^frequency: expected finite numbers"),
    "nan": (lambda: of("linear", [math.nan]), "^frequency: expected finite numbers"),
    "order": (lambda: of("linear", [1.0], 2), "^order: expected 0, the value, or 1, the derivative, got 2"),
    "axis": (lambda: of("linear", [1.0], 1, axis=1), "^axis: expected one of 1, from 0 on, got 1"),
    "phases": (lambda: of("linear", [1.0], phases=0), "^phases: expected a number of phases ≥ 1"),
}


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        call()
