"""The contract of figures: each is drawn from records of others, as PDF and PNG, and is shown with its caption."""

from dataclasses import replace

import pytest
from PIL import Image

from tests.reproduction import SETTINGS
from tests.scripts import check_declared, check_shown, check_written
from warptheory.paper import figures
from warptheory.paper.entries import RunSettings
from warptheory.paper.pages import read_all

NAMES = figures.names()


@pytest.mark.parametrize("name", NAMES)
def test_it_declares_what_others_need(name):
    check_declared(figures.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_drawn_and_shown(name, reproduced):
    entry = figures.get(name)
    check_written(entry, RunSettings(reproduced / "records", **SETTINGS))
    check_shown(entry, (reproduced / "report.html").read_text(encoding="utf-8"))
    check_picture(reproduced / f"{name}.png")
    assert (reproduced / f"{name}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", NAMES)
def test_its_title_has_the_number_of_its_script(name, reproduced):
    entry = figures.get(name)
    read = read_all(entry.reads, RunSettings(reproduced / "records"))
    title = entry.title if isinstance(entry.title, str) else entry.title(*read)
    number = name.partition("_")[0].removeprefix("figure")
    assert title.startswith(f"Figure {number}. ")
    assert figures.numbered(number) == entry
    assert len(entry.caption(*read)) > 20


def test_a_wrong_figure_would_be_seen(tmp_path):
    with pytest.raises(AssertionError):
        check_declared(replace(figures.get(NAMES[0]), reads=("nowhere.parquet",)))
    Image.new("RGB", (400, 300), "white").save(tmp_path / "empty.png")
    with pytest.raises(AssertionError):
        check_picture(tmp_path / "empty.png")


def check_picture(path):
    """It is large enough to be read, and not of one colour."""
    with Image.open(path) as picture:
        assert min(picture.size) >= 200
        assert any(low != high for low, high in picture.convert("RGB").getextrema())
