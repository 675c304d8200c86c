import itertools
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, interpolate, ndimage, special

from warptheory import kernels, montecarlo, results
from warptheory.core.errors import ArgumentError
from warptheory.fields import SquaredExponential
from warptheory.kernels import NoClosedFormError
from warptheory.results import Setting
from warptheory.results.discretization import _definition, equilibrium, gradient_growth, numerical_diffusion
from warptheory.results.discretization._chain import Walkers
from warptheory.results.discretization._stationary import periodic_chain
from warptheory.results.discretization._walkers import (
    PairWeight,
    SmoothedWeight,
    WalkingWeight,
    autocorrelation,
    kernel_variance,
    smoothed,
)
from warptheory.symbolic import evaluate
from warptheory.symbolic.nodes import kernel_argument

D6, D8, D9, D10 = (results.get(label) for label in ("D6", "D8", "D9", "D10"))
LINEAR = kernels.get("linear")


def by_scipy(x, moved, order):
    """x[n + moved] on a periodic line by SciPy: linear interpolation, or the cubic B-spline without prefilter."""
    place = (np.arange(len(x)) + moved)[None]
    return ndimage.map_coordinates(x, place, order=order, mode="grid-wrap", prefilter=False)


@pytest.mark.parametrize(("kernel", "order"), [("linear", 1), ("bspline3", 3)])
@pytest.mark.parametrize("mode", [1, 3, 5])
def test_power_transfer_of_scipys_resampling(kernel, order, mode):
    """Gauss–Legendre over the fraction of a pixel is exact: the power is a polynomial of degree 6 at most in it."""
    omega = 2 * np.pi * mode / 12
    nodes, weights = np.polynomial.legendre.leggauss(8)
    wave = np.exp(1j * omega * np.arange(12))
    power = 0.0
    for fraction, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        moved = by_scipy(wave.real, fraction, order) + 1j * by_scipy(wave.imag, fraction, order)
        power += weight * np.abs(np.mean(moved / wave)) ** 2
    assert D6.evaluate(kernel=kernel, omega=omega, standard=True) == pytest.approx(power, rel=1e-12)
    assert D6.evaluate("power transfer of L layers", kernel=kernel, omega=omega, L=5, standard=True) == pytest.approx(
        power**5
    )


@pytest.mark.parametrize(("kernel", "order"), [("linear", 1), ("bspline3", 3)])
def test_power_of_two_layers_of_scipys_resampling(kernel, order):
    """Of both fractions by Gauss–Legendre, exactly; the power of one layer is taken nowhere."""
    size, mode = 12, 3
    omega = 2 * np.pi * mode / size
    nodes, weights = np.polynomial.legendre.leggauss(8)
    fractions, power = (nodes + 1) / 2, 0.0
    wave = np.exp(1j * omega * np.arange(size))
    for (first, one), (second, other) in itertools.product(zip(fractions, weights / 2, strict=True), repeat=2):
        layers = [by_scipy(by_scipy(part, first, order), second, order) for part in (wave.real, wave.imag)]
        power += one * other * np.abs(np.mean((layers[0] + 1j * layers[1]) / wave)) ** 2
    derivation = D6.derive("power transfer of L layers", kernel=kernel)
    found = [evaluate(step.expression, {"omega": omega, "L": 2}) for step in derivation.steps]
    np.testing.assert_allclose(found, power, rtol=1e-12)


def keys_cubic(u):
    """R. Keys' kernel, a = −1/2, as published."""
    u = np.abs(u)
    inner, outer = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
    return np.where(u < 1, inner, np.where(u < 2, outer, 0.0))


def hat(u):
    return np.maximum(1 - np.abs(u), 0.0)


