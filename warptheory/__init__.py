"""Theory and statistics of dynamic sampling networks, built on one operator: y(t) = x(t + ε(t)).

>>> import warptheory as wt
>>> from warptheory.symbolic import E, IIDField, OffsetField, warp
>>> y = warp(IIDField("x", mean=0), OffsetField("uniform", scale="1/2"), kernel="linear")
>>> E(y[0] ** 2)
2*sigma**2/3

Rooms, from the ground up: `core`, `kernels`, `fields`, then `warping` (the operator on tensors) and
`symbolic` (the algebra of expectations), `matrices` (what kind of map one is), `montecarlo` and `operators`, `results`
(the theorems), `networks`, `training` and `stability`, `report`, `paper` (analyses, figures and benchmarks), `cli`.
Imports point downwards only.
"""

import importlib
from typing import TYPE_CHECKING, Any

from warptheory.core.listing import public_names

if TYPE_CHECKING:
    from warptheory import (
        fields,
        kernels,
        matrices,
        montecarlo,
        networks,
        operators,
        report,
        results,
        stability,
        symbolic,
        training,
        warping,
    )
    from warptheory.warping import splat, warp, warp_gradient, warp_matrix

__version__ = "0.1.0"

# torch and sympy take seconds to import, so each room is loaded when it is first named.
_OPERATORS = ("warp", "splat", "warp_gradient", "warp_matrix")
_ROOMS = (
    "fields",
    "kernels",
    "matrices",
    "montecarlo",
    "networks",
    "operators",
    "report",
    "results",
    "stability",
    "symbolic",
    "training",
    "warping",
)

__all__ = [
    "__version__",
    "fields",
    "kernels",
    "matrices",
    "montecarlo",
    "networks",
    "operators",
    "report",
    "results",
    "splat",
    "stability",
    "symbolic",
    "training",
    "warp",
    "warp_gradient",
    "warp_matrix",
    "warping",
]
__dir__ = public_names(__name__)


def __getattr__(name: str) -> Any:
    if name in _OPERATORS:
        found: Any = getattr(importlib.import_module("warptheory.warping"), name)
    elif name in _ROOMS:
        found = importlib.import_module(f"warptheory.{name}")
    else:
        raise AttributeError(f"module 'warptheory' has no attribute {name!r}")
    globals()[name] = found  # asked once: the next access does not come here
    return found
