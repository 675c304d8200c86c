from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sympy as sp

from warptheory import montecarlo, results
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.kernels import FRACTION
from warptheory.montecarlo import Execution
from warptheory.results._run import for_jobs
from warptheory.results._symbols import check_symbol, kinds_of
from warptheory.symbolic import evaluate


def test_labels_and_patterns():
    last = {"A": 12, "B": 8, "C": 6, "D": 10, "E": 5, "F": 10, "G": 6, "K": 7}
    expected = ["A0", *(f"{section}{n}" for section, most in last.items() for n in range(1, most + 1))]
    expected.insert(expected.index("B8") + 1, "B13")
    assert results.labels() == expected
    assert [result.label for result in results.match(["A[12]", "A7"])] == ["A1", "A2", "A7"]


def test_a_result_can_be_verified_as_it_is():
    """`verify(results.get("A3"))` judges its first quantity in its default setting."""
    assert montecarlo.verify(results.get("A3")).verdict == "verified"


def test_a_dropped_series_is_refuted():
    """A4 with only its constant term, the limit of wide offsets, is wrong at s = 0.3."""
    claim = results.get("A4").claim(s=0.3)
    limit = 2 / 3 * claim.values["sigma"] ** 2
    wrong = montecarlo.Claim(claim.label, limit, claim.experiment, claim.values)
    assert montecarlo.verify(wrong).verdict == "refuted"
    assert results.get("A4").expression.has(sp.Sum)


def test_evaluate_takes_choices_and_values():
    a4 = results.get("A4")
    assert a4.evaluate(s=10.0, sigma=1.0, standard=True) == pytest.approx(2 / 3, abs=1e-12)
    assert a4.evaluate(s=10.0, sigma=1.0, dim=3, standard=True) == pytest.approx((2 / 3) ** 3, abs=1e-12)
    assert a4.evaluate(offsets="constant", c=2.5, sigma=1.0, standard=True) == 0.5
    assert results.get("A7").evaluate("covariance given f", f=0.5, standard=True) == 0


def test_quantities_that_others_stand_for_name_quantities_that_are_checked():
    found = [(result, quantity) for result in results.match(["*"]) for quantity in result.quantities]
    for result, quantity in found:
        assert bool(quantity.checked_by) != bool(list(result.settings(quantity.name)))
        assert all(list(result.settings(name)) for name in quantity.checked_by)
    assert any(quantity.checked_by for _, quantity in found)


def test_kernels_that_a_statement_names_are_checked():
    named = {
        ("B4", "share of dead inputs, wide offsets, nearest"): {"nearest"},
        ("A7", "covariance given f"): {"linear", "keys"},
        ("A10", "variance of the jump, smooth kernels"): {"keys", "bspline3"},
        ("A11", "curvature"): {"linear", "keys"},
        ("A11", "curvature by automatic differentiation"): {"linear", "keys"},
        ("B3", "variance, correlated gradients"): {"linear", "keys"},
    }
    for (label, quantity), kernels in named.items():
        assert {setting.kernel for setting in results.get(label).settings(quantity)} == kernels


def test_smooth_kernels_have_no_jump():
    """The Gaussian's is zero to rounding of its normalised taps; the linear kernel's is 6σ²."""
    for kernel in ("keys", "bspline3", "gauss(0.5)"):
        assert abs(results.get("A10").evaluate("variance of the jump", kernel=kernel, standard=True)) < 1e-14
    assert results.get("A10").evaluate("variance of the jump", sigma=1.0, standard=True) == 6


def test_curvature_against_the_second_difference():
    """2 − 3Δ for the linear kernel; for keys both ways of differentiating agree, and the difference is of order s²."""
    a11 = results.get("A11")
    names = ("curvature", "curvature by automatic differentiation", "curvature at a finite step")
    linear = a11.derive("curvature").result
    exact, automatic, finite = (a11.derive(name, kernel="keys").result for name in names)

    def value(expression, displacement, step=0.04):
        return evaluate(expression, {"sigma": 1.0, "Delta": displacement, "step": step})

    for displacement in (0.1, 0.5, 0.9):
        assert value(linear, displacement) == pytest.approx(2 - 3 * displacement, rel=1e-13)
        truth = value(exact, displacement)
        assert value(automatic, displacement) == pytest.approx(truth, rel=1e-12)
        coarse, fine = (value(finite, displacement, step) - truth for step in (0.04, 0.02))
        assert coarse / fine == pytest.approx(4, rel=0.02)
    # The step of the experiment, at its own displacement, is within a tenth of the smallest effect.
    at = results.DEFAULT_VALUES["Delta"]
    step = a11.get("curvature").standard(a11.setting(kernel="keys"))["step"]
    assert abs(value(finite, at, step) / value(exact, at) - 1) < 0.1 * a11.get("curvature").smallest_effect


def test_what_automatic_differentiation_returns_is_refuted_as_the_curvature():
    a11 = results.get("A11")
    claim = a11.claim("curvature")
    wrong = a11.evaluate("curvature by automatic differentiation", standard=True)
    assert montecarlo.verify(replace(claim, theory=wrong)).verdict == "refuted"


