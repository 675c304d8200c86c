"""Gaussian fields between their pixels: against matrices of covariances, spectral integrals and sympy's derivatives."""

import itertools
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy import integrate, stats

from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.fields import Exponential, Matern, PowerLaw, RationalQuadratic, SquaredExponential, White
from warptheory.symbolic import (
    Cov,
    E,
    Expectation,
    GaussianField,
    IIDField,
    NotReducible,
    OffsetField,
    SmallOffsets,
    SmallSpacing,
    SpectralForm,
    Var,
    Variance,
    WideOffsets,
    compose,
    evaluate,
    splat,
    warp,
)

H, LENGTH, SPREAD = sp.symbols("h l s", positive=True)
OFFSET_LENGTH, T = sp.Symbol("l_e", positive=True), sp.Symbol("t", real=True)
C = sp.Function("C")


def smooth(dim=1, **choices):
    """A field with C = exp(−|τ|²/2ℓ²)."""
    return GaussianField("x", SquaredExponential(length=LENGTH, dim=dim), **choices)


def offset_field(dim=1, name="epsilon"):
    """Offsets with K = s² exp(−|τ|²/2ℓ_e²)."""
    return OffsetField(name=name, covariance=SquaredExponential(length=OFFSET_LENGTH, variance=SPREAD**2, dim=dim))


def pixel_wide(dim=1):
    """Offsets for which every fraction is equally likely."""
    return OffsetField("uniform", dim=dim, scale="1/2")


def vanishes(expression):
    """Whether an expression is zero at three points of its symbols; terms are below 1e4 there and round to 1e-12."""
    symbols = sorted(expression.free_symbols, key=str)
    points = np.random.default_rng(len(symbols)).uniform(0.4, 0.9, (3, len(symbols)))
    numbers = [expression.subs(dict(zip(symbols, map(float, point), strict=True))).evalf() for point in points]
    return all(abs(number) < 1e-10 for number in numbers)


def taps(kernel, position, order=0):
    """Pixels and weights of a value at a position along one axis, by the kernel's definition."""
    reach = kernels.get(kernel).reach
    pixels = np.arange(np.floor(position) - reach, np.floor(position) + reach + 2)
    return pixels, np.asarray(definition(kernel, order)(position - pixels), dtype=float) * np.ones_like(pixels)


@cache
def definition(kernel, order):
    """The kernel, or a derivative of it, as a function of NumPy arrays."""
    return sp.lambdify([kernels.POSITION], kernels.get(kernel).value(order=order), "numpy")


def test_error_at_a_fraction_is_the_formula_of_the_theory():
    """Theory D1, d = 1, linear, for any covariance."""
    x, eps, f = GaussianField("x", spacing=H), pixel_wide(), sp.Symbol("f")
    found = sp.sympify(str(E((warp(x, eps)[0] - compose(x, eps)[0]) ** 2 | eps.fraction)), locals={"C": C})
    h = sp.Symbol("h")
    theory = C(0) * (1 + (1 - f) ** 2 + f**2) - 2 * (1 - f) * C(f * h) - 2 * f * C((1 - f) * h) + 2 * f * (1 - f) * C(h)
    assert sp.expand(found - theory) == 0


@pytest.mark.parametrize(
    ("kernel", "order"),
    [
        *itertools.product(["linear", "keys", "bspline3", "nearest"], [0, 1]),
        ("gauss(0.5)", 0),
        pytest.param("gauss(0.5)", 1, marks=pytest.mark.slow),
    ],
)
def test_error_given_the_fraction_on_a_line(kernel, order):
    """wᵀCw − 2wᵀc + c₀ with the matrix of covariances over the taps; derivatives by SymPy on a Matérn field."""
    spacing, tau = 0.7, sp.Symbol("tau", positive=True)
    covariance = Matern(nu="7/2", length=2, dim=1)
    x, eps = GaussianField("x", covariance, spacing=sp.Rational(7, 10)), pixel_wide()
    y, exact = warp(x, eps, kernel), compose(x, eps)
    error = (y.diff(0)[3] - exact.diff(0)[3]) if order else y[3] - exact[3]
    found = E(error**2 | eps.fraction)
    derivatives = [sp.lambdify(tau, sp.diff(covariance.expression(tau), tau, n)) for n in range(3)]
    for fraction in (0.15, 0.62):
        m, w = taps(kernel, fraction, order)
        lag = spacing * (fraction - m)
        both = covariance(spacing * (m[:, None] - m))
        cross = derivatives[order](np.abs(lag)) * np.sign(lag) ** order * spacing**order
        own = 1.0 if order == 0 else -(spacing**2) * sp.limit(sp.diff(covariance.expression(tau), tau, 2), tau, 0)
        exact_error = w @ both @ w - 2 * w @ cross + float(own)
        # Cancellation of terms of order one in float64.
        assert evaluate(found, {"f": fraction}) == pytest.approx(exact_error, abs=2e-14)


