"""What the algebra is not made for is refused at once, by the name of the argument."""

import math

import pytest
import sympy as sp
from scipy import integrate, stats

from warptheory import results
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.symbolic import (
    Cov,
    Cumulant,
    E,
    ExcessKurtosis,
    IIDField,
    NotReducible,
    OffsetField,
    Var,
    Variance,
    evaluate,
    splat,
    warp,
    warp_gradient,
)

X, EPS, OTHER = IIDField("x"), OffsetField("normal"), OffsetField("normal", name="eta")
Y = warp(X, EPS)
pytestmark = pytest.mark.usefixtures("as_users_call")

CALLS = {
    "a field without an index": (lambda: E(Y), "^expression: expected .* such as y.0., got the field y without an"),
    "a sum of fields": (lambda: Var(Y + X), "^expression: .* got the field PointwiseField without an index"),
    "nothing": (lambda: E(None), "^expression: .* got None"),
    "a tuple": (lambda: E((Y[0], Y[1])), "^expression: expected an expression"),
    "second of two": (lambda: Cov(Y[0], "y"), "^second: expected an expression"),
    "third of three": (lambda: Cumulant(Y[0], Y[0], None), r"^expressions\[2\]: expected an expression"),
    "a condition by name": (lambda: E(Y[0], "eps"), "^given: expected an offset field or its fraction, got 'eps'"),
    "two conditions": (lambda: E(Y[0] | EPS | OTHER), "^given: expected one condition"),
    "a condition each": (lambda: Cov(Y[0] | EPS, Y[0] | OTHER), "^given: expected one condition"),
    "offsets by name": (lambda: warp(X, "normal"), "^offsets: expected an OffsetField, got 'normal'"),
    "no offsets": (lambda: splat(X, None), "^offsets: expected an OffsetField, got None"),
    "a slice": (lambda: Y[1:2], "^index: expected whole numbers"),
    "no index": (lambda: Y[None], "^index: expected whole numbers"),
    "a truth value": (lambda: Y[True], "^index: expected whole numbers"),
    "not a number": (lambda: Y[float("nan")], "^index: expected whole numbers"),
    "sympy's nan": (lambda: Y[sp.nan], "^index: expected whole numbers"),
    "infinity": (lambda: Y[sp.oo], "^index: expected whole numbers"),
    "an index by name": (lambda: Y["n"], "^index: expected whole numbers"),
    "negative deviation": (lambda: IIDField(deviation=-1), "^deviation: expected a standard deviation ≥ 0, got -1"),
    "imaginary deviation": (lambda: IIDField(deviation=sp.I), "^deviation: expected a real number"),
    "mean nan": (lambda: IIDField(mean=float("nan")), "^mean: expected a real number"),
    "mean by another name": (lambda: IIDField(mean="1/2/"), "^mean: expected a real number or a sympy expression, got"),
    "a random mean": (lambda: IIDField("z", mean=X[0]), "^mean: expected a real number"),
    "imaginary scale": (lambda: OffsetField(scale=sp.I), "^scale: expected a real number"),
    "a scale that is no text": (lambda: OffsetField(scale="1/2/"), "^scale: expected a real number"),
    "infinite location": (lambda: OffsetField(location=sp.oo), "^location: expected a real number"),
    "dim as a float": (lambda: OffsetField(dim=2.0), "^dim: expected 1, 2 or 3, got 2.0"),
    "correlation nan": (lambda: OffsetField(dim=2, correlation=float("nan")), "^correlation: expected a real number"),
    "correlation −1": (lambda: OffsetField(dim=2, correlation=-1), r"^correlation: expected a number in \(-1, 1\]"),
    "displacement nan": (lambda: EPS + float("nan"), "^displacement: expected a real number"),
    "derivative of a value": (lambda: Y[0].diff(EPS.symbols[0]), r"^expression: expected a field .* y.diff\(0\)\[n\]"),
    "derivative of a sum": (
        lambda: (Y + X).diff(),
        "^field: expected a warped field to differentiate, .*PointwiseField",
    ),
    "derivative of a splat": (lambda: splat(X, EPS).diff(), "^field: expected a warped field to differentiate"),
    "text to evaluate": (lambda: evaluate("x", {}), "^expression: expected a sympy expression"),
    "a statistic to evaluate": (lambda: evaluate(Variance(Y[0]), {}), r"^expression: .* \.doit\(\)\), got Variance"),
    "no spread": (
        lambda: evaluate(Var(warp(X, OffsetField("uniform"))[0]), {"sigma": 1, "a": 0}),
        "^values: expected a > 0, got 0.0",
    ),
    "negative spread": (
        lambda: evaluate(Var(splat(X, EPS)[0]), {"sigma": 1, "mu": 0, "s": -1}),
        "^values: expected s > 0, got -1.0",
    ),
    "a fraction of 1.3": (
        lambda: evaluate(Var(Y[0] | EPS.fraction), {"sigma": 1, "f": 1.3}),
        r"^values: expected f in \[0, 1\), got 1.3",
    ),
    "a value that is none": (
        lambda: evaluate(E(X[0]), {"mu": float("nan")}),
        "^values: expected a number for mu, got nan",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_bad_input_is_named(case):
    call, message = CALLS[case]
    with pytest.raises(ArgumentError, match=message):
        call()


REFUSED = {
    "two inputs of one name": (lambda: Cov(IIDField("x", mean=0)[0], X[0]), "two of its input fields have one name"),
    "the condition's other law": (lambda: E(Y[0] ** 2 | OffsetField("uniform")), "offset fields have one name"),
    "cumulants of two open laws": (
        lambda: E(IIDField("v", deviation=1)[0] ** 4 - IIDField("w", deviation=2)[0] ** 4),
        "deviations 1, 2 and cumulants of their own",
    ),
    "kurtosis of a constant": (lambda: ExcessKurtosis(IIDField(deviation=0)[0]).doit(), "the variance is zero"),
    "a side at a given offset": (
        lambda: Var(warp_gradient(X, EPS, knot="central")[0] | EPS.fraction),
        "a one-sided derivative needs the offset as a number",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_wrong_is_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(NotReducible, match=message):
        call()


def test_the_fraction_is_told_from_a_location_of_its_name():
    """E ρ at the constant offset 1.3 is ρ(0.3) = 0.58, whatever the location's symbol is called."""
    location = sp.Symbol("f", nonnegative=True)
    found = Var(warp(X, OffsetField("constant", location=location))[0])
    assert evaluate(found, {"f": 1.3, "sigma": 1.0}) == pytest.approx(0.58, abs=1e-12)


@pytest.mark.parametrize("name", ["m", "j", "sigma_2", "t", "lambda"])
def test_offsets_may_have_any_name(name):
    found = Var(warp(X, OffsetField("normal", name=name), "gauss(0.5)")[0])
    values = {"sigma": 1.0, "mu": 0.4, "s": 0.3}
    assert evaluate(found, values) == evaluate(Var(warp(X, EPS, "gauss(0.5)")[0]), values)


@pytest.mark.parametrize("law", ["normal", "uniform", "laplace", "mixture", "rademacher"])
def test_a_scale_of_zero_is_a_constant(law):
    """Every pixel stays where it is, and derivatives at the knot have their sides."""
    still = OffsetField(law, scale=0)
    assert Var(warp(X, still)[0]) == X.cumulant(2)
    assert Var(warp_gradient(X, still, knot="central")[0]) == X.cumulant(2) / 2
    assert Var(warp_gradient(X, still)[0]) == 2 * X.cumulant(2)
    assert Var(splat(X, still)[0]) == X.cumulant(2)


def test_a_splat_and_an_input_of_mean_zero():
    """E z[0] g[1] = σ² E k(ε + 1), whether or not the mean vanishes."""
    values = {"mu": 0.4, "s": 0.6}
    cases = [IIDField("g", mean=0, deviation=1), IIDField("g", deviation=1)]
    found = [evaluate(Cov(splat(g, EPS)[0], g[1]), values) for g in cases]
    cells = ((-2.0, -1.0), (-1.0, 0.0))
    exact = sum(integrate.quad(lambda u: (1 - abs(u + 1)) * stats.norm.pdf(u, scale=0.6), *cell)[0] for cell in cells)
    assert found[0] == pytest.approx(exact, abs=1e-10)


def test_cumulants_given_the_offsets():
    assert Cumulant(Y[0], Y[0] | EPS) == Cumulant(Y[0], Y[0], given=EPS) == Var(Y[0] | EPS)


def test_kernels_are_told_apart_in_print():
    """The linear kernel's functions have no index; others have the kernel's name."""
    steps = {step.name: step for step in (Variance(Y[0] - warp(X, EPS, "keys")[0])).derive().steps}
    assert "rho_keys(" in str(steps["Kernel functionals"].expression)
    assert r"\rho _{\text{keys}}" in steps["Kernel functionals"].latex()
    assert "k_keys(" in str(steps["Expand over taps"].expression)


@pytest.mark.parametrize("value", [10**400, sp.I, sp.zoo, sp.nan, sp.Symbol("q"), "1", None, True], ids=str)
def test_values_that_are_no_numbers(value):
    with pytest.raises(ArgumentError, match="^values: expected a number for s, got "):
        evaluate(2 * sp.Symbol("s"), {"s": value})


def test_values_that_are_numbers_of_sympy():
    assert evaluate(2 * sp.Symbol("s"), {"s": sp.pi / 4}) == math.pi / 2


@pytest.mark.parametrize("label", [[], {}, b"A4", None, 4], ids=str)
def test_labels_that_are_no_text(label):
    with pytest.raises(UnknownNameError, match="^result: expected one of A0, "):
        results.get(label)
