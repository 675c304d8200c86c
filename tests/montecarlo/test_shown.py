"""Claims, verdicts and estimates show themselves: words first, numbers with their errors, hostile names escaped."""

import math
from dataclasses import replace

import pytest

from tests.cards import check_shows_itself, text_of
from warptheory.montecarlo import Claim, Estimate, Verdict, summarise
from warptheory.symbolic import IIDField, OffsetField, Variance, warp

HOSTILE = "<script>alert(1)</script>\x1b[31m" * 5
CLAIM = Claim(
    HOSTILE,
    theory=2 / 3,
    experiment=Variance(warp(IIDField("x"), OffsetField("uniform", scale="1/2"))[0]),
    values={"mu": 0.0, "sigma": 1.0},
)
VERDICT = Verdict("verified", HOSTILE, 2 / 3, 0.6661, 0.0011, 4096, 0.9995, 3.29, 0.0067, 0)


def test_a_claim_shows_its_number_and_its_experiment():
    shown = text_of(check_shows_itself(CLAIM))
    assert "0.666667" in shown
    assert "Var[y[0]]" in shown
    assert "sigma = 1" in shown


@pytest.mark.parametrize("word", ["verified", "refuted", "undecided"])
def test_a_verdict_shows_its_word_and_the_distance(word):
    verdict = replace(VERDICT, verdict=word, reason=HOSTILE)
    shown = text_of(check_shows_itself(verdict))
    assert word in shown
    assert "0.6661 ± 0.0011" in shown
    assert f"-{(2 / 3 - 0.6661) / 0.0011:.2f} standard errors, of ±3.29 allowed" in shown
    assert repr(verdict).startswith(f"Verdict({word!r}, ")
    assert "theory=0.666667, estimate=0.6661" in repr(verdict)


def test_a_verdict_without_a_simulation_says_so():
    shown = text_of(check_shows_itself(Verdict.undecided("no memory", label="mine")))
    assert "no memory" in shown
    assert "none" in shown
    assert "nan ±" not in shown


def test_an_estimate_shows_its_error():
    estimate = Estimate(0.5, 0.01, 100, 7, HOSTILE, reached=False, size=0.5)
    shown = text_of(check_shows_itself(estimate))
    assert "0.5 ± 0.01" in shown
    assert "no: the limit on the work came first" in shown
    assert math.isclose(estimate.value, 0.5)
    assert repr(estimate).startswith("Estimate(0.5, stderr=0.01, n=100, ")


def test_a_summary_is_short():
    summary = summarise(CLAIM.experiment, CLAIM.values, rows=64)
    check_shows_itself(summary)
    check_shows_itself(summary.moments)
