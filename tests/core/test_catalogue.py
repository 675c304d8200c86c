import pytest

from warptheory.core.catalogue import Catalogue, aliases, entry_modules, exported_names
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


def test_aliases_are_declared_by_entries(tmp_path, monkeypatch):
    """They are found by the name, told where they are near, and refused where they are taken."""
    package = tmp_path / "closet"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "coat.py").write_text('ALIASES = {"overcoat": "coat", "parka": "coat(2)"}\ncoat = "a coat"\n')
    (package / "hat.py").write_text('hat = "a hat"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    closet = Catalogue("closet")
    assert [closet.resolve(name) for name in ("coat", "overcoat", "parka", "hat", "cap")] == [
        "coat",
        "coat",
        "coat(2)",
        "hat",
        "cap",
    ]
    assert closet.names() == ["coat", "hat"]
    with pytest.raises(UnknownNameError, match=r"expected one of coat, hat, got 'Parca' \(did you mean 'parka'\?\)"):
        closet.get("Parca")
    (package / "cap.py").write_text('ALIASES = {"hat": "cap"}\n')
    entry_modules.cache_clear()
    aliases.cache_clear()
    with pytest.raises(ImportError, match="the alias hat, which is taken"):
        aliases("closet")


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
