"""`warptheory.warping.warp`, and with it every operator of this library."""

from typing import Any

from torch import Tensor

from warptheory import warping
from warptheory.patterns import Lattice
from warptheory.patterns.layouts import PixelOffsets
from warptheory.stability._sampling._call import FunctionSource, SamplingCall


def sources() -> list[FunctionSource]:
    """Return the one function."""
    return [FunctionSource(warping.warp, _read)]


def _read(
    output: Tensor, x: Tensor, offsets: Tensor, kernel: Any = "linear", boundary: str = "zeros", **_: Any
) -> SamplingCall:
    dim = x.ndim - 2
    return SamplingCall(
        "warp", x, output, offsets, PixelOffsets(dim), Lattice.unit(dim), kernel=kernel, boundary=boundary
    )
