"""The command line as users call it: what it prints, where it writes, and its exit codes."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import warptheory as wt
from warptheory import results
from warptheory.core.files import MARK
from warptheory.paper import analyses

pytestmark = pytest.mark.usefixtures("as_users_call")


def test_version(warptheory):
    assert warptheory("--version")[:2] == (0, f"warptheory {wt.__version__}\n")


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
    name, opening, equation, closing = out.splitlines()
    assert (name, opening, closing) == ("% A4, variance: linear kernel, d = 1, normal offsets", r"\[", r"\]")
    assert equation.partition(" = ")[2] == (
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


def test_derive_prints_and_writes_every_result_that_matches(warptheory, tmp_path):
    alone = [warptheory("derive", label)[1] for label in ("A1", "a2")]
    code, out, err = warptheory("derive", "a[12]", "A1", "--out", tmp_path)
    assert code == 0
    parts = out.split("\n\n" + 80 * "─" + "\n\n")
    assert [part.rstrip("\n") for part in parts] == [text.rstrip("\n") for text in alone]
    assert (tmp_path / "derivation_A1.txt").read_text(encoding="utf-8") == f"{alone[0]}\n{MARK}\n"
    assert (tmp_path / "derivation_A2.txt").read_text(encoding="utf-8") == f"{alone[1]}\n{MARK}\n"
    assert err.count("written: ") == 2


def test_derive_separates_latex_by_comments(warptheory):
    code, out, _ = warptheory("derive", "A1", "A3", "--latex")
    assert code == 0
    equations = [line for line in out.splitlines() if " = " in line and line[0] != "%"]
    assert [equation.partition(" = ")[2] for equation in equations] == [r"\mu", r"\frac{2 \sigma^{2}}{3}"]
    assert [line for line in out.splitlines() if line.startswith("%")] == [
        "% A1, mean: linear kernel, d = 1, normal offsets",
        "% A3, variance: linear kernel, d = 1",
    ]


@pytest.fixture
def restricted(monkeypatch):
    """Let A3 hold for the kernel keys and for two axes only."""
    result = results.get("A3")
    monkeypatch.setattr(result, "quantities", (replace(result.get(), kernels=("keys",), dims=(2,)),))


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--kernel", "linear"), "kernel: expected keys for A3 variance, got linear"),
        (("--dim", "1"), "dim: expected 2 for A3 variance, got 1"),
    ],
)
def test_derive_skips_what_does_not_apply_unless_it_is_asked_by_name(warptheory, tmp_path, option, message):
    for _ in range(2):  # derived, then from the cache
        code, out, err = warptheory("derive", "A[13]", *option, "--out", tmp_path)
        assert code == 0
        assert "A1. " in out
        assert out.endswith(f"\n\nA3: skipped, {message}\n")
        assert err == f"written: {tmp_path / 'derivation_A1.txt'}\n"
        assert warptheory("derive", "A3", *option) == (2, "", f"Error: --{message}\n")
    assert f"% A3: skipped, {message}\n" in warptheory("derive", "A[13]", *option, "--latex")[1]


@pytest.mark.usefixtures("restricted")
def test_derive_takes_a_setting_that_the_quantity_applies_to(warptheory):
    _, chosen, _ = warptheory("derive", "A3", "--latex", "--kernel", "keys", "--dim", "2")
    assert chosen.partition(" = ")[2].partition(" = ")[2].split("\n")[0] == results.get("A3").latex(
        kernel="keys", dim=2
    )
    assert warptheory("derive", "A3", "--latex") == (0, chosen, "")


def test_derive_skips_what_cannot_be_derived_unless_it_is_asked_by_name(warptheory, monkeypatch):
    from warptheory.symbolic import NotReducible

    derive = results.Result.derive

    def fail_for_a3(result, *arguments, **choices):
        if result.label == "A3":
            raise NotReducible("x**y", "no rule\nfor it")
        return derive(result, *arguments, **choices)

    monkeypatch.setattr(results.Result, "derive", fail_for_a3)
    code, out, _ = warptheory("derive", "A[13]")
    assert code == 0
    assert "A1. " in out
    assert out.splitlines()[-1].startswith("A3: skipped, ")
    assert "no rule for it" in out.splitlines()[-1]
    code, out, err = warptheory("derive", "A[13]", "A3")
    assert (code, out) == (1, "")
    assert "no rule" in err
    assert warptheory("derive", "A[13]", "--kernel", "cubic")[0] == 2
    monkeypatch.setattr(results.Result, "derive", derive)
    assert "skipped" not in warptheory("derive", "A[13]")[1]  # the failure was not kept


@pytest.fixture
def copied(tmp_path):
    """Run commands in processes of their own, on a copy of the package that a test may edit.

    The function returns standard output and the names of the modules that were loaded.
    """
    package = tmp_path / "warptheory"
    shutil.copytree(Path(results.__file__).parents[1], package, ignore=shutil.ignore_patterns(".*.nbc"))
    script = "import sys; from warptheory.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "WARPTHEORY_CACHE": str(tmp_path / "cache"), "PYTHONUTF8": "1"}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            encoding="utf-8",
            check=True,
            cwd=tmp_path,
            env=environment,
        )
        return done.stdout, set(done.stderr.split())

    return package, run


HEAVY = {"sympy", "torch", "pandas", "numpy"}


def test_derive_again_loads_no_algebra_unless_a_definition_was_edited(copied, tmp_path):
    package, run = copied
    cold, modules = run("derive", "A[12]", "--dim", "1")
    assert modules >= HEAVY
    warm, modules = run("derive", "A[12]", "--dim", "1", "--out", str(tmp_path / "out"))
    assert warm == cold
    assert not modules & HEAVY
    assert len(list((tmp_path / "out").iterdir())) == cold.count(80 * "─") + 1 == 2
    title = results.get("A1").title
    source = next(path for path in (package / "results").rglob("*.py") if f'"{title}"' in path.read_text("utf-8"))
    source.write_text(source.read_text("utf-8").replace(f'"{title}"', '"Another title"'), "utf-8")
    assert run("derive", "A[12]", "--dim", "1")[0] == cold.replace(title, "Another title", 1)


VERIFY_A4 = ("verify", "A4", "--kernel", "linear", "--dim", "1", "--offsets", "normal")


def test_verify_prints_and_records_the_verdict(warptheory, tmp_path):
    code, out, _ = warptheory(*VERIFY_A4, "--seed", "4", "--out", tmp_path)
    assert code == 0
    heading, *rows = out.partition("\n\n")[0].splitlines()
    assert heading.split()[:5] == ["verdict", "label", "quantity", "kernel", "d"]
    assert all(row.startswith("verified  A4     variance  linear  1") for row in rows)
    assert "seed 4" in out
    table = pd.read_parquet(tmp_path / "verdicts.parquet")
    assert list(table["verdict"]) == ["verified"] * 3
    assert list(table["point"]) == [0, 1, 2]
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
    code, out, _ = warptheory("verify", "A3", "--dim", "1", "--kernel", "linear", "--inputs", "normal")
    assert code == 1
    assert "refuted " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("derive", "A99"), "Error: RESULT: expected one of A0, "),
        (("derive", "A4", "--kernel", "cubic"), "Error: --kernel: expected one of bspline3, gauss, keys, lanczos3"),
        (("derive", "A4", "--offsets", "gauss"), "Error: --offsets: expected one of constant, "),
        (("derive", "A4", "--quantity", "mode"), "Error: --quantity: expected one of variance, got 'mode'"),
        (
            ("derive", "A*", "--quantity", "mode"),
            "Error: --quantity: expected one of variance, third cumulant, fourth cumulant for",
        ),
        (("derive", "A4", "Z*"), "Error: RESULT: expected one of A0, "),
        (("derive", "A*", "--kernel", "cubic"), "Error: --kernel: expected one of bspline3, gauss, keys, lanczos3"),
        (("derive", "A*", "--dim", "7"), "Error: --dim: expected 1, 2 or 3, got 7"),
        (("derive", "A4", "--out", "/dev/null/x"), "Error: --out: expected a folder that can be written to"),
        (("verify", "Z*"), "Error: RESULT: expected one of A0, "),
        (("verify", "A4", "--dim", "7"), "Error: --dim: expected 1, 2 or 3, got 7"),
        (
            ("verify", "A4", "--device", "warp9"),
            "Error: --device: expected a device that torch can use here, such as cpu, got 'warp9'",
        ),
        (("verify", "A4", "--profile", "slow"), "Error: --profile: expected one of full, quick, got 'slow'"),
        (
            ("verify", "A4", "--out", "/dev/null/x"),
            "Error: --out: expected a folder that can be written to, got /dev/null/x (Not a directory)",
        ),
        (("figure", "99"), "Error: FIGURE: expected one of figure1_warped_image, figure2_tr"),
        (("figure", "1", "--out", "/dev/null/x"), "Error: --out: expected a folder that can be written to"),
        (
            ("analyse", "nothing"),
            f"Error: ANALYSIS: expected one of {', '.join(analyses.names())}, got",
        ),
        (("reproduce", "--out", "/dev/null/x"), "Error: --out: expected a folder that can be written to"),
        (("reproduce", "--plan", "--only", "nothing"), "Error: --only: expected one of backward_asymmetry, "),
        (("reproduce", "--device", "warp9"), "Error: --device: expected a device that torch can use here"),
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


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("verify", "A4"), "Interrupted.\n"),
        (("verify", "A4", "--out"), "Interrupted. The same command goes on from there.\n"),
        (("sweep", "A4", "--over", "s=1", "--out"), "Interrupted. The same command goes on from there.\n"),
    ],
    ids=["without a folder", "verify", "sweep"],
)
def test_an_interruption_is_told(arguments, told, warptheory, monkeypatch, tmp_path):
    for name in ("check", "sweep"):
        monkeypatch.setattr(results, name, interrupt)
    folder = (tmp_path,) if "--out" in arguments else ()
    assert warptheory(*arguments, *folder) == (130, "", told)


def test_an_error_of_the_system_is_one_line(warptheory, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device", "chunks.sqlite")

    monkeypatch.setattr(results, "check", fail)
    assert warptheory("verify", "A4") == (1, "", "Error: [Errno 28] No space left on device: 'chunks.sqlite'\n")


def test_list_names_networks_and_data(warptheory):
    _, out, _ = warptheory("list")
    for word in ("selfwarp-resnet20", "net1d", "patches", "cifar10"):
        assert word in out
