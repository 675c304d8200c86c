"""The algebra against closed forms from the literature, exact sums and SciPy quadrature."""

import itertools

import numpy as np
import pytest
import sympy as sp
from scipy import integrate, stats

from warptheory import kernels
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.symbolic import (
    Cov,
    E,
    Expectation,
    IIDField,
    NotConverged,
    NotReducible,
    OffsetField,
    Var,
    Variance,
    evaluate,
    warp,
    warp_gradient,
)
from warptheory.symbolic.nodes import OffsetAverage

n = sp.Symbol("n", integer=True)
mu, sigma, s = sp.Symbol("mu", real=True), sp.Symbol("sigma", positive=True), sp.Symbol("s", positive=True)
PIXEL = "1/2"  # half-width of a uniform law that covers one pixel


# Kernels that are polynomials between knots: everything about them has a closed form.
POLYNOMIAL = [
    name
    for name in [*kernels.names(), "bspline3(prefilter=True)"]
    if kernels.get(name).reach is not None
    and all(cell.expression.is_polynomial(kernels.FRACTION) for cell in kernels.get(name).tap_sum((0, 0)).cells)
]


def uniform_pixel(dim=1):
    return OffsetField("uniform", dim, scale=PIXEL)


def test_the_published_series_comes_out():
    """A4 for the linear kernel: σ²(2/3 + 2 Σ exp(−2π²j²s²)/(π²j²))."""
    j = sp.Symbol("j", positive=True)
    series = 2 * sp.Sum(sp.exp(-2 * sp.pi**2 * j**2 * s**2) / (sp.pi**2 * j**2), (j, 1, sp.oo))
    assert Var(warp(IIDField(), OffsetField("normal"))[n]) == sigma**2 * (sp.Rational(2, 3) + series)


@pytest.mark.parametrize("scale", ["1/4", "1/3", "1/2", "3/4", "1"])
@pytest.mark.parametrize("location", [0, "37/100"])
def test_uniform_offsets_of_rational_width(scale, location):
    """Widths at which sin(2πaj) is ±1 or 0 for some j: an exact integral of ρ is the truth."""
    found = Var(warp(IIDField(deviation=1), OffsetField("uniform", scale=scale, location=location))[n])
    low = sp.Rational(location) - sp.Rational(scale)
    edges = sorted({low, low + 2 * sp.Rational(scale), *(sp.Integer(k) for k in range(-2, 3))})
    inside = [edge for edge in edges if low <= edge <= low + 2 * sp.Rational(scale)]
    u = sp.Symbol("u")
    exact = sum(
        sp.integrate(1 - 2 * (u - sp.floor(a)) * (1 - u + sp.floor(a)), (u, a, b))
        for a, b in itertools.pairwise(inside)
    ) / (2 * sp.Rational(scale))
    assert evaluate(found, {}) == pytest.approx(float(exact), abs=1e-10)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_uniform_fraction(dim):
    x = IIDField()
    assert Var(warp(x, uniform_pixel(dim))[n]) == sp.Rational(2, 3) ** dim * sigma**2
    assert Var(warp_gradient(x, uniform_pixel(dim))[n]) == 2 * sp.Rational(2, 3) ** (dim - 1) * sigma**2
    assert E(warp(x, uniform_pixel(dim))[n]) == mu
    assert Var(warp(x, uniform_pixel(dim), "nearest")[n]) == sigma**2


@pytest.mark.parametrize("dim", [1, 2])
def test_kurtosis_of_normal_input(dim):
    """Excess kurtosis 3((21/20)^d − 1) after multilinear interpolation (A5)."""
    y = warp(IIDField(law="normal"), uniform_pixel(dim))[n]
    excess = E((y - mu) ** 4) / Var(y) ** 2 - 3
    assert sp.simplify(excess - 3 * (sp.Rational(21, 20) ** dim - 1)) == 0


