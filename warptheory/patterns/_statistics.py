"""Statistics of a pattern: of where it samples, and of the matrix that follows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from warptheory import warping
from warptheory.core.presented import Presented
from warptheory.patterns._taps import Taps
from warptheory.warping.jacobian import fold_fraction, slope_deviation

# Weights on samples, all positive: no two sums of them are alike, so that kernels with negative values do not cancel.
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class OperatorStatistics(Presented):
    """Statistics of the linear map y = A(x)x that an operator is at one input, averaged over the batch.

    Attributes:
        forward_gain: mean row energy Σₘ A[n,m]²: the factor on the variance of white input.
        backward_gain: mean column energy Σₙ A[n,m]²: the factor on the variance of white gradients.
        largest_row_sum: largest Σₘ A[n,m], the forward response to a constant.
        largest_column_sum: largest Σₙ A[n,m], the backward response to a constant; ‖A‖₁ where A ≥ 0.
        dead_share: share of inputs that no output reads, so that they receive no gradient.
        offset_mean: mean of the offsets, in pixels.
        offset_deviation: standard deviation of the offsets, in pixels.
    """

    forward_gain: float
    backward_gain: float
    largest_row_sum: float
    largest_column_sum: float
    dead_share: float
    offset_mean: float
    offset_deviation: float


@torch.no_grad()
def operator_statistics(matrix: Float[Tensor, "B N M"], offsets: Float[Tensor, "E"]) -> OperatorStatistics:
    """Return the statistics of sparse matrices (B, N, M), and of all offsets (E,); NaN for an empty batch."""
    if len(matrix) == 0:
        return OperatorStatistics(*[math.nan] * 7)
    matrix, offsets = matrix.double(), offsets.double()
    row_sums, column_sums = (matrix.sum(axis).to_dense() for axis in (2, 1))
    batch, _, column = matrix.indices()[:, matrix.values() != 0]
    read = torch.zeros_like(column_sums)
    read[batch, column] = 1
    energy = float(matrix.values().square().sum())
    return OperatorStatistics(
        forward_gain=energy / row_sums.numel(),
        backward_gain=energy / column_sums.numel(),
        largest_row_sum=float(row_sums.max()),
        largest_column_sum=float(column_sums.max()),
        dead_share=float(1 - read.mean()),
        offset_mean=float(offsets.mean()),
        offset_deviation=float(offsets.std(correction=0)) if len(offsets) else math.nan,
    )


@dataclass(frozen=True)
class OffsetStatistics:
    """Statistics of where a pattern samples, each a scalar tensor on the device of the offsets; NaN where unknown.

    Attributes:
        mean: mean of the offsets over images, fields, axes and pixels, in pixels.
        deviation: their standard deviation, in pixels.
        slope_deviation: τ, the root mean square of their slopes.
        fold_fraction: share of pixels with J ≤ 0.
    """

    mean: Tensor
    deviation: Tensor
    slope_deviation: Tensor
    fold_fraction: Tensor


def offset_statistics(pattern: Taps) -> OffsetStatistics:
    """Return the statistics of a pattern's offsets, for grids of any size.

    Slopes and folds are NaN on a grid without neighbours, or whose pixels have no place of their own.
    """
    offsets = pattern.offsets
    deviation, mean = torch.var_mean(offsets, correction=0)
    missing = offsets.new_tensor(math.nan)
    spacing = pattern.lattice.spacing
    if min(offsets.shape[3:]) < 2 or min(spacing) <= 0:
        return OffsetStatistics(mean, deviation.sqrt(), missing, missing)
    each = offsets.flatten(0, 1)
    slopes, folds = slope_deviation(each, spacing), fold_fraction(each, spacing)
    return OffsetStatistics(mean, deviation.sqrt(), slopes, folds)


def dead_fraction(pattern: Taps) -> Float[Tensor, ""]:
    """Return the share of inputs that no sample reads, counted exactly: a scalar, NaN for offsets that are all NaN.

    An input is a pixel and an offset group, on grids of any size. A tap with a weight of zero reads nothing; filters
    are not looked at.
    """
    steps = pattern.steps()
    weights = _positive_weights(steps, pattern.weights)
    batch, fields, dim, *grid = steps.shape
    groups = fields // pattern.taps
    # The taps of a group follow each other along the first axis of a longer grid.
    rows = torch.arange(pattern.taps, device=steps.device, dtype=steps.dtype) * grid[0]
    steps = steps.reshape(batch, groups, pattern.taps, dim, *grid).clone()
    steps[:, :, :, 0] -= rows.reshape(-1, *[1] * dim)
    joined = steps.transpose(2, 3).flatten(3, 4)
    weights = weights.reshape(batch, groups, -1, *grid[1:])
    hits = warping.splat(weights, joined, pattern.size, pattern.kernel, pattern.boundary)
    return (hits == 0).double().mean()


def outside_fraction(pattern: Taps) -> Float[Tensor, ""]:
    """Return the share of samples off the image, whose area ends half a pixel beyond the outermost centres: a scalar.

    A sample at a position that is not finite is off the image; the boundary rule and weights are not looked at.
    """
    return 1 - is_inside(pattern.positions(), pattern.size).double().mean()


def is_inside(positions: Float[Tensor, "..."], size: Sequence[int]) -> Bool[Tensor, "..."]:
    """Return whether positions (…, d, *T), pixels, lie on an image of size S, half a pixel wider than its centres.

    One that is not finite does not.
    """
    edges = positions.new_tensor(size).reshape(-1, *[1] * len(size)) - 0.5
    return ((positions >= -0.5) & (positions <= edges)).all(positions.ndim - len(size) - 1)


def _positive_weights(steps: Float[Tensor, "B F d *T"], mask: Tensor | None) -> Float[Tensor, "B F *T"]:
    count = steps[0, 0, 0].numel()
    numbers = torch.arange(count, dtype=torch.float64, device=steps.device)
    weights = (1 + torch.remainder(numbers * _GOLDEN, 1)).to(steps.dtype).reshape(steps.shape[3:])
    weights = weights.expand(*steps.shape[:2], *steps.shape[3:])
    return weights if mask is None else weights * (mask != 0)
