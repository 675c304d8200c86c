"""Statistics of one sampling operation, on the first images of its batch."""

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.patterns import dead_fraction, offset_statistics, outside_fraction
from warptheory.stability._sampling._call import SamplingCall


@dataclass(frozen=True)
class ForwardStatistics:
    """What the forward pass of a sampling operation shows; NaN where it is not known.

    Attributes:
        offset_mean: mean of the offsets over fields, axes and pixels, in pixels.
        offset_deviation: their standard deviation, in pixels.
        slope_deviation: τ, the root mean square of their slopes.
        fold_fraction: share of pixels with J ≤ 0.
        outside_fraction: share of samples that lie off the image.
        dead_fraction: share of inputs that no sample reads.
        variance_in: variance of what is sampled.
        variance_out: variance of the outcome.
    """

    offset_mean: float
    offset_deviation: float
    slope_deviation: float
    fold_fraction: float
    outside_fraction: float
    dead_fraction: float
    variance_in: float
    variance_out: float


def forward_statistics(call: SamplingCall, images: int | None) -> ForwardStatistics:
    """Return the statistics of the first images of a call, or of all; NaN for an empty batch."""
    pattern = call.pattern(images)
    if pattern.offsets.numel() == 0:
        return ForwardStatistics(*[math.nan] * len(fields(ForwardStatistics)))
    offsets = offset_statistics(pattern)
    found = [offsets.mean, offsets.deviation, offsets.slope_deviation, offsets.fold_fraction]
    missing = pattern.offsets.new_tensor(math.nan)
    found.append(missing if call.x is None else outside_fraction(pattern))
    found.append(missing if call.x is None or call.kernel is None else dead_fraction(pattern))
    found += [missing if each is None else variance(each[:images]) for each in (call.x, call.y)]
    # One transfer from the device, not eight.
    return ForwardStatistics(*torch.stack([value.double() for value in found]).tolist())


def variance(values: Tensor) -> Float[Tensor, ""]:
    """Return the variance of all values about their common mean, in float32 at least: a scalar."""
    return moments(values)[1]


def moments(values: Tensor) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the mean and the variance of all values, in float32 at least: two scalars."""
    dense = values.detach().to_dense() if values.is_sparse else values.detach()
    if dense.numel() == 0:
        missing = dense.new_tensor(math.nan, dtype=torch.float32)
        return missing, missing
    found = torch.var_mean(dense.to(torch.promote_types(dense.dtype, torch.float32)), correction=0)
    return found[1], found[0]