@pytest.mark.parametrize("kernel", ["linear", "keys"])
def test_error_given_the_fraction_in_a_plane(kernel):
    """The same with products of weights; an anisotropic field."""
    covariance = RationalQuadratic(length=2, alpha=1, dim=2, anisotropy=((1, 0), ("1/2", 2)))
    x, eps = GaussianField("x", covariance), pixel_wide(2)
    found = E((warp(x, eps, kernel)[0, 0] - compose(x, eps)[0, 0]) ** 2 | eps.fraction)
    position = np.array([0.3, 0.85])
    (m, w), (n, v) = taps(kernel, position[0]), taps(kernel, position[1])
    places = np.stack(np.meshgrid(m, n, indexing="ij"), -1).reshape(-1, 2)
    weights = np.outer(w, v).ravel()
    both = covariance.at(places[:, None] - places)
    exact = weights @ both @ weights - 2 * weights @ covariance.at(places - position) + 1
    assert evaluate(found, {"f_1": 0.3, "f_2": 0.85}) == pytest.approx(exact, abs=1e-13)


def test_mean_error_is_the_mean_over_fractions():
    """∫ of the error at a fraction by SciPy, for a rough and a smooth field."""
    for covariance in (Exponential(length=3, dim=1), SquaredExponential(length=2, dim=1)):
        x, eps = GaussianField("x", covariance), pixel_wide()
        error = (warp(x, eps)[0] - compose(x, eps)[0]) ** 2
        given = E(error | eps.fraction)
        mean, bound = integrate.quad(lambda f, at=given: evaluate(at, {"f": f}), 0, 1, epsabs=1e-13)
        assert evaluate(E(error), {}) == pytest.approx(mean, abs=1e-12 + bound)


@pytest.mark.parametrize("dim", [1, 2])
def test_covariance_of_a_moved_field(dim):
    """Theory C2 for the squared exponential, and C3 as its curvature at lag zero: −∂²C_y(0) = λ₂(1 + dτ²)."""
    y = compose(smooth(dim), offset_field(dim))
    origin, lag = (0,) * dim, (T, *[0] * (dim - 1))
    found = Cov(y(*origin), y(*lag))
    v = 2 * SPREAD**2 * (1 - sp.exp(-(T**2) / (2 * OFFSET_LENGTH**2)))
    theory = (1 + v / LENGTH**2) ** sp.Rational(-dim, 2) * sp.exp(-(T**2) / (2 * (LENGTH**2 + v)))
    assert vanishes(found - theory)
    curvature = -sp.limit(sp.diff(theory, T, 2), T, 0)
    assert vanishes(Var(y.slope(0)(*origin)) - curvature)
    tau = SPREAD / OFFSET_LENGTH
    assert vanishes(curvature - (1 + dim * tau**2) / LENGTH**2)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("make", [lambda dim: Matern(nu="3/2", length=2, dim=dim), lambda dim: PowerLaw(dim=dim)])
def test_smoothing_by_a_normal_lag(dim, make):
    """E C(ε) by waves equals the mean over the lag's length, |ε|/s of the χ law, by SciPy; any isotropic covariance."""
    covariance, spread = make(dim), 0.8
    x = GaussianField("x", covariance)
    moved = compose(x, OffsetField("normal", dim=dim, scale="4/5"))[(0,) * dim]
    found = evaluate(E(moved * x[(0,) * dim]), {})
    mean, bound = integrate.quad(
        lambda r: stats.chi.pdf(r, dim) * float(covariance(spread * r)), 0, 12, epsabs=1e-12, limit=200
    )
    # Both quadratures settle to 1e-9 of the variance; cusps of the covariance at zero are the integrator's limit.
    assert found == pytest.approx(mean, abs=1e-8 + bound)


def test_fields_of_any_law_at_one_point_are_unchanged():
    """Theory C1: moments up to the fourth, with a mean."""
    x = GaussianField("x", SquaredExponential(length=LENGTH, variance=4, dim=1), mean=sp.Symbol("mu", real=True))
    y = compose(x, offset_field())
    for power in (1, 2, 3, 4):
        assert sp.expand(E(y[0] ** power) - E(x[0] ** power)) == 0