@pytest.mark.parametrize(("kernel", "formula"), [("linear", hat), ("keys", keys_cubic)])
@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_power_transfer_by_quadrature(kernel, formula, law):
    omega, spread, taps = 1.1, 0.3, np.arange(-12, 13)
    knots = [-0.5, 0.0, 0.5] if law == "uniform" else [*np.arange(-3.0, 3.5, 0.5)]

    def power(offset):
        density = 1.0 if law == "uniform" else math.exp(-((offset / spread) ** 2) / 2) / (spread * math.sqrt(2 * np.pi))
        return density * abs(np.sum(formula(offset - taps) * np.exp(1j * omega * taps))) ** 2

    expected = sum(integrate.quad(power, low, high, epsabs=1e-13)[0] for low, high in itertools.pairwise(knots))
    quantity = "power transfer" + (", normal offsets" if law == "normal" else "")
    found = D6.evaluate(
        quantity, kernel=kernel, omega=omega, **({"s": spread} if law == "normal" else {}), standard=True
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_power_transfer_in_the_plane_is_a_product():
    values = {"omega_1": 0.7, "omega_2": 2.1}
    lines = [D6.evaluate(omega=omega, standard=True) for omega in values.values()]
    assert D6.evaluate(dim=2, **values, standard=True) == pytest.approx(math.prod(lines), rel=1e-13)


@pytest.mark.parametrize(("kernel", "second", "fourth"), [("linear", 1 / 3, 3 / 10), ("keys", 0.0, -3 / 5)])
def test_own_variance_and_the_order_of_the_diffusion(kernel, second, fourth):
    """R̂ = 1 − κω²/2 + μ₄ω⁴/24 − …; of keys, which reproduces parabolas, the second order is missing."""
    assert float(kernel_variance(kernels.get(kernel))) == second
    omega = 0.05  # the sixth order is about 1e-5 of the fourth
    expected = 1 - second * omega**2 / 2 + fourth * omega**4 / 24
    assert 1 - D6.evaluate(kernel=kernel, omega=omega, standard=True) == pytest.approx(1 - expected, rel=1e-3)


def test_a_kernel_that_does_not_reproduce_lines_has_no_variance_of_its_own():
    """Nearest: ∫u² a(u) du = 1/6 for its triangle a, but at whole lags a loses nothing."""
    with pytest.raises(ArithmeticError):
        numerical_diffusion.variance_steps(kernels.get("nearest"), 1)


@pytest.mark.parametrize("kernel", ["gauss(0.5)", "bspline3(prefilter=True)"])
def test_other_kernels_are_refused(kernel):
    with pytest.raises(NoClosedFormError):
        autocorrelation(kernels.get(kernel))


@pytest.mark.parametrize(
    ("kernel", "variance"),
    [
        pytest.param(kernel, variance, marks=[] if (i + j) % 2 == 0 else pytest.mark.slow)
        for i, kernel in enumerate(("nearest", "linear", "keys", "bspline3"))
        for j, variance in enumerate((0.0, 1e-8, 0.04, 2.5))
    ],
)
def test_weights_of_a_step_by_three_routes(kernel, variance):
    argument, z = kernel_argument(kernels.get(kernel)), np.arange(-24.0, 25.0)
    found = [node(argument, 0, 0).weights(z, variance) for node in (PairWeight, WalkingWeight, SmoothedWeight)]
    np.testing.assert_allclose(found[1], found[0], atol=3e-13)
    # Keys' pieces have degree 7: moments about 0 lose digits by cancellation where z is large and the weight small.
    np.testing.assert_allclose(found[2], found[0], atol=1e-9)
    assert found[2].sum() == pytest.approx(1.0, abs=1e-11)


@pytest.mark.parametrize("kernel", ["linear", "keys", "bspline3"])
@pytest.mark.parametrize("variance", [0.0, 0.04, 2.5])
def test_a_step_adds_both_variances(kernel, variance):
    """Σ_δ (Δ − δ)² M(Δ, δ) = v + κ: exact for kernels that reproduce lines."""
    z = np.arange(-24.0, 25.0)
    weights = WalkingWeight(kernel_argument(kernels.get(kernel)), 0, 0).weights(z, variance)
    assert weights @ z**2 == pytest.approx(variance + float(kernel_variance(kernels.get(kernel))), abs=1e-11)


def test_autocorrelation_of_the_hat_is_scipys_cubic_spline():
    spline = interpolate.BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    z = np.linspace(-1.99, 1.99, 41)
    np.testing.assert_allclose(smoothed(autocorrelation(LINEAR), z, np.array(0.0)), spline(z), atol=1e-14)


def spline_mean(z, variance):
    """E β³(z + √v Z) from SciPy's spline by Gauss–Legendre panels of a quarter pixel."""
    spline = interpolate.BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    nodes, weights = np.polynomial.legendre.leggauss(10)
    panels = np.arange(-2.0, 2.0, 0.25)
    w = (panels[:, None] + 0.125 * (nodes + 1)).ravel()
    mass = np.tile(0.125 * weights, len(panels))
    density = np.exp(-((w - z[..., None]) ** 2) / (2 * variance[..., None])) / np.sqrt(2 * np.pi * variance[..., None])
    return density @ (mass * spline(w))


@pytest.mark.parametrize("kernel", ["nearest", "linear", "keys"])
def test_weights_of_a_layer_are_derived_and_others_refused(kernel, monkeypatch):
    """Covariances of two warped values for any C; the autocorrelation of another kernel is no law of its steps."""
    _definition.derived_weights.cache_clear()
    assert _definition.derived_weights(kernels.get(kernel)) == autocorrelation(kernels.get(kernel))
    _definition.derived_weights.cache_clear()
    other = "keys" if kernel == "linear" else "linear"
    monkeypatch.setattr(_definition, "autocorrelation", lambda _: autocorrelation(kernels.get(other)))
    with pytest.raises(ArithmeticError, match="the weight"):
        _definition.derived_weights(kernels.get(kernel))
    _definition.derived_weights.cache_clear()


def test_variance_of_a_difference_of_offsets():
    offsets = SquaredExponential(3, sp.Rational(3, 2), 2)
    expected = 2 * 1.5 * (1 - math.exp(-(2**2 + 1) / (2 * 3**2)))
    assert float(_definition.variance_of_difference(offsets, (2, 1))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("kernel", "variance"), [("linear", 1 / 3), ("bspline3", 2 / 3), ("keys", 0.0)])
def test_moments_of_a_step_over_the_grid(kernel, variance):
    """κ = ∫u² a(u) du, of which SciPy's spline of the third and seventh degree has 4/12 and 8/12."""
    moments = [_definition.step_moment(kernels.get(kernel), order) for order in range(3)]
    assert moments[:2] == [1, 0]
    assert float(moments[2]) == pytest.approx(variance)
    with pytest.raises(ArithmeticError, match="depends on the phase"):
        _definition.step_moment(kernels.get("nearest"), 2)


def test_change_of_a_covariance_by_scipys_spline():
    """One layer on the grid against ½(τ²r² + κ)C″, with C a parabola, of which second order is all there is."""
    tau, lag, second = 0.3, sp.Symbol("r", positive=True), sp.Symbol("C''", real=True)
    parts = _definition.change_of_covariance(LINEAR, lag, second)
    delta = np.arange(-40, 41)
    for r in (1, 4):
        weights = spline_mean(r - delta.astype(float), np.full(len(delta), (tau * r) ** 2))
        exact = np.sum(np.nan_to_num(weights) * (1 - delta**2 / 10)) - (1 - r**2 / 10)
        assert evaluate(sum(parts), {"r": r, "C''": -0.2, "tau": tau}) == pytest.approx(exact, rel=1e-9)


TAU, LENGTH, OFFSET_LENGTH = 0.45, 3.0, 4.0


def line_after_layers(layers, tau=TAU, length=LENGTH, offset_length=OFFSET_LENGTH, reach=120):
    """C₀, C₁, … of a line by matrices made here, from SciPy's spline."""
    lags = np.arange(-reach, reach + 1)
    spread = 2 * (tau * offset_length) ** 2 * (1 - np.exp(-(lags**2) / (2 * offset_length**2)))
    spread[reach] = 1e-9  # at lag 0, where nothing moves
    moved, spreads = lags[:, None] - lags.astype(float), np.broadcast_to(spread[:, None], (len(lags),) * 2)
    near = np.abs(moved) < 2 + 9 * np.sqrt(spreads)  # beyond nine deviations lie 2e-19
    chain = np.zeros(moved.shape)
    chain[near] = spline_mean(moved[near], spreads[near])
    chain[reach] = interpolate.BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)(-1.0 * lags)
    chain[np.isnan(chain)] = 0.0
    covariances = [np.exp(-(lags**2) / (2 * length**2))]
    for _ in range(layers):
        covariances.append(chain @ covariances[-1])
    return [c[reach : reach + 2] for c in covariances]


