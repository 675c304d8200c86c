"""Pages that are generated from the library's entries: one for each, and an overview of each kind.

A kind is a module in `entries/`, which is found by looking into that folder; it asks a catalogue of the library what
there is, so that a new entry has its page without an edit here.
"""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from warptheory.core.catalogue import Catalogue

ENTRIES = "docs.entries"


@dataclass(frozen=True)
class Page:
    """A page in MyST Markdown.

    Attributes:
        text: its source.
        pictures: files that it shows, by their names beside it.
    """

    text: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class EntryPages:
    """The pages of one kind of entry.

    Attributes:
        title: heading of the overview.
        order: place among the kinds.
        names: names of the entries, in their order.
        page: makes the page of one.
        overview: makes what stands on the overview, below its heading.
        file: the file of an entry's page, without its ending.
    """

    title: str
    order: int
    names: Callable[[], list[str]]
    page: Callable[[str], Page]
    overview: Callable[[], Page]
    file: Callable[[str], str] = str


@cache
def kinds() -> dict[str, EntryPages]:
    """Return the kinds by name, in their order."""
    catalogue = Catalogue[EntryPages](ENTRIES, attribute="PAGES")
    found = {name: catalogue.get(name) for name in catalogue.names()}
    return dict(sorted(found.items(), key=lambda pair: pair[1].order))


def write_all(folder: Path) -> None:
    """Write every page; what is there already and the same is left, so that it is not read again."""
    # Overviews last: what they show of an entry has been derived for its page.
    work = [(kind, name) for kind, pages in kinds().items() for name in pages.names()]
    work += [(kind, "") for kind in kinds()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 4), context) as pool:
        written = {path for paths in pool.map(partial(_write, folder), work) for path in paths}
    written.add(_write_text(folder / "reference.md", _reference()))
    for path in folder.rglob("*"):
        if path.is_file() and path not in written:
            path.unlink()


def _write(folder: Path, work: tuple[str, str]) -> list[Path]:
    """Write the page of an entry, or the overview of a kind, with its pictures; return the files."""
    kind, name = work
    pages = kinds()[kind]
    page, file = (pages.page(name), pages.file(name)) if name else (_overview(pages), "index")
    place = folder / kind
    pictures = [_write_bytes(place / picture, content) for picture, content in page.pictures.items()]
    return [_write_text(place / f"{file}.md", page.text), *pictures]


def _overview(pages: EntryPages) -> Page:
    shown, names = pages.overview(), pages.names()
    listed = "\n".join(pages.file(name) for name in names)
    contents = f"\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n" if names else "\n"
    return Page(f"# {pages.title}\n\n{shown.text}{contents}", shown.pictures)


def _reference() -> str:
    listed = "\n".join(f"{pages.title} <{kind}/index>" for kind, pages in kinds().items())
    return f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"


def _write_text(path: Path, text: str) -> Path:
    return _write_bytes(path, text.encode("utf-8"))


def _write_bytes(path: Path, content: bytes) -> Path:
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def remove_all(folder: Path) -> None:
    """Remove what `write_all` writes."""
    shutil.rmtree(folder, ignore_errors=True)


def blocks(*parts: str | Iterator[str]) -> str:
    """Return parts of a page, apart by empty lines; empty ones are left out."""
    texts = [text for part in parts for text in ([part] if isinstance(part, str) else part)]
    return "\n\n".join(text.strip("\n") for text in texts if text.strip()) + "\n"