def test_layers_multiply_the_roughening():
    """Theory C3: λ₂(1 + dτ²)ᴸ."""
    for dim, layers in ((1, 4), (2, 3)):
        field = smooth(dim)
        for number in range(layers):
            field = compose(field, offset_field(dim, f"e{number}"))
        tau = SPREAD / OFFSET_LENGTH
        expected = (1 + dim * tau**2) ** layers / LENGTH**2
        assert vanishes(Var(field.slope(dim - 1)[(0,) * dim]) - expected)


def test_slopes_of_a_field_between_its_pixels():
    """Cov(x′(0), x′(t)) = −C″(t) and Cov(x(0), x′(t)) = C′(t), per unit of length at any spacing."""
    x = smooth(spacing=H)
    c = sp.exp(-(T**2) / (2 * LENGTH**2))
    assert vanishes(Cov(x.slope(0)(0), x.slope(0)(T)) + sp.diff(c, T, 2))
    assert vanishes(Cov(x(0), x.slope(0)(T)) - sp.diff(c, T))
    assert Cov(x[0], x.slope(0)[0]) == 0
    plane = smooth(2)
    assert Cov(plane.slope(0)(0, 0), plane.slope(1)(0, 0)) == 0
    assert vanishes(Var(plane.slope(0).slope(1)(0, 0)) - 1 / LENGTH**4)


def test_deformation():
    """Theory C6: the squared exponential's closed form, its small-offset law, and saturation."""
    for dim in (1, 2, 3):
        x = smooth(dim)
        error = Expectation((compose(x, offset_field(dim))[(0,) * dim] - x[(0,) * dim]) ** 2)
        closed = 2 - 2 * (1 + SPREAD**2 / LENGTH**2) ** sp.Rational(-dim, 2)
        assert vanishes(error.doit() - closed)
        assert vanishes(SmallOffsets(error, SPREAD).doit() - dim * SPREAD**2 / LENGTH**2)
        assert sp.limit(error.doit(), SPREAD, sp.oo) == 2


def test_independent_offsets_at_two_points():
    """Cov(y[0], y[3]) with independent N(0, s²) offsets is C smoothed by 2s²."""
    y = compose(smooth(), OffsetField("normal"))
    width = LENGTH**2 + 2 * SPREAD**2
    assert vanishes(Cov(y[0], y[3]) - LENGTH * sp.exp(-sp.Rational(9, 2) / width) / sp.sqrt(width))


@pytest.mark.parametrize("correlation", [0, sp.Rational(1, 2), 1])
def test_correlated_axes(correlation):
    """E C(Δ + η) by Gauss–Hermite sums over the two axes, at one pixel and at two independent ones."""
    x, eps = (
        GaussianField("x", SquaredExponential(length=3, dim=2)),
        OffsetField("normal", 2, 1, correlation=correlation),
    )
    y, r = compose(x, eps), float(correlation)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    first, other = np.meshgrid(nodes, nodes, indexing="ij")
    mass, second = np.outer(weights, weights) / weights.sum() ** 2, r * first + np.sqrt(1 - r**2) * other
    for found, lag, spread in ((Cov(x[0, 0], y[0, 0]), (0, 0), 1), (Cov(y[0, 0], y[2, 1]), (2, 1), np.sqrt(2))):
        squares = (lag[0] + spread * first) ** 2 + (lag[1] + spread * second) ** 2
        assert evaluate(found, {}) == pytest.approx(np.sum(mass * np.exp(-squares / 18)), rel=1e-9)


def test_displaced_warp_given_the_fraction():
    """A displacement takes the fraction of the position past the next pixel; d = 1, linear, f = 0.8, Δ = 1/2."""
    x, eps = GaussianField("x", SquaredExponential(length=3, dim=1)), pixel_wide()
    moved = eps + sp.Rational(1, 2)
    error = E((warp(x, moved)[0] - compose(x, moved)[0]) ** 2 | eps.fraction)
    same = E((warp(x, eps)[0] - compose(x, eps)[0]) ** 2 | eps.fraction)
    assert evaluate(error, {"f": 0.8}) == pytest.approx(evaluate(same, {"f": 0.3}), abs=1e-14)


