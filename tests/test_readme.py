"""Examples in README and docstrings run, what README names is there, and printed numbers are those of the theory."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import warptheory
from warptheory import results
from warptheory.paper.documents import documents

REPOSITORY = Path(warptheory.__file__).parents[1]
README = REPOSITORY / "README.md"
MOST_LINES = 150


@pytest.mark.usefixtures("as_users_call")
def test_readme_examples(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where the last one draws
    done = doctest.testfile(str(README), module_relative=False, encoding="utf-8", verbose=False)
    assert done.attempted > 15
    assert done.failed == 0
    assert (tmp_path / "figure2.png").is_file()


def test_readme_is_short_and_what_it_names_is_there():
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    named = re.findall(r"\]\(([^)]+)\)", text)
    local = [name for name in named if "://" not in name]
    assert len(local) > 15
    assert [name for name in local if not (REPOSITORY / name).is_file()] == []


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("module", ["warptheory", "warptheory.kernels", "warptheory.symbolic", "warptheory.results"])
def test_docstring_examples(module):
    done = doctest.testmod(importlib.import_module(module))
    assert done.attempted > 0
    assert done.failed == 0


def test_table_of_verdicts_is_the_theory():
    """Every row's theory is what the closed form gives now, and its simulation lies within z standard errors."""
    text = documents()["verdicts"].read_text(encoding="utf-8")
    z = float(re.search(r"z = ([\d.]+)\)", text).group(1))
    setting, number = r"([^|,]+), d = (\d), (\w+) input[^|]*", r"([-+\d.e]+)"
    name = r"((?:[^|\\]|\\\|)+)"  # a bar within it is escaped
    row = rf"^\| ([A-K]\d+) \| {name} \| {setting} \| {number} \| {number} ± {number} \|.*\| verified \|$"
    rows = re.findall(row, text, re.MULTILINE)
    # What another quantity checks is derived and never drawn.
    judged = {row[0] for row in rows}
    assert judged == set(results.labels())
    drawn = [q for label in judged for q in results.get(label).quantities if not q.checked_by]
    assert len(rows) == len(drawn)
    for label, quantity, kernel, dim, inputs, theory, estimate, stderr in rows:
        quantity = quantity.replace(r"\|", "|")
        now = results.get(label).evaluate(quantity, kernel=kernel, dim=int(dim), inputs=inputs, standard=True)
        assert float(theory) == pytest.approx(now, rel=5.1e-6, abs=1e-12)  # six printed digits
        # Two digits of the standard error are printed, and six of the estimate; an experiment may be off by its bias.
        own = results.get(label).get(quantity)
        bias = own.bias * own.smallest_effect * abs(now)
        assert abs(float(estimate) - now) <= 1.05 * z * float(stderr) + bias + 5e-6 * abs(now) + 1e-12
