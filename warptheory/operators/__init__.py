"""Dynamic sampling operators as torch layers, one file each; each knows its matrix and statistics.

Random-field warps are a layer without a matrix: their offsets are drawn anew at every call.
"""

from warptheory.operators._operator import OperatorStatistics, SamplingOperator
from warptheory.operators.random_field_warp import RandomFieldWarp, WarpStrength
from warptheory.operators.self_warp import SelfWarp, SelfWarp1d, SelfWarp2d

__all__ = [
    "OperatorStatistics",
    "RandomFieldWarp",
    "SamplingOperator",
    "SelfWarp",
    "SelfWarp1d",
    "SelfWarp2d",
    "WarpStrength",
]