@pytest.mark.parametrize("kernel", ["nearest", "triangle(1.25)"])
@pytest.mark.parametrize("displacement", [0, sp.Rational(3, 10)])
def test_knots_within_a_pixel(kernel, displacement):
    """The mean error over the fractions by Gauss–Legendre nodes between the knots, which lie at quarters of a pixel."""
    covariance = SquaredExponential(length=3, dim=1)
    x, eps = GaussianField("x", covariance), pixel_wide() + displacement
    found = E((warp(x, eps, kernel)[0] - compose(x, eps)[0]) ** 2)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    expected = 0.0
    for fraction, weight in zip(np.add.outer([1, 3, 5, 7], nodes).ravel() / 8, np.tile(weights, 4) / 8, strict=True):
        m, w = taps(kernel, fraction)
        expected += weight * (w @ covariance(m[:, None] - m) @ w - 2 * w @ covariance(fraction - m) + 1)
    assert evaluate(found, {}) == pytest.approx(expected, rel=1e-9)


def test_leading_terms():
    """Theory D2 and D5: d = 1, 2, at a fraction and in the mean; Keys' kernel by the same machinery."""
    lambda_4, lambda_22, lambda_6 = 3 / LENGTH**4, 1 / LENGTH**4, 15 / LENGTH**6
    f = kernels.FRACTION
    x, eps = smooth(spacing=H), pixel_wide()
    y, exact = warp(x, eps), compose(x, eps)
    value, gradient = y[0] - exact[0], (y.diff(0)[0] - exact.diff(0)[0]) / H
    cases = {
        Expectation(value**2): H**4 * lambda_4 / 120,
        Expectation(value**2 | eps.fraction): H**4 * f**2 * (1 - f) ** 2 * lambda_4 / 4,
        Expectation(gradient**2): H**2 * lambda_4 / 12,
        Expectation(gradient**2 | eps.fraction): H**2 * (f - sp.Rational(1, 2)) ** 2 * lambda_4,
        Expectation((warp(x, eps, "keys")[0] - exact[0]) ** 2): H**6 * lambda_6 / 7560,
    }
    for statistic, expected in cases.items():
        assert vanishes(SmallSpacing(statistic, H).doit() - expected)
    plane, eps = smooth(2, spacing=H), pixel_wide(2)
    error = warp(plane, eps)[0, 0] - compose(plane, eps)[0, 0]
    expected = H**4 / 4 * (2 * lambda_4 / 30 + lambda_22 / 18)
    assert vanishes(SmallSpacing(Expectation(error**2), H).doit() - expected)


def test_leading_term_of_keys_in_many_digits():
    """The mean error from matrices in 60 digits, over the leading term, tends to one as h²."""
    mpmath.mp.dps = 60
    weight = [
        sp.lambdify(kernels.FRACTION, kernels.get("keys").taps[tap].at(kernels.FRACTION), "mpmath")
        for tap in (-1, 0, 1, 2)
    ]

    def ratio(h):
        def c(t):
            return mpmath.exp(-((h * t) ** 2) / 2)

        def error(f):
            w = [part(f) for part in weight]
            both = sum(a * b * c(i - j) for (i, a), (j, b) in itertools.product(enumerate(w, -1), repeat=2))
            return 1 + both - 2 * sum(a * c(f - i) for i, a in enumerate(w, -1))

        return mpmath.quad(error, [0, 1]) / (h**6 * 15 / mpmath.mpf(7560))

    coarse, fine = (abs(ratio(mpmath.mpf(h)) - 1) for h in ("0.02", "0.01"))
    mpmath.mp.dps = 15
    assert fine < 1e-2
    assert float(coarse / fine) == pytest.approx(4, rel=1e-2)


def test_rough_fields_by_their_formula():
    """Theory D3: σ²h/(3ℓ) for the exponential, and the power h^2ν of Matérn 3/2."""
    eps = pixel_wide()
    for covariance, expected in (
        (Exponential(length=LENGTH, variance=4, dim=1), 4 * H / (3 * LENGTH)),
        (Matern(nu="3/2", length=LENGTH, dim=1), 2 * sp.sqrt(3) * H**3 / (15 * LENGTH**3)),
    ):
        x = GaussianField("x", covariance, spacing=H)
        error = Expectation((warp(x, eps)[0] - compose(x, eps)[0]) ** 2)
        assert vanishes(SmallSpacing(error, H, by_formula=True).doit() - expected)
        with pytest.raises(NotReducible, match=r"lambda_4.*infinite"):
            SmallSpacing(error, H).doit()