def test_layers_on_a_line_against_matrices_of_scipys_spline():
    start, *after = line_after_layers(3)
    values = {"tau": TAU, "ell": LENGTH, "ell_epsilon": OFFSET_LENGTH}
    for layers, (same, next_) in enumerate(after, start=1):
        loss = D8.evaluate("variance lost in L layers", L=layers, **values, standard=True)
        growth = D9.evaluate(gradient_growth.LATER_GROWTH, L=layers, **values, standard=True)
        assert loss == pytest.approx(1 - same, rel=1e-7)
        assert growth == pytest.approx((same - next_) / (start[0] - start[1]), rel=1e-7)
    assert D9.evaluate(gradient_growth.GROWTH, **values, standard=True) == pytest.approx(
        (after[0][0] - after[0][1]) / (start[0] - start[1]), rel=1e-7
    )
    assert D8.evaluate("variance lost in a layer", ell=LENGTH, standard=True) == pytest.approx(
        1 - after[0][0], rel=1e-12
    )


@pytest.mark.parametrize("dim", [1, 2])
def test_one_layer_by_the_chain_and_by_the_sum(dim):
    one = {"dim": dim, "tau": TAU, "ell": LENGTH, "ell_epsilon": OFFSET_LENGTH}
    values = {**one, "L": 1}
    assert D8.evaluate("variance lost in L layers", **values, standard=True) == pytest.approx(
        D8.evaluate("variance lost in a layer", dim=dim, ell=LENGTH, standard=True), rel=1e-10
    )
    assert D9.evaluate(gradient_growth.LATER_GROWTH, **values, standard=True) == pytest.approx(
        D9.evaluate(gradient_growth.GROWTH, **one, standard=True), rel=1e-10
    )


