"""`warptheory verify --replay`, and what `verify` says of claims that failed, run in the process."""

import json

import pytest

from warptheory import montecarlo

pytestmark = pytest.mark.usefixtures("as_users_call")

A3 = ("verify", "A3", "--dim", "1", "--kernel", "linear")


@pytest.mark.parametrize(
    "option", ["--power", "--fresh", "--out=records", "--profile=full", "--workers=2", "--scheduler=serial"]
)
def test_what_means_nothing_beside_replay_is_refused(warptheory, option):
    code, out, errors = warptheory(*A3, "--replay", "3", option)
    assert (code, out) == (2, "")
    assert f"{option.partition('=')[0]}: expected no --replay beside" in errors


def test_again_belongs_to_replay(warptheory):
    code, _, errors = warptheory(*A3, "--again")
    assert code == 2
    assert "--again: expected a chunk to --replay" in errors


def test_chunks_of_both_streams_as_json(warptheory):
    def run(*options):
        code, out, _ = warptheory(*A3, "--replay", "3", "--json", *options)
        assert code == 0
        return [json.loads(line) for line in out.splitlines()]

    first, second = run(), run("--again")
    assert [f"{row['label']}/again" for row in first] == [row["label"] for row in second]
    assert first[0]["mean"] != second[0]["mean"]
    assert {row["chunk"] for row in first + second} == {3}


def test_claims_that_failed_are_told_apart(warptheory, monkeypatch):
    """By the law of their offsets too."""

    def fail(self, generator, rows, values, device="cpu"):
        raise MemoryError("no room")

    monkeypatch.setattr(montecarlo.ConditionalSimulation, "sample", fail)
    monkeypatch.setattr(montecarlo.Simulation, "sample", fail)
    code, out, _ = warptheory("verify", "A4", "--kernel", "linear", "--dim", "1", "--workers", "1")
    assert code == 1
    named = [line for line in out.splitlines() if line.startswith("undecided: A4")]
    assert len(named) == len(set(named)) >= 5
    assert any(
        line.startswith("undecided: A4 variance, linear, d=1, laplace offsets, normal input: ") for line in named
    )