def test_gradients_of_rough_fields_are_infinite():
    """The continuum has none for ν ≤ 1 and the exponential; the grid's is 2(C(0) − C(h))/h²."""
    eps = pixel_wide()
    for covariance in (Exponential(length=2, dim=1), Matern(nu="1/2", dim=1), Matern(nu=1, dim=1)):
        x = GaussianField("x", covariance, spacing=H)
        assert Var(compose(x, eps).diff(0)[0] / H) == sp.oo
        assert Var(x.slope(0)(0)) == sp.oo
        on_grid = evaluate(Var(warp(x, eps).diff(0)[0] / H), {"h": 0.3})
        assert on_grid == pytest.approx(2 * (1 - float(covariance(0.3))) / 0.09, rel=1e-12)
    assert Var(GaussianField("x", Matern(nu="3/2", dim=1)).slope(0)(0)).is_finite


@pytest.mark.parametrize(("dim", "kernel"), [(1, "linear"), (1, "keys"), (1, "bspline3"), (2, "linear")])
@pytest.mark.parametrize("order", [0, 1])
def test_waves_and_lags_agree(dim, kernel, order):
    """Theory D4, D5: one statistic by its error kernel, and by covariances at lags averaged over the fraction."""
    x, eps, n = smooth(dim, spacing=H), pixel_wide(dim), (0,) * dim
    y, exact = warp(x, eps, kernel), compose(x, eps)
    error = y.diff(0)[n] - exact.diff(0)[n] if order else y[n] - exact[n]
    statistic, values = Expectation(error**2 / H ** (2 * order)), {"l": 1.5, "h": 0.8}
    steps = SpectralForm(statistic).derive().steps[1:]
    numbers = [evaluate(step.expression, values) for step in steps]
    # All are quadratures to 1e-12; the lag side and sums over aliases cancel terms of order one.
    np.testing.assert_allclose(numbers, evaluate(statistic.doit(), values), rtol=1e-9, atol=1e-13)


def test_the_cardinal_spline_by_waves():
    """Its error by the matrix of covariances over 80 taps, whose weights solve the interpolation conditions."""
    covariance = SquaredExponential(length=1, dim=1)
    x, eps = GaussianField("x", covariance), pixel_wide()
    found = SpectralForm(Expectation((warp(x, eps, "bspline3(prefilter=True)")[0] - compose(x, eps)[0]) ** 2)).doit()
    pixels = np.arange(-40, 41)
    spline = sp.lambdify([kernels.POSITION], kernels.get("bspline3").value(), "numpy")
    samples = np.array([[float(spline(float(a - b))) for b in pixels] for a in pixels])
    both = covariance(np.abs(pixels[:, None] - pixels).astype(float))

    def error(f):
        gathered = np.array([float(spline(f - m)) for m in pixels])
        w = np.linalg.solve(samples.T, gathered)
        return w @ both @ w - 2 * w @ covariance(np.abs(f - pixels)) + 1

    nodes, weights = np.polynomial.legendre.leggauss(20)
    direct = sum(weight / 2 * error((1 + node) / 2) for node, weight in zip(nodes, weights, strict=True))
    assert evaluate(found, {}) == pytest.approx(direct, rel=1e-9)


