"""Where a boundary rule reads instead of a place outside a grid."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def as_read(boundary: str, points: Float[Tensor, "N d"], size: Sequence[int]) -> Float[Tensor, "N d"]:
    """Return the sites on a grid whose values a boundary rule puts at points (N, d); of zeros there are none.

    Args:
        boundary: as of a `SamplingCall`.
        points: positions in pixels, shape (N, d).
        size: size of the grid.
    """
    length = points.new_tensor(size)
    if boundary == "periodic":
        return torch.remainder(points, length)
    if boundary == "reflect":
        phase = torch.remainder(points + 0.5, 2 * length)
        points = torch.minimum(phase, 2 * length - phase) - 0.5
    if boundary == "mirror":
        phase = torch.remainder(points, (2 * length - 2).clamp(min=1))
        points = torch.minimum(phase, 2 * length - 2 - phase)
    # Between the centre of an outermost pixel and its edge its value continues, with the edge as a mirror too.
    return points if boundary == "zeros" else torch.minimum(points.clamp(min=0), length - 1)