def test_covariance_after_a_layer_by_enumeration():
    """E W C Wᵀ over a lattice of offsets, with matrices W written here; offsets one wave, Gaussian amplitudes.

    Of a periodic line of 12 pixels. Gauss–Hermite in both amplitudes and a fine grid of the shared offset; what it
    averages is twice differentiable in them, so that 60 nodes leave 1e-5.
    """
    size, tau = 12, 0.5
    wavenumber, n = 2 * np.pi / size, np.arange(size)
    covariance = np.exp(2 * np.cos(wavenumber * (n[:, None] - n)))  # positive definite: its Fourier series is
    nodes, weights = special.roots_hermitenorm(60)
    weights = weights / weights.sum()
    shared = (np.arange(16) + 0.5) / 16
    total = np.zeros((size, size))
    for (xi, first), (zeta, second) in itertools.product(zip(nodes, weights, strict=True), repeat=2):
        if first * second < 1e-13:
            continue
        offsets = tau / wavenumber * (xi * np.cos(wavenumber * n) + zeta * np.sin(wavenumber * n))
        place = n + offsets + shared[:, None]
        distance = (place[..., None] - n + size / 2) % size - size / 2
        matrices = hat(distance)
        total += first * second * np.mean(matrices @ covariance @ matrices.transpose(0, 2, 1), axis=0)
    spread = 2 * (tau / wavenumber) ** 2 * (1 - np.cos(wavenumber * n))
    expected = periodic_chain(LINEAR, spread) @ covariance[0]
    # The mean over 16 shared offsets is exact but for harmonics of 16 a pixel, about 1/16⁴.
    found = np.array([np.mean(np.diag(np.roll(total, -lag, axis=1))) for lag in range(size)])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert not np.allclose(found, covariance[0], rtol=1e-2)


