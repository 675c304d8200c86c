"""Texts and formulas at a width: words stay whole, and the linear form is taken where lines do not fit."""

from dataclasses import asdict

import pytest

from warptheory.core.layout import NO_BREAK, DerivationText, FormulaText, StepText, wrapped

FRACTION = FormulaText(
    ("    2", "2⋅σ", "────", " 3"),
    2,
    f"2·σ²/3 + Σ(k(ε - m₁)·k(ε - m₂), m₁{NO_BREAK}={NO_BREAK}-∞{NO_BREAK}…{NO_BREAK}∞)",
)


def test_words_are_not_broken():
    text = wrapped("one two incomprehensibilities three", 12, "- ")
    assert text.splitlines() == ["- one two", "  incomprehensibilities", "  three"]
    assert wrapped(f"d{NO_BREAK}={NO_BREAK}1 and more", 6).splitlines() == ["d = 1", "and", "more"]


def test_lines_stand_on_the_baseline():
    assert FRACTION.laid_out(40, "Var y = ").splitlines() == [
        "                2",
        "            2⋅σ",
        "    Var y = ────",
        "             3",
    ]


def test_what_does_not_fit_beside_its_left_side_stands_below():
    assert FRACTION.laid_out(16, "Var y = ").splitlines()[:2] == ["    Var y =", ""]


def test_the_linear_form_is_broken_before_signs_and_never_within_limits():
    lines = FormulaText(("x" * 90,), 0, FRACTION.linear).laid_out(30, "y = ").splitlines()
    assert lines == ["    y = 2·σ²/3 + Σ(k(ε - m₁)·", "        k(ε - m₂),", "        m₁ = -∞ … ∞)"]
    assert all(NO_BREAK not in line and len(line) <= 30 for line in lines)


def test_a_short_form_with_superscripts_is_one_line():
    square = FormulaText(("   2", "2⋅σ"), 1, "2·σ²")
    assert square.laid_out(40, "Var y = ") == "    Var y = 2·σ²"


@pytest.fixture
def derivation():
    steps = [StepText("Moments", "by definition", FRACTION), StepText("Average", "over everything " * 9, FRACTION)]
    return DerivationText("Var y", tuple(steps))


def test_the_closed_form_comes_first(derivation):
    text = derivation.laid_out(60)
    assert text.index("Var y = ────") < text.index("1. Moments") < text.index("2. Average") < text.index("= ────", 60)
    assert max(map(len, text.splitlines())) <= 60
    assert "Moments" not in derivation.laid_out(60, steps=False)


def test_it_comes_back_from_a_mapping(derivation):
    assert DerivationText.of(asdict(derivation)) == derivation
