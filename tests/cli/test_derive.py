"""How `warptheory derive` shows: brief or with steps, at the width that there is, page by page."""

import os
import pydoc
import sys

import pytest

from warptheory import results

pytestmark = pytest.mark.usefixtures("as_users_call")


def test_closed_forms_come_first(warptheory):
    _, out, _ = warptheory("derive", "A7")
    places = [
        out.index(text)
        for text in ("A7. ", "Assumptions:", "Variance, linear kernel, d = 1:", "    Var[∂₁y[n]] = 2·σ²")
    ]
    places += [
        out.index(text)
        for text in ("Covariance given f, ", "Steps of variance:", "1. Moments", "Steps of covariance given f:")
    ]
    assert places == sorted(places)


def test_brief_has_closed_forms_alone(warptheory):
    _, out, _ = warptheory("derive", "A7", "--brief")
    assert "Assumptions" not in out
    assert "Moments" not in out
    assert out.count(" = ") == 6  # a setting and a closed form for each of three quantities
    assert warptheory("derive", "A7", "--steps")[1] == warptheory("derive", "A7")[1]


def test_names_of_quantities_keep_their_capitals(warptheory):
    _, out, _ = warptheory("derive", "A9", "--quantity", "variance after L layers", "--brief")
    assert "Variance after L layers, linear kernel" in out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_keep_within_the_width(warptheory, monkeypatch, width, tmp_path):
    """From one derivation in the cache; a file has 80 columns at every width."""
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = warptheory("derive", "A4", "A6", "--out", tmp_path)
    assert max(map(len, out.splitlines())) <= width
    assert "─" * width in out
    written = (tmp_path / "derivation_A6.txt").read_text(encoding="utf-8")
    assert max(map(len, written.splitlines()[:-1])) <= 80
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results.Result, "derive", None)  # nothing is derived again
        monkeypatch.setenv("COLUMNS", "100")
        patch.setenv("WARPTHEORY_CACHE", os.environ["WARPTHEORY_CACHE"])
        assert warptheory("derive", "A4", "A6")[0] == 0


@pytest.fixture
def terminal(monkeypatch):
    """Let standard output be a terminal of 24 lines; return what was shown by a pager."""
    shown = []
    monkeypatch.setattr(pydoc, "pager", shown.append)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "80")
    return shown


def test_long_texts_are_shown_by_a_pager(warptheory, terminal):
    assert warptheory("derive", "A4")[:2] == (0, "")
    assert "6. Average" in terminal[0]
    assert os.environ["LESS"]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("option", ["--brief", "--no-pager"])
def test_short_texts_are_not_nor_where_it_is_not_wanted(warptheory, terminal, option):
    assert "A3. " in warptheory("derive", "A3", option)[1]
    assert not terminal


def test_equations_in_latex(warptheory):
    """Each between brackets, below a comment; braces and brackets are balanced."""
    _, out, _ = warptheory("derive", "A7", "--latex")
    blocks = out.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        f"% A7, {name}: linear kernel, d = 1" for name in ("variance", "variance given f", "covariance given f")
    ]
    for block in blocks:
        _, opening, equation, closing = block.splitlines()
        assert (opening, closing) == (r"\[", r"\]")
        assert equation.count("{") == equation.count("}")
        assert equation.count(r"\left") == equation.count(r"\right")
        assert " = " in equation
