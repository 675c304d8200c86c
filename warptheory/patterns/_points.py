"""The points that places on the output of a pattern read, and how much each counts."""

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.patterns._taps import Taps


def points(taps: Taps, places: Float[Tensor, "N d"]) -> tuple[Float[Tensor, "N F d"], Float[Tensor, "N F"]]:
    """Return where each place on the output is read from the first image, and how much each field counts.

    Args:
        taps: of the pattern.
        places: on the output grid, in its pixels, shape (N, d); between pixels offsets are interpolated linearly.

    Returns:
        Positions in pixels of the input, shape (N, F, d), and shares, shape (N, F): |weight| times the norm of the
        tap's filters, not normalised.
    """
    fields = taps.offsets[0].to(places.dtype)
    count, dim = fields.shape[:2]
    offsets = _interpolated(fields.flatten(0, 1), places).reshape(count, dim, len(places))
    origins = places.new_tensor(taps.lattice.origins)[:, :, None]
    positions = offsets + places.new_tensor(taps.lattice.spacing)[:, None] * places.T + origins
    return positions.permute(2, 0, 1), _shares(taps, places).T


def _shares(taps: Taps, places: Float[Tensor, "N d"]) -> Float[Tensor, "F N"]:
    """Return how much each field counts at each place."""
    shares = places.new_ones(taps.offsets.shape[1], len(places))
    if taps.filters is not None:
        norms = taps.filters.to(places.dtype).square().sum((0, 1)).sqrt()
        shares = shares * norms.repeat(taps.offset_groups)[:, None]
    if taps.weights is not None:
        shares = shares * _interpolated(taps.weights[0].to(places.dtype), places).abs()
    return shares


def _interpolated(values: Float[Tensor, "C *T"], places: Float[Tensor, "N d"]) -> Float[Tensor, "C N"]:
    """Read values at places by linear interpolation, the nearest pixel's outside."""
    line = torch.zeros_like(places)
    line[:, 0] = torch.arange(len(places), dtype=places.dtype, device=places.device)
    offsets = (places - line).T.reshape(1, places.shape[1], len(places), *[1] * (places.shape[1] - 1))
    return warping.warp(values[None], offsets.to(values.dtype), boundary="border")[0].flatten(1)
