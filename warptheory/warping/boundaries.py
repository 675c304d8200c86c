"""Boundary rules: what a tap outside the image reads.

For an axis with the pixels a b c d:

    zeros       0 0 0 | a b c d | 0 0 0    scipy grid-constant   torch padding_mode="zeros"
    border      a a a | a b c d | d d d    scipy nearest         torch padding_mode="border"
    reflect     c b a | a b c d | d c b    scipy reflect         torch padding_mode="reflection", align_corners=False
    periodic    b c d | a b c d | a b c    scipy grid-wrap       (torch has none)

`reflect` mirrors at the outer edge of the border pixel (half-sample symmetry; numpy.pad calls it
"symmetric"), because pixel centres sit on integers and pixel n covers [n − ½, n + ½]: the image is
then continued without stretching any pixel, and an axis of length one is allowed. The mirror at the
pixel's centre (scipy "mirror", torch align_corners=True, numpy.pad "reflect") is not offered.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from warptheory.core.errors import UnknownNameError

Boundary = Callable[[Int[Tensor, "*T"], int], tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]]


def zeros(index: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]:
    """Read zero outside: return the clamped index (*T) and the mask (*T) of taps that lie inside."""
    return index.clamp(0, size - 1), (index >= 0) & (index < size)


def border(index: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]:
    """Read the nearest border pixel outside: return the clamped index (*T)."""
    return index.clamp(0, size - 1), None


def reflect(index: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]:
    """Mirror at the outer edge of the border pixel: return the index (*T) in a period of 2·size."""
    phase = torch.remainder(index, 2 * size)
    return torch.where(phase < size, phase, 2 * size - 1 - phase), None


def periodic(index: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]:
    """Continue periodically: return the index (*T) modulo the size."""
    return torch.remainder(index, size), None


BOUNDARIES: Mapping[str, Boundary] = MappingProxyType(
    {rule.__name__: rule for rule in (zeros, border, reflect, periodic)}
)


def get(boundary: str) -> Boundary:
    """Return a boundary rule by name: a function of indices (*T) and a size, as `zeros` is.

    Raises:
        UnknownNameError: no rule of that name.
    """
    if not isinstance(boundary, str) or boundary not in BOUNDARIES:
        raise UnknownNameError("boundary", boundary, BOUNDARIES)
    return BOUNDARIES[boundary]
