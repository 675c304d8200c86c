"""The command line as users call it: what it prints, where it writes, and its exit codes."""

import sys

import pandas as pd
import pytest

from warptheory.cli import main

pytestmark = pytest.mark.usefixtures("as_users_call")


@pytest.fixture
def warptheory(monkeypatch, capsys):
    """Run `warptheory ARGUMENTS`; return exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["warptheory", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


def test_list(warptheory):
    code, out, _ = warptheory("list")
    assert code == 0
    for word in ("A1", "A4", "A7", "linear", "nearest", "normal", "laplace"):
        assert word in out


def test_derive_prints_the_series_with_its_steps(warptheory):
    code, out, _ = warptheory("derive", "A4", "--kernel", "linear", "--offsets", "normal")
    assert code == 0
    for step in (
        "1. Moments",
        "2. Expand over taps",
        "3. Use independence",
        "4. Kernel functionals",
        "6. Average over",
    ):
        assert step in out
    assert "Assumptions:" in out
    code, out, _ = warptheory("derive", "A4", "--latex")
    assert out.strip() == (
        r"\sigma^{2} \left(2 \sum_{j=1}^{\infty} \frac{e^{- 2 \pi^{2} j^{2} s^{2}}}{\pi^{2} j^{2}} + \frac{2}{3}\right)"
    )


def test_derive_one_quantity_to_a_file(warptheory, tmp_path):
    code, _, _ = warptheory(
        "derive", "A7", "--quantity", "covariance given f", "--dim", "2", "--latex", "--out", tmp_path
    )
    assert code == 0
    text = (tmp_path / "derivation_A7.tex").read_text()
    assert "f_{1}" in text
    assert "f_{2}" in text


def test_verify_prints_and_records_the_verdict(warptheory, tmp_path):
    code, out, _ = warptheory("verify", "A4", "--dim", "1", "--offsets", "normal", "--seed", "4", "--out", tmp_path)
    assert code == 0
    for word in ("verified: theory", "estimate", "standard error", "n = ", "power", "seed 4"):
        assert word in out
    table = pd.read_parquet(tmp_path / "verdicts.parquet")
    assert list(table["verdict"]) == ["verified"]
    assert {"theory", "estimate", "stderr", "n", "power", "z", "seed"} <= set(table.columns)


def test_verify_exits_with_1_when_a_claim_does_not_hold(warptheory, monkeypatch):
    """A wrong formula, through the same command: the theory is made 1 % too large."""
    from warptheory.results import Result

    true_claim = Result.claim

    def planted(self, *arguments, **values):
        from dataclasses import replace

        claim = true_claim(self, *arguments, **values)
        return replace(claim, theory=1.01 * claim.theory)

    monkeypatch.setattr(Result, "claim", planted)
    code, out, _ = warptheory("verify", "A3", "--dim", "1", "--inputs", "normal")
    assert code == 1
    assert "refuted: theory" in out


@pytest.mark.parametrize("command", ["list", "derive", "verify", "figure", "analyse", "bench", "reproduce"])
def test_help_has_an_example(warptheory, command):
    code, out, _ = warptheory(command, "--help")
    assert code == 0
    assert f"warptheory {command}" in " ".join(out.split())
    assert "Example" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("derive", "A99"), "Error: result: expected one of A1, "),
        (("derive", "A4", "--kernel", "cubic"), "Error: kernel: expected one of bspline3, gauss, keys, lanczos3"),
        (("derive", "A4", "--offsets", "gauss"), "Error: offsets: expected one of constant, "),
        (("derive", "A4", "--quantity", "mode"), "Error: quantity: expected one of variance, got 'mode'"),
        (("verify", "B*"), "Error: result: expected one of A1, "),
        (("verify", "A4", "--dim", "7"), "Error: dim: expected 1, 2 or 3, got 7"),
        (
            ("verify", "A4", "--device", "warp9"),
            "Error: device: expected a device that torch can use here, such as cpu, got 'warp9'",
        ),
        (("verify", "A4", "--profile", "slow"), "Error: profile: expected one of full, quick, got 'slow'"),
        (
            ("verify", "A4", "--out", "/dev/null/x"),
            "Error: out: expected a folder that can be written to, got /dev/null/x (Not a directory)",
        ),
        (("figure", "99"), "Error: figure: expected one of figure1_warped_image, got 'figure99'"),
        (("figure", "1", "--out", "/dev/null/x"), "Error: out: expected a folder that can be written to"),
        (
            ("analyse", "nothing"),
            "Error: name: expected one of iid_statistics, operator_accuracy, warped_image, got 'nothing'",
        ),
        (("reproduce", "--out", "/dev/null/x"), "Error: out: expected a folder that can be written to"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(warptheory, arguments, message):
    code, _, err = warptheory(*arguments)
    assert code == 2
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_unknown_option_is_bad_usage(warptheory):
    code, _, err = warptheory("verify", "A4", "--speed", "9")
    assert code == 2
    assert "--speed" in err
