"""Dynamic sampling operators as torch layers, one file each; each knows its matrix and statistics."""

from warptheory.operators._operator import OperatorStatistics, SamplingOperator
from warptheory.operators.self_warp import SelfWarp2d

__all__ = ["OperatorStatistics", "SamplingOperator", "SelfWarp2d"]
