"""The checkout that the package runs from: figures and analyses live beside the package, not in it."""

import importlib.util
from pathlib import Path
from types import ModuleType

from warptheory.core.errors import ArgumentError, UnknownNameError


def checkout_folder(name: str) -> Path:
    """Return a folder of the checkout, such as "figures".

    Raises:
        ArgumentError: the package is installed without its checkout.
    """
    folder = Path(__file__).resolve().parents[2] / name
    if not folder.is_dir():
        raise ArgumentError(
            name,
            expected=f"a checkout of the repository, with its folder {name}/",
            received="an installed package alone",
        )
    return folder


def load_script(folder: str, name: str, argument: str) -> ModuleType:
    """Import a script of the checkout by its file name.

    Args:
        folder: folder of the checkout, such as "figures".
        name: the script's name without ending, or the part of it up to the first underscore.
        argument: the caller's name for `name`, used in the error.

    Raises:
        ArgumentError: the package is installed without its checkout.
        UnknownNameError: no such script; the message lists the ones that exist.
    """
    scripts = {
        path.stem: path for path in sorted(checkout_folder(folder).glob("*.py")) if not path.stem.startswith("_")
    }
    found = [path for stem, path in scripts.items() if name in (stem, stem.partition("_")[0])]
    if len(found) != 1:
        raise UnknownNameError(argument, name, scripts)
    spec = importlib.util.spec_from_file_location(f"{folder}.{found[0].stem}", found[0])
    if spec is None or spec.loader is None:
        raise UnknownNameError(argument, name, scripts)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
