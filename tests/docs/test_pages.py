"""Every written page runs, cell after cell, and ends in the answer that it states.

The site's build runs the same cells. Where it has just done so, on the same sources, they are not run again.
"""

import re
from pathlib import Path

import matplotlib as mpl
import pytest

import warptheory
from docs import executed
from tests.docs.pages import cells_of, run_cells, states_its_answer

DOCS = Path(warptheory.__file__).parents[1] / "docs"
BUILT = ("_build", "_gallery", "gallery", "generated")
FOLDERS = [path for path in DOCS.iterdir() if path.is_dir() and path.name not in BUILT]
WRITTEN = sorted([*DOCS.glob("*.md"), *(path for folder in FOLDERS for path in folder.rglob("*.md"))])
PAGES = [path for path in WRITTEN if cells_of(path.read_text(encoding="utf-8"))]


@pytest.fixture
def _as_in_a_notebook(monkeypatch, tmp_path):
    """Nothing is shown on a screen, and what a page writes goes into a folder of its own."""
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.on_the_site
@pytest.mark.usefixtures("as_users_call", "_as_in_a_notebook")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_and_ends_in_its_answer(page):
    cells = cells_of(page.read_text(encoding="utf-8"))
    assert states_its_answer(cells), "the last cell has to assert what the page says"
    if executed.notebook(page) is not None:
        pytest.skip("run by the build of the site, on these very sources")
    run_cells(cells, page.name)


def test_the_five_tasks_are_programs():
    tasks = [path for path in PAGES if path.parent.name == "tasks"]
    listed = re.search(
        r"```\{toctree\}.*?\n\n(.*?)```", (DOCS / "tasks" / "index.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert sorted(path.stem for path in tasks) == sorted(listed[1].split())
    assert len(tasks) == 5


WRONG = """# A page

```{code-cell} ipython3
x = 2
```

```{code-cell} ipython3
:tags: [remove-output]

assert x == 3
```
"""


def test_a_page_with_a_wrong_answer_is_refused():
    cells = cells_of(WRONG)
    assert len(cells) == 2
    assert states_its_answer(cells)
    with pytest.raises(AssertionError):
        run_cells(cells, "wrong")


@pytest.mark.parametrize("last", ["print(x)", "assert True", "assert 1 + 1 == 2, x"])
def test_a_page_without_an_answer_is_refused(last):
    assert not states_its_answer(cells_of(WRONG.replace("assert x == 3", last)))
    assert not states_its_answer([])
