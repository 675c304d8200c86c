"""`warptheory.patterns.sample`, and with it every operator of this library that reads at the places of a pattern."""

from torch import Tensor

from warptheory import patterns
from warptheory.patterns.layouts import PixelOffsets
from warptheory.stability._sampling._call import FunctionSource, SamplingCall


def sources() -> list[FunctionSource]:
    """Return the one function."""
    return [FunctionSource(patterns.sample, _read)]


def _read(output: Tensor, x: Tensor, pattern: patterns.SamplingPattern) -> SamplingCall:
    return SamplingCall(
        "sample",
        x,
        output,
        pattern.offsets,
        PixelOffsets(len(pattern.size)),
        pattern.lattice,
        pattern.kernel,
        pattern.boundary,
        pattern.taps,
        pattern.weights,
        pattern.filters,
    )
