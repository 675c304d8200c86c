"""Statistics of one sampling operation, on the first images of its batch."""

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.stability._sampling._call import SamplingCall
from warptheory.stability.folding import fold_fraction, slope_deviation

# Weights on samples, all positive: no two sums of them are alike, so that kernels with negative values do not cancel.
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class ForwardStatistics:
    """What the forward pass of a sampling operation shows; NaN where it is not known.

    Attributes:
        offset_mean: mean of the offsets over fields, axes and pixels, in pixels.
        offset_deviation: their standard deviation, in pixels.
        slope_deviation: τ, the root mean square of their slopes.
        fold_fraction: share of pixels with J ≤ 0.
        dead_fraction: share of inputs that no sample reads.
        variance_in: variance of what is sampled.
        variance_out: variance of the outcome.
    """

    offset_mean: float
    offset_deviation: float
    slope_deviation: float
    fold_fraction: float
    dead_fraction: float
    variance_in: float
    variance_out: float


def forward_statistics(call: SamplingCall, images: int | None) -> ForwardStatistics:
    """Return the statistics of the first images of a call, or of all; NaN for an empty batch."""
    offsets = call.offsets(images)
    if offsets.numel() == 0:
        return ForwardStatistics(*[math.nan] * len(fields(ForwardStatistics)))
    deviation, mean = torch.var_mean(offsets, correction=0)
    found = [mean, deviation.sqrt(), *_slopes(call, offsets)]
    missing = offsets.new_tensor(math.nan)
    found.append(missing if call.x is None else dead_fraction(call, images))
    found += [missing if each is None else variance(each[:images]) for each in (call.x, call.y)]
    # One transfer from the device, not seven.
    return ForwardStatistics(*torch.stack([value.double() for value in found]).tolist())


def _slopes(call: SamplingCall, offsets: Float[Tensor, "B F d *T"]) -> tuple[Tensor, Tensor]:
    """Return τ and the share of folds, NaN on a grid that has no neighbours."""
    if min(offsets.shape[3:]) < 2:
        missing = offsets.new_tensor(math.nan)
        return missing, missing
    each = offsets.flatten(0, 1)
    return slope_deviation(each, call.lattice.spacing), fold_fraction(each, call.lattice.spacing)


def dead_fraction(call: SamplingCall, images: int | None) -> Float[Tensor, ""]:
    """Return the share of inputs that no sample reads, counted exactly: a scalar, NaN for offsets that are all NaN.

    An input is a pixel and an offset group. A tap with a mask of zero reads nothing.
    """
    if call.x is None:
        raise ValueError("only offsets are known")
    offsets = call.offsets(images)
    size = tuple(call.x.shape[2:])
    steps = _steps(call, offsets)
    weights = _weights(steps, None if call.mask is None else call.mask.detach()[:images])
    batch, fields, dim, *grid = steps.shape
    groups = fields // call.taps
    # The taps of a group follow each other along the first axis of a longer grid.
    rows = torch.arange(call.taps, device=steps.device, dtype=steps.dtype) * grid[0]
    steps = steps.reshape(batch, groups, call.taps, dim, *grid).clone()
    steps[:, :, :, 0] -= rows.reshape(-1, *[1] * dim)
    joined = steps.transpose(2, 3).flatten(3, 4)
    hits = warping.splat(weights.reshape(batch, groups, -1, *grid[1:]), joined, size, call.kernel, call.boundary)
    return (hits == 0).double().mean()


def _steps(call: SamplingCall, offsets: Float[Tensor, "B F d *T"]) -> Float[Tensor, "B F d *T"]:
    """Return position − index of every sample, as `splat` takes it."""
    return offsets if call.lattice.is_unit else call.positions(offsets) - _index(offsets)  # not rounded twice


def _index(offsets: Float[Tensor, "B F d *T"]) -> Float[Tensor, "B F d *T"]:
    grid = [torch.arange(n, dtype=offsets.dtype, device=offsets.device) for n in offsets.shape[3:]]
    return torch.stack(torch.meshgrid(*grid, indexing="ij")).expand_as(offsets)


def _weights(steps: Float[Tensor, "B F d *T"], mask: Tensor | None) -> Float[Tensor, "B F *T"]:
    count = steps[0, 0, 0].numel()
    numbers = torch.arange(count, dtype=torch.float64, device=steps.device)
    weights = (1 + torch.remainder(numbers * _GOLDEN, 1)).to(steps.dtype).reshape(steps.shape[3:])
    weights = weights.expand(*steps.shape[:2], *steps.shape[3:])
    return weights if mask is None else weights * (mask != 0)


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
