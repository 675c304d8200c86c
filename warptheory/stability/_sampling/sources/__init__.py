"""The sampling operations that are recognised, one file each, found by looking in this folder.

An entry is a module with a function `sources()` that lists what to watch for; what belongs to a package that is not
loaded is not listed, and no package is loaded for it.
"""

import importlib

from warptheory.core.catalogue import entry_modules
from warptheory.stability._sampling._call import Source


def all_sources() -> list[Source]:
    """Return what every entry watches for, given the packages that are loaded now."""
    modules = [importlib.import_module(name) for name in entry_modules(__name__).values()]
    return [source for module in modules for source in module.sources()]
