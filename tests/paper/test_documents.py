"""Tables in documents: what a command writes between markers, and nothing else."""

import pytest

from warptheory.core.errors import UnknownNameError
from warptheory.paper.documents import documents, replace_block, tables, write_blocks
from warptheory.paper.entries import DocumentTable

PAGE = "# A page\n\n<!-- numbers: begin -->\nold\n<!-- numbers: end -->\n\nText that stays.\n"


@pytest.fixture
def folder(tmp_path):
    """Two documents, one of which has a block."""
    for kind in ("guides", "tasks"):
        (tmp_path / kind).mkdir()
    (tmp_path / "guides" / "page.md").write_text(PAGE, encoding="utf-8")
    (tmp_path / "tasks" / "other.md").write_text("# No block\n", encoding="utf-8")
    return tmp_path


def test_a_block_is_replaced_and_the_rest_stays(folder, tmp_path):
    known = {"numbers": (DocumentTable("numbers", write=lambda: "| new |", reads=()), tmp_path)}
    write_blocks([], known, folder)
    assert (folder / "guides" / "page.md").read_text(encoding="utf-8") == PAGE.replace("old", "| new |")
    assert (folder / "tasks" / "other.md").read_text(encoding="utf-8") == "# No block\n"


def test_a_block_that_nobody_writes_or_has_is_refused(folder):
    with pytest.raises(UnknownNameError, match="numbers"):
        write_blocks([], {}, folder)
    with pytest.raises(UnknownNameError, match="nothing"):
        write_blocks(["nothing"], {}, folder)


def test_a_block_in_two_documents_is_refused(folder):
    (folder / "tasks" / "other.md").write_text(PAGE, encoding="utf-8")
    with pytest.raises(ImportError, match="numbers"):
        documents(folder)


def test_every_block_of_the_site_has_its_table(tmp_path):
    known = tables(tmp_path / "records", tmp_path / "timings")
    assert set(documents()) <= set(known)
    assert {known[name][1].name for name in documents()} == {"records"}  # benchmarks have pages of their own


def test_backslashes_are_text():
    assert replace_block(PAGE, "numbers", r"\1 \n") == PAGE.replace("old", r"\1 \n")
