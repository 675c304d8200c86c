"""`warptheory list`: all that is found by looking into a folder, read without loading what is slow."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import warptheory as wt
from warptheory import kernels, networks, operators, results
from warptheory.cli import _contents as contents
from warptheory.core.catalogue import entry_modules, entry_source
from warptheory.core.source_reading import ModuleSource
from warptheory.fields import covariance, laws
from warptheory.paper import analyses, benchmarks, figures
from warptheory.training import data, pairs
from warptheory.warping import boundaries

pytestmark = pytest.mark.usefixtures("as_users_call")

REPOSITORY = Path(wt.__file__).parents[1]


@pytest.fixture
def listed(warptheory):
    """Return what is listed as JSON, by kind, for patterns."""

    def ask(*patterns):
        code, out, _ = warptheory("list", *patterns, "--json")
        assert code == 0
        return json.loads(out)

    return ask


def test_everything_is_listed(listed):
    found = listed()
    assert found.pop("version") == wt.__version__
    assert [result["label"] for result in found.pop("results")] == results.labels()
    assert {"sigma", "tau", "f"} <= {symbol["name"] for symbol in found.pop("symbols")}
    names = {kind: [entry["name"] for entry in entries] for kind, entries in found.items()}
    assert sorted(names["networks"]) == sorted(networks.names())
    assert names["covariances"] == sorted(covariance.class_names())
    assert names["operators"] == operators.names()
    offered = {alias["name"] for entry in found["operators"] for alias in entry["aliases"]}
    assert "DeformConv2d" in offered < set(operators.__all__)
    assert {kind: names[kind] for kind in ("kernels", "laws", "boundary rules", "data sets", "image pairs")} == {
        "kernels": kernels.names(),
        "laws": laws.names(),
        "boundary rules": boundaries.names(),
        "data sets": data.names(),
        "image pairs": pairs.names(),
    }
    assert (names["analyses"], names["figures"], names["benchmarks"]) == (
        analyses.names(),
        figures.names(),
        benchmarks.names(),
    )
    assert set(names["commands"]) == set(entry_modules("warptheory.cli.commands"))
    assert all(entry["title"].endswith((".", "?")) for entries in found.values() for entry in entries)


def test_symbols_have_their_standard_values(listed):
    symbols = {symbol["name"]: symbol for symbol in listed("symbols")["symbols"]}
    for name, standard in results.DEFAULT_VALUES.items():
        assert (symbols[name]["standard"], symbols[name]["low"], symbols[name]["high"]) == (
            float(standard),
            standard.low,
            standard.high,
        )
        assert symbols[name]["standard_in"] == ""
    assert "B7" in symbols["tau"]["results"]


def test_values_are_told_with_the_results_that_have_them(warptheory, monkeypatch):
    """Other values are others than the common one; where there is none, the value is that of the first result."""
    monkeypatch.setenv("COLUMNS", "1000")
    lines = warptheory("list", "symbols")[1].splitlines()
    told = {meaning.split()[0]: value.strip() for meaning, value in zip(lines[1::2], lines[2::2], strict=True)}
    assert told["C"] == "2, from 1 to 6 in A8; own values in F3, F4, G5, G6"
    assert told["chi"] == "1, from 0.5 to 2 in D10"
    assert told["alpha"].startswith("4, from 4 to 8 in C2; own values in D4, D5, F1, ")
    assert re.fullmatch(r"0\.3, from 0\.12 to 0\.6; other values in B3, .*, D7, .*", told["s"])
    assert told["mu"] == "0.7, from 0.3 to 1.5; other values in F6, F10, G5"


def test_symbols_of_other_axes_are_explained_as_that_of_the_first(listed):
    symbols = {symbol["name"]: symbol["meaning"] for symbol in listed("symbols")["symbols"]}
    assert symbols["f_1"] == symbols["f_2"] == symbols["f_3"]
    assert "the second for f_2" in symbols["f_2"]
    assert "the second for t_2" in symbols["t_2"]


def test_an_alias_says_which_parameters_it_stands_for(warptheory):
    text = " ".join(warptheory("list", "kernels")[1].split())
    assert "Also bicubic (keys(-0.75)), catmull-rom." in text
    assert "Also bilinear, trilinear." in text


def test_symbols_say_what_they_stand_for(listed):
    """As the glossary does: what all results share, and what single ones say."""
    symbols = {symbol["name"]: symbol["meaning"] for symbol in listed("symbols")["symbols"]}
    assert all(symbols.values())
    for entry in results.glossary():
        if entry.name in symbols:
            assert (
                f"{', '.join(entry.labels)}: {entry.meaning}" in symbols[entry.name]
                if entry.labels
                else symbols[entry.name].startswith(entry.meaning)
            )


def test_a_result_that_cannot_be_read_is_imported(monkeypatch):
    """Such as one whose quantities are named by a computation."""
    module = "warptheory.results.iid.offset_gradient"
    expected = contents._result(module)
    text = entry_source(module).text.replace('"variance given f"', '"variance given f".strip()')
    monkeypatch.setattr(contents, "entry_source", lambda name: ModuleSource(name, text))
    assert contents._result(module) == expected


@pytest.mark.parametrize(
    ("patterns", "kind", "found"),
    [
        (["kernels"], "kernels", kernels.names()),
        (["kernel"], "kernels", kernels.names()),
        (["a1*"], "results", ["A1", "A10", "A11", "A12"]),
        (["a2", "A10"], "results", ["A2", "A10"]),
        (["caustics"], "results", ["B7"]),
        (["dead inputs"], "results", ["B4"]),
        (["bicubic"], "kernels", ["keys"]),
        (["analysis"], "analyses", analyses.names()),
        (["tau"], "symbols", ["tau"]),
    ],
    ids=str,
)
def test_patterns(listed, patterns, kind, found):
    assert [entry.get("label", entry.get("name")) for entry in listed(*patterns)[kind]] == found


def test_capitals_count_where_they_can(listed):
    """A* has results, and the operators that offer a name in A, but no analyses or symbols in a."""
    found = {kind: entries for kind, entries in listed("A*").items() if entries and kind != "version"}
    assert list(found) == ["results", "operators"]
    assert all(any(a["name"].startswith("A") for a in entry["aliases"]) for entry in found["operators"])
    assert {result["label"][0] for result in found["results"]} == {"A"}


def test_a_kind_alone_is_that_kind(listed):
    assert [kind for kind, entries in listed("boundary rules").items() if entries] == ["version", "boundary rules"]


@pytest.mark.parametrize(
    ("patterns", "near"),
    [
        (["kernals"], "'kernals' (did you mean 'kernels'"),
        (["A4", "A99"], "'A99' (did you mean 'A9'"),
        (["kernels", "linaer"], "'linaer' (did you mean 'linear'"),
    ],
)
def test_a_pattern_that_nothing_fits_is_bad_usage(warptheory, patterns, near):
    code, out, errors = warptheory("list", *patterns)
    assert (code, out) == (2, "")
    assert near in errors


@pytest.mark.parametrize("width", [60, 80, 200])
def test_lines_keep_within_the_width(warptheory, monkeypatch, width):
    """Words are whole: what is printed has the words of the titles, one after another."""
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = warptheory("list")
    assert max(map(len, out.splitlines())) <= width
    words = " ".join(out.split())
    assert all(f"{result.label} {result.title} " in words for result in contents.results())
    assert out.index("  A2 ") < out.index("  A10 ")


HEAVY = ("numpy", "pandas", "sympy", "torch")

# What is told without loading anything slow, in one process: a list, help, and names that there are not.
QUICK = """
import sys
from warptheory.cli import main
for arguments in (["list"], ["verify", "--help"], ["verify", "A99"], ["derive", "a44"], ["train", "--model", "foo"],
                  ["verify", "A4", "--kernel", "linaer"], ["sweep", "A4", "--over", "kernel=linaer"],
                  ["derive", "A4", "--quantity", "mode"], ["figure", "99"], ["reproduce", "--only", "nothing"]):
    sys.argv = ["warptheory", *arguments]
    try:
        main()
    except SystemExit as ended:
        print(*arguments, ended.code, sep="|")
print("loaded", *sys.modules)
"""


def test_nothing_slow_is_loaded():
    done = subprocess.run(
        [sys.executable, "-c", QUICK], capture_output=True, encoding="utf-8", check=True, cwd=REPOSITORY
    )
    *lines, loaded = done.stdout.splitlines()
    codes = [line.rpartition("|")[2] for line in lines if "|" in line and line.rpartition("|")[2] in ("0", "2", "None")]
    assert codes[:2] in (["0", "0"], ["None", "0"])
    assert codes[2:] == ["2"] * 8
    assert not set(HEAVY) & set(loaded.split())
    assert done.stderr.count("Error: ") == 8
