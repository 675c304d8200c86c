"""Wrong versions of closed forms: every term of every sum is dropped and flipped, alone, however deep it is."""

import math

import pytest
import sympy as sp

from warptheory import results
from warptheory.results import _planted
from warptheory.results._planted import PlantedError, plant
from warptheory.symbolic import evaluate

A, B, U = sp.symbols("a b u", real=True)
VALUES = {"a": 5.0, "b": 1.0}


def numbers(form, kind, most=100):
    planted = plant(form, VALUES, evaluate(form, VALUES), most)
    return sorted(error.value for error in planted.errors if error.kind == kind)


@pytest.mark.parametrize(
    ("form", "dropped", "flipped"),
    [
        (A, [], []),
        (2 * A / B, [], []),
        (A + B, [1, 5], [-4, 4]),
        (2 * A + 3 * B**2, [3, 10], [-7, 7]),
        (A * (A + B), [5, 25], [-20, 20]),
        ((A + B) ** 2, [1, 25], [16, 16]),
        ((A + 1) * (B + 2), [3, 6, 12, 15], [-12, -6, 6, 12]),
        (A + 10 * sp.cos(A + B) ** 2, None, None),
        (sp.sqrt(A - B) + sp.exp(A / (1 + B)), None, None),
        (sp.Integral((U + A) ** 2, (U, 0, B)), [1 / 3, 25], [61 / 3, 61 / 3]),
        (sp.Sum((U + 2) / U**4, (U, 1, sp.oo)), None, None),
    ],
    ids=str,
)
def test_every_term_of_every_sum_is_made_wrong(form, dropped, flipped):
    """By hand at a = 5, b = 1; where that is long, the number of terms."""
    counts = {"a + 10*cos(a + b)**2": 4, "sqrt(a - b) + exp(a/(b + 1))": 6, "Sum((u + 2)/u**4, (u, 1, oo))": 2}
    for kind, expected in (("term dropped", dropped), ("sign flipped", flipped)):
        found = numbers(form, kind)
        if expected is not None:
            assert found == pytest.approx(expected)
        else:
            planted = plant(form, VALUES, 1.0, 100)
            assert len(planted.errors) + planted.no_number == 1 + 2 * counts[str(form)]


def test_terms_below_a_square_root_and_an_exponential():
    """√(a − b) and exp(a/(1 + b)), each with a term missing, by Python's own functions."""
    expected = [2, math.exp(2.5), 2 + math.exp(5), 2 + math.exp(5), math.sqrt(5) + math.exp(2.5)]
    found = numbers(sp.sqrt(A - B) + sp.exp(A / (1 + B)), "term dropped")
    assert found == pytest.approx(sorted(expected))


@pytest.mark.parametrize(
    ("form", "no_number"),
    [
        (sp.sqrt(A - B), 2),  # √−b without a, √(−a − b)
        (1 / (A - 5 * B + 1), 1),  # 1/(a − 5b) is 1/0
        (sp.log(A - B), 2),
        (A / (B + 1), 2),  # 1/(1 − b), 1/(b − 1)
        (A / (B + 2), 0),
    ],
    ids=str,
)
def test_versions_without_a_number_are_counted_and_not_planted(form, no_number):
    planted = plant(form, VALUES, evaluate(form, VALUES), 100)
    assert planted.no_number == no_number
    assert all(math.isfinite(error.value) for error in planted.errors)


def test_the_sign_of_the_whole_is_a_kind_of_its_own():
    assert plant(2 * A, VALUES, 10.0, 100).errors == (PlantedError("whole flipped", "", -10.0),)


@pytest.mark.parametrize("most", [1, 3, 10, 11])
def test_of_many_terms_some_are_tried_spread_over_the_formula(most):
    total = sp.Add(*(sp.Symbol(f"a_{n}") for n in range(10)))
    planted = plant(total, {f"a_{n}": 1.0 for n in range(10)}, 10.0, most)
    tried = min(most, 10)
    terms = {error.term for error in planted.errors} - {""}
    assert len(terms) == tried
    assert planted.not_tried == 2 * (10 - tried)
    assert total.args[0] in map(sp.Symbol, terms)


@pytest.mark.parametrize(
    ("label", "quantity"), [("D3", "order between two grids, Matérn 5/2"), ("A11", None), ("B3", None)]
)
def test_weights_of_terms_say_what_formulas_say_that_are_written_out(monkeypatch, label, quantity):
    """Of formulas with nodes, sums and averages; the wrong versions are evaluated as one, and each on its own."""
    form, values = results.get(label).closed_form(quantity)
    theory = evaluate(form, values)
    together = plant(form, values, theory, 12)
    monkeypatch.setattr(_planted._Weighted, "number", lambda *_: None)
    alone = plant(form, values, theory, 12)
    assert len(together.errors) > 4
    assert [(e.kind, e.term) for e in together.errors] == [(e.kind, e.term) for e in alone.errors]
    assert [e.value for e in together.errors] == pytest.approx([e.value for e in alone.errors], rel=1e-9)


def test_a_term_that_is_infinite_is_written_out_once_it_is_dropped():
    """0 times infinity is no number; without the term there is one."""
    planted = plant(1 / (A + sp.exp(1000 * B)), VALUES, 0.0, 100)
    assert sorted(error.value for error in planted.errors if error.kind == "term dropped") == pytest.approx([0.0, 0.2])
