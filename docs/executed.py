"""What the site's build has executed, and from which sources, so that tests need not run the same cells once more.

MyST-NB leaves every page that it has executed, with what its cells showed, in `_build/jupyter_execute/`. Beside that
folder stands, for each of these pages, a digest of the page, of the library's sources and of the packages' versions. A
page that differs in one of them counts as not executed.
"""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import warptheory
from warptheory.core import records
from warptheory.core.cache import source_digest

DOCS = Path(__file__).parent
BUILD = DOCS / "_build"
LIBRARY = Path(warptheory.__file__).parent
_NOTES = "executed.json"


def digests(pages: Iterable[Path], library: Path = LIBRARY) -> dict[str, str]:
    """Return a digest of all that the execution of each page depends on.

    Args:
        pages: the pages' files.
        library: folder of the library.
    """
    common = json.dumps([source_digest(("",), library), records.installed_versions()])
    return {_name(page): sha256(common.encode() + page.read_bytes()).hexdigest() for page in pages}


def note(read: dict[str, str], build: Path = BUILD) -> None:
    """Keep the digests of the pages that a build has read, as far as it has executed them.

    Args:
        read: digests by the pages' names, as they were before the build read the pages.
        build: folder of the build.
    """
    executed = {name: digest for name, digest in read.items() if _notebook(name, build).is_file()}
    build.mkdir(parents=True, exist_ok=True)
    records.write_json(build / _NOTES, {**_noted(build), **executed})


def notebook(page: Path, build: Path = BUILD, library: Path = LIBRARY) -> Path | None:
    """Return the notebook of a page that the site's build has executed, with what its cells showed.

    Args:
        page: its file.
        build: folder of the build.
        library: folder of the library.

    Returns:
        The notebook's file; None if the page has not been executed, or something has changed since.
    """
    name = _name(page)
    is_current = _noted(build).get(name) == digests([page], library)[name]
    return _notebook(name, build) if is_current else None


def _name(page: Path) -> str:
    return page.resolve().relative_to(DOCS).with_suffix("").as_posix()


def _notebook(name: str, build: Path) -> Path:
    return build / "jupyter_execute" / f"{name}.ipynb"


def _noted(build: Path) -> dict[str, str]:
    found: dict[str, str] = records.read_json(build / _NOTES) if (build / _NOTES).is_file() else {}
    return found
