"""What every covariance has to satisfy; a new one is checked by these tests without an edit."""

import itertools
import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, stats

from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import covariance
from warptheory.fields.covariance import CovarianceFunction, RadialCovariance, _transforms

NAMES = covariance.names()
RADIAL = [name for name in NAMES if issubclass(covariance.get(name), RadialCovariance)]
LENGTH, VARIANCE = 3.0, sp.Rational(7, 4)
SHEAR = {1: ((2,),), 2: ((1, "1/3"), (0, "3/2")), 3: ((1, "1/3", 0), (0, "3/2", 0), ("1/5", 0, 1))}


def build(name, dim, length=LENGTH, **parameters):
    given = {"length": length} if name in RADIAL else {}
    return covariance.get(name)(variance=VARIANCE, dim=dim, **given, **parameters)


def along(value, dim):
    return [value, *[0.0] * (dim - 1)]


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_expression_and_numbers_agree(name, dim):
    found = build(name, dim)
    assert found.variance == VARIANCE
    assert found(0.0) == pytest.approx(float(VARIANCE), rel=1e-14)
    generator = np.random.default_rng(0)
    for lag in (np.array(along(2.0, dim)), np.round(generator.uniform(-4, 4, dim))):
        exact = complex(sp.N(found.expression(*map(sp.Rational, lag)), 20)).real
        # The power law's expression is an integral that sympy evaluates to its own 15 digits.
        assert found.at(lag) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_matrices_are_positive(name, dim):
    """C(tᵢ − tⱼ) over scattered points has no eigenvalue below rounding; |C| ≤ C(0) and C(−τ) = C(τ)."""
    generator = np.random.default_rng(1)
    points = generator.uniform(0, 8, (60, dim))
    matrix = build(name, dim).at(points[:, None] - points[None])
    assert np.linalg.eigvalsh(matrix).min() > -1e-12 * len(points)
    assert np.abs(matrix).max() <= float(VARIANCE) * (1 + 1e-14)
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize("frequency", [0.0, 0.1, 0.8])
def test_spectral_density_is_the_transform(name, dim, frequency):
    """S(ω) = ∫ C e^{−iωτ} dτ by quadrature between the zeros of the wave, asked for 1e-11 a panel."""
    found = build(name, dim)
    if name == "rational_quadratic":
        found = build(name, dim, alpha=sp.Rational(9, 4))  # S(0) is infinite for α ≤ d/2
    exact = _transforms.transform(lambda r: float(found(r)), frequency, dim, LENGTH)
    assert float(found.spectral_density(*along(sp.Float(frequency), dim))) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize("order", [0, 2, 4])
