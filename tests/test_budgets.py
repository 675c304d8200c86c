"""Budgets are readable, and what was measured is compared with them; how long anything takes, no test says."""

import subprocess
import sys
import tomllib
from pathlib import Path

import warptheory

FOLDER = Path(warptheory.__file__).parents[1] / "benchmarks"


def test_every_budget_is_printed_with_its_minutes():
    command = [sys.executable, str(FOLDER / "budgets.py"), "--print"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    known = tomllib.loads((FOLDER / "budgets.toml").read_text(encoding="utf-8"))
    assert len(printed) == len(known) >= 5
    for line, (name, budget) in zip(printed, known.items(), strict=True):
        assert line.split()[:2] == [name, f"{budget['minutes']:.2f}"]
        assert line.endswith(budget["what"])
        assert "after" not in budget or budget["after"] in known
