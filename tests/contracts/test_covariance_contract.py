"""What every covariance has to satisfy; a new one is checked by these tests without an edit.

Each check is a function of a class and a number of axes; `WRONG` has a class that it refuses.
"""

import inspect
import itertools
import math
import re

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, stats

from tests.cards import check_shows_itself, text_of
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import covariance, radial_transforms
from warptheory.fields.covariance import RadialCovariance
from warptheory.fields.offset_mean import mean_over_offset

NAMES = covariance.names()
RADIAL = [name for name in NAMES if issubclass(covariance.get(name), RadialCovariance)]
LENGTH, VARIANCE = 3.0, sp.Rational(7, 4)
SHEAR = {1: ((2,),), 2: ((1, "1/3"), (0, "3/2")), 3: ((1, "1/3", 0), (0, "3/2", 0), ("1/5", 0, 1))}
TURN = {1: ((-2,),), 2: ((3, -4), (4, 3)), 3: ((3, -4, 0), (4, 3, 0), (0, 0, 5))}


def build(kind, dim, length=LENGTH, **parameters):
    has_length = "length" in inspect.signature(kind).parameters
    return kind(variance=VARIANCE, dim=dim, **({"length": length} if has_length else {}), **parameters)


def along(value, dim):
    return [value, *[0.0] * (dim - 1)]


def expression_and_numbers(kind, dim):
    found = build(kind, dim)
    assert found.variance == VARIANCE
    assert found(0.0) == pytest.approx(float(VARIANCE), rel=1e-14)
    generator = np.random.default_rng(0)
    for lag in (np.array(along(2.0, dim)), np.round(generator.uniform(-4, 4, dim))):
        exact = complex(sp.N(found.expression(*map(sp.Rational, lag)), 20)).real
        # An expression may be an integral that sympy evaluates to its own 15 digits.
        assert found.at(lag) == pytest.approx(exact, rel=1e-12)


def positive(kind, dim):
    """C(tᵢ − tⱼ) over scattered points has no eigenvalue below rounding; |C| ≤ C(0) and C(−τ) = C(τ)."""
    generator = np.random.default_rng(1)
    points = generator.uniform(0, 8, (60, dim))
    matrix = build(kind, dim).at(points[:, None] - points[None])
    assert np.linalg.eigvalsh(matrix).min() > -1e-12 * len(points)
    assert np.abs(matrix).max() <= float(VARIANCE) * (1 + 1e-14)
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-14)


def spectral_density(kind, dim):
    """S(ω) = ∫ C e^{−iωτ} dτ by quadrature between the zeros of the wave, asked for 1e-11 a panel."""
    density_is_the_transform(build(kind, dim))


def density_is_the_transform(found):
    for frequency in (0.0, 0.1, 0.8):
        stated = float(found.spectral_density(*along(sp.Float(frequency), found.dim)))
        if math.isinf(stated):  # what decays too slowly for an integral, which is not asked for here
            assert frequency == 0
            continue
        exact = radial_transforms.transform(lambda r: float(found(r)), frequency, found.dim, LENGTH)
        assert stated == pytest.approx(exact, rel=1e-9)


def moments_of_the_density(kind, dim):
    """Closed forms against the integral of S, infinite ones found by the tail of S."""
    found = build(kind, dim)
    for order in (0, 2, 4):
        closed, numerical = found.radial_moment(order), RadialCovariance.radial_moment(found, order)
        if closed == sp.oo:
            assert numerical == sp.oo
        else:
            assert float(closed) == pytest.approx(float(numerical), rel=1e-9)


def moments_are_derivatives(kind, dim):
    """λ₂ and λ₄ where they are finite, by central differences of C, extrapolated once in the step."""
    found = build(kind, dim)

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


def integral_scale(kind, dim):
    found = build(kind, dim)
    assert float(found.integral_scale) == pytest.approx(float(RadialCovariance.integral_scale.fget(found)), rel=1e-7)


def anisotropy(kind, dim):
    """C(τ) = C₁(|Aτ|), S(ω) = S₁(|A⁻ᵀω|)/|det A|, and Λ₂ = λ₂ AᵀA."""
    plain, stretched = build(kind, dim), build(kind, dim, anisotropy=SHEAR[dim])
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


