import pytest

from warptheory.core.catalogue import Catalogue, entry_modules, exported_names
from warptheory.core.errors import UnknownNameError


def test_entries_are_the_files_of_the_folder(tmp_path, monkeypatch):
    package = tmp_path / "shelf"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "_machinery.py", "box.py", "inner/__init__.py", "inner/cup.py"):
        (package / name).write_text("def box():\n    return 'a box'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert entry_modules("shelf") == {"box": "shelf.box", "cup": "shelf.inner.cup"}
    shelf = Catalogue("shelf", "thing")
    assert shelf.names() == ["box", "cup"]
    assert shelf.get("box")() == "a box"
    with pytest.raises(
        UnknownNameError, match=r"^thing: expected one of box, cup, got 'bax' \(did you mean 'box'\?\)$"
    ):
        shelf.get("bax")


def test_exported_names_are_read_and_not_run(tmp_path, monkeypatch):
    package = tmp_path / "rack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "hat.py").write_text('__all__ = ["Hat", "brim"]\nraise RuntimeError\n')
    (package / "coat.py").write_text("class Coat:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert exported_names("rack") == {"Hat": "rack.hat", "brim": "rack.hat"}
    (package / "cap.py").write_text('__all__ = ["brim"]\n')
    entry_modules.cache_clear()
    exported_names.cache_clear()
    with pytest.raises(ImportError, match="both export brim"):
        exported_names("rack")