def test_fourth_moment_uses_the_fourth_cumulant_of_any_law():
    """E(y−μ)⁴ = κ₄∫k⁴ + 3σ⁴∫ρ²: for linear 2κ₄/5 + 7σ⁴/5."""
    kappa4 = sp.Symbol("kappa_4", real=True)
    found = E((warp(IIDField(), uniform_pixel())[n] - mu) ** 4)
    assert sp.expand(found - (sp.Rational(2, 5) * kappa4 + sp.Rational(7, 5) * sigma**4)) == 0


def test_conditional_on_the_fraction():
    x, eps = IIDField(), OffsetField("normal", 2)
    y, gradient = warp(x, eps), warp_gradient(x, eps, axis=1)
    f1, f2 = eps.fraction.symbols
    rho = {f: 1 - 2 * f * (1 - f) for f in (f1, f2)}
    assert sp.expand(Var(y[n], given=eps.fraction) - sigma**2 * rho[f1] * rho[f2]) == 0
    assert sp.expand(E(y[n] ** 2 | eps.fraction) - mu**2 - sigma**2 * rho[f1] * rho[f2]) == 0
    assert sp.expand(Cov(y[n], gradient[n], given=eps.fraction) - sigma**2 * rho[f1] * (2 * f2 - 1)) == 0


def test_conditional_on_the_offsets():
    eps = OffsetField("normal")
    found = E(warp(IIDField(mean=0), eps)[n] ** 2 | eps)
    assert evaluate(found, {"sigma": 1.0, "epsilon": 3.25}) == pytest.approx(0.625)


def test_bounds_of_the_conditional_variance():
    """A2 for linear: largest on a pixel, smallest, 2^{−d}, half-way."""
    rho = kernels.get("linear").functionals().rho
    fraction = kernels.FRACTION
    assert sp.solve(sp.diff(rho, fraction), fraction) == [sp.Rational(1, 2)]
    assert (rho.subs(fraction, sp.Rational(1, 2)), rho.subs(fraction, 0)) == (sp.Rational(1, 2), 1)


@pytest.mark.parametrize(
    ("law", "frozen"),
    [
        ("normal", stats.norm(scale=0.23)),
        ("laplace", stats.laplace(scale=0.23)),
        ("uniform", stats.uniform(-0.23, 0.46)),
    ],
)
@pytest.mark.parametrize("kernel", [*POLYNOMIAL, "gauss(0.5)", "triangle", "lanczos3"])
def test_gain_against_scipy_quadrature(kernel, law, frozen):
    """E ρ(ε) by the Poisson sum, and by integrating ρ against SciPy's density."""
    gain = Var(warp(IIDField(mean=0, deviation=1), OffsetField(law, scale="23/100"), kernel)[n])
    value = sp.lambdify([kernels.POSITION], kernels.get(kernel).value(), "numpy")

    def integrand(offset):
        near = np.floor(offset) + np.arange(-kernels.get(kernel).reach, kernels.get(kernel).reach + 2)[:, None]
        return np.sum(np.asarray(value(offset - near)) ** 2, axis=0) * frozen.pdf(offset)

    # Between knots everything is smooth: 30 nodes leave less than 1e-13.
    edges = np.unique(np.concatenate([np.arange(-10, 10.5, 0.5), [-0.23, 0.23]]))
    exact = sum(integrate.fixed_quad(integrand, a, b, n=30)[0] for a, b in itertools.pairwise(edges))
    # The uniform law's series falls as 1/j³ and is summed to 1e-13 of its value; 20 units of Laplace tail
    # beyond ±10 pixels hold exp(−43).
    assert evaluate(gain, {}) == pytest.approx(exact, abs=1e-10)


def test_gain_of_uniform_offsets_is_a_polynomial_below_one_pixel():
    """∫₀ᵃ (1 − 2u + 2u²) du / a = 1 − a + 2a²/3 for a < 1, and ρ̄ wherever a is whole."""
    a = sp.Symbol("a", positive=True)
    gain = Var(warp(IIDField(mean=0, deviation=1), OffsetField("uniform", scale=a))[n])
    assert not gain.has(sp.Sum)
    assert sp.expand(gain.subs(sp.frac(a), a) - (1 - a + 2 * a**2 / 3)) == 0
    assert gain.subs(a, 3) == sp.Rational(2, 3)