def isotropy(kind, dim):
    """It is what C does: alike at lags of one length, for a plain field and a turned one, not for a sheared one."""
    plain, turned, sheared = build(kind, dim), *(build(kind, dim, anisotropy=a) for a in (TURN[dim], SHEAR[dim]))
    lags = np.random.default_rng(3).normal(size=(20, dim))
    lags /= np.linalg.norm(lags, axis=-1, keepdims=True)
    for found in (plain, turned, plain + turned, plain * turned):
        assert found.is_isotropic
        np.testing.assert_allclose(found.at(lags), found(1.0), rtol=1e-12)
    for found in (sheared, plain + sheared, sheared * plain):
        assert found.is_isotropic == (dim == 1)
        assert np.allclose(found.at(lags), found(1.0), rtol=1e-3) == (dim == 1)


def mean_over_offsets(kind, dim):
    """(2π)⁻ᵈ ∫ S exp(−ω²s²/2) dω by SciPy; the mean over the lags is asked for 1e-9 of C(0)."""
    found = build(kind, dim)
    sphere = 2 * math.pi ** (dim / 2) / math.gamma(dim / 2) / (2 * math.pi) ** dim
    wavenumber = sp.Symbol("k", positive=True)
    density = sp.lambdify([wavenumber], found.spectral_density(*along(wavenumber, dim)), ["scipy", "numpy"])

    for spread in (0.4, 5.0):

        def integrand(k, spread=spread):
            return sphere * density(k) * math.exp(-((k * spread) ** 2) / 2) * k ** (dim - 1)

        # The density changes at 1/ℓ, and may be infinite at zero.
        ends = [0, 1e-3, 0.1, 1, min(9 / spread, 60)]
        exact = sum(integrate.quad(integrand, *panel, epsrel=1e-9)[0] for panel in itertools.pairwise(ends))
        assert found.mean_over_offsets(spread) == pytest.approx(exact, abs=1e-8 * float(VARIANCE))
        assert mean_over_offset(found.at, dim, spread, is_radial=True) == pytest.approx(
            exact, abs=1e-8 * float(VARIANCE)
        )
    assert found.mean_over_offsets(0.0) == float(VARIANCE)


GRIDS = {1: (40,), 2: (16, 16), 3: (6, 6, 6)}
LAGS = {
    1: [(i,) for i in range(20)],
    2: [(i, j) for i in range(5) for j in range(4)],
    3: [(i, j, k) for i in range(5) for j in range(2) for k in range(2)],
}
DTYPES = (torch.float64, torch.float32)
# The largest of all scores of this file, surpassed in one run of a thousand (Bonferroni).
FARTHEST = stats.norm.isf(0.001 / 2 / (len(NAMES) * len(GRIDS) * len(DTYPES) * 20))


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


def samples(kind, dim):
    """Empirical covariances at 20 lags of 2,000 fields, seed 5."""
    found = build(kind, dim, length=3 if dim < 3 else 1.5)
    for dtype in DTYPES:
        fields = found.sample(2000, GRIDS[dim], Stream(5, f"{kind.__name__}/{dim}").generator(), dtype=dtype)
        assert scores(fields[:, 0].double(), found).max() < FARTHEST


SMOOTH = covariance.get("squared_exponential")


class OtherNumbers(SMOOTH):
    def _values(self, lags):
        return super()._values(lags) * np.where((lags == 0).all(-1), 1, 1 + 1e-9)


class Cylinder(SMOOTH):
    """One up to a length, zero beyond: a function of the lag that is no covariance."""

    def _values(self, lags):
        return np.where(np.linalg.norm(lags, axis=-1) <= LENGTH, float(VARIANCE), 0.0)


class OtherDensity(SMOOTH):
    def radial_spectrum(self, wavenumber):
        return (1 + sp.Float(1e-6)) * super().radial_spectrum(wavenumber)


class OtherMoments(SMOOTH):
    def radial_moment(self, order):
        return super().radial_moment(order) * (1 + sp.Float(0.01) * order)


class OtherScale(SMOOTH):
    @property
    def integral_scale(self):
        return super().integral_scale * (1 + sp.Float(1e-5))


class MapTransposed(SMOOTH):
    def spectral_density(self, *frequency):
        return super().spectral_density(*frequency) * sp.Abs(self._map.det())


class AlwaysIsotropic(SMOOTH):
    @property
    def is_isotropic(self):
        return True


class OtherMean(SMOOTH):
    def _mean_over_offsets(self, spread):
        return super()._mean_over_offsets(spread) * (1 + 1e-6)


class OtherFields(SMOOTH):
    def sample(self, *arguments, **options):
        return super().sample(*arguments, **options) * math.sqrt(1.15)


# Every check, with a covariance that it has to refuse; those of the first kind hold of every covariance.
WRONG = {expression_and_numbers: OtherNumbers, positive: Cylinder, samples: OtherFields}
WRONG_RADIAL = {
    spectral_density: OtherDensity,
    moments_of_the_density: OtherMoments,
    moments_are_derivatives: OtherMoments,
    integral_scale: OtherScale,
    anisotropy: MapTransposed,
    isotropy: AlwaysIsotropic,
    mean_over_offsets: OtherMean,
}


