import pandas as pd
import pytest

from warptheory import montecarlo, results
from warptheory.core.errors import ArgumentError, UnknownNameError


def test_labels_and_patterns():
    assert results.labels() == [f"A{n}" for n in range(1, 13)] + [f"B{n}" for n in range(1, 9)]
    assert [result.label for result in results.match(["A[12]", "A7"])] == ["A1", "A2", "A7"]


def test_a_result_can_be_verified_as_it_is():
    """`verify(results.get("A3"))` judges its first quantity in its default setting."""
    assert montecarlo.verify(results.get("A3")).verdict == "verified"


def test_a_dropped_series_is_refuted():
    """A4 with only its constant term, the limit of wide offsets, is wrong at s = 0.3."""
    import sympy as sp

    claim = results.get("A4").claim(s=0.3)
    limit = 2 / 3 * claim.values["sigma"] ** 2
    wrong = montecarlo.Claim(claim.label, limit, claim.experiment, claim.values)
    assert montecarlo.verify(wrong).verdict == "refuted"
    assert results.get("A4").expression.has(sp.Sum)


def test_evaluate_takes_choices_and_values():
    a4 = results.get("A4")
    assert a4.evaluate(s=10.0, sigma=1.0) == pytest.approx(2 / 3, abs=1e-12)
    assert a4.evaluate(s=10.0, sigma=1.0, dim=3) == pytest.approx((2 / 3) ** 3, abs=1e-12)
    assert a4.evaluate(offsets="constant", c=2.5, sigma=1.0) == 0.5
    assert results.get("A7").evaluate("covariance given f", f=0.5) == 0


def test_several_processes_give_the_same_table():
    """Every claim has random streams of its own, so that it does not matter who computes it, or when."""
    chosen = results.match(["A2", "A3", "A4"])
    tables = [results.check(chosen, kernel="linear", dim=1, workers=workers) for workers in (1, 2)]
    # Fewer than a dozen claims are not shared out; these are enough.
    many = [
        results.check(results.match(["A1", "A4", "A5", "B1"]), kernel="linear", workers=workers) for workers in (1, 2)
    ]
    for alone, shared in (tables, many):
        pd.testing.assert_frame_equal(alone, shared)
    assert len(many[0]) >= 12


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: results.get("A99"), "^result: expected one of A1, .*, got 'A99'"),
        (lambda: results.match(["Z*"]), r"^result: expected one of A1, .*, got 'Z\*'"),
        (lambda: results.get("A4").evaluate("kurtosis"), "^quantity: expected one of variance, got 'kurtosis'$"),
        (lambda: results.get("A4").evaluate(spread=1.0), "^values: expected one of .*, got 'spread'"),
        (lambda: results.get("A4").evaluate(kernel="cubic"), "^kernel: expected one of bspline3, gauss"),
        (lambda: results.get("A4").evaluate(offsets="cauchy"), "^offsets: expected one of"),
        (lambda: results.get("A4").evaluate(inputs="cauchy"), "^inputs: expected one of"),
        (lambda: results.get("A4").derive(dim=5), "^dim: expected 1, 2 or 3, got 5$"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        call()


def test_check_returns_one_row_per_claim():
    shares = []
    table = results.check(results.match(["A7"]), dim=1, seed=3, on_progress=lambda share, name: shares.append(share))
    assert list(table["quantity"]) == ["variance"] * 3 + ["variance given f", "covariance given f"]
    assert list(table["kernel"]) == ["linear", "keys", "gauss(0.5)", "linear", "linear"]
    assert (table["verdict"] == "verified").all()
    assert (table["seed"] == 3).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
