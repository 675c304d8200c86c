"""The sampling operations that are recognised, one file each, found by looking in this folder.

An entry is a module with a function `sources()` that lists what to watch for; what belongs to a package that is not
loaded is not listed, and no package is loaded for it.
"""

from collections.abc import Callable

from warptheory.core.catalogue import Catalogue
from warptheory.stability._sampling._call import Source


def all_sources() -> list[Source]:
    """Return what every entry watches for, given the packages that are loaded now."""
    entries = Catalogue[Callable[[], list[Source]]](__name__, attribute="sources").all()
    return [source for sources in entries for source in sources()]
