"""Boundary rules: what a tap outside the image reads.

For an axis with the pixels a b c d:

    zeros       0 0 0 | a b c d | 0 0 0    scipy grid-constant   torch padding_mode="zeros"
    border      a a a | a b c d | d d d    scipy nearest         torch padding_mode="border"
    reflect     c b a | a b c d | d c b    scipy reflect         torch padding_mode="reflection", align_corners=False
    mirror      d c b | a b c d | c b a    scipy mirror          torch padding_mode="reflection", align_corners=True
    periodic    b c d | a b c d | a b c    scipy grid-wrap       (torch has none)

`reflect` mirrors at the outer edge of the border pixel (half-sample symmetry; numpy.pad calls it
"symmetric"): pixel n covers [n − ½, n + ½], and the image is continued without stretching any pixel.
`mirror` mirrors at the border pixel's centre (whole-sample symmetry; numpy.pad calls it "reflect", as
does torch.nn.ReflectionPad2d): that pixel is not repeated. An axis of one pixel is constant under both.
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


def mirror(index: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]:
    """Mirror at the centre of the border pixel: return the index (*T) in a period of 2·size − 2."""
    phase = torch.remainder(index, max(2 * size - 2, 1))
    return torch.where(phase < size, phase, 2 * size - 2 - phase), None


def periodic(index: Int[Tensor, "*T"], size: int) -> tuple[Int[Tensor, "*T"], Bool[Tensor, "*T"] | None]:
    """Continue periodically: return the index (*T) modulo the size."""
    return torch.remainder(index, size), None


BOUNDARIES: Mapping[str, Boundary] = MappingProxyType(
    {rule.__name__: rule for rule in (zeros, border, reflect, mirror, periodic)}
)


def get(boundary: str) -> Boundary:
    """Return a boundary rule by name: a function of indices (*T) and a size, as `zeros` is.

    Raises:
        UnknownNameError: no rule of that name.
    """
    if not isinstance(boundary, str) or boundary not in BOUNDARIES:
        raise UnknownNameError("boundary", boundary, BOUNDARIES)
    return BOUNDARIES[boundary]
