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
    """Return what `dir` shows without being public: neither listed in `__all__`, nor a module of the package.

    Beside `__all__`, names are public that the package finds when it is asked, as that of an entry's class.
    """
    if not hasattr(package, "__all__"):
        return {name for name in dir(package) if not name.startswith("__") and not _is_module_of(package, name)}
    return {name for name in set(dir(package)) - set(package.__all__) if not _is_class_found(package, name)}


def _is_module_of(package: types.ModuleType, name: str) -> bool:
    found = getattr(package, name)
    return isinstance(found, types.ModuleType) and found.__name__ == f"{package.__name__}.{name}"


def _is_class_found(package: types.ModuleType, name: str) -> bool:
    found = getattr(package, "__getattr__", lambda name: None)
    return not name.startswith("_") and isinstance(found(name), type)


@pytest.mark.parametrize("name", PACKAGES)
def test_dir_shows_public_names_only(name):
    package = importlib.import_module(name)
    assert not not_public(package)
    assert set(getattr(package, "__all__", ())) <= set(dir(package))
    for each in getattr(package, "__all__", ()):
        assert getattr(package, each, None) is not None


@pytest.mark.parametrize("has_list", [True, False])
def test_a_private_name_is_seen(has_list):
    package = types.ModuleType("room")
    package.public = package.helper = len
    if has_list:
        package.__all__ = ["public"]
    assert "helper" in not_public(package)


def test_entries_that_are_found_when_asked_are_listed():
    assert {"Matern", "IID"} <= set(dir(warptheory.fields))
    assert {"SelfWarp2d"} <= set(dir(warptheory.operators))
    assert {"tap_weights"} <= set(dir(warptheory.kernels))
