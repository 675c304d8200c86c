"""Dynamic sampling operators as torch layers, one file each; each knows its matrix and statistics.

An operator's file lists in `__all__` what this package offers of it; it is imported when a name of its is first asked
for. Random-field warps are a layer without a matrix: their offsets are drawn anew at every call.
"""

import importlib
from typing import Any

from warptheory.core.catalogue import exported_names
from warptheory.core.listing import public_names
from warptheory.operators._operator import OperatorStatistics, SamplingOperator

__all__ = ["OperatorStatistics", "SamplingOperator", *exported_names(__name__)]
__dir__ = public_names(__name__)


def __getattr__(name: str) -> Any:
    modules = exported_names(__name__)
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(modules[name]), name)