@pytest.mark.parametrize("kernel", ["linear", "keys", "bspline3", "triangle(1.25)", "nearest"])
@pytest.mark.parametrize(("a", "displacement"), [("23/100", "2/7"), ("7/4", "-11/5"), ("1/2", "1/3"), ("1e-6", "0")])
def test_interval_between_knots_against_scipy_quadrature(kernel, a, displacement):
    """E ρ(ε) with ε uniform on [l − a, l + a), by both forms of the offset, typed in and as symbols."""
    width, centre = float(sp.Rational(a)), float(sp.Rational(displacement))
    value = sp.lambdify([kernels.POSITION], kernels.get(kernel).value(), "numpy")

    def rho(offset):
        return float(np.sum(np.asarray(value(offset - np.arange(np.floor(offset) - 6, np.floor(offset) + 8))) ** 2))

    knots = np.arange(-8, 8, 0.25)
    ends = centre - width, centre + width
    pieces = itertools.pairwise([ends[0], *knots[(knots > ends[0]) & (knots < ends[1])], ends[1]])
    exact = sum(integrate.quad(rho, low, high, epsabs=1e-13)[0] for low, high in pieces) / (2 * width)
    x, eps = IIDField(mean=0, deviation=1), OffsetField("uniform")
    l, s = sp.Symbol("l", real=True), sp.Symbol("a", positive=True)  # noqa: E741 -- the law's own name
    numbers = evaluate(Var(warp(x, OffsetField("uniform", scale=a) + displacement, kernel)[n]), {})
    symbols = evaluate(Var(warp(x, eps + l, kernel)[n]), {"l": centre, eps.axis_law.scale.name: width})
    assert s == eps.axis_law.scale
    # The difference of primitives at the ends loses 1/2a digits where neither is zero.
    assert numbers == pytest.approx(exact, abs=1e-12)
    assert symbols == pytest.approx(exact, abs=1e-15 / width + 1e-12)


@pytest.mark.parametrize("kernel", [name for name in kernels.names() if name not in POLYNOMIAL])
def test_gain_of_other_kernels(kernel):
    """Over whole pixels it is ρ̄; averages without a closed form are left as averages, and the derivation says so."""
    x = IIDField(mean=0, deviation=1)
    found = kernels.get(kernel).functionals()
    gain = Var(warp(x, uniform_pixel(), kernel)[n])
    assert evaluate(gain, {}) == pytest.approx(found.as_floats()["rho_bar"], abs=1e-12)
    derivation = Variance(warp(x, OffsetField("normal"), kernel)[n]).derive()
    if found.rho.free_symbols:
        assert derivation.result.atoms(OffsetAverage)
        assert "its number comes from quadrature" in derivation.steps[-1].reason
    else:  # ρ = 1: no law changes the variance
        assert derivation.result == found.rho


def test_sums_that_converge_too_slowly_are_refused():
    """Σ sinc² over pixels leaves 1/M beyond M: the steps before the closed form have no number."""
    steps = Variance(warp(IIDField(), OffsetField("normal"), "sinc")[n] | OffsetField("normal").fraction).derive().steps
    with pytest.raises(NotConverged, match="sinc decays too slowly"):
        evaluate(steps[1].expression, {"mu": 0.0, "sigma": 1.0, "f": 0.3})
    assert evaluate(steps[-1].expression, {"mu": 0.0, "sigma": 1.0, "f": 0.3}) == 1.0


