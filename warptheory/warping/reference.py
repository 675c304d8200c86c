"""The readable reference of the warping operator, in plain torch, for every kernel and every derivative.

    gather    (∂ᵅW x)[n] = Σₘ ∂ᵅk(p(n) − m) x[m]        p(n) = n + ε(n)
    scatter   (∂ᵅWᵀg)[m] = Σₙ ∂ᵅk(p(n) − m) g[n]

α counts the derivatives along each axis; α = 0 is the operator and its adjoint. Both are the same list
of taps, read in two ways. This module defines what every engine has to compute, and is one itself (see
`engines.engine`): it takes every call.
"""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from warptheory.kernels import tap_weights
from warptheory.warping.boundaries import Boundary
from warptheory.warping.engines.layout import empty_offsets, laid_out
from warptheory.warping.interpolation import Interpolation, Orders
from warptheory.warping.shapes import GridTensor, GroupedOffsets, ImageTensor

# Beyond this many pixels an offset samples nothing, or the edge: the integers that follow stay exact
# in int64, and float32 has lost the fraction long before.
WILD = 2.0**30


def obstacle(
    values: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, size: Sequence[int] | None = None
) -> None:
    """Return None: any values (B, C, *S) and offsets (B, G, d, *T) will do."""


def gather(x: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, orders: Orders) -> GridTensor:
    """Gather (B, C, *T): (∂ᵅW x)[n] = Σₘ ∂ᵅk(p(n) − m) x[m]."""
    batch, groups, _, *out_size = offsets.shape
    compute = _compute_dtype(x, offsets)
    source = _per_group(x, groups).to(compute)
    result = source.new_zeros(batch, groups, source.shape[2], math.prod(out_size))
    for tap in taps(offsets.to(compute), x.shape[2:], interpolation, orders):
        read = source.gather(3, _per_channel(tap.index).expand_as(result))
        if tap.inside is not None:
            read = torch.where(_per_channel(tap.inside), read, 0)
        result = result + _per_channel(tap.weight) * read
    return laid_out(result.reshape(batch, x.shape[1], *out_size).to(x.dtype), like=x)


def scatter(
    g: GridTensor, offsets: GroupedOffsets, size: Sequence[int], interpolation: Interpolation, orders: Orders
) -> ImageTensor:
    """Scatter (B, C, *size): (∂ᵅWᵀg)[m] = Σₙ ∂ᵅk(p(n) − m) g[n]."""
    batch, groups = offsets.shape[:2]
    compute = _compute_dtype(g, offsets)
    source = _per_group(g, groups).to(compute)
    result = source.new_zeros(batch, groups, source.shape[2], math.prod(size))
    for tap in taps(offsets.to(compute), size, interpolation, orders):
        contribution = _per_channel(tap.weight) * source
        if tap.inside is not None:
            contribution = torch.where(_per_channel(tap.inside), contribution, 0)
        result = result.scatter_add(3, _per_channel(tap.index).expand_as(source), contribution)
    return laid_out(result.reshape(batch, g.shape[1], *size).to(g.dtype), like=g)


def gradients(
    g: GridTensor, x: ImageTensor, offsets: GroupedOffsets, interpolation: Interpolation, needs: tuple[bool, bool]
) -> tuple[ImageTensor | None, GroupedOffsets | None]:
    """Return Wᵀg (B, C, *S) and Σ_c g_c ∂ᵢWx_c (B, G, d, *T), or the one that is needed."""
    return gradients_by_gathers(gather, scatter, g, x, offsets, interpolation, needs)


def gradients_by_gathers(
    gather: Callable[..., Tensor],
    scatter: Callable[..., Tensor],
    g: GridTensor,
    x: ImageTensor,
    offsets: GroupedOffsets,
    interpolation: Interpolation,
    needs: tuple[bool, bool],
) -> tuple[ImageTensor | None, GroupedOffsets | None]:
    """Return both gradients, (B, C, *S) and (B, G, d, *T), for an engine without a pass for both."""
    zero = (0,) * offsets.shape[2]
    image_gradient = offset_gradient = None
    if needs[0]:
        image_gradient = laid_out(scatter(g, offsets, x.shape[2:], interpolation, zero), like=x)
    if needs[1]:
        parts = [sum_channels(g * gather(x, offsets, interpolation, each), offsets) for each in raised(zero)]
        offset_gradient = empty_offsets(offsets).copy_(torch.stack(parts, dim=2))
    return image_gradient, offset_gradient


def raised(orders: Orders) -> list[Orders]:
    """Return α + eᵢ for every axis i."""
    return [tuple(order + (axis == i) for axis, order in enumerate(orders)) for i in range(len(orders))]