def test_moments_are_those_of_the_density(name, dim, order):
    """Closed forms against the integral of S, infinite ones found by the tail of S."""
    found = build(name, dim)
    closed, numerical = found.radial_moment(order), RadialCovariance.radial_moment(found, order)
    if closed == sp.oo:
        assert numerical == sp.oo
    else:
        assert float(closed) == pytest.approx(float(numerical), rel=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", RADIAL)
def test_moments_are_derivatives_at_zero(name, dim):
    """λ₂ and λ₄ where they are finite, by central differences of C, extrapolated once in the step."""
    found = build(name, dim)

    def differences(step):
        c = [float(found(i * step)) for i in (0, 1, 2)]
        return -2 * (c[1] - c[0]) / step**2, (2 * c[2] - 8 * c[1] + 6 * c[0]) / step**4

    (second, fourth), (second_half, fourth_half) = differences(0.2), differences(0.1)
    for moment, coarse, fine in (
        (found.second_moment(), second, second_half),
        (found.fourth_moment(), fourth, fourth_half),
    ):
        if moment == sp.oo:
            assert fine > 1.2 * coarse  # differences grow without bound as the step shrinks
        elif math.isinf(float(found.radial_moment(6))):
            assert float(moment) == pytest.approx(fine, rel=0.3)  # the next moment is infinite: slow convergence
        else:
            # What is left is of fourth order in step/ℓ.
            assert float(moment) == pytest.approx((4 * fine - coarse) / 3, rel=2e-3)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(
    ("covariance_class", "nu"),
    [("exponential", None), ("matern", "1/2"), ("matern", "4/5"), ("matern", "1"), ("matern", "3/2"), ("matern", "2")],
)
def test_rough_fields_have_no_derivatives(covariance_class, nu, dim):
    """λ₂ is ∞ for ν ≤ 1, λ₄ for ν ≤ 2, and so is that of a sum and of a product with a smooth field."""
    found = build(covariance_class, dim, **({} if nu is None else {"nu": nu}))
    smooth = build("squared_exponential", dim)
    for rough in (found, found + smooth, found * smooth):
        for axis in range(dim):
            assert (rough.second_moment(axis) == sp.oo) == (nu not in ("3/2", "2"))
            assert rough.fourth_moment(axis) == sp.oo


@pytest.mark.parametrize("exponent", [3, 7, 19, 41])
def test_steep_power_laws_are_matern_covariances(exponent):
    """Without an inner scale ν = (β − d)/2 and ℓ√(2ν); w = 1e-6 changes C by shares of w²/ℓ²."""
    nu = sp.Rational(exponent - 2, 2)
    steep = covariance.get("power_law")(length=2, exponent=exponent, inner=1e-6)
    wanted = covariance.get("matern")(length=2 * sp.sqrt(2 * nu), nu=nu)
    distances = np.array([0.5, 2.0, 5.0, 12.0])
    np.testing.assert_allclose(steep(distances), wanted(distances), rtol=1e-6 if exponent == 3 else 1e-10)


@pytest.mark.parametrize("name", RADIAL)
def test_integral_scale(name):
    found = build(name, 2, **({"alpha": 2} if name == "rational_quadratic" else {}))
    assert float(found.integral_scale) == pytest.approx(float(RadialCovariance.integral_scale.fget(found)), rel=1e-7)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", RADIAL)
def test_anisotropy_maps_the_lag(name, dim):
    """C(τ) = C₁(|Aτ|), S(ω) = S₁(|A⁻ᵀω|)/|det A|, and Λ₂ = λ₂ AᵀA."""
    plain, stretched = build(name, dim), build(name, dim, anisotropy=SHEAR[dim])
    matrix = np.array(sp.Matrix(stretched.anisotropy), dtype=float)
    lag, frequency = np.array([1.3, -0.7, 2.1])[:dim], np.array([0.2, 0.5, -0.3])[:dim]
    assert stretched.at(lag) == pytest.approx(plain.at(matrix @ lag), rel=1e-13)
    mapped = np.linalg.solve(matrix.T, frequency)
    density = float(plain.spectral_density(*map(sp.Float, mapped))) / abs(np.linalg.det(matrix))
    assert float(stretched.spectral_density(*map(sp.Float, frequency))) == pytest.approx(density, rel=1e-12)
    if plain.second_moment() != sp.oo:
        tensor = float(plain.second_moment()) * matrix.T @ matrix
        for i, j in itertools.product(range(dim), repeat=2):
            orders = [int(a == i) + int(a == j) for a in range(dim)]
            assert float(stretched.spectral_moment(*orders)) == pytest.approx(tensor[i, j], abs=1e-12)


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(RADIAL, 2)))
def test_sums_and_products(first, second):
    a, b = build(first, 1), build(second, 1, length=5)
    lag = 1.7
    assert (a + b)(lag) == pytest.approx(float(a(lag) + b(lag)), rel=1e-14)
    assert (a * b)(lag) == pytest.approx(float(a(lag) * b(lag)), rel=1e-14)
    for order in (2, 4):
        moments = (a + b).spectral_moment(order), (a * b).spectral_moment(order)
        parts = [(c.spectral_moment(order), c.spectral_moment(2)) for c in (a, b)]
        rough = any(moment == sp.oo for moment, _ in parts)
        assert (moments[0] == sp.oo) == (moments[1] == sp.oo) == rough
        if not rough:
            leibniz = float(VARIANCE) * float(parts[0][0] + parts[1][0])
            leibniz += 6 * float(parts[0][1] * parts[1][1]) if order == 4 else 0
            assert float(moments[1]) == pytest.approx(leibniz, rel=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spread", [0.4, 5.0])
def test_mean_over_offsets_is_that_of_the_spectrum(name, dim, spread):
    """(2π)⁻ᵈ ∫ S exp(−ω²s²/2) dω by SciPy; the mean over the lags is asked for 1e-9 of C(0)."""
    found = build(name, dim)
    sphere = 2 * math.pi ** (dim / 2) / math.gamma(dim / 2) / (2 * math.pi) ** dim

    def integrand(k):
        density = float(found.spectral_density(*along(sp.Float(k), dim)))
        return sphere * density * math.exp(-((k * spread) ** 2) / 2) * k ** (dim - 1)

    def total():  # the density changes at 1/ℓ, and may be infinite at zero
        ends = [0, 1e-3, 0.1, 1, min(9 / spread, 60)]
        return sum(integrate.quad(integrand, *panel, epsrel=1e-9)[0] for panel in itertools.pairwise(ends))

    exact = 0 if name == "white" else total()  # of the field on the grid, which has no values between the pixels
    assert found.mean_over_offsets(spread) == pytest.approx(exact, abs=1e-8 * float(VARIANCE))
    assert CovarianceFunction._mean_over_offsets(found, spread) == pytest.approx(exact, abs=1e-8 * float(VARIANCE))
    assert found.mean_over_offsets(0.0) == float(VARIANCE)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_mean_over_offsets_without_isotropy(dim):
    """The determinant of squared exponentials against the mean over the lags; sums and products of them."""
    first, second = (build("squared_exponential", dim, length, anisotropy=SHEAR[dim]) for length in (3, 4))
    exact = first.mean_over_offsets(2.0)
    accuracy = 1e-8 * float(VARIANCE) ** 2
    assert CovarianceFunction._mean_over_offsets(first, 2.0) == pytest.approx(exact, abs=accuracy)
    added = first + second + covariance.get("white")(dim=dim)
    assert added.mean_over_offsets(2.0) == pytest.approx(exact + second.mean_over_offsets(2.0), rel=1e-14)
    assert added.mean_over_offsets(0.0) == pytest.approx(float(added.variance), rel=1e-14)
    both = build("squared_exponential", dim, sp.Rational(12, 5), anisotropy=SHEAR[dim])  # 1/ℓ² = 1/3² + 1/4²
    wanted = float(VARIANCE) * both.mean_over_offsets(2.0)
    assert (first * second).mean_over_offsets(2.0) == pytest.approx(wanted, abs=accuracy)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", RADIAL)
def test_isotropy(name, dim):
    """It is what C does: alike at lags of one length, for a plain field and a turned one, not for a sheared one."""
    turn = {1: ((-2,),), 2: ((3, -4), (4, 3)), 3: ((3, -4, 0), (4, 3, 0), (0, 0, 5))}[dim]
    plain, turned, sheared = build(name, dim), *(build(name, dim, anisotropy=a) for a in (turn, SHEAR[dim]))
    lags = np.random.default_rng(3).normal(size=(20, dim))
    lags /= np.linalg.norm(lags, axis=-1, keepdims=True)
    for found in (plain, turned, plain + turned, plain * turned):
        assert found.is_isotropic
        np.testing.assert_allclose(found.at(lags), found(1.0), rtol=1e-12)
    for found in (sheared, plain + sheared, sheared * plain):
        assert found.is_isotropic == (dim == 1)
        assert np.allclose(found.at(lags), found(1.0), rtol=1e-3) == (dim == 1)


GRIDS = {1: (40,), 2: (16, 16), 3: (6, 6, 6)}
LAGS = {
    1: [(i,) for i in range(20)],
    2: [(i, j) for i in range(5) for j in range(4)],
    3: [(i, j, k) for i in range(5) for j in range(2) for k in range(2)],
}
SAMPLED = [(name, dim, dtype) for name in NAMES for dim in GRIDS for dtype in (torch.float64, torch.float32)]
# The largest of all scores of this file, surpassed in one run of a thousand (Bonferroni).
FARTHEST = stats.norm.isf(0.001 / 2 / (len(SAMPLED) * 20))


def scores(fields, wanted):
    """Means over each field of x(t)x(t + τ), less C(τ), in their standard errors between the fields, for 20 lags."""
    found = []
    for lag in LAGS[wanted.dim]:
        low = [slice(0, n - step) for n, step in zip(fields.shape[1:], lag, strict=True)]
        high = [slice(step, n) for n, step in zip(fields.shape[1:], lag, strict=True)]
        products = (fields[:, *low] * fields[:, *high]).flatten(1).mean(1).numpy()
        error = products.std(ddof=1) / math.sqrt(len(products))
        found.append((products.mean() - float(wanted.at(np.array(lag, dtype=float)))) / error)
    return np.abs(found)


@pytest.mark.parametrize(("name", "dim", "dtype"), SAMPLED)
def test_fields_have_the_covariance(name, dim, dtype):
    """Empirical covariances at 20 lags of 2,000 fields, seed 5; a variance that is 15 % larger is seen to be wrong."""
    covariance = build(name, dim, length=3 if dim < 3 else 1.5)
    fields = covariance.sample(2000, GRIDS[dim], Stream(5, f"{name}/{dim}").generator(), dtype=dtype)[:, 0].double()
    assert scores(fields, covariance).max() < FARTHEST
    assert scores(fields * math.sqrt(1.15), covariance).max() > FARTHEST


def build_length(name, length):
    return covariance.get(name)(length=length)


BAD = {
    "length zero": (lambda name: build_length(name, 0), "^length: expected a positive number"),
    "length negative": (lambda name: build_length(name, -2.5), "^length: expected a positive number"),
    "length nan": (lambda name: build_length(name, float("nan")), "^length: expected a positive number"),
    "length infinite": (lambda name: build_length(name, float("inf")), "^length: expected a positive number"),
    "length in words": (lambda name: build_length(name, "1/2/"), "^length: expected a positive number"),
    "variance": (lambda name: covariance.get(name)(variance=-1), "^variance: expected a positive number"),
    "four axes": (lambda name: covariance.get(name)(dim=4), "^dim: expected 1, 2 or 3"),
    "axes of a lag": (lambda name: build(name, 3).expression(1, 2), "^lag: expected 1 or 3 coordinates, got 2"),
    "axes of lags": (lambda name: build(name, 2).at(np.zeros(3)), r"^lags: expected shape \(..., 2\)"),
    "axes of a frequency": (lambda name: build(name, 3).spectral_density(1, 1), "^frequency: expected 1 or 3"),
    "axes of orders": (lambda name: build(name, 3).spectral_moment(2, 0), "^orders: expected 1 or 3"),
    "singular": (
        lambda name: build(name, 2, anisotropy=((1, 1), (1, 1))),
        "^anisotropy: expected an invertible matrix",
    ),
    "matrix": (lambda name: build(name, 2, anisotropy=((1, 1),)), "^anisotropy: expected a 2 × 2 matrix"),
    "sum over axes": (lambda name: build(name, 2) + build(name, 1), "^other: expected a covariance on 2 axes"),
    "sum with a number": (lambda name: build(name, 2) + 1, "^other: expected a covariance"),
    "variance nan": (
        lambda name: covariance.get(name)(variance=math.nan),
        "^variance: expected a positive number .* nan",
    ),
    "no axes": (lambda name: covariance.get(name)(dim=0), "^dim: expected 1, 2 or 3, got 0"),
    "axes as a float": (lambda name: covariance.get(name)(dim=2.0), "^dim: expected 1, 2 or 3, got 2.0"),
    "an axis too many": (lambda name: build(name, 2).second_moment(2), r"^axis: expected an axis in 0 … 1, got 2"),
    "a negative axis": (lambda name: build(name, 2).fourth_moment(-1), r"^axis: expected an axis in 0 … 1, got -1"),
    "size": (lambda name: draw(name, size=4), r"^size: expected 2 positive integers, got \(4,\)"),
    "size of a line": (lambda name: draw(name, size=(8,)), r"^size: expected 2 positive integers, got \(8,\)"),
    "spacing zero": (lambda name: draw(name, spacing=0), "^spacing: expected a finite distance > 0, got 0"),
    "spacing nan": (lambda name: draw(name, spacing=math.nan), "^spacing: expected a finite distance > 0, got nan"),
    "spacing infinite": (
        lambda name: draw(name, spacing=math.inf),
        "^spacing: expected a finite distance > 0, got inf",
    ),
    "batch": (lambda name: draw(name, batch=-1), r"^batch: expected batch ≥ 0 .*, got \(-1, 1\)"),
    "a symbolic mean": (
        lambda name: covariance.get(name)(variance=sp.Symbol("v", positive=True)).mean_over_offsets(0.0),
        "^variance: expected a number, to compute with, got v",
    ),
    "large grid": (
        lambda name: draw(name, size=(2**20, 2**20)),
        r"^memory: expected at least \d+ bytes, for a torus of \(1048576, 1048576\) pixels, got 2147483648",
    ),
    "a symbolic variance": (
        lambda name: covariance.get(name)(variance=sp.Symbol("v", positive=True))(1.0),
        "^variance: expected a number, to compute with, got v",
    ),
    "spread": (lambda name: build(name, 2).mean_over_offsets(-1.0), "^spread: expected a finite deviation ≥ 0, .* -1"),
    "spread nan": (lambda name: build(name, 2).mean_over_offsets(math.nan), "^spread: expected a finite .* got nan"),
    "spread text": (lambda name: build(name, 2).mean_over_offsets("1"), "^spread: expected a finite .* got '1'"),
    "a symbol": (lambda name: build_length(name, sp.Symbol("l", positive=True))(1.0), "expected .*number"),
}


def draw(name, batch=1, size=(4, 4), **options):
    return covariance.get(name)().sample(batch, size, np.random.default_rng(0), **options)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"inner": 0}, "^inner: expected a positive number or a sympy expression, got 0$"),
        ({"exponent": 2, "inner": 0}, "^inner: expected a positive number .*, got 0$"),
        ({"inner": -1}, "^inner: expected a positive number .*, got -1$"),
        ({"exponent": 0}, "^exponent: expected a positive number .*, got 0$"),
        ({"length": sp.oo}, "^length: expected a positive number .*, got oo$"),
        ({"length": math.inf}, "^length: expected a positive number .*, got inf$"),
    ],
)
def test_power_laws_without_a_variance_are_refused(parameters, message):
    """Without an inner scale ∫ S diverges at high frequencies for β ≤ d, without an outer one at low ones for β ≥ d."""
    with pytest.raises(ArgumentError, match=message):
        covariance.get("power_law")(**parameters)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", RADIAL)
def test_bad_input(name, case):
    call, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        call(name)
