"""The paper: analyses that compute records, figures and report drawn from them, benchmarks; and the run of them all.

An analysis, a figure or a benchmark is one script in the folder of its kind, which declares an entry (`entries`). They
are found by looking into the folder.
"""

from warptheory.core.listing import public_names
from warptheory.paper import analyses, benchmarks, figures
from warptheory.paper.entries import Script

__all__ = ["analyses", "benchmarks", "figures", "scripts"]
__dir__ = public_names(__name__)


def scripts() -> dict[str, Script]:
    """Return the entries of all scripts, by name.

    Raises:
        ImportError: two scripts of one name.
    """
    found: dict[str, Script] = {}
    for catalogue in (analyses, figures, benchmarks):
        for name in catalogue.names():
            if name in found:
                raise ImportError(f"two scripts of the paper are named {name}")
            found[name] = catalogue.get(name)
    return found
