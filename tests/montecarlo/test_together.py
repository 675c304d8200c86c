"""Claims of one's own in one run: the same verdicts whoever works, finished chunks kept, failures told."""

from dataclasses import dataclass, field, replace

import pytest

from tests.montecarlo.jobs import Normal
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Claim, verify, verify_all
from warptheory.montecarlo._workers import InTurn

pytestmark = pytest.mark.usefixtures("as_users_call")

CLAIMS = [Claim(f"mean {mean}", mean, Normal(), smallest_effect=0.2) for mean in (1.0, 1.4, 0.99)]


@dataclass(frozen=True)
class NeedsNumber(Normal):
    symbols: frozenset = field(default_factory=lambda: frozenset({"s"}))


def test_verdicts_are_those_of_verify():
    alone = [verify(claim, seed=2, family=3) for claim in CLAIMS]
    assert verify_all(CLAIMS, seed=2) == alone
    assert [verdict.verdict for verdict in alone] == ["verified", "refuted", "verified"]


@pytest.mark.parametrize(("scheduler", "count"), [("threads", 3), ("processes", 2)])
def test_verdicts_do_not_depend_on_who_works(scheduler, count):
    assert verify_all(CLAIMS, seed=2, scheduler=scheduler, workers=count) == verify_all(CLAIMS, seed=2)


def test_finished_chunks_are_kept(tmp_path, monkeypatch):
    shares = []
    first = verify_all(CLAIMS, out=tmp_path, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0

    original = InTurn.submit

    def only_prepare(self, function, job, batch):
        assert batch is None
        return original(self, function, job, batch)

    monkeypatch.setattr(InTurn, "submit", only_prepare)
    assert verify_all(CLAIMS, out=tmp_path) == first
    with pytest.raises(ArgumentError, match="^out: expected a folder of the same run"):
        verify_all(CLAIMS[:2], out=tmp_path)


def test_what_fails_says_why_and_the_others_go_on():
    bad = [Claim("raises", 1.0, Normal("raises"), smallest_effect=0.2), Claim("no number", 1.0, NeedsNumber())]
    found = verify_all([CLAIMS[0], *bad, CLAIMS[1]], seed=3)
    assert [found[0], found[3]] == [verify(claim, seed=3, family=4) for claim in CLAIMS[:2]]
    assert found[1].reason.startswith("raises: chunk ")
    assert found[2].reason == "values: expected a number for s, got values for nothing"
    for claim, verdict in zip(bad, found[1:3], strict=True):
        assert (verdict.verdict, verdict.label, verdict.theory, verdict.seed) == ("undecided", claim.label, 1.0, 3)
        assert verdict.z == found[0].z


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ([], r"^claims: expected one Claim or several, got \[\]"),
        (["A4"], r"^claims: expected one Claim or several, got \['A4'\]"),
        (
            [CLAIMS[0], replace(CLAIMS[1], label=CLAIMS[0].label)],
            "^claims: expected claims with different labels, got ",
        ),
    ],
    ids=["none", "no claims", "one label"],
)
def test_bad_claims_are_refused(claims, message, as_users_call):
    with pytest.raises(ArgumentError, match=message):
        verify_all(claims)


@pytest.mark.parametrize(
    "option", [{"seed": "x"}, {"plain": "no"}, {"scheduler": 3}, {"out": 3}, {"fresh": "no"}, {"out": "\0"}], ids=str
)
def test_bad_options_are_refused(option, as_users_call):
    """The text "no" would count as true, and forget what a folder holds."""
    with pytest.raises(ArgumentError, match=f"^{next(iter(option))}: expected "):
        verify_all(CLAIMS[:1], **option)
