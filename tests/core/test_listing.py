"""`dir` of the package and of every room shows public names only."""

import importlib
import pkgutil
import types

import pytest

import warptheory

PACKAGES = [
    "warptheory",
    *(
        found.name
        for found in pkgutil.walk_packages(warptheory.__path__, "warptheory.")
        if found.ispkg and not any(part.startswith("_") for part in found.name.split("."))
    ),
]


def not_public(package: types.ModuleType) -> set[str]:
    """Return what `dir` shows without being public: neither listed in `__all__`, nor an entry or a module's name."""
    shown = {name for name in dir(package) if not (name.startswith("__") and not hasattr(package, "__all__"))}
    public = set(getattr(package, "__all__", [found.name for found in pkgutil.iter_modules(package.__path__)]))
    return {name for name in shown - public if not _is_found_when_asked(package, name)}


def _is_found_when_asked(package: types.ModuleType, name: str) -> bool:
    """Whether the package's `__getattr__` finds a name, such as that of an entry's class, and it is no module."""
    found = getattr(package, "__getattr__", lambda name: None)
    return not name.startswith("_") and isinstance(found(name), type)


@pytest.mark.parametrize("name", PACKAGES)
def test_dir_shows_public_names_only(name):
    package = importlib.import_module(name)
    assert not not_public(package)
    assert set(getattr(package, "__all__", ())) <= set(dir(package))
    for each in getattr(package, "__all__", ()):
        assert getattr(package, each, None) is not None


def test_a_private_name_is_seen():
    package = types.ModuleType("room")
    package.__path__ = []
    package.__all__ = ["public"]
    package.public = package.helper = len
    assert not_public(package) >= {"helper"}


def test_entries_that_are_found_when_asked_are_listed():
    assert {"Matern", "IID"} <= set(dir(warptheory.fields))
    assert {"SelfWarp2d"} <= set(dir(warptheory.operators))
    assert {"tap_weights"} <= set(dir(warptheory.kernels))