X = smooth()
TWO_LAYERS = compose(compose(X, offset_field()), offset_field(name="e"))
DISPLACED = (X[0] - compose(X, OffsetField("normal", scale=SPREAD))[0]) ** 2
Y_ERROR = (GaussianField("u")[0] - compose(GaussianField("u"), OffsetField("normal", scale=LENGTH, name="e"))[0]) ** 2
WHITE = GaussianField("x", White(dim=1))
REFUSED = {
    "kernel that reads every pixel": lambda: E(
        (warp(X, pixel_wide(), "bspline3(prefilter=True)")[0] - compose(X, pixel_wide())[0]) ** 2
    ),
    "fourth moment of layers": lambda: E(TWO_LAYERS[0] ** 4),
    "slope of independent offsets": lambda: Var(compose(X, OffsetField("normal")).slope(0)[0]),
    "two layers at two points": lambda: Cov(
        *(compose(compose(X, offset_field()), offset_field(name="e"))[n] for n in (0, 1))
    ),
    "independent uniform offsets at two points": lambda: Cov(*(compose(X, OffsetField("uniform"))[n] for n in (0, 1))),
    "correlated offsets through a kernel": lambda: Cov(*(warp(X, offset_field())[n] for n in (0, 1))),
    "splat by correlated offsets": lambda: Var(splat(X, offset_field())[0]),
    "pixel beside two layers": lambda: E(TWO_LAYERS[0] * X[0]),
    "waves of other fractions": lambda: SpectralForm(Expectation(warp(X, OffsetField("normal"))[0] ** 2)).doit(),
    "waves of two pixels": lambda: SpectralForm(
        Expectation(warp(X, pixel_wide())[0] * warp(X, pixel_wide())[1])
    ).doit(),
    "waves and a jump": lambda: SpectralForm(Expectation(warp(X, pixel_wide(), "nearest").diff(0)[0] ** 2)).doit(),
    "waves and a constant": lambda: SpectralForm(Expectation(compose(X, pixel_wide())[0] ** 2 + 1)).doit(),
    "slope beside a value at another point": lambda: Cov(
        compose(X, offset_field()).slope(0)[0], compose(X, offset_field())[1]
    ),
    "slope given its offsets": lambda: Var(compose(X, offset_field()).slope(0)[0] | offset_field()),
    "two fields whose layers share offsets": lambda: E(
        TWO_LAYERS.slope(0)[0] ** 2
        * compose(compose(GaussianField("u"), offset_field()), offset_field(name="e")).slope(0)[0] ** 2
    ),
    "pixel beside a composed value given the fraction": lambda: E(
        X[0] * compose(X, OffsetField("normal"))[0] | OffsetField("normal").fraction
    ),
    "small spacing of another field": lambda: SmallSpacing(Expectation(compose(X, pixel_wide())[0] * X[1]), H).doit(),
    "small spacing at fixed points": lambda: SmallSpacing(
        Expectation((smooth(spacing=H)(T) - smooth(spacing=H)(0)) ** 2), H
    ).doit(),
    "small spacing and normal offsets": lambda: SmallSpacing(
        Expectation((smooth(spacing=H)[0] - compose(smooth(spacing=H), OffsetField("normal"))[0]) ** 2), H
    ).doit(),
    "small spacing of a slope by other offsets": lambda: SmallSpacing(
        Variance(compose(smooth(spacing=H), offset_field()).slope(0)[0]), H
    ).doit(),
    "small offsets of two kinds": lambda: SmallOffsets(Expectation(DISPLACED + Y_ERROR), SPREAD).doit(),
    "small offsets, multiplied": lambda: SmallOffsets(Expectation(DISPLACED * Y_ERROR), SPREAD).doit(),
    "small offsets and their spread elsewhere": lambda: SmallOffsets(
        Expectation((X[0] - (1 + SPREAD) * compose(X, OffsetField("normal", scale=SPREAD))[0]) ** 2), SPREAD
    ).doit(),
    "white noise between its pixels": lambda: Cov(WHITE[0], compose(WHITE, OffsetField("normal"))[0]),
    "white part between pixels": lambda: Var(
        compose(GaussianField("x", White(dim=1) + SquaredExponential(length=2, dim=1)), OffsetField("normal"))[0]
    ),
    "wide offsets of the continuum": lambda: WideOffsets(
        Expectation(compose(X, OffsetField("normal", scale=SPREAD))[0] ** 2), SPREAD
    ).doit(),
    "small offsets without a spectrum": lambda: SmallOffsets(Expectation(X[0] ** 2), SPREAD).doit(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused(name):
    with pytest.raises((NotReducible, kernels.NoClosedFormError)):
        REFUSED[name]()


@pytest.mark.usefixtures("as_users_call")
def test_bad_input_names_the_argument():
    for argument, call in {
        "spacing": lambda: GaussianField("x", spacing=0),
        "index": lambda: GaussianField("x", SquaredExponential(dim=1))[0, 0],
        "covariance": lambda: OffsetField(covariance="matern"),
        "axis": lambda: compose(X, offset_field()).slope(1),
        "point": lambda: compose(X, offset_field())(0, 0),
        "field": lambda: compose(IIDField("x"), offset_field()),
        "offsets": lambda: compose(X, offset_field(2)),
    }.items():
        with pytest.raises(ArgumentError, match=argument):
            call()
    with pytest.raises(ArgumentError, match="offsets"):
        compose(compose(X, offset_field()), offset_field())
    with pytest.raises(ArgumentError, match="covariance"):
        OffsetField("uniform", covariance=SquaredExponential(dim=1))
    with pytest.raises(ArgumentError, match="field"):
        compose(X, offset_field()).diff(0).slope(0)
