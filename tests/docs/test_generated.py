"""Pages of entries: every entry has one, each is written from the entry alone, and markup of plain text is escaped."""

import pytest

from docs import committed, gallery_scripts
from docs.autodoc_text import escaped
from docs.entries import _myst as myst
from docs.mathml_renderer import mathml_of
from docs.pages import EntryPages, Page, blocks, kinds
from warptheory import kernels, results
from warptheory.fields import covariance
from warptheory.paper import scripts
from warptheory.symbolic import latex


def test_every_kind_has_the_entries_of_its_catalogue():
    """The kinds are found by looking into a folder, the entries by asking the library."""
    found = kinds()
    assert found["results"].names() == results.labels()
    assert found["kernels"].names() == kernels.names()
    assert found["covariances"].names() == covariance.names()
    assert {"operators", "benchmarks", "api", "glossary"} <= set(found)


@pytest.mark.parametrize(("kind", "name"), [("kernels", "linear"), ("covariances", "exponential"), ("results", "A3")])
def test_a_page_says_what_its_entry_is(kind, name):
    page = kinds()[kind].page(name)
    assert page.text.startswith(f"({kind.removesuffix('s')}-{name})=\n# ")
    assert all(content.startswith(b"<?xml") for content in page.pictures.values())
    for picture in page.pictures:
        assert picture in page.text
    if kind == "results":
        result = results.get(name)
        assert myst.plain(result.statement) in page.text
        assert all(myst.plain(assumption) in page.text for assumption in result.assumptions)
        assert latex(result.expression) in page.text


def test_a_result_that_no_run_has_judged_says_so(monkeypatch):
    from docs.entries import results as pages

    monkeypatch.setattr(pages, "_of", lambda label: pages._verdicts().iloc[:0])
    assert "Not judged yet" in pages.page("A3").text


def test_operators_benchmarks_and_rooms_have_pages():
    for kind in ("operators", "benchmarks", "api"):
        pages = kinds()[kind]
        assert pages.names()
        assert pages.names()[0] in pages.overview().text
        assert pages.page(pages.names()[0]).text.count("\n# ") == 1


def test_symbols_are_explained_at_targets_of_their_own():
    from docs.entries._symbols import targets

    found = targets()
    assert set(found) == set(results.glossary())
    assert len(set(found.values())) == len(found)
    text = kinds()["glossary"].overview().text
    assert all(text.count(f"({target})=") == 1 for target in found.values())


def test_pages_are_written_once_and_stale_ones_go(tmp_path, monkeypatch):
    from docs import pages

    kind = EntryPages(
        "Things", 1, lambda: ["a"], lambda name: Page(f"# {name}\n", {"a.svg": b"x"}), lambda: Page("All.")
    )
    monkeypatch.setattr(pages, "kinds", lambda: {"things": kind})
    written = [path for name in ("", "a") for path in pages._write(tmp_path, ("things", name))]
    assert {path.name for path in written} == {"index.md", "a.md", "a.svg"}
    assert "\na\n" in (tmp_path / "things" / "index.md").read_text()
    before = written[0].stat().st_mtime_ns
    pages._write(tmp_path, ("things", ""))
    assert written[0].stat().st_mtime_ns == before


# ---- the gallery


def test_every_plot_and_figure_is_in_the_gallery_or_named_as_left_out():
    plots = gallery_scripts.all_plots()
    declared = [part for entry in scripts().values() for part in committed.plots_of(entry)]
    assert len(plots) == len(declared)
    assert len({plot.file for plot in plots}) == len(plots)
    names = {plot.entry.name for plot in gallery_scripts.drawn()} | set(gallery_scripts.left_out())
    assert names == {plot.entry.name for plot in plots}


def test_scripts_are_python_that_draws_the_declared_plot(tmp_path, monkeypatch):
    quick = [plot for plot in gallery_scripts.drawn() if all(committed.path_of(name) for name in plot.plot.reads)][:2]
    assert len(quick) == 2
    monkeypatch.setattr(gallery_scripts, "drawn", lambda: quick)
    (tmp_path / "plot_gone.py").write_text("")
    gallery_scripts.write_scripts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"GALLERY_HEADER.rst", *(plot.file for plot in quick)}
    namespace = {}
    exec((tmp_path / quick[0].file).read_text(encoding="utf-8"), namespace)
    assert namespace["figure"].axes
    assert namespace["__doc__"].strip().startswith(quick[0].title)


def test_a_kernel_is_shown_by_plots_of_records_that_have_it():
    assert "plot_iid_statistics_1.py" in gallery_scripts.showing("linear")
    assert gallery_scripts.showing("no such kernel") == []


def test_a_missing_record_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(committed, "FOLDER", tmp_path)
    assert not committed.are_there(["random_fields.parquet"])
    assert committed.are_there(["warped_image.safetensors"])  # a few seconds of work
    assert committed.are_there(["selfwarp_layers.parquet"])  # committed for the run


# ---- text


def test_docstrings_are_plain_text():
    lines = [
        "Return |x|² of `a_b` and *T.",
        "",
        ">>> x * 2",
        "4",
        "",
        "    C(τ) = |τ|",
        "",
        "Args:",
        "    x: shape (*N).",
    ]
    assert list(escaped(lines)) == [
        r"Return \|x\|² of ``a_b`` and \*T.",
        "",
        ">>> x * 2",
        "4",
        "",
        "::",
        "",
        "    C(τ) = |τ|",
        "",
        "Args:",
        r"    x: shape (\*N).",
    ]


def test_markdown_of_plain_text_and_parts():
    assert myst.plain("E[x]_1 < |y| * $2") == r"E\[x\]\_1 \< \|y\| \* \$2"
    assert myst.plain("a_b is `a_b`") == r"a\_b is `a_b`"
    assert myst.file_of("keys(-0.75)") == "keys-0.75"
    assert myst.minigallery([]) == ""
    assert blocks("a", "", iter(["b\n", "c"])) == "a\n\nb\n\nc\n"


def test_formulas_are_mathml():
    assert mathml_of(r"\displaystyle \frac{1}{2}", block=True).startswith('<math display="block"><mrow><mfrac>')
    assert 'display="inline"' in mathml_of("x", block=False)
    assert "label" not in mathml_of(r"x \label{eq:1}", block=True)