def names_of(checks):
    return pytest.mark.parametrize("check", checks, ids=lambda check: check.__name__)


@pytest.mark.parametrize("name", NAMES)
def test_it_shows_itself(name):
    """By a line, and by formula, plot of C(r), and parameters; one with symbols has no plot."""
    model = covariance.get(name)()
    card = check_shows_itself(model)
    kinds = [each.tag.rpartition("}")[2] for each in card.iter()]
    assert "math" in kinds
    assert kinds.count("svg") == 1
    assert repr(model).startswith(f"{type(model).__name__}(")
    symbolic = check_shows_itself(covariance.get(name)(variance=sp.Symbol("v", positive=True)))
    assert not list(symbolic.iter("{http://www.w3.org/2000/svg}svg"))
    assert "v" in text_of(symbolic)
    for row in (*card.iter("tr"), *symbolic.iter("tr")):
        for value in row.findall("td")[1:2]:
            assert not re.fullmatch(r"nu|.*\*.*", value.text or ""), "Python's source in place of a formula"


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
@names_of(WRONG)
def test_covariance(name, dim, check):
    check(covariance.get(name), dim)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("name", RADIAL)
@names_of(WRONG_RADIAL)
def test_radial_covariance(name, dim, check):
    check(covariance.get(name), dim)


@names_of(WRONG | WRONG_RADIAL)
def test_a_wrong_covariance_is_refused(check):
    with pytest.raises(AssertionError):
        check((WRONG | WRONG_RADIAL)[check], 2)


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
    "axes of a lag": (
        lambda name: build(covariance.get(name), 3).expression(1, 2),
        "^lag: expected 1 or 3 coordinates, got 2",
    ),
    "axes of lags": (lambda name: build(covariance.get(name), 2).at(np.zeros(3)), r"^lags: expected shape \(..., 2\)"),
    "axes of a frequency": (
        lambda name: build(covariance.get(name), 3).spectral_density(1, 1),
        "^frequency: expected 1 or 3",
    ),
    "axes of orders": (lambda name: build(covariance.get(name), 3).spectral_moment(2, 0), "^orders: expected 1 or 3"),
    "singular": (
        lambda name: build(covariance.get(name), 2, anisotropy=((1, 1), (1, 1))),
        "^anisotropy: expected an invertible matrix",
    ),
    "matrix": (
        lambda name: build(covariance.get(name), 2, anisotropy=((1, 1),)),
        "^anisotropy: expected a 2 × 2 matrix",
    ),
    "sum over axes": (
        lambda name: build(covariance.get(name), 2) + build(covariance.get(name), 1),
        "^other: expected a covariance on 2 axes",
    ),
    "sum with a number": (lambda name: build(covariance.get(name), 2) + 1, "^other: expected a covariance"),
    "variance nan": (
        lambda name: covariance.get(name)(variance=math.nan),
        "^variance: expected a positive number .* nan",
    ),
    "no axes": (lambda name: covariance.get(name)(dim=0), "^dim: expected 1, 2 or 3, got 0"),
    "axes as a float": (lambda name: covariance.get(name)(dim=2.0), "^dim: expected 1, 2 or 3, got 2.0"),
    "an axis too many": (
        lambda name: build(covariance.get(name), 2).second_moment(2),
        r"^axis: expected an axis in 0 … 1, got 2",
    ),
    "a negative axis": (
        lambda name: build(covariance.get(name), 2).fourth_moment(-1),
        r"^axis: expected an axis in 0 … 1, got -1",
    ),
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
    "spread": (
        lambda name: build(covariance.get(name), 2).mean_over_offsets(-1.0),
        "^spread: expected a finite deviation ≥ 0, .* -1",
    ),
    "spread nan": (
        lambda name: build(covariance.get(name), 2).mean_over_offsets(math.nan),
        "^spread: expected a finite .* got nan",
    ),
    "spread text": (
        lambda name: build(covariance.get(name), 2).mean_over_offsets("1"),
        "^spread: expected a finite .* got '1'",
    ),
    "a symbol": (lambda name: build_length(name, sp.Symbol("l", positive=True))(1.0), "expected .*number"),
}


def draw(name, batch=1, size=(4, 4), **options):
    return covariance.get(name)().sample(batch, size, np.random.default_rng(0), **options)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", RADIAL)
def test_bad_input(name, case):
    call, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        call(name)
