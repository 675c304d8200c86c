"""Covariances, spectra and moments over the whole range of their shapes and lags, against mpmath.

The references share no formula with the library: K_ν is the trapezoidal rule of its integral over cosh t, whose error
falls exponentially, with 30 digits; gamma functions are mpmath's; power laws are integrals over wavenumbers. Values are
compared relatively. A value exp(−E) costs E·2⁻⁵³ of its digits where its exponent is rounded, and at E = 700, where
double precision ends, that is 8e-14, two or three times over.
"""

import math
from functools import cache

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.fields import Exponential, Matern, PowerLaw, RationalQuadratic, SquaredExponential
from warptheory.fields.covariance._matern_function import MaternFunction

ACCURACY = 5e-13
SHAPES = [1e-9, 1e-6, 1e-3, 0.03, 0.3, 0.5, 0.7, 1, 1.5, 2, 2.5, 3, 3.3, 5, 7, 9.5, 10, 10.5, 24.9, 25, 60, 170, 171]
SHAPES += [333.3, 500.5, 1000]
BEYOND = [1e6, 1e9]
LAGS = [0, 1e-8, 1e-6, 1e-4, 1e-2, 0.1, 0.5, 1, 2, 3, 5, 10, 30, 100, 1e3, 1e4]  # in lengths
LENGTH = 4


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(40):
        yield


def bessel_k(nu, z):
    """K_ν(z) = ∫₀^∞ exp(−z cosh t) cosh νt dt, as mantissa and the exponent of e."""
    peak = mp.asinh(nu / z)
    step = min(mp.mpf("0.1"), (nu * nu + z * z) ** mp.mpf("-0.25") / 2)
    top = nu * peak - z * mp.cosh(peak)
    first = max(0, math.floor((peak - 90 / nu - 40 * step) / step)) if nu > 1 else 0
    total, j = mp.mpf(0), first
    while True:
        t = j * step
        falling = z * mp.cosh(t) + top
        if t > peak and nu * t - falling < -75:
            return total * step / 2, top
        total += (mp.exp(nu * t - falling) + mp.exp(-nu * t - falling)) * (mp.mpf(0.5) if j == 0 else 1)
        j += 1


def matern_function(nu, z):
    if z == 0:
        return mp.mpf(1)
    mantissa, exponent = bessel_k(nu, z)
    return mp.exp((1 - nu) * mp.log(2) - mp.loggamma(nu) + nu * mp.log(z) + exponent) * mantissa


def assert_right(found, wanted, accuracy=ACCURACY):
    found = float(found)
    assert math.isfinite(found)
    if abs(wanted) < 1e-305:  # subnormal: digits are lost there
        assert abs(found) < 1e-304
    else:
        assert abs((mp.mpf(found) - wanted) / wanted) < accuracy, (found, wanted)


def test_the_reference_is_right():
    for nu, z in ((0.3, 0.1), (2.5, 3), (24.9, 7), (60, 50)):
        mantissa, exponent = bessel_k(mp.mpf(nu), mp.mpf(z))
        assert abs(mantissa * mp.exp(exponent) / mp.besselk(nu, z) - 1) < 1e-20


@pytest.mark.parametrize("nu", SHAPES + BEYOND)
def test_matern(nu):
    covariance = Matern(length=LENGTH, variance=2, dim=2, nu=nu)
    exact = mp.mpf(nu)
    values = covariance(LENGTH * np.array(LAGS))
    for lag, value in zip(LAGS, values, strict=True):
        wanted = 2 * matern_function(exact, mp.sqrt(2 * exact) * mp.mpf(lag))
        assert_right(value, wanted)
        if lag in (0, 1e-8, 0.5, 10):
            assert_right(covariance.expression(LENGTH * lag).evalf(), wanted, 1e-12)


@pytest.mark.parametrize("alpha", SHAPES + BEYOND)
def test_rational_quadratic(alpha):
    covariance = RationalQuadratic(length=LENGTH, dim=2, alpha=alpha)
    values = covariance(LENGTH * np.array(LAGS))
    for lag, value in zip(LAGS, values, strict=True):
        wanted = mp.exp(-mp.mpf(alpha) * mp.log1p(mp.mpf(lag) ** 2 / (2 * mp.mpf(alpha))))
        assert_right(value, wanted)
        assert_right(covariance.expression(LENGTH * lag), wanted, 1e-12)


