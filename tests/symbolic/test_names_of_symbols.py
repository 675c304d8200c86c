"""One name, one symbol: symbols are told apart by their assumptions, and get their numbers by their names."""

import importlib

import pytest
import sympy as sp
from scipy import integrate, stats

from warptheory.core.errors import ArgumentError
from warptheory.fields import IID, Matern, SquaredExponential, laws
from warptheory.fields.laws import mixture, two_point
from warptheory.montecarlo import estimate, simulation_of, summarise
from warptheory.symbolic import (
    Cov,
    Covariance,
    Cumulant,
    E,
    ExcessKurtosis,
    ExchangeableVariance,
    GaussianField,
    IIDField,
    JointCumulant,
    OffsetField,
    Var,
    Variance,
    evaluate,
    splat,
    warp,
)

pytestmark = pytest.mark.usefixtures("as_users_call")

EPS = OffsetField("normal")
X = IIDField("x")
Y = warp(X, EPS)
LOOSE, TIGHT = sp.Symbol("f"), sp.Symbol("f", positive=True)

COLLISIONS = {
    "a deviation and a fraction": lambda: Variance(warp(IIDField("x", deviation=TIGHT), EPS)[0] | EPS.fraction),
    "a mean and a deviation": lambda: Variance(warp(IIDField("x", mean=LOOSE, deviation=TIGHT), EPS)[0]),
    "a deviation and the scale of offsets": lambda: Variance(warp(IIDField(deviation=sp.Symbol("s")), EPS)[0]),
    "two fields": lambda: Covariance(IIDField("x", mean=LOOSE)[0], IIDField("z", mean=TIGHT)[0]),
    "a coefficient and a mean": lambda: Variance(TIGHT * IIDField("x", mean=LOOSE)[0]),
    "a displacement": lambda: Variance(warp(X, EPS + sp.Symbol("sigma", real=True))[0]),
    "a length and a spacing": lambda: Variance(
        GaussianField("x", SquaredExponential(length=TIGHT, dim=1), spacing=sp.Symbol("f", real=True)).slope()(0)
    ),
    "offsets by the name of a parameter": lambda: Variance(
        warp(IIDField(deviation=sp.Symbol("eta", positive=True)), OffsetField("uniform", name="eta"))[0]
    ),
    "offsets by the name of other offsets' scale": lambda: Variance(
        splat(Y.field, OffsetField("laplace", name="s"))[0] + Y[0]
    ),
}


@pytest.mark.parametrize("name", COLLISIONS)
def test_two_symbols_of_one_name(name):
    statistic = COLLISIONS[name]()
    for use in (statistic.doit, lambda: estimate(statistic, {"f": 0.5, "mu": 0, "sigma": 1, "s": 0.3})):
        with pytest.raises(ArgumentError, match="^statistic: expected one symbol by the name of"):
            use()


def test_two_symbols_of_one_name_in_an_expression():
    with pytest.raises(ArgumentError, match=r"^expression: expected one symbol by the name of f, got Symbol \(no"):
        evaluate(LOOSE + TIGHT, {"f": 0.5})
    with pytest.raises(ArgumentError, match="^covariance: expected one symbol by the name of f"):
        Matern(length=TIGHT, variance=LOOSE).subs({"f": 1})
    with pytest.raises(ArgumentError, match="^offsets: expected one symbol by the name of f"):
        OffsetField(scale=TIGHT, location=LOOSE)


@pytest.mark.parametrize("name", ["s", "l", "v"])
def test_offsets_by_the_name_of_their_own_parameters(name):
    length, variance = sp.Symbol("l", positive=True), sp.Symbol("v", positive=True)
    given = {} if name == "s" else {"covariance": Matern(length=length, variance=variance, dim=1)}
    with pytest.raises(ArgumentError, match="^name: expected a name that is not one of a parameter's symbols"):
        OffsetField(name=name, **given)  # of normal offsets the scale is s


@pytest.mark.parametrize("assumptions", [{"positive": True}, {"positive": True, "integer": True}])
def test_the_index_of_a_series_is_no_parameter(assumptions):
    """The average over the fraction is a series over j, which would take a displacement of that name for its own."""
    j = sp.Symbol("j", **assumptions)
    for make in (lambda: EPS + j, lambda: OffsetField(scale=j), lambda: OffsetField(laws.get("normal").at(0, j))):
        with pytest.raises(ArgumentError, match="expected symbols other than j"):
            make()


def test_a_whole_number_is_asked_for():
    with pytest.raises(ArgumentError, match="^values: expected n that is a whole number, got 0.5"):
        evaluate(sp.Symbol("n", integer=True) ** 2, {"n": 0.5})


