"""`warptheory sweep` and `verify --power`, run in the process."""

import json
import sys

import pandas as pd
import pytest

from warptheory import results
from warptheory.cli.commands.sweep import _parameter, _print_text
from warptheory.core.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("as_users_call")

HEADING = "label quantity kernel d offsets input s sigma theory estimate ± SE reached rows seed"
OF_A4 = "dim, inputs, kernel, mu, offsets, s, sigma"
POINT = {
    "result": "A4",
    "quantity": "variance",
    "kernel": "linear",
    "dim": 2,
    "offsets": "normal",
    "inputs": "normal",
    "s": 0.2,
    "theory": 1.23456,
    "estimate": 1.23512,
    "stderr": 0.002,
    "n": 65536,
    "seed": 0,
    "reached": True,
    "reason": "",
}
NOTHING = float("nan")
NOT_SIMULATED = {
    **POINT,
    "theory": NOTHING,
    "estimate": NOTHING,
    "stderr": NOTHING,
    "n": 0,
    "reached": False,
    "reason": "no\nroom",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s=0.1,0.4", ("s", [0.1, 0.4])),
        ("s=0:1:3", ("s", [0.0, 0.5, 1.0])),
        ("s=0.1:10:3:log", ("s", [0.1, 1.0, 10.0])),
        ("dim=1,2", ("dim", [1, 2])),
        ("kernel=linear, bspline3(prefilter=True)", ("kernel", ["linear", "bspline3(prefilter=True)"])),
        ("kernel=keys(1,2),linear", ("kernel", ["keys(1,2)", "linear"])),
    ],
)
def test_parameters_are_read(text, expected):
    name, values = _parameter("over", text)
    assert name == expected[0]
    assert values == (pytest.approx(expected[1]) if name == "s" else expected[1])


@pytest.mark.parametrize("text", ["s", "s=", "=1", "s=one", "s=0:1", "s=0:1:1", "s=0:1:3:log", "s=1:2:3:4", "dim=1.5"])
def test_parameters_that_make_no_sense_are_refused(text):
    with pytest.raises(ArgumentError, match="^over: expected"):
        _parameter("over", text)


def test_a_sweep_is_printed_and_recorded(warptheory, tmp_path):
    asked = ("sweep", "A4", "--over", "s=0.2,0.6", "--given", "sigma=1", "--rtol", "5e-3", "--workers", "1")
    code, out, errors = warptheory(*asked, "--out", tmp_path)
    assert code == 0
    assert "sweep.parquet" in errors
    table = pd.read_parquet(tmp_path / "sweep.parquet")
    assert table["s"].tolist() == [0.2, 0.6]
    heading, first, second = out.splitlines()
    assert " ".join(heading.split()) == HEADING
    assert first.startswith("A4")
    assert "  linear  " in first
    assert f"{table['theory'][0]:.6g}  {table['estimate'][0]:.6g} ± {table['stderr'][0]:.1g}" in first
    assert "  0.6  " in second
    manifest = json.loads((tmp_path / "sweep.json").read_text())
    assert (manifest["rows"], manifest["seed"]) == (2, 0)
    code, out, _ = warptheory(*asked, "--json")
    assert [json.loads(line)["estimate"] for line in out.splitlines()] == table["estimate"].tolist()


@pytest.mark.parametrize(("width", "left_out"), [(60, "label"), (80, "seed"), (120, "")])
def test_a_terminal_has_the_columns_that_fit(capsys, monkeypatch, width, left_out):
    """What is swept is always among them."""
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    monkeypatch.setenv("COLUMNS", str(width))
    _print_text(pd.DataFrame([POINT, NOT_SIMULATED]), ["s", "offsets"])
    out = capsys.readouterr().out
    table, _, told = out.partition("not simulated: ")
    assert max(map(len, out.splitlines())) <= width
    assert {"s", "offsets", "theory", "estimate", "reached"} <= set(table.split())
    assert "none" in table
    assert told.splitlines()[0] == "no room"
    words = " ".join(told.split())
    assert left_out in words if left_out else "No room for" not in words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--over", "s=0.1", "--over", "s=0.3"), "over: expected s once"),
        (("--over", "s=0.1", "--given", "sigma=1,2"), "given: expected one value for sigma"),
        (("--over", "s=0.1", "--given", "kernel=linear,keys"), "given: expected one value for kernel"),
        (("--over", "a=0.1"), "got 'a'"),
        (("--over", "q=1,2"), f"--over: expected one of {OF_A4}, got 'q'"),
        (("--over", "s=0.1", "--given", "q=1"), f"--given: expected one of {OF_A4}, got 'q'"),
        (("--over", "s=-0.1"), "s: expected a number > 0"),
        (("--over", "s=0.1", "--rtol", "0"), "rtol: expected a number > 0"),
        (("--over", "s=0.1", "--replay", "1", "--workers", "1"), "--workers: expected no --replay beside"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_sweeps_exit_with_2(warptheory, options, message):
    code, out, errors = warptheory("sweep", "A4", *options)
    assert (code, out) == (2, "")
    assert message in " ".join(errors.split())


def test_a_chunk_of_a_sweep_is_replayed(warptheory):
    code, out, _ = warptheory("sweep", "A4", "--over", "s=0.2,0.6", "--replay", "4")
    assert code == 0
    assert out.startswith("sweep of A4 variance, s=0.2, chunk 4, column 0: mean ")


def test_planted_errors_are_printed_and_recorded(warptheory, tmp_path):
    asked = ("verify", "A4", "--kernel", "linear", "--dim", "1", "--offsets", "normal", "--power")
    code, out, _ = warptheory(*asked, "--out", tmp_path)
    assert code == 0
    table = pd.read_parquet(tmp_path / "power.parquet")
    assert table["refused"].all()
    assert out.count("refused: A4 variance") == len(table)
    assert f"{len(table)} of {len(table)} planted errors refused" in out
    assert "NOT REFUSED" not in out
    assert {0, 1, 2} == set(table["point"])
    assert f"not planted: {results.not_planted(table)}" in out


def test_verify_takes_labels_or_all_of_them(warptheory):
    for asked in ((), ("A4", "--all")):
        code, _, errors = warptheory("verify", *asked)
        assert code == 2
        assert "labels or patterns, or --all" in errors
