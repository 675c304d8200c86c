"""What a sampling pattern means, tap by tap: warp, weigh, mix, add. Differentiable to any order, and traceable."""

import functools
import math
import operator
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from warptheory import warping
from warptheory.patterns._taps import Taps


def sampled(x: Float[Tensor, "B C *S"], pattern: Taps) -> Float[Tensor, "B D *T"]:
    """Return Σ_k F_k (m_k ⊙ W_k x) for images (B, C, *S), shape (B, D, *T)."""
    steps = placed(pattern)
    if torch.onnx.is_in_onnx_export():
        return _all_at_once(x, steps, pattern)
    return _total(
        mixed(weighed(read(x, steps[:, tap :: pattern.taps], pattern), pattern, tap), pattern, tap)
        for tap in range(pattern.taps)
    )


def _all_at_once(
    x: Float[Tensor, "B C *S"], steps: Float[Tensor, "B F d *N"], pattern: Taps
) -> Float[Tensor, "B D *T"]:
    """Return the same by one warp of as many copies of the images as there are taps.

    A program is as long, and takes as long to make, as there are operators in it.
    """
    taps, groups = pattern.taps, pattern.offset_groups
    images = x.expand(taps, *x.shape).flatten(0, 1)
    by_tap = torch.unflatten(steps, 1, (groups, taps)).movedim(2, 0).flatten(0, 1)
    samples = torch.unflatten(read(images, by_tap, pattern), 0, (taps, -1))
    if pattern.weights is not None:
        factors = torch.unflatten(pattern.weights, 1, (groups, taps)).movedim(2, 0).unsqueeze(3)
        samples = (torch.unflatten(samples, 2, (groups, -1)) * factors.to(samples.dtype)).flatten(2, 3)
    if pattern.filters is None:
        return samples.sum(0)
    filters = torch.unflatten(pattern.filters, 0, (pattern.groups, -1))
    by_group = torch.unflatten(samples, 2, (pattern.groups, -1))
    return torch.einsum("goik,kbgi...->bgo...", filters, by_group).flatten(1, 2)


def adjoint(g: Float[Tensor, "B D *T"], pattern: Taps) -> Float[Tensor, "B C *S"]:
    """Return Σ_k W_kᵀ (m_k ⊙ F_kᵀ g) for images (B, D, *T), shape (B, C, *S)."""
    steps = placed(pattern)
    return _total(
        spread(weighed(unmixed(g, pattern, tap), pattern, tap), steps[:, tap :: pattern.taps], pattern)
        for tap in range(pattern.taps)
    )


def placed(pattern: Taps) -> Float[Tensor, "B F d *N"]:
    """Return position − index of every sample on the grid on which `read` warps, shape (B, F, d, *N).

    It is the grid T, except where pixels without places of their own stand in a long row: an index of many thousands
    would leave float32 few digits for the position. There the grid is about square, filled up with pixel 0.
    """
    if not _is_folded(pattern):
        return pattern.steps()
    count, dim = math.prod(pattern.grid), len(pattern.size)
    rows = math.isqrt(count - 1) + 1
    columns = -(-count // rows)
    filled = functional.pad(pattern.positions().flatten(3), (0, rows * columns - count))
    shape = (rows, columns, *[1] * (dim - 2))
    axes = [torch.arange(n, dtype=filled.dtype, device=filled.device) for n in shape]
    return torch.unflatten(filled, 3, shape) - torch.stack(torch.meshgrid(*axes, indexing="ij"))


def unplaced(gradient: Float[Tensor, "B F d *N"], pattern: Taps) -> Float[Tensor, "B F d *T"]:
    """Return the gradient of the offsets (B, F, d, *T), given that of what `placed` makes of them."""
    if not _is_folded(pattern):
        return gradient
    return torch.unflatten(gradient.flatten(3)[..., : math.prod(pattern.grid)], 3, pattern.grid)


def read(x: Float[Tensor, "B C *S"], steps: Float[Tensor, "B G d *N"], pattern: Taps) -> Tensor:
    """Return the samples of one tap (B, C, *T) from images (B, C, *S), given its part of `placed`."""
    found = warping.warp(x, steps, pattern.kernel, pattern.boundary, knot=pattern.knot)
    if not _is_folded(pattern):
        return found
    return torch.unflatten(found.flatten(2)[:, :, : math.prod(pattern.grid)], 2, pattern.grid)


def spread(g: Float[Tensor, "B C *T"], steps: Float[Tensor, "B G d *N"], pattern: Taps) -> Tensor:
    """Return the adjoint of `read`: images (B, C, *S) of values (B, C, *T)."""
    if _is_folded(pattern):
        grid = steps.shape[3:]
        filled = functional.pad(g.flatten(2), (0, math.prod(grid) - math.prod(pattern.grid)))
        g = torch.unflatten(filled, 2, grid)
    return warping.splat(g, steps, pattern.size, pattern.kernel, pattern.boundary, knot=pattern.knot)


def weighed(values: Float[Tensor, "B C *T"], pattern: Taps, tap: int) -> Float[Tensor, "B C *T"]:
    """Multiply values (B, C, *T) by the weights of a tap, in the dtype of the values."""
    if pattern.weights is None:
        return values
    weights = pattern.weights[:, tap :: pattern.taps].to(values.dtype)
    by_group = torch.unflatten(values, 1, (pattern.offset_groups, -1)) * weights.unsqueeze(2)
    return by_group.flatten(1, 2)


def mixed(values: Float[Tensor, "B C *T"], pattern: Taps, tap: int) -> Float[Tensor, "B D *T"]:
    """Apply the filters of a tap to values (B, C, *T): (B, D, *T)."""
    if pattern.filters is None:
        return values
    filters = torch.unflatten(pattern.filters[:, :, tap], 0, (pattern.groups, -1))
    by_group = torch.unflatten(values, 1, (pattern.groups, -1))
    return torch.einsum("goi,bgi...->bgo...", filters, by_group).flatten(1, 2)


def unmixed(values: Float[Tensor, "B D *T"], pattern: Taps, tap: int) -> Float[Tensor, "B C *T"]:
    """Apply the transposed filters of a tap to values (B, D, *T): (B, C, *T)."""
    if pattern.filters is None:
        return values
    filters = torch.unflatten(pattern.filters[:, :, tap], 0, (pattern.groups, -1))
    by_group = torch.unflatten(values, 1, (pattern.groups, -1))
    return torch.einsum("goi,bgo...->bgi...", filters, by_group).flatten(1, 2)


def _is_folded(pattern: Taps) -> bool:
    return pattern.lattice.is_free and len(pattern.size) > 1 and math.prod(pattern.grid) > 1


def _total(terms: Iterable[Tensor]) -> Tensor:
    return functools.reduce(operator.add, terms)
