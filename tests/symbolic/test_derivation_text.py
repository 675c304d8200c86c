"""Derivations as text: linear forms say what the expression says, and lines keep within the width."""

import pytest
import sympy as sp

from warptheory import results
from warptheory.core.layout import NO_BREAK
from warptheory.symbolic.derivation_text import derivation_text, formula_text, linear, written

x, y, sigma, n = sp.symbols("x y sigma n")
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def as_python(text):
    """Return a linear form as Python writes it."""
    found, is_raised = "", False
    for character in text.replace("√", "sqrt").replace("σ", "sigma").replace("π", "pi"):
        raised = character in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
        found += ")" * (is_raised and not raised) + "**(" * (raised and not is_raised)
        found += character.translate(SUPERSCRIPTS) if raised else character
        is_raised = raised
    return (found + ")" * is_raised).replace("·", "*").replace("^", "**")


@pytest.mark.parametrize(
    "expression",
    [
        sigma**2 * (sp.Rational(2, 3) - x / 4),
        (x + 1) ** 3 / (y - 2) ** 2,
        x ** sp.Rational(3, 2) - 1 / x,
        sp.sqrt(x + y) * sp.pi**2,
        sp.sqrt(x) / sp.sqrt(2),
        2**x * x ** (-y),
        -((x**2) ** y) + x**10,
        (x * y) ** 2 - x * y**2,
        sp.exp(-(x**2) / 2) + sp.cos(x) ** 2,
    ],
)
def test_a_linear_form_is_the_same_expression(expression):
    """Read back by SymPy."""
    names = {"x": x, "y": y, "sigma": sigma}
    read = sp.sympify(as_python(linear(expression)).replace("sqrtx", "sqrt(x)").replace("sqrt2", "sqrt(2)"), names)
    assert sp.simplify(read - expression) == 0


def test_sums_integrals_and_cases():
    j = sp.Symbol("j", integer=True)
    assert linear(sp.Sum(x**j, (j, 1, sp.oo))).replace(NO_BREAK, " ") == "Σ(x^j, j = 1 … ∞)"
    assert linear(sp.Integral(x**2, (x, 0, y))).replace(NO_BREAK, " ") == "∫(x², x = 0 … y)"
    assert linear(sp.Integral(x**2, x)) == "∫(x², x)"
    assert linear(sp.Piecewise((x, x >= 1), (0, True))) == "{x if x ≥ 1; 0}"
    assert linear(sp.Abs(x)) == "|x|"
    assert linear(sp.Function("rho")(sp.Symbol("epsilon_1"))) == "ρ(ε₁)"


def test_both_forms():
    form = formula_text(sigma**2 / 3)
    assert (form.lines, form.baseline, form.linear) == ((" 2", "σ", "──", "3"), 2, "σ²/3")


CASES = [
    ("A4", None, {}),
    ("B2", "excess kurtosis, wide offsets", {"dim": 2}),
    ("A7", "covariance given f", {"dim": 2}),
]


@pytest.mark.parametrize(("label", "quantity", "setting"), CASES, ids=lambda value: str(value))
@pytest.mark.parametrize("width", [60, 80, 132])
def test_lines_keep_within_the_width(label, quantity, setting, width):
    derivation = results.get(label).derive(quantity, **setting)
    text = derivation_text(derivation, width)
    assert max(map(len, text.splitlines())) <= width
    closed = derivation_text(derivation, width, steps=False)
    assert text.startswith(f"{closed}\n\n1. ")
    assert f"{written(derivation).left} =" in " ".join(closed.split())
    assert all(f"\n{number}. {step.name}: " in text for number, step in enumerate(derivation.steps, 1))


@pytest.mark.parametrize(
    ("label", "quantity", "left"),
    [
        ("A7", "covariance given f", "Cov[y[n], ∂₁y[n] | f]"),
        ("A9", "variance after two layers", "Var[y₂[n]]"),
        ("B8", "second moment after two layers", "E[z₂[n]²]"),
    ],
)
def test_the_left_side_has_indices_and_powers(label, quantity, left):
    assert written(results.get(label).derive(quantity)).left == left


def test_a_long_left_side_is_broken_too():
    text = derivation_text(results.get("A11").derive("curvature"), 60)
    assert max(map(len, text.splitlines())) <= 60


def test_the_longest_derivation_is_readable():
    text = derivation_text(results.get("B2").derive("excess kurtosis, wide offsets", dim=2))
    assert text.startswith("    lim (a → ∞) of excess kurtosis of z[n] = 243/100 = 2.43\n\n1. ")
    assert text.count("\n") < 80


def test_printing_is_that_of_80_columns():
    derivation = results.get("A3").derive()
    assert str(derivation) == derivation_text(derivation, 80)
