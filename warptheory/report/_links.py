"""Links within a page: wherever text names a result, it leads to it."""

import re
from collections.abc import Collection

from markupsafe import Markup

_TAG = re.compile(r"(<[^>]*>)")
_OPENED = re.compile(r"<(/?)([a-zA-Z0-9]+)")
_LABEL = re.compile(r"\b[A-Z]\d+[a-z]?\b")
_APART = frozenset({"a", "math", "code", "svg", "h1", "h2", "h3", "summary", "style", "title"})
_ENTRY = re.compile(r'<section id="([^"]+)" data-title="([^"]+)"')


def linked(body: Markup, labels: Collection[str]) -> Markup:
    """Return HTML in which labels of results, such as A4, lead to the sections of that address.

    Args:
        body: HTML; headings, formulas, code and what is a link already stay as they are.
        labels: those that have a section on the page.
    """
    inside: list[str] = []
    pieces = []
    for piece in _TAG.split(str(body)):
        opened = _OPENED.match(piece)
        if opened is None:
            pieces.append(piece if inside else _LABEL.sub(lambda found: _link(found[0], labels), piece))
            continue
        pieces.append(piece)
        is_end, name = opened[1] == "/", opened[2].lower()
        if name in _APART:
            inside = inside[:-1] if is_end else [*inside, name]
    return Markup("".join(pieces))


def entries_of(body: Markup) -> list[tuple[str, str]]:
    """Return address and title of each titled section within HTML, in order, for the list of contents."""
    return [(address, str(Markup(title).unescape())) for address, title in _ENTRY.findall(str(body))]


def _link(label: str, labels: Collection[str]) -> str:
    return f'<a href="#{label}">{label}</a>' if label in labels else label
