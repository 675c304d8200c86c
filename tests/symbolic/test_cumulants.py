"""Joint cumulants, excess kurtosis, sums of exchangeable terms, and the limit of wide offsets."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.symbolic.enumeration import EXACT, VALUES, joint_cumulant, outcomes
from warptheory import kernels
from warptheory.core.errors import ArgumentError
from warptheory.symbolic import (
    Cov,
    Covariance,
    Cumulant,
    E,
    ExcessKurtosis,
    ExchangeableVariance,
    Expectation,
    IIDField,
    JointCumulant,
    NotConverged,
    NotReducible,
    OffsetField,
    Var,
    Variance,
    WideOffsets,
    evaluate,
    splat,
    warp,
)
from warptheory.symbolic._limits import take_wide_limit

X, H = IIDField("x", law="two_point"), IIDField("h", law="rademacher")
EPS = OffsetField("two_point", location="-1/2", scale="5/2")
HALF_WIDTH, WIDTH = sp.Symbol("a", positive=True), sp.Symbol("s", positive=True)


def test_orders_one_and_two_are_mean_and_covariance():
    y, z = warp(IIDField(), OffsetField())[0], splat(IIDField("g"), OffsetField("uniform"))[2]
    assert Cumulant(y) == E(y)
    assert Cumulant(y, y) == Var(y)
    assert Cumulant(z, z) == Cov(z, z)
    assert str(JointCumulant(y, y, z)) == "κ[y[0], y[0], z[2]]"


@pytest.mark.parametrize("order", [3, 4])
def test_cumulants_of_a_pixel_are_those_of_its_law(order):
    exact = {3: 2 / np.sqrt(3), 4: -2 / 3}[order]  # (1 − 2p)/√(pq) and (1 − 6pq)/(pq) for p = 1/4
    found = evaluate(Cumulant(*[X[0]] * order), VALUES)
    assert found == pytest.approx(exact * VALUES["sigma"] ** order, rel=1e-12)
    assert Cumulant(*[X[0]] * (order - 1), X[1]) == 0


@pytest.mark.parametrize("order", [2, 3])
def test_cumulants_of_independent_fields_add(order):
    """Independent inputs and independent offsets; with common offsets the sum has cross terms."""
    y, z = warp(X, EPS)[0], splat(H, OffsetField("rademacher", scale="2/5", name="eta"))[1]
    terms = [evaluate(Cumulant(*[value] * order), VALUES) for value in (y, 2 * z)]
    assert evaluate(Cumulant(*[y + 2 * z] * order), VALUES) == pytest.approx(sum(terms), **EXACT)


@settings(max_examples=4)
@given(st.integers(-9, 9).filter(bool), st.integers(-9, 9), st.permutations(range(3)))
def test_cumulants_are_multilinear_and_symmetric(first, second, order):
    a, b = sp.Rational(first, 4), sp.Rational(second, 5)
    y = warp(X, EPS)
    values = [y[0], y[1], y[0]]
    together = Cumulant(a * y[0] + b * X[2] + 7, *values[1:])
    apart = a * Cumulant(*values) + b * Cumulant(X[2], *values[1:])
    assert evaluate(together, VALUES) == pytest.approx(evaluate(apart, VALUES), rel=1e-12, abs=1e-12)
    assert Cumulant(*(values[i] for i in order)) == Cumulant(*values)


def test_excess_kurtosis():
    """Of a product of values, and conditional; −2 for a sign."""
    y = warp(X, EPS)
    product = y[0] + H[0] * X[1]
    exact = outcomes(product, values=VALUES).excess_kurtosis()
    assert evaluate(ExcessKurtosis(product).doit(), VALUES) == pytest.approx(exact, **EXACT)
    assert sp.simplify(ExcessKurtosis(H[0]).doit()) == -2
    fixed = {**VALUES, "epsilon": 0.3}
    exact = outcomes(y[0], values=fixed, given=EPS).excess_kurtosis()
    assert evaluate(ExcessKurtosis(y[0] | EPS).doit(), fixed) == pytest.approx(exact, **EXACT)
    assert ExcessKurtosis(y[0]).size(-0.5) == 2.5


@pytest.mark.parametrize("count", [1, 3])
def test_exchangeable_variance(count):
    """C channels that share their offsets, summed one by one."""
    channels = [IIDField(f"x{i}", law="rademacher") for i in range(max(2, count))]
    terms = [warp(x, EPS)[0] ** 2 for x in channels]
    total = sp.Add(*terms[:count])
    found = ExchangeableVariance(terms[0], terms[1], sp.Integer(count)).doit()
    assert evaluate(found, VALUES) == pytest.approx(joint_cumulant(total, total, values=VALUES), **EXACT)


def test_exchangeable_variance_of_any_count():
    number = sp.Symbol("C", positive=True)
    terms = [warp(IIDField(f"x{i}", law="rademacher"), EPS)[0] ** 2 for i in (1, 2)]
    any_count = ExchangeableVariance(*terms, number)
    three = ExchangeableVariance(*terms, sp.Integer(3)).doit()
    assert evaluate(any_count.doit(), {**VALUES, "C": 3.0}) == pytest.approx(evaluate(three, VALUES), rel=1e-13)
    assert str(any_count).endswith("(C terms)]")


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("count", [0, 5])
def test_one_to_four_expressions(count):
    with pytest.raises(ArgumentError, match=f"^expressions: expected one to four of them, got {count}$"):
        JointCumulant(*[X[0]] * count)


ONES = IIDField("g", mean=1, deviation=0)
WIDE = {
    "variance of a constant, d = 1": (
        Variance(splat(IIDField("g", mean=1, deviation=0), OffsetField("uniform"))[0]),
        1,
    ),
    "variance of a constant, d = 2": (
        Variance(splat(IIDField("g", mean=1, deviation=0), OffsetField("uniform", 2))[0]),
        2,
    ),
    "splatted neighbours": (Covariance(*(splat(X, OffsetField("uniform"))[i] for i in (0, 1))), 1),
    "warped neighbours, d = 1": (Covariance(*(warp(X, OffsetField("uniform"))[i] for i in (0, 1))), 1),
    "warped neighbours, d = 2": (Covariance(*(warp(X, OffsetField("uniform", 2))[0, i] for i in (0, 1))), 2),
    "third cumulant": (JointCumulant(*[splat(X, OffsetField("uniform"))[0]] * 3), 1),
}


@pytest.mark.parametrize("case", WIDE)
def test_wide_limit_is_approached_at_its_rate(case):
    """The distance falls as a^−d, the probability that two offsets meet; whole half-widths leave no harmonics."""
    statistic, order = WIDE[case]
    limit = evaluate(WideOffsets(statistic, HALF_WIDTH).doit(), VALUES)
    scales = np.array([16.0, 32.0])
    finite = statistic.doit()
    gaps = np.array([abs(evaluate(finite, {**VALUES, "a": scale}) - limit) for scale in scales])
    slope = np.diff(np.log(gaps)) / np.diff(np.log(scales))
    # The next order is 1/a of the leading one: at a ≥ 16 it bends the slope by a few hundredths.
    assert slope[0] == pytest.approx(-order, abs=0.05)


@pytest.mark.parametrize("law", ["normal", "laplace", "mixture"])
@pytest.mark.parametrize("dim", [1, 2])
def test_wide_limit_of_one_position(law, dim):
    """Harmonics only: within exp(−2π²s²), or 1/(4π²s²) for Laplace, of the limit."""
    scale = OffsetField(law).axis_law.scale
    statistic = Variance(warp(IIDField(deviation=1), OffsetField(law, dim))[0])
    limit = WideOffsets(statistic, scale).doit()
    assert limit == sp.Rational(2, 3) ** dim
    width = 300.0 if law == "laplace" else 3.0
    assert evaluate(statistic.doit(), {str(scale): width}) == pytest.approx(float(limit), rel=1e-6)


@pytest.mark.parametrize("kernel", ["linear", "triangle(1.25)"])
@pytest.mark.parametrize("dim", [1, 2])
def test_wide_limit_of_fractions(kernel, dim):
    """Primitives of period one over the half-width: what is bounded falls as 1/a."""
    statistic = Variance(warp(IIDField(deviation=1), OffsetField("uniform", dim), kernel)[0])
    limit = WideOffsets(statistic, HALF_WIDTH).doit()
    assert float(limit) == pytest.approx(kernels.get(kernel).functionals().as_floats()["rho_bar"] ** dim, rel=1e-12)
    # ∫F over less than a pixel is the excess over whole ones, at most max ρ = 1 of it.
    for a in (300.25, 5000.1):
        assert evaluate(statistic.doit(), {"a": a}) == pytest.approx(float(limit), abs=dim / a)


def test_an_average_over_too_many_pixels_is_refused():
    wide = Var(warp(X, OffsetField("uniform"), "triangle(1.25)")[0])
    with pytest.raises(NotConverged, match="uniform offsets of scale 1e.06 extend over 2e.06 pixels, .* `WideOffsets`"):
        evaluate(wide, {**VALUES, "a": 1e6})


def test_a_limit_that_depends_on_the_fraction_is_refused():
    """frac(a) alone has no limit."""
    a = HALF_WIDTH
    assert take_wide_limit(2 + sp.frac(a) / a, a) == 2
    for growing in (sp.frac(a), a, a * sp.frac(a), sp.exp(sp.frac(a)) / a + sp.exp(a), 1 / (sp.frac(a) / a)):
        with pytest.raises(NotReducible, match="its limit for a → ∞"):
            take_wide_limit(growing, a)


def test_wide_limits_in_closed_form():
    """Theory B2 and B3: 3(κ₄/ρ̄²)ᵈ for normal g of mean 0, and ρ̄ᵈ for constants."""
    for dim in (1, 2):
        eps = OffsetField("normal", dim)
        kurtosis = ExcessKurtosis(splat(IIDField("g", law="normal", mean=0), eps)[0])
        assert WideOffsets(kurtosis, WIDTH).doit() == 3 * sp.Rational(9, 10) ** dim
        constant = Variance(splat(IIDField("g", mean=1, deviation=0), eps)[0])
        assert WideOffsets(constant, WIDTH).doit() == sp.Rational(2, 3) ** dim
    equal = OffsetField("normal", 2, correlation=1)
    assert WideOffsets(Variance(warp(IIDField(deviation=1), equal)[0]), WIDTH).doit() == sp.Rational(7, 15)
    steps = WideOffsets(Expectation(warp(X, OffsetField())[0] ** 2), WIDTH).derive().steps
    assert steps[-1].name == "Take the limit of wide offsets"
