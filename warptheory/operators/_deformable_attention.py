"""Deformable attention on the levels of a pyramid: its pattern at given places, and what its layers share."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from warptheory.core.checks import check_number, is_whole
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_for_layer, check_shape, check_tensor
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import Lattice, Levels, SamplingPattern

Shapes = Sequence[Sequence[int]] | Int[Tensor, "L 2"]


def level_sizes(argument: str, shapes: Shapes, levels: int | None = None) -> list[tuple[int, int]]:
    """Return the sizes (H, W) of all levels of a pyramid; a tensor of them, shape (L, 2), is read.

    Raises:
        ArgumentError: no such sizes, by name of the argument.
    """
    rows = shapes.tolist() if isinstance(shapes, Tensor) else shapes
    try:
        found = [(height, width) for height, width in rows]
    except (TypeError, ValueError):
        found = []
    count = len(found) if levels is None else levels
    if not found or len(found) != count or not all(is_whole(n) and n > 0 for size in found for n in size):
        each = "each level" if levels is None else f"each of {levels} levels"
        raise ArgumentError(argument, expected=f"a height and a width for {each}", received=shapes)
    return found


def points_per_level(argument: str, points: int | Sequence[int], levels: int) -> tuple[int, ...]:
    """Return the numbers of points on each level, of one for all or of one for each.

    Raises:
        ArgumentError: no such numbers, by name of the argument.
    """
    counts = (points,) * levels if is_whole(points) else points
    if (
        not isinstance(counts, Sequence)
        or isinstance(counts, str | bytes)
        or len(counts) != levels
        or not all(is_whole(each) and each > 0 for each in counts)
    ):
        raise ArgumentError(argument, expected=f"a number ≥ 1, or {levels} of them", received=points)
    return tuple(int(each) for each in counts)


def in_array_order(places: Float[Tensor, "B Q G P 2"]) -> Float[Tensor, "B G P 2 Q"]:
    """Return pairs x, y, (B, Q, G, P, 2), as a pattern's pairs y, x, (B, G, P, 2, Q), in single precision at least.

    This comes first, and once for all levels: what follows runs along memory.
    """
    across, down = places.permute(0, 2, 3, 1, 4).unbind(-1)
    # Half precision has too few digits for places on a large level.
    return torch.stack([down, across], 3).to(torch.promote_types(places.dtype, torch.float32))


def pixels(places: Float[Tensor, "B G P 2 Q"], size: tuple[int, int]) -> Float[Tensor, "B G P 2 Q"]:
    """Return places in [0, 1] of an image, shape (B, G, P, 2, Q), in pixels: centres are whole."""
    return torch.addcmul(places.new_tensor(-0.5), places, places.new_tensor(size).unsqueeze(-1))


def attention_pattern(
    channels: int,
    sizes: Sequence[tuple[int, int]],
    positions: Sequence[Float[Tensor, "B G _ 2 Q"]],
    weights: Sequence[Float[Tensor, "B G _ Q"]],
    kernel: Any,
    boundary: str,
) -> Levels:
    """Return the pattern (C, M) → (C, Q, 1) of attention to a pyramid: G heads, side by side in the channels.

    Args:
        channels: number C of channels of all heads.
        sizes: (H, W) of each level.
        positions: for each level where its P points are read, in pixels, y before x, shape (B, G, P, 2, Q).
        weights: factors on the samples of each level, shape (B, G, P, Q).
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of a level, the name of a boundary rule.
    """
    parts = []
    for size, places, factors in zip(sizes, positions, weights, strict=True):
        offsets = places.flatten(1, 2).unsqueeze(-1)
        masks = factors.flatten(1, 2).unsqueeze(-1)
        taps, free = places.shape[2], Lattice.free(2)
        parts.append(SamplingPattern(size, channels, offsets, free, taps, masks, kernel=kernel, boundary=boundary))
    return Levels(tuple(parts))


class PyramidAttention(SamplingOperator):
    """What layers of deformable attention share: parameters, by the names that all originals give them, and places.

    Args:
        channels: number C of channels.
        heads: number G of heads.
        points: numbers of points on each level.
        offset_scale: range of the points of a box, as a share of its size.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of a level, the name of a boundary rule.
    """

    def __init__(
        self, channels: int, heads: int, points: tuple[int, ...], offset_scale: float, kernel: Any, boundary: str
    ) -> None:
        super().__init__()
        self._channels, self._heads, self.num_points_list = channels, heads, points
        self.offset_scale = check_number("offset_scale", offset_scale)
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        total = heads * sum(points)
        self.sampling_offsets = nn.Linear(channels, 2 * total)
        self.attention_weights = nn.Linear(channels, total)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the start: head h reads along direction 2πh/G, its point p at p pixels, on squares around the query."""
        angles = torch.arange(self._heads, dtype=torch.float32) * (2 * math.pi / self._heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions /= directions.abs().amax(-1, keepdim=True)
        reach = torch.cat([torch.arange(1, n + 1) for n in self.num_points_list])
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.sampling_offsets.bias.copy_((directions[:, None] * reach[:, None]).flatten())
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def attention(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q R D"],
        sizes: Sequence[tuple[int, int]],
    ) -> Levels:
        """Return the pattern of queries (B, Q, C) with references (B, Q, L or 1, 2 or 4) to levels of some sizes."""
        check_tensor("query", query, 3, f"(B, Q, {self._channels})")
        check_shape("query", query, (*query.shape[:2], self._channels))
        check_for_layer("query", query, self.sampling_offsets.weight)
        shape, points = (*query.shape[:2], self._heads, sum(self.num_points_list)), list(self.num_points_list)
        weights = self.attention_weights(query).reshape(shape).softmax(-1).permute(0, 2, 3, 1)
        offsets = torch.split(in_array_order(self.sampling_offsets(query).reshape(*shape, 2)), points, 2)
        references = _of_levels(reference_points, shape[:2], len(sizes))
        of_levels = zip(references, offsets, sizes, strict=True)
        positions = [self._positions(place, moved, size) for place, moved, size in of_levels]
        weights_of_levels = torch.split(weights, points, 2)
        return attention_pattern(self._channels, sizes, positions, weights_of_levels, self.kernel, self.boundary)

    def _positions(
        self, reference: Float[Tensor, "B Q D"], offsets: Float[Tensor, "B G P 2 Q"], size: tuple[int, int]
    ) -> Float[Tensor, "B G P 2 Q"]:
        """Return positions on a level, in pixels, of offsets from points (B, Q, 2), or boxes (B, Q, 4)."""
        middle = in_array_order(reference[:, :, None, None, :2])
        if reference.shape[-1] == 2:
            return pixels(middle, size) + offsets
        extent = in_array_order(reference[:, :, None, None, 2:])
        return pixels(middle + offsets * (self.offset_scale / offsets.shape[2]) * extent, size)

    def projected(
        self, argument: str, value: Float[Tensor, "B M C"], padding: Bool[Tensor, "B M"] | None, shape: Sequence[int]
    ) -> Float[Tensor, "B C M"]:
        """Return projected values, zero where there is padding, shape (B, C, M), of those of a shape (B, M, C)."""
        check_tensor(argument, value)
        check_shape(argument, value, shape)
        check_for_layer(argument, value, self.value_proj.weight)
        found: Tensor = self.value_proj(value)
        if padding is not None:
            found = found.masked_fill(padding.unsqueeze(-1), 0)
        return found.transpose(1, 2)

    def finish(self, y: Float[Tensor, "B C Q 1"]) -> Float[Tensor, "B Q C"]:
        """Project what was read, shape (B, C, Q, 1): (B, Q, C)."""
        found: Tensor = self.output_proj(y.squeeze(-1).transpose(1, 2))
        return found


def _of_levels(points: Tensor, shape: Sequence[int], levels: int) -> Sequence[Tensor]:
    """Return the reference points (B, Q, 2 or 4) of each level."""
    check_tensor("reference_points", points)
    if points.ndim != 4 or points.shape[2] not in (1, levels) or points.shape[3] not in (2, 4):
        expected = f"shape (B, Q, {levels} or 1, 2 or 4)"
        raise ArgumentError("reference_points", expected=expected, received=tuple(points.shape))
    check_shape("reference_points", points, (*shape, *points.shape[2:]))
    return points.expand(-1, -1, levels, -1).unbind(2)


def check_heads(argument: str, channels: int, heads: int) -> None:
    """Check that heads share channels evenly.

    Raises:
        ArgumentError: they do not, by name of the argument that gives the channels.
    """
    if channels % heads:
        raise ArgumentError(argument, expected=f"a multiple of {heads} heads", received=channels)