def sum_channels(values: GridTensor, offsets: GroupedOffsets) -> Float[Tensor, "B G *T"]:
    """Sum (B, C, *T) over the channels that share an offset: (B, G, *T)."""
    batch, channels, *grid = values.shape
    groups = offsets.shape[1]
    return values.reshape(batch, groups, channels // groups, *grid).sum(2)


@dataclass(frozen=True)
class Tap:
    """One tap: the pixel that each position reads, along one axis or flat, with which weight, and whether it exists."""

    index: Int[Tensor, "B G *T"]
    weight: Float[Tensor, "B G *T"]
    inside: Bool[Tensor, "B G *T"] | None


def taps(offsets: GroupedOffsets, size: Sequence[int], interpolation: Interpolation, orders: Orders) -> Iterator[Tap]:
    """Yield every tap of every position (B, G, *T); weights are products over the axes."""
    per_axis = [
        axis_taps(offsets[:, :, axis], axis, size[axis], interpolation, order) for axis, order in enumerate(orders)
    ]
    for combination in itertools.product(*per_axis):
        index = combination[0].index
        for axis_size, tap in zip(size[1:], combination[1:], strict=True):
            index = index * axis_size + tap.index
        masks = [tap.inside for tap in combination if tap.inside is not None]
        weight = functools.reduce(operator.mul, [tap.weight for tap in combination])
        yield Tap(index, weight, functools.reduce(operator.and_, masks) if masks else None)


def axis_taps(
    offset: Float[Tensor, "B G *T"], axis: int, size: int, interpolation: Interpolation, order: int
) -> Iterator[Tap]:
    """Yield every tap of every position (B, G, *T) along one axis of `size` pixels."""
    for base, weights in weighted_taps(offset, axis, size, interpolation, order):
        for tap, weight in weights:
            index, inside = interpolation.boundary(base + tap, size)
            yield Tap(index, weight, inside)


def weighted_taps(
    offset: Float[Tensor, "B G *T"], axis: int, size: int, interpolation: Interpolation, order: int
) -> Iterator[tuple[Int[Tensor, "B G *T"], list[tuple[int, Float[Tensor, "B G *T"]]]]]:
    """Yield the base pixel of every position, (B, G, *T), and pairs of a tap relative to it and its weights.

    Once for each one-sided derivative that is needed; the central one needs two, at half weight.
    """
    kernel = interpolation.kernel
    wild = ~(offset.abs() < WILD)  # also NaN
    tame = torch.where(wild, 0, offset)
    positions = torch.arange(offset.shape[2 + axis], device=offset.device)
    positions = positions.reshape(-1, *[1] * (offset.ndim - 3 - axis))
    sides = ("right", "left") if order > 0 and interpolation.knot == "central" else ("right",)
    # The fraction is taken from the offset, not from the position: n + ε would round ε away on wide
    # images, while ε − ⌊ε⌋ is exact at any n.
    below = torch.floor(tame)
    whole, fraction = below.long(), tame - below
    for side in sides:
        if side == "left":
            # An integer is the pixel below plus one; beyond 2²⁴, float32 has no name for that pixel.
            is_integer = fraction == 0
            whole, fraction = whole - is_integer.long(), fraction.masked_fill(is_integer, 1)
        base = torch.where(wild, _wild_index(offset, size, interpolation.boundary), positions + whole)
        weights = tap_weights(kernel, fraction, order, size=None if kernel.is_compact else size, side=side)
        # A wild offset reads the edge, or nothing, wherever it points: its value has no derivative.
        if order > 0:
            weights = [(tap, weight.masked_fill(wild, 0) / len(sides)) for tap, weight in weights]
        yield base, weights


def _wild_index(offset: Float[Tensor, "B G *T"], size: int, boundary: Boundary) -> Int[Tensor, "B G *T"]:
    """Return where wild offsets read: beyond every image for zeros, else at the edge they point to."""
    if boundary.has_outside:
        return torch.full_like(offset, -WILD, dtype=torch.long)
    return torch.where(offset > 0, size - 1, 0)


def axis_matrix(
    offsets: GroupedOffsets, axis: int, size: int, interpolation: Interpolation
) -> Float[Tensor, "B G N M"]:
    """Return what every position reads along one axis of M = `size` pixels, as a dense matrix (B, G, N, M)."""
    offset = offsets[:, :, axis]
    dense = offset.new_zeros(*offset.shape[:2], math.prod(offset.shape[2:]), size)
    for tap in axis_taps(offset, axis, size, interpolation, 0):
        weight = tap.weight if tap.inside is None else torch.where(tap.inside, tap.weight, 0)
        dense = dense.scatter_add(3, tap.index.flatten(2).unsqueeze(3), weight.flatten(2).unsqueeze(3))
    return dense


def warp_matrix(offsets: GroupedOffsets, size: Sequence[int], interpolation: Interpolation) -> Float[Tensor, "B G N M"]:
    """Assemble W as a sparse tensor (B, G, N, M), N = ∏T rows and M = ∏S columns, each flattened in C order."""
    batch, groups, dim, *out_size = offsets.shape
    shape = (batch, groups, math.prod(out_size), math.prod(size))
    leading = torch.meshgrid(*(torch.arange(n, device=offsets.device) for n in shape[:3]), indexing="ij")
    indices, weights = [], []
    for tap in taps(offsets, size, interpolation, (0,) * dim):
        inside = torch.ones_like(tap.index, dtype=torch.bool) if tap.inside is None else tap.inside
        kept = inside.flatten(2)
        indices.append(torch.stack([axis[kept] for axis in (*leading, tap.index.flatten(2))]))
        weights.append(tap.weight.flatten(2)[kept])
    return torch.sparse_coo_tensor(torch.cat(indices, 1), torch.cat(weights), shape, check_invariants=True).coalesce()


def _compute_dtype(values: Tensor, offsets: Tensor) -> torch.dtype:
    """Return the wider of the two dtypes, and float32 at least: half precision has no room for sums."""
    return torch.promote_types(torch.promote_types(values.dtype, offsets.dtype), torch.float32)


def _per_group(values: Tensor, groups: int) -> Tensor:
    """Reshape (B, C, *S) to (B, G, C/G, M)."""
    batch, channels, *size = values.shape
    return values.reshape(batch, groups, channels // groups, math.prod(size))


def _per_channel(per_group: Tensor) -> Tensor:
    """Reshape (B, G, *T) to (B, G, 1, N), to be shared by the channels of a group."""
    return per_group.flatten(2).unsqueeze(2)
