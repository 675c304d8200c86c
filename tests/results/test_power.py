"""Planted errors: what is planted, and that every one of them is refused."""

from dataclasses import replace

import pytest
import sympy as sp

from warptheory import montecarlo, results
from warptheory.results import _power
from warptheory.results._claims import ClaimPlan, cases_of
from warptheory.results._power import PlantedError, PowerCase
from warptheory.symbolic import evaluate

TABLE_OF = {
    "A4": {"kernel": "linear", "dim": 1, "offsets": "normal"},
    "A6": {"kernel": "linear", "dim": 1},
    "B1": {"dim": 1},
    "B6": {"dim": 1},
    "C2": {"dim": 1},
}


def case_of(label, **choices):
    names = ("kernel", "dim", "offsets", "inputs")
    cases = cases_of([results.get(label)], tuple(choices.get(name) for name in names), ClaimPlan(0, 0, "cpu", 1.0))
    return PowerCase(cases[0])


def test_errors_below_the_smallest_effect_are_left_out():
    """They are counted; the scaled ones are always there, and differ by the effect."""
    case = case_of("A4", kernel="linear", dim=1, offsets="normal")
    known = case.case.prepare()
    theory, effect = known.theory, case.case.claim(known).absolute_effect
    planted = [0.5 * effect, -0.999 * effect, effect * 1.001, -3 * effect]
    errors = tuple(PlantedError("term dropped", str(number), theory + number) for number in planted)
    trial = case.trial((known, _power.Planted(theory, errors, no_number=5, not_tried=4)))
    assert [error.kind for error in trial.errors] == ["scaled", "scaled", "term dropped", "term dropped"]
    assert [error.value - theory for error in trial.errors[:2]] == pytest.approx([effect, -effect])
    assert [error.value - theory for error in trial.errors[2:]] == pytest.approx([1.001 * effect, -3 * effect])
    assert (trial.no_effect, trial.no_number, trial.not_tried) == (2, 5, 4)
    assert trial.twice


@pytest.mark.parametrize("label", TABLE_OF)
def test_every_planted_error_is_refused(label):
    table = results.power([results.get(label)], seed=2, **TABLE_OF[label])
    assert len(table) >= 3
    assert list(table["reason"].unique()) == [""]
    assert table["refused"].all()
    assert {"scaled", "whole flipped", "term dropped", "sign flipped"} <= set(table["error"])
    distance = (table["planted"] - table["theory"]).abs()
    assert (distance >= table["effect"] * (1 - 1e-12)).all()
    scaled = table[table["error"] == "scaled"]
    assert (scaled.groupby("quantity").size() % 2 == 0).all()
    assert sorted((scaled["planted"] > scaled["theory"]).value_counts()) == [len(scaled) // 2] * 2
    # The truth would have been verified: both estimates agree with it.
    for number in (1, 2):
        within = (table[f"value_{number}"] - table["theory"]).abs()
        assert (within <= 5.5 * table[f"stderr_{number}"] + 0.01 * table["effect"]).all()
    assert (table["value_1"] != table["value_2"]).any() or (table["stderr_1"] == 0).all()


def test_plain_runs_refuse_them_too():
    table = results.power([results.get("A4")], seed=2, plain=True, **TABLE_OF["A4"])
    assert table["refused"].all()


def test_planted_numbers_are_those_of_the_closed_form():
    """Dropped and flipped terms of A4, evaluated one by one, and as the whole less one or two of it."""
    case = case_of("A4", kernel="linear", dim=1, offsets="uniform")
    _, planted = case.prepare()
    form, values = results.get("A4").closed_form(kernel="linear", dim=1, offsets="uniform")
    assert planted.theory == pytest.approx(evaluate(form, values), rel=1e-14)
    (total,) = form.atoms(sp.Add)
    rest = form / total
    terms = {str(term): evaluate(rest * term, values) for term in total.args}
    for kind, times in (("term dropped", 1), ("sign flipped", 2)):
        found = {error.term: error.value for error in planted.errors if error.kind == kind}
        assert found == pytest.approx(
            {term: planted.theory - times * value for term, value in terms.items()}, abs=1e-12
        )


def test_a_simulation_that_fails_refuses_nothing(monkeypatch):
    """One row for the claim, with the reason, and the others' rows as ever."""
    case = case_of("A4", kernel="linear", dim=1, offsets="normal")
    outcome = montecarlo.Outcome(0, None, "chunk 0 of seed 0: MemoryError")
    (row,) = _power._rows(case, outcome)
    assert row["refused"] is False
    assert row["reason"] == "chunk 0 of seed 0: MemoryError"
    assert (row["result"], row["quantity"], row["kernel"]) == ("A4", "variance", "linear")

    def fail(self, generator, rows, values, device="cpu"):
        raise MemoryError("no room")

    monkeypatch.setattr(montecarlo.ConditionalSimulation, "sample", fail)
    monkeypatch.setattr(montecarlo.Simulation, "sample", fail)
    table = results.power([results.get("A4")], **TABLE_OF["A4"])
    assert not table["refused"].any()
    assert table["reason"].str.contains("no room").all()


def test_a_power_case_names_its_claim():
    case = case_of("A4", kernel="linear", dim=1, offsets="normal")
    assert case.name == "A4 variance"
    assert replace(case.case, result="A4") == case.case