def in_turn(values):
    """Each value with one number of axes, which take turns, so that neighbours differ; `make test-slow` has all."""
    return [
        pytest.param(*value, dim, marks=[] if (place - dim) % 3 == 1 else pytest.mark.slow)
        for place, value in enumerate(values)
        for dim in (1, 2, 3)
    ]


WAVENUMBERS = [0, 1e-8, 1e-4, 0.1, 0.3, 1, 3, 10, 100, 1e4]  # per length


@pytest.mark.parametrize(("nu", "dim"), in_turn((shape,) for shape in SHAPES[::2] + BEYOND))
def test_spectrum_of_matern(nu, dim):
    covariance, half, exact = Matern(length=LENGTH, dim=dim, nu=nu), mp.mpf(dim) / 2, mp.mpf(nu)
    rate = 2 * exact / LENGTH**2
    for k in WAVENUMBERS:
        logarithm = mp.loggamma(exact + half) - mp.loggamma(exact) - half * mp.log(rate)
        logarithm -= (exact + half) * mp.log1p((mp.mpf(k) / LENGTH) ** 2 / rate)
        wanted = 2**dim * mp.pi**half * mp.exp(logarithm)
        assert_right(covariance.spectral_density(k / LENGTH).evalf(), wanted, 1e-12)


@pytest.mark.parametrize(("alpha", "dim"), in_turn((shape,) for shape in SHAPES[::2] + BEYOND))
def test_spectrum_of_rational_quadratic(alpha, dim):
    covariance, exact = RationalQuadratic(length=LENGTH, dim=dim, alpha=alpha), mp.mpf(alpha)
    half = mp.mpf(dim) / 2
    order, width = exact - half, mp.sqrt(2 * exact) * LENGTH
    for k in WAVENUMBERS[1:]:
        z = width * mp.mpf(k / LENGTH)
        mantissa, exponent = bessel_k(abs(order), z)
        wanted = 2 * mp.pi**half * width**dim * mantissa
        wanted *= mp.exp(exponent + order * mp.log(z / 2) - mp.loggamma(exact))
        assert_right(covariance.spectral_density(k / LENGTH).evalf(), wanted, 1e-12)
    at_zero = covariance.spectral_density(0)
    if order > 0:
        wanted = mp.pi**half * width**dim * mp.exp(mp.loggamma(order) - mp.loggamma(exact))
        assert_right(at_zero, wanted, 1e-12)
    else:
        assert at_zero == sp.oo


@pytest.mark.parametrize("shape", SHAPES + BEYOND)
def test_moments_and_scales(shape):
    matern, rational = Matern(length=LENGTH, dim=2, nu=shape), RationalQuadratic(length=LENGTH, dim=2, alpha=shape)
    exact = mp.mpf(shape)
    for order in (1, 2, 3, 4, 8, 20):
        p = mp.mpf(order) / 2
        normal = 2**p * mp.gamma(1 + p) / LENGTH**order
        if exact > p:
            wanted = normal * exact**p * mp.exp(mp.loggamma(exact - p) - mp.loggamma(exact))
            assert_right(matern.radial_moment(order), wanted)
        else:
            assert matern.radial_moment(order) == sp.oo
        wanted = normal * mp.exp(mp.loggamma(exact + p) - mp.loggamma(exact)) / exact**p
        assert_right(rational.radial_moment(order), wanted)
    wanted = LENGTH * mp.sqrt(mp.pi / (2 * exact)) * mp.exp(mp.loggamma(exact + 0.5) - mp.loggamma(exact))
    assert_right(matern.integral_scale, wanted)
    if shape > 0.5:
        wanted = LENGTH * mp.sqrt(mp.pi * exact / 2) * mp.exp(mp.loggamma(exact - 0.5) - mp.loggamma(exact))
        assert_right(rational.integral_scale, wanted)
    else:
        assert rational.integral_scale == sp.oo