def test_several_processes_give_the_same_table():
    """Every claim has random streams of its own, so that it does not matter who computes it, or when."""
    alone, shared = (
        results.check(results.match(["A1"]), kernel="linear", dim=1, workers=workers) for workers in (1, 2)
    )
    pd.testing.assert_frame_equal(alone, shared, check_exact=True)
    assert len(alone) >= 3


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: results.get("A99"), "^result: expected one of A0, .*, got 'A99'"),
        (lambda: results.match(["Z*"]), r"^result: expected one of A0, .*, got 'Z\*'"),
        (
            lambda: results.get("A4").evaluate("kurtosis", standard=True),
            "^quantity: expected one of variance, got 'kurtosis'$",
        ),
        (
            lambda: results.get("A4").evaluate(s=0.3),
            r"^values: expected numbers for sigma, or evaluate\(..., standard=True\) for the standard values, got s",
        ),
        (lambda: results.get("A4").evaluate(), "^values: expected numbers for s, sigma, or evaluate"),
        (lambda: results.get("A4").evaluate(s=0.3, standard="yes"), "^standard: expected True or False, got 'yes'"),
        (lambda: results.get("A4").evaluate(spread=1.0, standard=True), "^values: expected one of .*, got 'spread'"),
        (lambda: results.get("A4").evaluate(kernel="cubic", standard=True), "^kernel: expected one of bspline3, gauss"),
        (lambda: results.get("A4").evaluate(offsets="cauchy", standard=True), "^offsets: expected one of"),
        (lambda: results.get("A4").evaluate(inputs="cauchy", standard=True), "^inputs: expected one of"),
        (lambda: results.get("A4").derive(dim=5), "^dim: expected 1, 2 or 3, got 5$"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        call()


def test_check_returns_one_row_per_claim():
    shares = []
    table = results.check(results.match(["A7"]), dim=1, seed=3, on_progress=lambda done: shares.append(done.share))
    standard = table[table["point"] == 0]
    assert list(standard["quantity"]) == ["variance"] * 3 + ["variance given f"] * 2 + ["covariance given f"] * 2
    assert list(standard["kernel"]) == ["linear", "keys", "gauss(0.5)", "linear", "keys", "linear", "keys"]
    assert list(table[table["point"] > 0]["kernel"]) == ["linear", "keys"] * 3
    assert set(table["drawn"]) == {"offsets", "everything"}
    assert (table[table["point"] > 0]["drawn"] == "everything").all()
    assert (table["verdict"] == "verified").all()
    assert (table["seed"] == 3).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"chosen": [4]}, "^result: expected one of A0, .*, got 4"),
        ({"profile": "full"}, "^profile: expected a Profile, such as .*, got 'full'"),
        ({"workers": 1.5}, "^workers: expected a positive integer"),
        ({"seed": 1.5}, "^seed: expected an integer ≥ 0"),
    ],
    ids=["labels", "profile", "workers", "seed"],
)
@pytest.mark.parametrize("run", [results.check, results.power])
def test_bad_arguments_of_a_run(run, asked, message):
    with pytest.raises(ArgumentError, match=message):
        run(**{"chosen": results.match(["A3"]), **asked})


@pytest.mark.usefixtures("as_users_call")
def test_seeds_of_numpy_are_seeds(tmp_path):
    table = results.check(results.match(["A1"]), kernel="linear", dim=1, seed=np.int64(3), out=tmp_path)
    assert set(table["seed"]) == {3}


def test_a_claim_that_cannot_be_made_is_named():
    """The error kernel has no sum on three axes; what would have been judged is known all the same."""
    table = results.check(results.match(["D4"]), dim=3, seed=5)
    assert (table["reason"] != "").all()
    assert table["label"][0] == "D4 mean error, linear, d=3, normal input"
    assert set(table["seed"]) == {5}
    assert set(table["z"]) == {montecarlo.allowed_deviation(len(table))}


@pytest.mark.parametrize(("workers", "jobs", "expected"), [(None, 11, 1), (None, 12, None), (2, 1, 2), (1, 50, 1)])
def test_workers_that_are_asked_for_are_taken(workers, jobs, expected):
    """Only where nobody asked, few claims are left to one process."""
    assert for_jobs(Execution(workers), jobs).workers == expected
    assert for_jobs(Execution(workers, "threads"), jobs).workers == workers


@pytest.mark.usefixtures("as_users_call")
def test_what_a_symbol_stands_for():
    form = sp.Symbol("L", integer=True, positive=True) * FRACTION + sp.Symbol("t", real=True)
    kinds = kinds_of(form, {"mu", "s"}, results.DEFAULT_VALUES)
    assert kinds == {"L": "positive integer", FRACTION.name: "fraction", "t": "real", "mu": "real", "s": "positive"}
    for kind, value in (("fraction", 1.0), ("positive", 0.0), ("integer", 0.5), ("nonnegative", -1), ("real", "x")):
        with pytest.raises(ArgumentError, match="^q: expected a"):
            check_symbol("q", value, kind)
    assert check_symbol("q", np.int64(2), "positive integer") == 2.0
