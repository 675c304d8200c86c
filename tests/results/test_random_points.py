"""Verdicts that stand on their own: everything drawn, away from the standard values, and in a second setting."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

from warptheory import kernels, montecarlo, results, symbolic
from warptheory.core.errors import ArgumentError
from warptheory.fields import IID, SquaredExponential
from warptheory.results._claims import ClaimPlan, cases_of
from warptheory.results._experiment import forget_derivations
from warptheory.results._planted import plant_exponents
from warptheory.results._quantity import forget_closed_forms
from warptheory.results._ranges import Range, limit, random_point, whole
from warptheory.symbolic import evaluate
from warptheory.symbolic.nodes import _tap_sum

EVERY = results.match(["*"])
PLAN = ClaimPlan(0, 0, "cpu", 1.0)
CASES = cases_of(EVERY, (None,) * 4, PLAN)


def test_every_quantity_is_checked_with_everything_drawn_in_every_run():
    """At two points that follow from the seed, for errors that are no coarser than said."""
    for result in EVERY:
        for quantity in result.quantities:
            found = [case for case in CASES if (case.result, case.quantity) == (result.label, quantity.name)]
            assert [case.point for case in found if case.point] == ([] if quantity.checked_by else [1, 2])
            assert all(case.plain for case in found if case.point)
    narrowed = cases_of([results.get("A4")], ("keys", 2, "laplace", "uniform"), PLAN)
    assert [case.point for case in narrowed] == [0, 1, 2]
    assert {case.setting for case in narrowed} == {results.Setting("keys", 2, "laplace", "uniform")}


def test_the_second_point_is_in_another_setting_where_there_is_one():
    for case in CASES:
        if case.point == 2:
            result = results.get(case.result)
            claimed = list(result.settings(case.quantity))
            quantity = result.get(case.quantity)
            several = len(claimed) > 1 or len(quantity.kernels or result.kernels) > 1
            assert (case.setting != claimed[0]) == several, case.name


def test_points_follow_from_the_seed_and_lie_apart():
    ranges = {"s": Range(0.3, 0.1, 1.0, "log"), "L": whole(3, 1, 4), "a": limit(1280.0), "Delta": Range(0.3, 0.0, 1.0)}

    def point(seed, number):
        return random_point(ranges, seed, "label", number, lambda values: None)

    assert point(1, 1) == point(1, 1) != point(2, 1)
    for seed in range(50):
        first, second = point(seed, 1), point(seed, 2)
        assert abs(first["Delta"] - second["Delta"]) == pytest.approx(0.5)
        assert abs(np.log10(first["s"] / second["s"])) == pytest.approx(0.5)
        assert first["L"] in (1, 2, 3, 4)
        assert first["a"] == 1280.0
    drawn = [point(seed, 1)["Delta"] for seed in range(400)]
    assert np.mean(drawn) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 400))


def test_points_at_which_a_quantity_is_not_checked_are_drawn_again():
    def check(values):
        if values["x"] > 0.2:
            raise ArgumentError("x", expected="at most 0.2", received=values["x"])

    for seed in range(20):
        assert random_point({"x": Range(0.1, 0.0, 1.0)}, seed, "label", 1, check)["x"] <= 0.2
    with pytest.raises(ArgumentError, match=r"^values: expected a range of label .*got x: expected at most 0.2"):
        random_point({"x": Range(0.1, 0.5, 1.0)}, 0, "label", 1, check)


def test_a_range_is_its_standard_value():
    value = Range(0.3, 0.1, 1.0, "log")
    assert value == 0.3
    assert f"{value} {value:g} {value!r}" == "0.3 0.3 0.3"
    for twin in (copy.copy(value), pickle.loads(pickle.dumps(value))):
        assert (twin, twin.low, twin.high, twin.scale, twin.step) == (0.3, 0.1, 1.0, "log", 0.0)
    assert [whole(2, 1, 3).at(share) for share in (0.0, 0.34, 0.99)] == [1, 2, 3]
    assert value.at(0.5) == pytest.approx(10**-0.5)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Range(1.0, 2.0, 1.0), "^low: expected a finite number up to high"),
        (lambda: Range(1.0, 0.0, np.inf), "^low: expected a finite number up to high"),
        (lambda: Range(1.0, 0.0, 1.0, "log"), "^low: expected a number > 0 for a logarithm"),
        (lambda: Range(1.0, 0.0, 1.0, "square"), "^scale: expected linear or log"),
        (lambda: Range(1.0, 0.5, 1.0, "log", 0.1), "^step: expected a number > 0, of a linear range"),
    ],
)
def test_bad_ranges(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.fixture
def planted(monkeypatch):
    """Return what plants an error in the library; nothing that is derived meanwhile is kept."""
    yield monkeypatch
    forget_closed_forms()
    forget_derivations()


def verdicts(label, **choices):
    return results.check([results.get(label)], workers=1, **choices)


def test_a_wrong_fourth_cumulant_is_refused(planted):
    """With offsets alone drawn it is in theory and simulation alike, and A5 seems right."""
    right = IID.cumulant
    planted.setattr(IID, "cumulant", lambda law, order: right(law, order) * (0.6 if order == 4 else 1.0))
    found = verdicts("A5", kernel="linear", dim=1).set_index(["quantity", "point"])
    wrong = found.loc["excess kurtosis, any input"]
    assert wrong.loc[0, "drawn"] == "offsets"
    assert list(wrong.loc[[1, 2], "verdict"]) == ["refuted"] * 2
    itself = verdicts("A0", inputs="exponential").set_index(["quantity", "point"])
    assert list(itself.loc["fourth cumulant", "verdict"]) == ["refuted"] * 3
    assert list(itself.loc["third cumulant", "verdict"]) == ["verified"] * 3


@pytest.mark.parametrize("label", [pytest.param("A3", marks=pytest.mark.slow), "A7", "B1"])
def test_a_wrong_functional_of_a_kernel_is_refused(label, planted):
    """The theory takes sums over the taps of Keys' kernel for those of the linear one; the operator interpolates."""
    kind, right = type(kernels.get("linear")), type(kernels.get("linear")).tap_sum
    planted.setattr(kind, "tap_sum", lambda kernel, orders: right(kernels.get("keys"), orders))
    _tap_sum.cache_clear()
    try:
        found = verdicts(label, kernel="linear", dim=1)
    finally:
        _tap_sum.cache_clear()
    assert "refuted" in set(found[found["point"] == 0]["verdict"])
    assert set(found[found["point"] > 0]["verdict"]) == {"refuted"}


