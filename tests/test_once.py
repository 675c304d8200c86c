"""What is made once: a second request finds it, and what failed is begun anew."""

import pytest

from tests.once import made_once


def test_it_is_made_once(tmp_path_factory):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "content").write_text("made")

    folder, again = (made_once(tmp_path_factory, "made_once", make) for _ in range(2))
    assert made == [folder] == [again]
    assert (folder / "content").read_text() == "made"


def test_what_failed_is_begun_anew(tmp_path_factory):
    def fail(folder):
        (folder / "half").touch()
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        made_once(tmp_path_factory, "failed_once", fail)
    folder = made_once(tmp_path_factory, "failed_once", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
