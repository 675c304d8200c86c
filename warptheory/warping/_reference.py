"""The readable reference of the warping operator, in plain torch.

    gather    (W x)[n]  = Σₘ k(p(n) − m) x[m]        p(n) = n + ε(n)
    scatter   (Wᵀg)[m]  = Σₙ k(p(n) − m) g[n]
    gradient  (∂ᵢWx)[n] = Σₘ ∂ᵢk(p(n) − m) x[m]

All three are the same list of taps, read in three ways. Gradients, first and higher, come from
autograd: the weights are differentiable functions of the fraction of the offset.
"""

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from warptheory.kernels import Kernel
from warptheory.kernels._weights import tap_weights
from warptheory.warping.boundaries import Boundary, zeros

# Beyond this many pixels an offset samples nothing, or the edge: the integers that follow stay exact
# in int64, and float32 has lost the fraction long before.
_WILD = 2.0**30


@dataclass(frozen=True)
class Tap:
    """One tap: the pixel that each position reads, along one axis or flat, and with which weight."""

    index: Int[Tensor, "B G *T"]
    weight: Float[Tensor, "B G *T"]


def taps(
    offsets: Float[Tensor, "B G d *T"],
    size: Sequence[int],
    kernel: Kernel,
    boundary: Boundary,
    derivative_axis: int | None = None,
) -> Iterator[Tap]:
    """Yield every tap of every position; weights are products over the axes."""
    per_axis = [
        _axis_taps(offsets[:, :, axis], axis, size[axis], kernel, boundary, order=int(axis == derivative_axis))
        for axis in range(len(size))
    ]
    for combination in itertools.product(*per_axis):
        index = combination[0].index
        for axis_size, tap in zip(size[1:], combination[1:], strict=True):
            index = index * axis_size + tap.index
        yield Tap(index, functools.reduce(operator.mul, [tap.weight for tap in combination]))


def _axis_taps(
    offset: Float[Tensor, "B G *T"], axis: int, size: int, kernel: Kernel, boundary: Boundary, order: int
) -> list[Tap]:
    wild = ~(offset.detach().abs() < _WILD)  # also NaN
    tame = torch.where(wild, torch.zeros_like(offset), offset)
    # The fraction is taken from the offset, not from the position: n + ε would round ε away on wide
    # images, while ε − ⌊ε⌋ is exact at any n.
    whole = torch.floor(tame).detach()
    positions = torch.arange(offset.shape[2 + axis], device=offset.device)
    base = positions.reshape(-1, *[1] * (offset.ndim - 3 - axis)) + whole.long()
    base = torch.where(wild, _wild_index(offset, size, boundary), base)
    found = []
    for tap, weight in tap_weights(kernel, tame - whole, order):
        index, inside = boundary(base + tap, size)
        if inside is not None:
            weight = weight * inside
        if order > 0:
            weight = torch.where(wild, torch.zeros_like(weight), weight)
        found.append(Tap(index, weight))
    return found


def _wild_index(offset: Float[Tensor, "B G *T"], size: int, boundary: Boundary) -> Int[Tensor, "B G *T"]:
    """Return where wild offsets read: beyond every image for zeros, else at the edge they point to."""
    if boundary is zeros:
        return torch.full_like(offset, -_WILD, dtype=torch.long)
    return torch.where(offset.detach() > 0, size - 1, 0)


def warp(
    x: Float[Tensor, "B C *S"], offsets: Float[Tensor, "B G d *T"], kernel: Kernel, boundary: Boundary
) -> Float[Tensor, "B C *T"]:
    """Gather: (W x)[n] = Σₘ k(p(n) − m) x[m]."""
    return _gather(x, offsets, kernel, boundary)


def warp_gradient(
    x: Float[Tensor, "B C *S"], offsets: Float[Tensor, "B G d *T"], kernel: Kernel, boundary: Boundary
) -> Float[Tensor, "B C d *T"]:
    """Differentiate the gather in the offset: (∂ᵢW x)[n] = Σₘ ∂ᵢk(p(n) − m) x[m]."""
    return torch.stack([_gather(x, offsets, kernel, boundary, axis) for axis in range(offsets.shape[2])], dim=2)


def _gather(
    x: Tensor, offsets: Tensor, kernel: Kernel, boundary: Boundary, derivative_axis: int | None = None
) -> Tensor:
    batch, groups, _, *out_size = offsets.shape
    compute = torch.promote_types(x.dtype, offsets.dtype)
    source = _per_group(x, groups).to(compute)
    result = source.new_zeros(batch, groups, source.shape[2], math.prod(out_size))
    for tap in taps(offsets.to(compute), x.shape[2:], kernel, boundary, derivative_axis):
        result = result + _per_channel(tap.weight) * source.gather(3, _per_channel(tap.index).expand_as(result))
    return result.reshape(batch, x.shape[1], *out_size).to(x.dtype)


def _per_group(values: Tensor, groups: int) -> Tensor:
    """Reshape (B, C, *S) to (B, G, C/G, M)."""
    batch, channels, *size = values.shape
    return values.reshape(batch, groups, channels // groups, math.prod(size))


def _per_channel(per_group: Tensor) -> Tensor:
    """Reshape (B, G, *T) to (B, G, 1, N), to be shared by the channels of a group."""
    return per_group.flatten(2).unsqueeze(2)


def splat(
    g: Float[Tensor, "B C *T"],
    offsets: Float[Tensor, "B G d *T"],
    size: Sequence[int],
    kernel: Kernel,
    boundary: Boundary,
) -> Float[Tensor, "B C *S"]:
    """Scatter: (Wᵀg)[m] = Σₙ k(p(n) − m) g[n]."""
    batch, groups = offsets.shape[:2]
    compute = torch.promote_types(g.dtype, offsets.dtype)
    source = _per_group(g, groups).to(compute)
    result = source.new_zeros(batch, groups, source.shape[2], math.prod(size))
    for tap in taps(offsets.to(compute), size, kernel, boundary):
        result = result.scatter_add(3, _per_channel(tap.index).expand_as(source), _per_channel(tap.weight) * source)
    return result.reshape(batch, g.shape[1], *size).to(g.dtype)


def warp_matrix(
    offsets: Float[Tensor, "B G d *T"], size: Sequence[int], kernel: Kernel, boundary: Boundary
) -> Float[Tensor, "B G N M"]:
    """Assemble W as a sparse tensor, N = ∏T rows and M = ∏S columns, each flattened in C order."""
    batch, groups, _, *out_size = offsets.shape
    shape = (batch, groups, math.prod(out_size), math.prod(size))
    leading = torch.meshgrid(*(torch.arange(n, device=offsets.device) for n in shape[:3]), indexing="ij")
    found = list(taps(offsets, size, kernel, boundary))
    indices = [torch.stack([axis.reshape(-1) for axis in (*leading, tap.index)]) for tap in found]
    weights = [tap.weight.reshape(-1) for tap in found]
    return torch.sparse_coo_tensor(torch.cat(indices, 1), torch.cat(weights), shape, check_invariants=True).coalesce()
