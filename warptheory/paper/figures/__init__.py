"""Figures of the paper: each is drawn from records. They are found by looking into this folder."""

from warptheory.core.catalogue import entry_modules, load_entry
from warptheory.paper.entries import PaperFigure

__all__ = ["get", "names", "numbered"]


def names() -> list[str]:
    """Return the names of the scripts."""
    return sorted(entry_modules(__name__))


def get(name: str) -> PaperFigure:
    """Return the entry of a script.

    Raises:
        UnknownNameError: no such script; the message lists the ones that exist.
    """
    found: PaperFigure = load_entry(__name__, name, "figure").FIGURE
    return found


def numbered(number: str) -> PaperFigure:
    """Return the figure of a number: its script is named figure<number>, with what it shows after an underscore.

    Raises:
        UnknownNameError: no such figure; the message lists the ones that exist.
    """
    wanted = f"figure{number}"
    return get(next((name for name in names() if name.partition("_")[0] == wanted), wanted))