def test_a_wrong_spectrum_is_refused(planted):
    """D4 integrates the spectral density, and draws fields of the covariance."""
    right = SquaredExponential.spectral_density
    planted.setattr(SquaredExponential, "spectral_density", lambda self, k: right(self, sp.Rational(21, 20) * k))
    found = verdicts("D4", kernel="linear", dim=1)
    assert set(found[found["quantity"] == "mean error"]["verdict"]) == {"refuted"}


def test_a_formula_that_is_right_at_the_standard_values_alone_is_refuted(monkeypatch):
    """The gain with 0.3·s in place of s²."""
    right = symbolic.evaluate
    a4 = results.get("A4")

    def wrong(form, values):
        if not form.has(sp.Sum):  # the spread itself, which the simulation asks for
            return right(form, values)
        (spread,) = (symbol for symbol in form.free_symbols if symbol.name == "s")
        return right(form.replace(spread**2, sp.Rational(3, 10) * spread), values)

    assert wrong(a4.expression, a4.place().values) == pytest.approx(right(a4.expression, a4.place().values), rel=1e-12)
    monkeypatch.setattr(symbolic, "evaluate", wrong)
    for seed in range(4):
        found = verdicts("A4", kernel="linear", dim=1, offsets="normal", seed=seed).set_index("point")
        assert found.loc[0, "verdict"] == "verified"
        assert "refuted" in set(found.loc[[1, 2], "verdict"])


def test_wrong_exponents_cannot_be_seen_at_the_standard_values():
    s, sigma = sp.Symbol("s", positive=True), sp.Symbol("sigma", positive=True)
    form = sigma**2 * (sp.exp(-(s**2)) + s / 3)
    standard = {"s": 0.3, "sigma": 1.3}
    there = {"s": 0.5, "sigma": 2.0}
    number = evaluate(form, there)
    planted = plant_exponents(form, there, standard, number, 8)
    assert sorted(error.term for error in planted.errors) == ["s", "s", "s**2", "sigma", "sigma**2"]
    everywhere = {error.term: error.value for error in reversed(planted.errors)}
    assert everywhere["s"] == evaluate(form, {**there, "s": 0.25 / 0.3})
    found = {error.term: error.value for error in planted.errors}
    assert found["s**2"] == pytest.approx(4 * (np.exp(-0.15) + 0.5 / 3))
    assert found["s"] == pytest.approx(4 * (np.exp(-0.25) + 0.25 / 0.3 / 3))
    assert found["sigma**2"] == pytest.approx(1.3 * 2 * (np.exp(-0.25) + 0.5 / 3))
    assert plant_exponents(form, standard, standard, evaluate(form, standard), 8).errors == ()


def test_wrong_exponents_are_refused():
    table = results.power([results.get("A7")], kernel="linear", dim=1, workers=1)
    wrong = table[table["error"] == "wrong exponent"]
    assert {"sigma**2", "sigma", "f"} <= set(wrong["term"])
    assert wrong["refused"].all()
    assert set(wrong["point"]) == {1, 2}


def test_replay_of_a_random_point():
    table = results.replay([results.get("A3")], 0, kernel="linear", dim=1)
    assert table["label"].str.contains("random point 1").any()
    assert (table["failure"] == "").all()


def test_a_claim_knows_its_effect():
    """Five times that of the quantity, a tenth at most."""
    for case in (case for case in CASES if case.name in ("A4 variance", "B6 backward gain, small slopes")):
        own = results.get(case.result).get(case.quantity).smallest_effect
        expected = min(5 * own, 0.1) if case.point else own
        assert replace(case, plan=PLAN).claim().smallest_effect == pytest.approx(expected)
        assert montecarlo.Claim is type(case.claim())