def test_independent_channels_share_their_offsets():
    """The covariance of two independent channels warped by the same offsets is zero; of their squares it is not."""
    eps = OffsetField("uniform", scale=PIXEL)
    first, second = warp(IIDField("x1", mean=0), eps)[n], warp(IIDField("x2", mean=0), eps)[n]
    assert Cov(first, second) == 0
    # E ρ² − (E ρ)² = 7/15 − 4/9 with E ρ² = ∫(1 − 2f(1 − f))² = 7/15.
    assert sp.simplify(Cov(first**2, second**2) - sigma**4 * (sp.Rational(7, 15) - sp.Rational(4, 9))) == 0


def test_pixels_of_the_input():
    x = IIDField()
    assert E(x[0] ** 2) == mu**2 + sigma**2
    assert sp.expand(E(x[0] * x[1])) == mu**2
    assert Var(x[0] + 2 * x[1]) == 5 * sigma**2


def test_steps_are_named_and_print():
    derivation = Variance(warp(IIDField(), OffsetField("normal"))[n]).derive()
    assert [step.name for step in derivation.steps] == [
        "Moments",
        "Expand over taps",
        "Use independence",
        "Kernel functionals",
        "Separate the axes",
        "Average over the fraction",
    ]
    text = str(derivation)
    assert text.index("Var[y[n]] = ") < text.index("\n\n1. Moments: ")
    assert "ρ(ε)" in text
    assert r"\rho{\left(\epsilon \right)}" in derivation.latex()
    assert derivation.steps[-1].mathml().startswith('<math display="block">')


@pytest.mark.parametrize(
    ("make", "needed"),
    [
        (lambda x, y: E(sp.sin(y[0])), r"cannot reduce sin\(y\[0\]\): it has to be a polynomial"),
    ],
)
def test_what_cannot_be_reduced_says_so(make, needed):
    x = IIDField()
    with pytest.raises(NotReducible, match=needed):
        make(x, warp(x, OffsetField("normal")))


def test_a_slow_series_is_extrapolated():
    """Σ 1/j² = π²/6 and Σ 1/(j² + 1) = (π coth π − 1)/2, whose tails fall as 1/N only."""
    j = sp.Symbol("j", integer=True, positive=True)
    assert evaluate(sp.Sum(1 / j**2, (j, 1, sp.oo)), {}) == pytest.approx(np.pi**2 / 6, abs=1e-10)
    exact = (np.pi / np.tanh(np.pi) - 1) / 2
    assert evaluate(sp.Sum(1 / (j**2 + 1), (j, 1, sp.oo)), {}) == pytest.approx(exact, abs=1e-10)


def test_a_series_that_does_not_settle_is_not_returned():
    j = sp.Symbol("j", integer=True, positive=True)
    with pytest.raises(NotConverged, match="after .* terms the limit is not clear"):
        evaluate(sp.Sum(1 / j, (j, 1, sp.oo)), {})


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OffsetField("gaussian"), "^offsets: expected one of constant, .*, got 'gaussian'"),
        (lambda: OffsetField(dim=4), "^dim: expected 1, 2 or 3, got 4$"),
        (lambda: warp(IIDField(), OffsetField(), "cubic"), "^kernel: expected one of"),
        (lambda: warp_gradient(IIDField(), OffsetField(), axis=1), "^axis: expected an axis in 0 … 0, got 1$"),
        (
            lambda: warp(IIDField(), OffsetField(dim=3))[0, 0],
            r"^index: expected one symbol or 3 integers, got \(0, 0\)$",
        ),
        (lambda: evaluate(IIDField()[0] + 1, {}), r"^expression: expected no random variables .* got x\[0\] \+ 1$"),
        (lambda: evaluate(s, {"a": 1.0}), "^values: expected a number for s, got values for a$"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        call()


def test_equal_variables_are_one():
    x, eps = IIDField(), OffsetField()
    assert warp(x, eps)[0] == warp(x, eps)[0]
    assert warp(x, eps)[0] != warp(x, eps)[1]
    assert warp(x, eps, "nearest")[0] != warp(x, eps)[0]
    assert Expectation(warp(x, eps)[0] - warp(x, eps)[0]).doit() == 0