def test_rows_sum_to_one_and_the_linear_chain_is_a_law():
    walkers = Walkers(LINEAR, SquaredExponential(3, 1.5, 1), reach=60)
    middle = slice(25, -25)
    np.testing.assert_allclose(walkers.steps[0].sum(1)[middle], 1.0, atol=1e-12)
    assert walkers.steps[0].min() > -1e-12  # rounding
    assert Walkers(kernels.get("keys"), SquaredExponential(3, 1.5, 1), reach=20).steps[0].min() < -0.01


def test_without_the_shared_offset_the_fractions_are_nearly_uniform():
    """Given η the mean of both offsets is N(0, (K(0) + K(Δ))/2): the first harmonic is left, exp(−π²(K(0) + K(Δ)))."""
    nodes, mass = special.roots_hermitenorm(40)
    mass = mass / mass.sum()
    taps = np.arange(-12, 13)
    for here, there in [(0.1, 0.08), (0.3, 0.2)]:
        middle, half = math.sqrt((here + there) / 2), math.sqrt(2 * (here - there)) / 2
        errors = []
        for eta, shift in itertools.product(half * nodes[::4], (0, 1)):
            centres = np.linspace(-9 * middle, 9 * middle, 20001)
            density = np.exp(-((centres / middle) ** 2) / 2)
            both = hat(centres[:, None] - eta - taps) * hat(centres[:, None] + eta + 1 - shift - taps)
            nearly = np.sum(density * both.sum(1)) / density.sum()
            exact = smoothed(autocorrelation(LINEAR), np.array([2 * eta + 1 - shift]), np.array(0.0))[0]
            errors.append(abs(nearly - exact))
        bound = math.exp(-(np.pi**2) * (here + there))
        assert 0.02 * bound < max(errors) < bound


@pytest.mark.parametrize("dim", [1, 2])
def test_smooth_fields_roughen_as_in_the_continuum(dim):
    """Keys' kernel diffuses at fourth order: growth by 1 + dτ², but for (1/ℓ)², a percent here."""
    growth = D9.evaluate(
        gradient_growth.GROWTH, kernel="keys", dim=dim, tau=0.3, ell=25.0, ell_epsilon=25.0, standard=True
    )
    assert growth - 1 == pytest.approx(dim * 0.3**2, rel=0.02)


def test_small_slopes_are_the_limit():
    """τ and 1/ℓ halved, the deviation falls by 16, the fourth order; relative to the growth, by four."""
    gaps = []
    for tau in (0.2, 0.1, 0.05):
        values = {"tau": tau, "ell": 1.6 / tau}
        exact = D9.evaluate(gradient_growth.GROWTH, **values, ell_epsilon=2.0 / tau, standard=True)
        limit = D9.evaluate("growth of the gradient variance, small slopes", **values, standard=True)
        gaps.append((exact - limit) / (limit - 1))
    assert abs(gaps[-1]) < 0.005
    for coarse, fine in itertools.pairwise(gaps):
        assert coarse / fine == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("kernel", ["keys", "bspline3"])
def test_own_variance_of_other_kernels_by_steps(kernel):
    steps = D6.derive("the kernel's own variance", kernel=kernel).steps
    assert {sp.nsimplify(evaluate(step.expression, {}), rational=True, tolerance=1e-12) for step in steps} == {
        kernel_variance(kernels.get(kernel))
    }


