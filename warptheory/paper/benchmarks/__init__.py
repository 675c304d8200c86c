"""Benchmarks: ratios of times, measured in turn in one run. They are found by looking into this folder."""

from warptheory.core.catalogue import entry_modules, load_entry
from warptheory.paper.entries import Benchmark

__all__ = ["get", "names"]


def names() -> list[str]:
    """Return the names of the scripts."""
    return sorted(entry_modules(__name__))


def get(name: str) -> Benchmark:
    """Return the entry of a script.

    Raises:
        UnknownNameError: no such script; the message lists the ones that exist.
    """
    found: Benchmark = load_entry(__name__, name, "name").BENCHMARK
    return found
