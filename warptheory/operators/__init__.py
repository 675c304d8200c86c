"""Dynamic sampling operators as torch layers and functions, one file each; each knows its pattern.

A layer's pattern at its inputs says where it samples, with which weights, and how it mixes (`patterns`); its matrix and
statistics follow. An operator's file lists in `__all__` what this package offers of it; it is imported when a name of
its is first asked for. `get` returns what the file says of the operator: formula, source, examples, defects of others.
"""

import importlib
from typing import Any

from warptheory.core.catalogue import exported_names
from warptheory.core.listing import public_names
from warptheory.operators._conversion import Conversion, ConvertedLayer, convert
from warptheory.operators._entry import (
    Counterpart,
    Defect,
    OperatorEntry,
    OperatorExample,
    get,
    names,
)
from warptheory.operators._grid_sample import GridSampleCall, convert_grid_sample
from warptheory.operators._operator import SamplingOperator, WarpOperator

__all__ = [
    "Conversion",
    "ConvertedLayer",
    "Counterpart",
    "Defect",
    "GridSampleCall",
    "OperatorEntry",
    "OperatorExample",
    "SamplingOperator",
    "WarpOperator",
    "convert",
    "convert_grid_sample",
    "get",
    "names",
    *exported_names(__name__),
]
__dir__ = public_names(__name__)


def __getattr__(name: str) -> Any:
    modules = exported_names(__name__)
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(modules[name]), name)