@pytest.mark.parametrize(("tau", "length", "offset_length"), [(0.4, 12.0, 20.0), (0.5, 15.0, 20.0)])
def test_layers_of_growth(tau, length, offset_length):
    """Against matrices made here; between the bound and what unhindered growth would take, twice too long or more."""
    values = {"tau": tau, "ell": length, "ell_epsilon": offset_length}
    found = D9.evaluate("layers of growth", **values, standard=True)
    differences = [same - next_ for same, next_ in line_after_layers(14, tau, length, offset_length, reach=250)]
    assert found == np.argmax(differences)
    assert D9.evaluate("least layers of growth", tau=tau, ell=length, standard=True) <= found
    squared = 3 * (tau * length) ** 2
    unhindered = math.log(squared) / math.log1p(tau**2)
    assert unhindered > 1.9 * found
    assert max(differences) / differences[0] < squared / 5
    assert math.log(squared) / (3 * tau**2) == pytest.approx(found, rel=0.4)


def solved(size, tau, kernel=LINEAR):
    """C of the stationary field and c, by the pseudo-inverse of I − M, χ = 1."""
    n = np.arange(size)
    wave = np.cos(2 * np.pi * n / size)
    chain = periodic_chain(kernel, 2 * (tau * size / (2 * np.pi)) ** 2 * (1 - wave))
    values, vectors = np.linalg.eig(chain.T)
    law = np.real(vectors[:, np.argmax(np.real(values))])
    mean = float(law @ wave / law.sum())
    return np.linalg.pinv(np.eye(size) - chain) @ (wave - mean), mean


def test_equilibrium_by_the_pseudo_inverse():
    covariance, mean = solved(equilibrium.PERIOD, 0.5)
    gradient = D10.evaluate(equilibrium.GRADIENT, tau=0.5, chi=2.0, standard=True)
    assert gradient == pytest.approx(2 * 2 * (covariance[0] - covariance[1]), rel=1e-9)
    assert gradient == pytest.approx(6 * 2 * (1 - mean), rel=1e-9)
    power = np.fft.fft(covariance).real
    low, high = equilibrium.MODES
    assert D10.evaluate(equilibrium.RATIO, tau=0.5, standard=True) == pytest.approx(power[high] / power[low], rel=1e-9)


def test_most_of_what_is_fed_in_stays_in_the_mean():
    """Walkers of compressible offsets stay together: 0.68 to 0.92 of the variance goes into the mean of the line."""
    for size, tau in [(32, 0.3), (32, 0.5), (128, 0.3)]:
        mean = solved(size, tau)[1]
        # In the continuum π ∝ 1/(v + κ), which is within 10 % of it.
        lag = np.linspace(0, size, 20001)
        wave = np.cos(2 * np.pi * lag / size)
        law = 1 / (2 * (tau * size / (2 * np.pi)) ** 2 * (1 - wave) + 1 / 3)
        assert mean == pytest.approx(np.sum(law * wave) / np.sum(law), rel=0.1)
        assert 0.6 < mean < 0.95


