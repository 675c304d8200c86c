"""The matrix of a sampling pattern, assembled from those of its taps."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from warptheory import warping
from warptheory.patterns import _definition
from warptheory.patterns._taps import Taps
from warptheory.warping.arguments import check_room

_INDEX_BYTES = 8


def assembled(pattern: Taps) -> Float[Tensor, "B DN CM"]:
    """Return A as a coalesced sparse tensor (B, D·N, C·M); see `Pattern.matrix`."""
    batch = len(pattern.offsets)
    shape = (batch, pattern.channels_out * math.prod(pattern.grid), pattern.channels * math.prod(pattern.size))
    places = _definition.placed(pattern)
    indices, values = [places.new_zeros(3, 0, dtype=torch.long)], [places.new_zeros(0)]
    for tap in range(pattern.taps if batch else 0):
        matrix = warping.warp_matrix(places[:, tap :: pattern.taps], pattern.size, pattern.kernel, pattern.boundary)
        for group in range(pattern.offset_groups):
            found = _of_group(matrix, pattern, tap, group)
            indices.append(found[0])
            values.append(found[1])
    return torch.sparse_coo_tensor(torch.cat(indices, 1), torch.cat(values), shape, check_invariants=True).coalesce()


def _of_group(
    matrix: Float[Tensor, "B G N M"], pattern: Taps, tap: int, group: int
) -> tuple[Int[Tensor, "3 E"], Float[Tensor, "E"]]:
    """Return indices and values of what one tap of one offset group contributes."""
    pixels, inputs = math.prod(pattern.grid), math.prod(pattern.size)
    # A folded grid has a few pixels more.
    chosen = (matrix.indices()[1] == group) & (matrix.indices()[2] < pixels)
    batch, _, row, column = matrix.indices()[:, chosen]
    entries = matrix.values()[chosen]
    if pattern.weights is not None:
        weights = pattern.weights[:, group * pattern.taps + tap].flatten(1)
        entries = entries * weights[batch, row].to(entries.dtype)
    outputs, channels, factors = _mixing(pattern, tap, group)
    check_room(
        "pattern",
        len(entries) * len(factors) * pattern.taps * pattern.offset_groups,
        entries,
        f"a matrix of {pattern.channels_out} · {pixels} rows and {pattern.channels} · {inputs} columns for each image",
        entries.element_size() + 3 * _INDEX_BYTES,
    )
    # Every entry of the tap stands once for each pair of an outcome and a channel that it mixes.
    rows = outputs[:, None] * pixels + row
    columns = channels[:, None] * inputs + column
    found = torch.stack([batch.expand_as(rows), rows, columns]).flatten(1)
    return found, (factors[:, None].to(entries.dtype) * entries).flatten()


def _mixing(pattern: Taps, tap: int, group: int) -> tuple[Int[Tensor, "P"], Int[Tensor, "P"], Float[Tensor, "P"]]:
    """Return outcomes, channels and factors of the pairs that an offset group's samples enter."""
    device = pattern.offsets.device
    width = pattern.channels // pattern.offset_groups
    channels = torch.arange(group * width, (group + 1) * width, device=device)
    if pattern.filters is None:
        return channels, channels, pattern.offsets.new_ones(width)
    outputs, inputs = (n // pattern.groups for n in (pattern.channels_out, pattern.channels))
    first = channels // inputs * outputs
    found = first[:, None] + torch.arange(outputs, device=device)
    factors = pattern.filters[found, (channels % inputs)[:, None], tap]
    return found.flatten(), channels[:, None].expand_as(found).flatten(), factors.flatten()