def test_an_anisotropy_turns_spectrum_and_moments():
    turn = ((2, "1/2"), (0, 1))
    covariance = Matern(length=LENGTH, dim=2, nu=333.3, anisotropy=turn)
    exact = mp.mpf("333.3")
    lag = np.array([3.0, -5.0])
    distance = mp.hypot(2 * 3 - 0.5 * 5, -5)
    assert_right(covariance.at(lag), matern_function(exact, mp.sqrt(2 * exact) * distance / LENGTH))
    # λ of the first axis: ω = Aᵀω′, so ω₁ = 2ω₁′.
    wanted = 4 * (2 * exact / LENGTH**2) / (2 * (exact - 1))
    assert_right(covariance.spectral_moment(2, 0), wanted)
    # A⁻ᵀ takes (0.1, 0.2) to (0.05, 0.175).
    k, rate = mp.hypot("0.05", "0.175"), 2 * exact / LENGTH**2
    wanted = 4 * mp.pi * exact / rate * mp.exp(-(exact + 1) * mp.log1p(k**2 / rate)) / 2
    assert_right(covariance.spectral_density(0.1, 0.2), wanted, 1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("lag", LAGS)
def test_elementary_models(lag, dim):
    r, k = float(LENGTH * lag), lag / LENGTH
    squared, rough = SquaredExponential(length=LENGTH, dim=dim), Exponential(length=LENGTH, dim=dim)
    assert_right(squared(r), mp.exp(-(mp.mpf(lag) ** 2) / 2))
    assert_right(rough(r), mp.exp(-mp.mpf(lag)))
    wanted = (2 * mp.pi) ** (mp.mpf(dim) / 2) * LENGTH**dim * mp.exp(-(mp.mpf(lag) ** 2) / 2)
    assert_right(squared.spectral_density(k).evalf(), wanted)
    half = mp.mpf(dim + 1) / 2
    wanted = 2**dim * mp.pi ** (half - 1) * mp.gamma(half) * LENGTH**dim * (1 + mp.mpf(lag) ** 2) ** -half
    assert_right(rough.spectral_density(k).evalf(), wanted)


POWER_LAWS = [(1e-3, 4, 1), (0.1, 4, 1), (1, 100, 1), (2, 100, 1), (3.3, 10, 0.01), (2, 1, 30), (40, 1, 30)]
POWER_LAWS += [(30, 4, 1), (333.3, 10, 1), (1000, 4, 1e-3)]


def power(order, dim, exponent, length, inner):
    """∫ kᵖ S dω over its angles, by tanh-sinh between the scales of S, without the common factor of all orders."""
    fall = min(length, 1e9) * mp.sqrt(max(exponent, 1))

    def integrand(k):
        logarithm = -exponent / 2 * mp.log1p((length * k) ** 2) - (k * inner) ** 2 / 2
        return k ** (order + dim - 1) * mp.exp(logarithm)

    ends = sorted({mp.mpf(0), 1 / fall, 10 / fall, 100 / fall, 1 / inner, 4 / inner, mp.mpf(15) / inner})
    return mp.quad(integrand, ends, maxdegree=8)


@pytest.mark.parametrize(("exponent", "length", "inner", "dim"), in_turn(POWER_LAWS))
def test_power_law(exponent, length, inner, dim):
    covariance = PowerLaw(length=length, exponent=exponent, inner=inner, dim=dim)
    exact = [mp.mpf(value) for value in (exponent, length, inner)]
    with mp.workdps(25):
        whole = power(0, dim, *exact)
        sphere = 2 * mp.pi ** (mp.mpf(dim) / 2) / mp.gamma(mp.mpf(dim) / 2) / (2 * mp.pi) ** dim
        for order in (1, 2, 4):
            assert_right(covariance.radial_moment(order).evalf(), power(order, dim, *exact) / whole, 1e-10)
        for k in (0, 1e-8, 0.3, 1, 3):
            frequency = mp.mpf(k / length)
            wanted = mp.exp(-exact[0] / 2 * mp.log1p((exact[1] * frequency) ** 2) - (frequency * exact[2]) ** 2 / 2)
            assert_right(covariance.spectral_density(k / length), wanted / whole / sphere, 1e-10)


def mixture(b, s, w, r):
    """∫ exp(bu/2 − eᵘ/s² − r²/4v) v^{−3/2} du, v = eᵘ + w²/2, by Gauss–Legendre where that is not negligible."""

    def exponent(u):
        width = mp.exp(u) + w * w / 2
        return b / 2 * u - mp.exp(u) / s**2 - mp.mpf(3) / 2 * mp.log(width) - r * r / (4 * width)

    low, high = 2 * mp.log(min(s, w)) - max(60, 120 / b if b > 1 else 0), 2 * mp.log(s) + mp.log(3000 + b)
    grid = [low + (high - low) * j / 500 for j in range(501)]
    heights = list(map(exponent, grid))
    top = max(heights)
    seen = [u for u, height in zip(grid, heights, strict=True) if height > top - 50]
    first, last = seen[0] - (high - low) / 500, seen[-1] + (high - low) / 500
    ends = [first + (last - first) * j / 24 for j in range(25)]
    found = mp.quad(lambda u: mp.exp(exponent(u) - top), ends, method="gauss-legendre", maxdegree=6)
    # Below, where all widths are w²/2, the integrand is a power of t.
    rest = 2 / b * mp.exp(exponent(first) - top) if first <= low else 0
    return mp.log(found + rest) + top


@pytest.mark.parametrize(("exponent", "length", "inner"), POWER_LAWS)
def test_correlation_of_power_law(exponent, length, inner):
    """In d = 3, over wavenumbers near, where waves are sines; over widths far. The quadratures end at 1e-10."""
    covariance = PowerLaw(length=length, exponent=exponent, inner=inner, dim=3)
    b, s, w = (mp.mpf(value) for value in (exponent, length, inner))

    def spectrum(r):
        return lambda k: k**2 * mp.exp(-b / 2 * mp.log1p((s * k) ** 2) - (k * w) ** 2 / 2) * mp.sinc(k * r)

    with mp.workdps(20):
        bounds = sorted({mp.mpf(0), *(x / (s * mp.sqrt(b + 1)) for x in (1, 10, 100)), *(x / w for x in (1, 4, 15))})
        at_zero = mp.quad(spectrum(mp.mpf(0)), bounds, maxdegree=8)
        for lag in (1e-6, 2):  # in correlation lengths, about
            r = mp.mpf(lag * max(length, inner) / math.sqrt(1 + exponent))
            waves = math.ceil(float(r * bounds[-1] / 10))
            if waves < 30:
                fine = sorted({*bounds, *(bounds[-1] * j / waves for j in range(1, waves))})
                assert_right(covariance(float(r)), mp.quad(spectrum(r), fine, maxdegree=8) / at_zero, 1e-10)
        norm = mixture(b, s, w, mp.mpf(0))
        for lag in (1e-8, 0.3, 3, 50, 300, 1e4):
            r = lag * max(length, inner)
            assert_right(covariance(float(r)), mp.exp(mixture(b, s, w, mp.mpf(r)) - norm), 1e-10)


@pytest.mark.parametrize("written", ["3.3", 3.3, sp.Rational(33, 10), sp.Float("3.3"), np.float64(3.3)], ids=repr)
def test_every_way_to_write_a_shape_gives_numbers(written):
    spectrum = float(RationalQuadratic(length=4, alpha=written, dim=1).spectral_density(0.3))
    # mpmath: 2√π b/Γ(α) (bk/2)^(α−1/2) K_{α−1/2}(bk).
    width = mp.sqrt(2 * mp.mpf("3.3")) * 4
    z = width * mp.mpf("0.3")
    order = mp.mpf("2.8")
    wanted = 2 * mp.sqrt(mp.pi) * width / mp.gamma("3.3") * (z / 2) ** order * mp.besselk(order, z)
    assert_right(spectrum, wanted)
    assert_right(
        Matern(length=4, nu=written, dim=1).expression(sp.Rational(31, 10)).evalf(),
        matern_function(mp.mpf("3.3"), mp.sqrt(mp.mpf("6.6")) * mp.mpf("3.1") / 4),
    )


@pytest.mark.parametrize(("kind", "name"), [(Matern, "nu"), (RationalQuadratic, "alpha")])
@pytest.mark.parametrize("value", [1e-10, "1e-300", 1e10, 1e300, sp.Integer(10) ** 400])
@pytest.mark.usefixtures("as_users_call")
def test_shapes_beyond_are_refused(kind, name, value):
    with pytest.raises(ArgumentError, match=f"^{name}: expected a "):
        kind(**{name: value})


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("value", [1e-4, 2e3])
def test_exponents_beyond_are_refused(value):
    with pytest.raises(ArgumentError, match="^exponent: expected a number from 1e-3 to 1e3"):
        PowerLaw(exponent=value)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("order", [-2, 1.5, 102, 10**9, True, "2"])
@pytest.mark.parametrize("kind", [Matern, PowerLaw, SquaredExponential, RationalQuadratic, Exponential])
def test_orders_that_are_none(kind, order):
    with pytest.raises(ArgumentError, match="^orders: expected an integer in 0 … 100"):
        kind(dim=2).spectral_moment(order)


@pytest.mark.parametrize("nu", [0.3, 0.7, 3.3, 11, 333.3])
def test_derivatives_of_the_expression(nu):
    """Against mpmath's numerical derivatives, whose own error is the tolerance."""
    z = sp.Symbol("z", positive=True)
    exact = sp.Rational(str(nu))
    expression = MaternFunction(exact, z)
    for point in (0.3, 2.0, 20.0):
        for order in (1, 2):
            found = sp.lambdify([z], sp.diff(expression, z, order), ["scipy", "numpy"])(point)
            wanted = mp.diff(lambda x: matern_function(mp.mpf(str(nu)), x), point, order, h=mp.mpf("1e-9"))
            assert_right(found, wanted, 1e-6)


EXTREME = [1e-300, 1e-200, 1e-150, 1e150, 1e200, 1e300]


@pytest.mark.parametrize("shape", [1e-9, 1e-3, 0.03, 0.3, 0.5, 1.2, 1.7, 2.8, 3, 3.3, 60, 1000])
def test_lags_and_wavenumbers_whose_squares_leave_double_precision(shape):
    """Where K_ν overflows, or z² is zero or infinite: values are still those of the formulas, and never NaN."""
    alpha = mp.mpf(shape)
    arguments = {x: mp.sqrt(2 * alpha) * x / LENGTH for x in EXTREME}
    correlations = {x: matern_function(alpha, z) if x < 1 else 0 for x, z in arguments.items()}
    for dim in (1, 3):
        matern = Matern(length=LENGTH, nu=shape, dim=dim)
        rational = RationalQuadratic(length=LENGTH, alpha=shape, dim=dim)
        half = mp.mpf(dim) / 2
        whole = float(matern.spectral_density(0))
        for x in EXTREME:
            assert_right(matern(x), correlations[x], 2e-13)
            # (1 + z²)^−a, whose exponent is rounded where it is large
            fall = mp.log1p((mp.mpf(x) * LENGTH) ** 2 / (2 * alpha)) * (alpha + half)
            assert_right(matern.spectral_density(x), whole * mp.exp(-fall), ACCURACY + float(fall) * 2**-51)
            wanted = mp.exp(-alpha * mp.log1p((mp.mpf(x) / LENGTH) ** 2 / (2 * alpha)))
            assert_right(rational(x), wanted, ACCURACY + float(alpha) * 2**-40)
            assert_right(rational(np.float64(-x)), wanted, ACCURACY + float(alpha) * 2**-40)
            spectrum = float(rational.spectral_density(x))
            assert spectrum >= 0  # infinite where its rise towards zero leaves double precision; never NaN


@pytest.mark.parametrize("exponent", [20, 200])
def test_high_moments_of_steep_power_laws(exponent):
    """They weigh the inner scale more than the variance does: ∫ kᵖ⁺ᵈ⁻¹ S over ∫ kᵈ⁻¹ S, on panels of one decade."""
    law = PowerLaw(length=30, exponent=exponent, inner=1, dim=1)
    ends = [0, *(mp.mpf(10) ** (mp.mpf(power) / 4) for power in range(-16, 9))]

    @cache  # every moment is summed over the same wavenumbers
    def density(k):
        return (mp.mpf(1) / 900 + k * k) ** (-mp.mpf(exponent) / 2) * mp.exp(-k * k / 2)

    def power(p):
        return mp.quad(lambda k: k**p * density(k), ends)

    with mp.workdps(20):
        variance = power(0)
        for p in (2, 30, 60, 100):
            assert_right(law.radial_moment(p), power(p) / variance, 1e-11)


@pytest.mark.parametrize("value", ["1/2", 1j, 10**400, [1, "x"]], ids=str)
def test_lags_that_are_no_numbers(value, as_users_call):
    with pytest.raises(ArgumentError, match="^distance: expected real numbers, in pixels, got "):
        Matern(dim=1)(value)
    with pytest.raises(ArgumentError, match="^lags: expected real numbers, in pixels, got "):
        Matern(dim=1).at(value)