def test_spectrum_of_the_equilibrium_is_the_continuums_for_small_slopes():
    """ω²P exp(ω/√3τ) is flat from 0.4 to 2.5 times √3τ, but for a tilt of the order τ²."""
    tilts = []
    for size, tau in [(128, 0.2), (256, 0.1)]:
        covariance = solved(size, tau)[0]
        omega = 2 * np.pi * np.arange(size // 2) / size
        power = np.fft.fft(covariance).real[: size // 2]
        chosen = np.flatnonzero((omega > 0.4 * math.sqrt(3) * tau) & (omega < 2.5 * math.sqrt(3) * tau))
        chosen = chosen[np.linspace(0, len(chosen) - 1, 5).round().astype(int)]
        values = {"tau": tau, "chi": 1.0}
        name = "spectrum at equilibrium, continuum"
        theory = (
            np.array([D10.evaluate(name, omega=w, **values, standard=True) for w in omega[chosen]]) / omega[chosen] ** 2
        )
        share = power[chosen] / theory
        tilts.append(share.max() / share.min() - 1)
    assert tilts[1] < 0.03
    assert tilts[0] / tilts[1] == pytest.approx(4, rel=0.2)


def test_continuum_of_the_equilibrium_by_scipy():
    tau, chi, omega = 0.3, 0.7, 0.8

    def curvature(r):
        return 2 * chi / (tau**2 * r**2 + 1 / 3)

    transform = 2 * integrate.quad(curvature, 0, np.inf, weight="cos", wvar=omega)[0]
    assert D10.evaluate(
        "spectrum at equilibrium, continuum", tau=tau, chi=chi, omega=omega, standard=True
    ) == pytest.approx(transform)
    assert D10.evaluate("gradient variance at equilibrium, continuum", chi=chi, standard=True) == pytest.approx(6 * chi)
    lag = D10.evaluate("lag of balance", tau=tau, standard=True)
    assert curvature(lag) == pytest.approx(curvature(0.0) / 2)
    bspline = D10.derive("gradient variance at equilibrium, continuum", kernel="bspline3").result
    assert evaluate(bspline, {"chi": chi}) == pytest.approx(3 * chi)


def test_balance_of_the_first_row_is_for_kernels_of_two_taps():
    with pytest.raises(ArithmeticError):
        equilibrium.GradientAtEquilibrium(Setting("keys")).derive()


def test_frequencies_off_the_grid_are_refused():
    experiment = numerical_diffusion.PowerTransfer(Setting())
    with pytest.raises(ArgumentError, match="multiples"):
        experiment.sample(np.random.default_rng(0), 2, {"omega": 0.9})


@pytest.mark.parametrize("mode", [1, 3])
def test_wave_experiment_measures_what_scipy_leaves(mode):
    """At one offset: the same generator draws the phase and then the offset, and the phase is of no account."""
    omega, size = 2 * np.pi * mode / 14, 14
    measured = numerical_diffusion.PowerTransfer(Setting()).sample(np.random.default_rng(3), 1, {"omega": omega})
    generator = np.random.default_rng(3)
    phase, offset = 2 * np.pi * generator.random((1, 1)).item(), generator.random((1, 1, 1)).item()
    moved = by_scipy(math.sqrt(2) * np.cos(omega * np.arange(size) + phase), offset, 1)
    power = 2 * np.abs(np.fft.fft(moved)[mode] / size) ** 2
    torch.testing.assert_close(measured, torch.tensor([power], dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("result", "quantity", "wrong"),
    [
        (D9, gradient_growth.GROWTH, lambda theory: 1 + 0.4**2),  # roughening alone
        (D9, gradient_growth.GROWTH, lambda theory: 1 + 0.4**2 - 1 / 32),  # the continuum, 13 % off at these slopes
        (D10, equilibrium.GRADIENT, lambda theory: 6.0),  # as though nothing stayed in the mean
    ],
)
def test_plausible_alternatives_are_refuted(result, quantity, wrong):
    setting = next(result.settings(quantity))
    claim = result.claim(quantity, **asdict(setting))
    assert montecarlo.verify(replace(claim, theory=wrong(claim.theory))).verdict == "refuted"


def test_kernels_differ_in_the_experiment():
    """The theory of one kernel does not describe another."""
    claim = D6.claim(kernel="linear")
    wrong = replace(claim, theory=D6.evaluate(kernel="keys", omega=claim.values["omega"], standard=True))
    assert montecarlo.verify(wrong).verdict == "refuted"


def test_statement_holds_for_every_setting():
    assert {setting.kernel for setting in D6.settings()} == {"linear", "keys", "bspline3"}
    assert Setting(kernel="bspline3", dim=2) in list(D6.settings())