@pytest.mark.parametrize("integrand", ["t", "k", "r"])
def test_symbols_of_parameters_are_not_integrated_over(integrand):
    """A length by the name of a variable of integration stays a length: the moment of exp(−r²/2ℓ²) is 1/ℓ²."""
    from warptheory.fields import PowerLaw

    length = sp.Symbol(integrand, positive=True)
    formula = PowerLaw(length=length, dim=1).expression(sp.Rational(3, 2))
    assert length in formula.free_symbols
    numbers = float(PowerLaw(length=2, dim=1).expression(sp.Rational(3, 2)))
    assert float(formula.subs(length, 2).evalf()) == pytest.approx(numbers, rel=1e-9)


def test_third_cumulant():
    """κ₃(y) = κ₃(x) E Σ w³, w = 1 − f and f: given the offset, y is a sum of independent pixels of equal means."""
    deviation, b = 1.3, 0.2
    y = warp(IIDField("x", law="exponential", mean=0.7, deviation=deviation), OffsetField("laplace", scale=b))
    density = stats.laplace(scale=b).pdf
    cells = [
        integrate.quad(lambda e, n=n: density(e) * ((1 - e + n) ** 3 + (e - n) ** 3), n, n + 1)[0]
        for n in range(-12, 12)
    ]
    skewness = float(stats.expon.stats(moments="s"))
    wanted = skewness * deviation**3 * sum(cells)
    assert wanted == pytest.approx(2.776, abs=1e-3)
    assert evaluate(Cumulant(y[0], order=3), {}) == pytest.approx(wanted, rel=1e-9)
    assert JointCumulant(y[0], order=3) == JointCumulant(y[0], y[0], y[0])
    assert JointCumulant(y[0], order=1).doit() == E(y[0])


@pytest.mark.parametrize("order", [0, 5, 2.0, True, "3"])
def test_order_of_a_cumulant(order):
    with pytest.raises(ArgumentError, match="^order: expected an integer in 1 … 4"):
        Cumulant(Y[0], order=order)
    with pytest.raises(ArgumentError, match="^order: expected one expression, to be repeated, got 2"):
        Cumulant(Y[0], Y[1], order=3)


CONSTANTS = {
    "third cumulant": lambda: Cumulant(Y[0], 3),
    "cumulant of a number": lambda: Cumulant(2.5),
    "variance": lambda: Var(3),
    "variance of a symbol": lambda: Var(sp.Symbol("sigma")),
    "variance that cancels": lambda: Var(Y[0] - Y[0]),
    "first": lambda: Cov(2, Y[0]),
    "second": lambda: Cov(Y[0], sp.Symbol("c")),
    "kurtosis": lambda: ExcessKurtosis(1),
    "of many": lambda: ExchangeableVariance(Y[0], 1, 3),
    "conditional": lambda: Var(sp.Integer(2) | EPS),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_no_random_variables(name):
    with pytest.raises(
        ArgumentError, match="expected an expression in random values such as y.0., not a constant, got"
    ):
        CONSTANTS[name]()


def test_the_expectation_of_a_constant_is_that_constant():
    assert E(3) == 3


@pytest.mark.parametrize("use", [estimate, lambda e, v: summarise(e, v, 10)], ids=["estimate", "summarise"])
def test_values_that_nothing_asks_for(use):
    values = {"sigma": 1.0, "mu": 0.0, "s": 0.3}
    for experiment in (Variance(Y[0]), simulation_of(Variance(Y[0]))):
        with pytest.raises(
            ArgumentError, match="^values: expected one of mu, s, sigma, got 'sgima' .did you mean 'sigma'"
        ):
            use(experiment, {**values, "sgima": 2.0})
        with pytest.raises(ArgumentError, match="^values: expected a number for sigma, got '1'"):
            use(experiment, {**values, "sigma": "1"})


TWICE = {
    "two points": lambda: two_point.two_point(sp.Rational(1, 4)),
    "two points, written otherwise": lambda: two_point.two_point("0.25"),
    "mixture": lambda: mixture.mixture(),
    "own mixture": lambda: mixture.mixture(
        [("1/2", two_point.two_point("1/4").at(0, 1)), ("1/2", laws.get("normal").at(1, 2))]
    ),
    **{name: lambda n=name: getattr(importlib.import_module(f"{laws.__name__}.{n}"), n)() for name in laws.names()},
}


@pytest.mark.parametrize("name", TWICE)
def test_a_law_built_twice_is_one_law(name):
    first, second = TWICE[name](), TWICE[name]()
    assert first is not second
    assert first == second
    assert hash(first) == hash(second)
    assert len({OffsetField(law.at(0, 1)) for law in (first, second)}) == 1
    assert IID(first) == IID(second)


def test_laws_of_other_arguments_differ():
    assert two_point.two_point("1/4") != two_point.two_point("1/3")
    assert mixture.mixture() != mixture.mixture(
        [("1/2", laws.get("normal").at(0, 1)), ("1/2", laws.get("normal").at(0, 3))]
    )
    assert laws.get("normal") != laws.get("laplace")
