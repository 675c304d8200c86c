"""`warptheory verify --replay`, and what `verify` says of claims that failed, run in the process."""

import json
import math
import sys

import pandas as pd
import pytest

from warptheory import montecarlo
from warptheory.cli.commands.verify import _print_text

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


ROW = {
    "result": "A10",
    "quantity": "variance of the right-hand derivative, correlated input",
    "kernel": "linear",
    "dim": 1,
    "offsets": "fixed by the result",
    "inputs": "normal",
    "point": 0,
    "values": "h = 1.2, l = 1.8, sigma = 1.3",
    "drawn": "everything",
    "smallest_effect": 0.01,
    "verdict": "verified",
    "label": "A10 variance, linear",
    "theory": 1.5,
    "estimate": 1.503,
    "stderr": 0.002,
    "n": 4096,
    "power": 0.99991,
    "z": 4.12,
    "reason": "",
}
FAILED = {**ROW, "verdict": "undecided", "n": 0, "estimate": float("nan"), "stderr": float("nan"), "reason": "no\nroom"}
EXACT = {**ROW, "estimate": 1.5, "stderr": 0.0, "point": 2}


def printed(capsys, rows):
    _print_text(pd.DataFrame(rows), seed=7)
    return capsys.readouterr().out


def test_a_claim_is_a_line_where_there_is_no_terminal(capsys):
    """With everything in it, for grep."""
    heading, first, second, third, *rest = printed(capsys, [ROW, FAILED, EXACT]).splitlines()
    assert "deviation (SE, ±4.12)" in heading
    for text in ("verified", ROW["quantity"], "1.503 ± 0.002", "+1.50", "0.9999", "4096", ROW["values"], "standard"):
        assert f"  {text}" in f"  {first}"
    assert "  none" in second
    assert "  exact" in third
    assert "random 2" in third
    assert rest[0] == "undecided: A10 variance, linear: no room"
    assert rest[2].startswith("2 verified, 1 undecided; 4.12 standard errors are allowed for 3 claims together")
    assert rest[2].endswith("seed 7")


@pytest.mark.parametrize(("width", "left_out"), [(80, "offsets"), (120, "power"), (240, "")])
def test_a_terminal_has_fewer_columns_and_whole_words(capsys, monkeypatch, width, left_out):
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    monkeypatch.setenv("COLUMNS", str(width))
    out = printed(capsys, [ROW, EXACT])
    assert max(map(len, out.splitlines())) <= width
    assert set(ROW["quantity"].split()) <= set(out.split())
    assert ("No room for: " in out) == bool(left_out)
    assert left_out in out.partition("No room for: ")[2]


@pytest.mark.parametrize(
    ("row", "number", "text"),
    [
        (ROW, 1.5, "+1.50"),
        (EXACT, 0.0, "exact"),
        ({**EXACT, "verdict": "refuted", "theory": 1.4}, math.inf, "infinite"),
        (FAILED, math.nan, "none"),
    ],
    ids=["deviates", "exact", "infinite", "none"],
)
def test_deviations_are_numbers_and_words(row, number, text):
    known = [row[name] for name in ("theory", "estimate", "stderr", "verdict")]
    assert montecarlo.deviation(*known) == pytest.approx(number, nan_ok=True)
    assert montecarlo.deviation_text(*known) == text


def test_deviations_as_json(warptheory):
    code, out, _ = warptheory(*A3, "--json", "--workers", "1")
    assert code == 0
    for row in map(json.loads, out.splitlines()):
        assert row["deviation"] == pytest.approx((row["estimate"] - row["theory"]) / row["stderr"])
        assert abs(row["deviation"]) < row["z"]
