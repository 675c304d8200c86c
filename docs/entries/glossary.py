"""What the symbols of closed forms stand for."""

from docs.entries import _myst as myst
from docs.pages import EntryPages, Page, blocks
from warptheory import results


def page(name: str) -> Page:
    """Return the page of an entry; the glossary is one page."""
    raise KeyError(name)


def overview() -> Page:
    """Return all symbols with their meaning."""
    listed = [
        f"({myst.symbol_target(symbol.name)})=\n${symbol.latex}$\n: {symbol.meaning} In code: `{symbol.name}`."
        for symbol in results.glossary()
    ]
    return Page(
        blocks(
            """Symbols of closed forms, and the names by which the command line and Python take numbers for them, as in
`warptheory sweep A4 --over s=0.1:1:10`.""",
            *listed,
        )
    )


PAGES = EntryPages(title="Glossary of symbols", order=50, names=lambda: [], page=page, overview=overview)
