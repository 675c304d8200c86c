"""Offsets that fold: fields of Gaussian slopes, the preimages of a point, one by one, and what waves splat ones to."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.warping.jacobian import determinant, offset_jacobian


def gaussian_offsets(
    generator: np.random.Generator, rows: int, dim: int, tau: float, period: int
) -> Float[Tensor, "rows d *T"]:
    """Draw periodic offsets whose forward differences at a pixel are d² independent N(0, τ²).

    εᵢ(t) = Σⱼ s (aᵢⱼ cos ktⱼ + bᵢⱼ sin ktⱼ), k = 2π/period, with a, b ~ N(0, 1) and 2s²(1 − cos k) = τ².

    Args:
        generator: source of every random number.
        rows: number of fields.
        dim: number d of axes.
        tau: the deviation τ of the slopes, without unit.
        period: that of the fields in pixels.

    Returns:
        Offsets in pixels, shape (rows, d, *T), T = period + 1 along every axis: one period and its first pixel again.
    """
    return offsets_of_waves(torch.from_numpy(generator.standard_normal((rows, dim, dim, 2))), tau, period)


def offsets_of_waves(normals: Float[Tensor, "rows c d 2"], tau: float, period: int) -> Float[Tensor, "rows c *T"]:
    """Return c components of the same offsets, of given a and b.

    Args:
        normals: entry [:, i, j] is aᵢⱼ and bᵢⱼ, shape (rows, c, d, 2).
        tau: the deviation τ of the slopes, without unit.
        period: that of the fields in pixels.

    Returns:
        Offsets in pixels, shape (rows, c, *T), T = period + 1 along every axis.
    """
    rows, components, dim, _ = normals.shape
    wavenumber = 2 * math.pi / period
    scale = tau / math.sqrt(2 * (1 - math.cos(wavenumber)))
    phase = wavenumber * torch.arange(period + 1, dtype=torch.float64, device=normals.device)
    waves = scale * normals @ torch.stack([phase.cos(), phase.sin()])
    total = torch.zeros(rows, components, *[period + 1] * dim, dtype=torch.float64, device=normals.device)
    for axis in range(dim):
        shape = [1] * dim
        shape[axis] = period + 1
        total += waves[:, :, axis].reshape(rows, components, *shape)
    return total


def count_preimages(
    offsets: Float[Tensor, "B d *T"],
    point: Float[Tensor, "B d"],
    weight: Callable[[Tensor], Tensor] = torch.ones_like,
) -> Float[Tensor, "B"]:
    """Count the solutions t of t + ε(t) = s for periodic offsets ε, joined linearly between the pixels.

    Args:
        offsets: one period and its first pixels again, shape (B, d, *T); a sum of functions of one coordinate each.
        point: s, in pixels, shape (B, d).
        weight: what a solution counts, a function of J.

    Returns:
        The counts, shape (B,).
    """
    cells = [length - 1 for length in offsets.shape[2:]]
    corner, edges = _images_of_cells(offsets)
    period = torch.tensor(cells, dtype=offsets.dtype, device=offsets.device)[:, None]
    lowest, highest = corner + edges.clamp(max=0).sum(0), corner + edges.clamp(min=0).sum(0)
    point_of_cell = point.T.repeat_interleave(math.prod(cells), dim=1)
    # s and its periods: the first one in the box about a cell's image, and how many follow along each axis.
    first = lowest + torch.remainder(point_of_cell - lowest, period)
    cell, steps = _combinations(((highest - first) / period).floor().long() + 1)
    target = first[:, cell] + period * steps - corner[:, cell]
    solution, jacobian = _solve(edges[:, :, cell], target)
    inside = ((solution >= 0) & (solution < 1)).all(0)
    counts = torch.zeros(len(offsets), dtype=offsets.dtype, device=offsets.device)
    return counts.index_add_(0, cell[inside] // math.prod(cells), weight(jacobian[inside]))


def _combinations(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return every (i, j) with 0 ≤ j_a < lengths[a, i]: i of shape (M,), and j of shape (d, M)."""
    totals = lengths.prod(0)
    number = torch.arange(len(totals), device=lengths.device).repeat_interleave(totals)
    rank = torch.arange(len(number), device=lengths.device) - (totals.cumsum(0) - totals)[number]
    steps = []
    for length in lengths[:, number]:
        steps.append(rank % length)
        rank = rank // length
    return number, torch.stack(steps)


def _images_of_cells(offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the image of every cell's first corner, shape (d, B·cells), and of its edges, shape (axis, d, B·cells)."""
    dim = offsets.shape[1]
    first = offsets
    for axis in range(dim):
        first = first.narrow(2 + axis, 0, offsets.shape[2 + axis] - 1)
    places = [torch.arange(n, dtype=offsets.dtype, device=offsets.device) for n in first.shape[2:]]
    corner = first + torch.stack(torch.meshgrid(*places, indexing="ij"))
    whole = torch.eye(dim, dtype=offsets.dtype, device=offsets.device).reshape(1, dim, dim, *[1] * dim)
    slopes = (offset_jacobian(offsets) + whole).movedim((2, 1), (0, 1))
    return corner.transpose(0, 1).reshape(dim, -1), slopes.reshape(dim, dim, -1)


def _solve(edges: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Solve Σ_axis tₐ edges[a] = right by Cramer's rule, shape (d, M), and return the determinants too, shape (M,)."""
    whole = determinant(edges[None])[0]
    replaced = []
    for axis in range(len(edges)):
        moved = edges.clone()
        moved[axis] = right
        replaced.append(determinant(moved[None])[0])
    return torch.stack(replaced) / whole, whole


def mean_square_hits(
    slope: Float[Tensor, "B d d"], phase: Float[Tensor, "B d d"], shift: Float[Tensor, "B d"], period: int
) -> Float[Tensor, "B"]:
    """Return the mean over a period of (Wᵀ1)² for offsets that are sums of waves, one along each axis.

    Args:
        slope: entry [:, i, j] is the largest slope of the wave of εᵢ along axis j, without unit, shape (B, d, d).
        phase: its phase, shape (B, d, d).
        shift: a constant offset in pixels, shape (B, d).
        period: that of the fields in pixels.

    Returns:
        The means, shape (B,).
    """
    dim, wavenumber = slope.shape[1], 2 * math.pi / period
    n = torch.arange(period, dtype=torch.float64, device=slope.device)
    waves = slope[..., None] / wavenumber * torch.sin(wavenumber * n + phase[..., None])
    offsets = shift.reshape(-1, dim, *[1] * dim)
    for axis in range(dim):
        along = [1] * dim
        along[axis] = period
        offsets = offsets + waves[:, :, axis].reshape(-1, dim, *along)
    hits = warping.hit_counts(offsets, kernel="linear", boundary="periodic")
    return hits.square().flatten(1).mean(1)
