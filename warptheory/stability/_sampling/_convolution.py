"""Deformable convolutions: taps on a lattice, each with an offset of its own."""

from collections.abc import Sequence

from torch import Tensor

from warptheory.patterns import Lattice
from warptheory.patterns.layouts import OffsetOutput
from warptheory.stability._sampling._call import SamplingCall


def deformable_convolution(
    operator: str,
    tensors: tuple[Tensor, Tensor | None, Tensor, Tensor],
    mask: Tensor | None,
    geometry: tuple[Sequence[int], Sequence[int], Sequence[int]],
    groups: int,
) -> SamplingCall:
    """Return the call of a deformable convolution, whose offsets are [dy₀, dx₀, dy₁, dx₁, …] for each group.

    Args:
        operator: name of the operation.
        tensors: x (B, C, H, W), y (B, D, h, w) if known, the offsets (B, 2GK, h, w), the filters (D, C/groups, *K).
        mask: factors on the samples, shape (B, GK, h, w), or None.
        geometry: stride, padding and dilation.
        groups: number G of offset groups.
    """
    x, y, offsets, filters = tensors
    kernel_size = tuple(filters.shape[2:])
    lattice = Lattice.of_convolution(kernel_size, geometry, groups)
    return SamplingCall(
        operator, x, y, offsets, OffsetOutput(), lattice, taps=filters[0, 0].numel(), mask=mask, filters=filters
    )
