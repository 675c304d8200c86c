"""A page counts as executed by the site's build as long as nothing has changed on which its cells depend."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from docs import executed
from warptheory.core import records


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of pages, a library beside it, and a build that executes some of the pages that it reads."""
    monkeypatch.setattr(executed, "DOCS", tmp_path)
    return Site(tmp_path)


class Site:
    def __init__(self, folder):
        self.folder, self.library = folder, folder / "library"
        self.library.mkdir()
        (self.library / "module.py").write_text("x = 1\n")

    def page(self, name):
        path = self.folder / "guides" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# {name}\n")
        return path

    def build(self, *pages, executes=True, meanwhile=lambda: None):
        read = executed.digests(pages, self.library)
        meanwhile()
        for page in pages if executes else ():
            shown = new_output("execute_result", {"text/plain": page.stem})
            path = self.folder / "_build" / "jupyter_execute" / "guides" / f"{page.stem}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(new_notebook(cells=[new_code_cell("x", outputs=[shown])]), path)
        executed.note(read, self.folder / "_build")

    def shown(self, page):
        found = executed.notebook(page, self.folder / "_build", self.library)
        return None if found is None else nbformat.read(found, as_version=4).cells[0].outputs[0]["data"]["text/plain"]


def test_what_is_built_is_found(site):
    first, second = site.page("first"), site.page("second")
    assert site.shown(first) is None
    site.build(first)
    assert site.shown(first) == "first"
    assert site.shown(second) is None
    site.build(second)
    assert (site.shown(first), site.shown(second)) == ("first", "second")


def test_a_page_that_is_read_and_not_executed_is_not_found(site):
    page = site.page("plain")
    site.build(page, executes=False)
    assert site.shown(page) is None


CHANGES = {
    "page": lambda site, patch: (site.folder / "guides" / "first.md").write_text("# Another\n"),
    "source": lambda site, patch: (site.library / "module.py").write_text("x = 2\n"),
    "new source": lambda site, patch: (site.library / "other.py").write_text(""),
    "package": lambda site, patch: patch.setattr(records, "installed_versions", lambda: {"python": "4"}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["afterwards", "while it is built"])
def test_what_has_changed_is_not_found(site, change, when, monkeypatch):
    page = site.page("first")

    def edit():
        CHANGES[change](site, monkeypatch)

    site.build(page, meanwhile=edit if when == "while it is built" else lambda: None)
    if when == "afterwards":
        assert site.shown(page) == "first"
        edit()
    assert site.shown(page) is None
    site.build(page)
    assert site.shown(page) == "first"
