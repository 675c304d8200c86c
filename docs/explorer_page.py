"""The page of `warptheory explore`, as a page of the site: drawn from committed records."""

import shutil
from pathlib import Path

from docs import committed
from warptheory.paper import analyses, explorer
from warptheory.paper.entries import RunSettings

FOLDER = Path(__file__).parent / "_build" / "extra"  # what Sphinx copies as it is
NAME = "explore.html"


def record_names() -> list[str]:
    """Return the names of the records that the page is made of, with those beside them."""
    return [name for script in explorer.explored_scripts() for name in analyses.get(script).records]


def write(folder: Path = FOLDER) -> None:
    """Write the page.

    Raises:
        ArgumentError: a record is missing.
    """
    committed.read(name for script in explorer.explored_scripts() for name in analyses.get(script).writes)
    place = folder.parent / "explored"
    place.mkdir(parents=True, exist_ok=True)
    for name in record_names():
        path = committed.path_of(name)
        if path is not None:
            shutil.copyfile(path, place / name)
    folder.mkdir(parents=True, exist_ok=True)
    explorer.write_page(folder / NAME, RunSettings(place))
