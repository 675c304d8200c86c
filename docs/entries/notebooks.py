"""Notebooks, found by looking into their folder."""

from pathlib import Path

from docs.pages import EntryPages, Page, blocks

FOLDER = Path(__file__).parents[1] / "notebooks"


def page(name: str) -> Page:
    """Return the page of a notebook; notebooks are pages themselves."""
    raise KeyError(name)


def overview() -> Page:
    """Return the list of notebooks."""
    names = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    if not names:
        return Page("There are none yet.")
    listed = "\n".join(f"../../notebooks/{name}" for name in names)
    return Page(
        blocks("To be opened in Jupyter, and executed for this site.", f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```")
    )


PAGES = EntryPages(title="Notebooks", order=80, names=lambda: [], page=page, overview=overview)
