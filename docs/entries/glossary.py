"""What the symbols of closed forms stand for."""

from docs.entries import _myst as myst
from docs.entries._symbols import targets
from docs.pages import EntryPages, Page, blocks
from warptheory.results import GlossaryEntry


def page(name: str) -> Page:
    """Return the page of an entry; the glossary is one page."""
    raise KeyError(name)


def overview() -> Page:
    """Return all symbols with their meaning: those that results share, then those of single results."""
    found = targets()
    return Page(
        blocks(
            """Symbols of closed forms, and the names by which the command line and Python take numbers for them, as in
`warptheory sweep A4 --over s=0.1:1:10`.""",
            "## Shared by all results",
            *(_explained(entry, target) for entry, target in found.items() if not entry.labels),
            "## Of single results",
            *(_explained(entry, target) for entry, target in found.items() if entry.labels),
        )
    )


def _explained(entry: GlossaryEntry, target: str) -> str:
    code = f" In code: `{entry.name}`." if entry.name.isidentifier() and entry.name.isascii() else ""
    where = ", ".join(f"[{label}](#result-{label})" for label in entry.labels)
    said = f" In {where}." if where else ""
    return f"({target})=\n${entry.latex}$\n: {myst.plain(entry.meaning.rstrip('.'))}.{code}{said}"


PAGES = EntryPages(title="Glossary of symbols", order=50, names=lambda: [], page=page, overview=overview)
