"""The notebooks run from top to bottom, and show what their text says; they are kept without what they show.

A notebook says in its metadata, under "warptheory", what it shows: the titles of its cards, how many formulas a LaTeX
page would have at least, and how many pictures.
"""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from docs import executed as site
from tests.cards import check_html, text_of
from tests.once import made_once

pytestmark = pytest.mark.on_the_site

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def cells_of(name):
    return read(name).cells


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Return the executed cells of each notebook: the site's, if it is built from these very sources.

    Else one kernel runs them all, once for all workers of a parallel run.
    """
    paths = {name: site.notebook(FOLDER / f"{name}.ipynb") for name in NOTEBOOKS}
    if None in paths.values():
        folder = made_once(tmp_path_factory, "notebooks", execute)
        paths = {name: folder / f"{name}.ipynb" for name in NOTEBOOKS}
    return {name: nbformat.read(path, as_version=4).cells for name, path in paths.items()}


def execute(folder):
    """Write executed notebooks; the kernel forgets everything in between."""
    every = {name: read(name) for name in NOTEBOOKS}
    together = new_notebook()
    for number, (name, notebook) in enumerate(every.items()):
        for place, cell in enumerate(notebook.cells):
            cell["id"] = f"{number}-{place}"
        together.cells += [*notebook.cells, new_code_cell("%reset -f", id=f"after-{name.replace('_', '-')}")]
    NotebookClient(together, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    for name, notebook in every.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")


def outputs(cells, kind):
    return [
        output["data"][kind]
        for cell in cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if kind in output.get("data", {})
    ]


def cards(cells):
    return [check_html(html) for html in outputs(cells, "text/html") if html.startswith('<div class="warptheory">')]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_they_are_kept_without_outputs(name):
    nbformat.validate(read(name))
    for cell in cells_of(name):
        assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_they_run_and_show_themselves(executed, name):
    cells, said = executed[name], read(name).metadata["warptheory"]
    assert said["cards"] or said["pictures"]
    assert {card.find(".//strong").text for card in cards(cells)} >= set(said["cards"])
    formulas = [text for text in outputs(cells, "text/latex") if text.startswith("$")]
    assert len(formulas) >= said["formulas"]
    assert len(outputs(cells, "image/png")) == said["pictures"]
    for line in outputs(cells, "text/plain"):
        assert len(max(line.splitlines(), key=len)) < 200


def test_what_the_text_says_of_verdicts(executed):
    words = [text_of(card) for card in cards(executed["verify"]) if card.find(".//strong").text == "Verdict"]
    assert ["✓ verified" in words[0], "✗ refuted" in words[1], "✓ verified" in words[2]] == [True] * 3


def test_what_the_text_says_of_variances(executed):
    """Two thirds are left at half a pixel; nearly all at small spreads, and two thirds again at large ones."""
    numbers = [ast.literal_eval(text) for text in outputs(executed["derive"], "text/plain") if text[0] in "0{"]
    value, kernels, spreads = numbers
    assert value == pytest.approx(2 / 3)
    assert kernels["linear"] == pytest.approx(2 / 3)
    assert spreads[0.01] > 0.95
    assert spreads[1.0] == pytest.approx(2 / 3, rel=1e-4)


def test_what_the_text_says_of_alarms(executed):
    quiet, alarmed = (
        text_of(card) for card in cards(executed["watch_a_model"]) if card.find(".//strong").text == "Monitor"
    )
    assert "Alarms" not in quiet
    assert "Alarms: " in alarmed
    assert "offset deviation (pixels)" in quiet
