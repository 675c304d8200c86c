"""Analyses: each computes records. They are found by looking into this folder."""

from warptheory.core.catalogue import entry_modules, load_entry
from warptheory.paper.entries import Analysis

__all__ = ["get", "names"]


def names() -> list[str]:
    """Return the names of the scripts."""
    return sorted(entry_modules(__name__))


def get(name: str) -> Analysis:
    """Return the entry of a script.

    Raises:
        UnknownNameError: no such script; the message lists the ones that exist.
    """
    found: Analysis = load_entry(__name__, name, "name").ANALYSIS
    return found
