"""Check a built site.

Nothing is loaded from another host, every internal link and anchor leads somewhere, every picture has a text, and every
formula was converted.

    python -m docs.check docs/_build/html
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes by which a page loads something; links that a reader follows are `href` of `a`.
_LOADED = frozenset({"src", "srcset", "poster", "data", "action", "formaction", "background"})
_FOLLOWED = frozenset({"a", "area"})
_NAMED = frozenset({"canonical", "license", "author"})  # relations of `link` that name an address and load nothing
_ADDRESS = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")
_ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_LATEX = re.compile(r"\\[a-zA-Z]+")


@dataclass(frozen=True)
class Reference:
    """What a page names: an address, and whether it is loaded or followed."""

    address: str
    is_loaded: bool


class _Reader(HTMLParser):
    """Reads a page's references and anchors, and notes what is wrong with it alone."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.references: list[Reference] = []
        self.anchors: set[str] = set()
        self.wrong: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the attributes of an element."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag in ("style", "mtext", "script"):
            self._within.append(tag)
        if tag == "img" and not found.get("alt", "").strip():
            self.wrong.append(f"a picture without a text: {found.get('src', '')[:80]}")
        for name, value in found.items():
            self._take(tag, name, value, found)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        """Take the addresses of a style sheet, and see LaTeX that was not converted."""
        if self._within[-1:] == ["style"]:
            self.references += [Reference(address, True) for address in addresses(data)]
        if self._within[-1:] == ["mtext"] and _LATEX.search(data):
            self.wrong.append(f"a formula that is shown as LaTeX: {data[:80]}")

    def _take(self, tag: str, name: str, value: str, found: Mapping[str, str]) -> None:
        if name == "style":
            self.references += [Reference(address, True) for address in addresses(value)]
        elif name == "srcset":
            self.references += [Reference(part.split()[0], True) for part in value.split(",") if part.split()]
        elif name in _LOADED:
            self.references.append(Reference(value, True))
        elif name == "href" and not (tag == "link" and found.get("rel", "") in _NAMED):
            self.references.append(Reference(value, tag not in _FOLLOWED))


def addresses(style: str) -> Iterator[str]:
    """Yield the addresses that a style sheet loads."""
    for match in _ADDRESS.finditer(style):
        yield match[1] or match[2]


@cache
def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def pages_of(site: Path) -> list[Path]:
    """Return the pages of a site; files of a theme in `_static` are none."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.relative_to(site).parts)


def faults(site: Path) -> Iterator[str]:
    """Yield what is wrong with a site, each with the file.

    Args:
        site: its folder.
    """
    root = site.resolve()
    for path in pages_of(root):
        page = _read(path)
        yield from (f"{path.relative_to(root)}: {said}" for said in page.wrong)
        for reference in page.references:
            said = _fault(root, path, reference)
            if said:
                yield f"{path.relative_to(root)}: {said}"
    for path in sorted(root.rglob("*.css")):
        for address in addresses(path.read_text(encoding="utf-8")):
            said = _fault(root, path, Reference(address, True))
            if said:
                yield f"{path.relative_to(root)}: {said}"


def _fault(root: Path, path: Path, reference: Reference) -> str:
    """Return what is wrong with a reference, empty if nothing is."""
    address = reference.address.strip()
    parts = urlsplit(address)
    if parts.scheme in ("data", "mailto", "javascript") or not address:
        return ""
    if _ELSEWHERE.match(address) or parts.scheme:
        return f"loads {address} from another host" if reference.is_loaded else ""
    target = root / unquote(parts.path).lstrip("/") if parts.path.startswith("/") else path.parent / unquote(parts.path)
    target = (path if not parts.path else target).resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(root) or not target.is_file():
        return f"{address} leads nowhere"
    is_page = target.suffix == ".html" and path.suffix == ".html"
    if is_page and parts.fragment and unquote(parts.fragment) not in _read(target).anchors:
        return f"{address} names an anchor that is not there"
    return ""


def _target(root: Path, path: Path, address: str) -> Path:
    """Return the file that an address on a page means."""
    if not address:
        return path
    found = (root / address.lstrip("/") if address.startswith("/") else path.parent / address).resolve()
    return found / "index.html" if found.is_dir() else found


def main() -> None:
    """Print what is wrong, and end with 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    site: Path = parser.parse_args().site
    pages = len(pages_of(site))
    found = list(faults(site))
    print(
        "\n".join(found)
        if found
        else f"{pages} pages: nothing is loaded from elsewhere, and every link leads somewhere"
    )
    sys.exit(bool(found) or not pages)


if __name__ == "__main__":
    main()
