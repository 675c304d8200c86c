"""Multi-scale deformable attention: every query reads a few points of a pyramid, and averages them by attention."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_shape, check_tensor, told
from warptheory.operators._counterparts import loaded
from warptheory.operators._deformable_attention import (
    PyramidAttention,
    Shapes,
    attention_pattern,
    check_heads,
    in_array_order,
    level_sizes,
    pixels,
    points_per_level,
)
from warptheory.operators._entry import Counterpart, OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator
from warptheory.patterns import Levels

__all__ = ["MultiScaleDeformableAttention", "multi_scale_deformable_attention"]


def multi_scale_deformable_attention(
    value: Float[Tensor, "B M G D"],
    spatial_shapes: Shapes,
    sampling_locations: Float[Tensor, "B Q G *P"],
    attention_weights: Float[Tensor, "B Q G *R"],
    num_points_list: Sequence[int] | None = None,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B Q C"]:
    """Read points of a pyramid and add them up: y_q = Σ_l Σ_p A_qlp x_l(p_qlp), each head for itself.

    Args:
        value: x, the pixels of all levels in a row, shape (B, M, G, D) for G heads of D channels.
        spatial_shapes: (H, W) of each of L levels, pairs or a tensor (L, 2). Only pairs can be traced.
        sampling_locations: p, shape (B, Q, G, L, P, 2), x before y, where 0 and 1 are the outer edges of a level; or
            (B, Q, G, ΣP, 2), if levels differ in their numbers of points.
        attention_weights: A, shape (B, Q, G, L, P) or (B, Q, G, ΣP).
        num_points_list: the number of points of each level, for the second form.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of a level, the name of a boundary rule.

    Returns:
        y, shape (B, Q, G·D), dtype of the values. Places that are not finite read nothing.

    Raises:
        ArgumentError: shapes that do not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: X. Zhu et al., arXiv 2010.04159, equation 3; different numbers of points: W. Lv et al., arXiv 2407.17140.
    """
    sizes = level_sizes("spatial_shapes", spatial_shapes)
    check_tensor("value", value, 4, "(B, M, G, D)")
    check_shape("value", value, (len(value), sum(map(math.prod, sizes)), *value.shape[-2:]))
    channels = value.shape[2] * value.shape[3]
    places, weights = _by_level(value, sampling_locations, attention_weights, len(sizes), num_points_list)
    positions = [pixels(place, size) for place, size in zip(places, sizes, strict=True)]
    pattern = attention_pattern(channels, sizes, positions, weights, kernel, boundary)
    return pattern.apply(value.flatten(2).transpose(1, 2)).squeeze(-1).transpose(1, 2)


def _by_level(
    value: Tensor, locations: Tensor, weights: Tensor, levels: int, num_points_list: Sequence[int] | None
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return places (B, G, P, 2, Q) and weights (B, G, P, Q) of each level."""
    check_tensor("sampling_locations", locations)
    check_tensor("attention_weights", weights)
    if num_points_list is None:
        check_tensor("sampling_locations", locations, 6, "(B, Q, G, L, P, 2)")
        if locations.shape[-2] == 0:
            raise ArgumentError("sampling_locations", expected="at least one point", received=tuple(locations.shape))
        points = [locations.shape[-2]] * levels
        grid: tuple[int, ...] = (levels, locations.shape[-2])
    else:
        points = list(points_per_level("num_points_list", num_points_list, levels))
        check_tensor("sampling_locations", locations, 5, "(B, Q, G, ΣP, 2), given num_points_list")
        grid = (sum(points),)
    shape = (len(value), locations.shape[1], value.shape[2], *grid)
    check_shape("sampling_locations", locations, (*shape, 2))
    check_shape("attention_weights", weights, shape)
    places, factors = in_array_order(locations.flatten(3, -2)), weights.flatten(3).permute(0, 2, 3, 1)
    return torch.split(places, points, 2), torch.split(factors, points, 2)


class MultiScaleDeformableAttention(PyramidAttention):
    """Multi-scale deformable attention, by parameters Deformable-DETR's: places and weights come from the queries.

    Args:
        d_model: number C of channels of queries, values and outcome.
        n_levels: number L of levels of the pyramid.
        n_heads: number G of heads, a divisor of C.
        n_points: number P of points of a head on each level; L numbers where levels differ.
        offset_scale: range of the points of a box, as a share of its size: the last of P points starts there.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of a level, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or heads that do not divide the channels.
        UnknownNameError: no such kernel or boundary.

    Source: X. Zhu et al., arXiv 2010.04159; fundamentalvision/Deformable-DETR, MSDeformAttn.
    """

    def __init__(
        self,
        d_model: int = 256,
        n_levels: int = 4,
        n_heads: int = 8,
        n_points: int | Sequence[int] = 4,
        *,
        offset_scale: float = 0.5,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        check_heads("d_model", check_integer("d_model", d_model), check_integer("n_heads", n_heads))
        points = points_per_level("n_points", n_points, check_integer("n_levels", n_levels))
        super().__init__(d_model, n_heads, points, offset_scale, kernel, boundary)
        self.d_model, self.n_levels, self.n_heads, self.n_points = d_model, n_levels, n_heads, n_points

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q R D"],
        input_flatten: Float[Tensor, "B M C"],
        input_spatial_shapes: Shapes,
        input_level_start_index: Int[Tensor, "L"] | None = None,
        input_padding_mask: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """Attend to a pyramid.

        Args:
            query: shape (B, Q, C).
            reference_points: in [0, 1] on each level, or on all alike, shape (B, Q, L or 1, 2): x, y; or boxes
                (B, Q, L or 1, 4): x, y of the middle, width, height.
            input_flatten: the pixels of all levels in a row, shape (B, M, C).
            input_spatial_shapes: (H, W) of each level, pairs or a tensor (L, 2). Only pairs can be traced.
            input_level_start_index: as the original takes it; follows from the shapes and is not read.
            input_padding_mask: True where a pixel is padding, shape (B, M).

        Returns:
            The outcome, shape (B, Q, C).

        Raises:
            ArgumentError: shapes that do not fit, by name of the argument.
        """
        arguments = (query, reference_points, input_flatten, input_spatial_shapes, None, input_padding_mask)
        return super().forward(*arguments)

    def pattern(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q R D"],
        input_flatten: Float[Tensor, "B M C"],
        input_spatial_shapes: Shapes,
        input_level_start_index: Int[Tensor, "L"] | None = None,
        input_padding_mask: Bool[Tensor, "B M"] | None = None,
    ) -> Levels:
        """Return the pattern (C, M) → (C, Q, 1); arguments as of `forward`."""
        sizes = level_sizes("input_spatial_shapes", input_spatial_shapes, self.n_levels)
        return self.attention(query, reference_points, sizes)

    def image(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q R D"],
        input_flatten: Float[Tensor, "B M C"],
        input_spatial_shapes: Shapes,
        input_level_start_index: Int[Tensor, "L"] | None = None,
        input_padding_mask: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B C M"]:
        """Return the values, zero where there is padding, shape (B, C, M); arguments as of `forward`."""
        sizes = level_sizes("input_spatial_shapes", input_spatial_shapes, self.n_levels)
        shape = (len(query), sum(map(math.prod, sizes)), self.d_model)
        if input_padding_mask is not None:
            check_shape("input_padding_mask", input_padding_mask, shape[:2])
            if input_padding_mask.dtype != torch.bool:
                expected = "dtype torch.bool, True where a pixel is padding"
                raise ArgumentError("input_padding_mask", expected=expected, received=input_padding_mask.dtype)
        return self.projected("input_flatten", input_flatten, input_padding_mask, shape)

    def extra_repr(self) -> str:
        """Return the arguments."""
        options = told(self, "offset_scale", "kernel", "boundary")
        return f"{self.d_model}, {self.n_levels}, {self.n_heads}, {self.n_points}, {options}"


def _to_ours(layer: Any) -> nn.Module:
    made = MultiScaleDeformableAttention(layer.d_model, layer.n_levels, layer.n_heads, layer.n_points)
    return loaded(made, layer.state_dict())


def _to_original(layer: Any, original: Callable[..., nn.Module]) -> nn.Module:
    if (layer.kernel, layer.boundary, layer.offset_scale) != ("linear", "zeros", 0.5):
        expected = "kernel 'linear', boundary 'zeros' and offset_scale 0.5, as Deformable-DETR"
        raise ArgumentError("model", expected=expected, received=layer.extra_repr())
    if not isinstance(layer.n_points, int):
        raise ArgumentError(
            "model", expected="as many points on each level, as Deformable-DETR", received=layer.n_points
        )
    made = original(layer.d_model, layer.n_levels, layer.n_heads, layer.n_points)
    return loaded(made, layer.state_dict())


def pyramid_inputs(x: Tensor, generator: torch.Generator, channels: int, coordinates: int) -> tuple[Any, ...]:
    """Return inputs of a layer with two levels: an image (B, C, H, W) and its average over pairs of pixels."""
    levels = [x, functional.avg_pool2d(x, 2, ceil_mode=True)]
    sizes = tuple((each.shape[2], each.shape[3]) for each in levels)
    values = torch.cat([each.flatten(2) for each in levels], 2).transpose(1, 2)
    query = torch.randn(len(x), 5, channels, generator=generator, dtype=x.dtype)
    points = torch.rand(len(x), 5, 2, coordinates, generator=generator, dtype=x.dtype)
    return query, points, values, sizes


def _example(coordinates: int, points: int | Sequence[int], kernel: str) -> OperatorExample:
    def build() -> SamplingOperator:
        layer = MultiScaleDeformableAttention(4, 2, 2, points, kernel=kernel)
        nn.init.normal_(layer.sampling_offsets.weight, std=0.5)
        nn.init.normal_(layer.attention_weights.weight)
        return layer

    def inputs(x: Tensor, generator: torch.Generator) -> tuple[Any, ...]:
        return pyramid_inputs(x, generator, 4, coordinates)

    return OperatorExample(build, inputs, (2, 4, 5, 4))


operator = OperatorEntry(
    formula=r"y_q = b + \sum_h W_h \sum_l \sum_p A_{h q l p}\, x_{h l}(r_q + \varepsilon_{h q l p})",
    where={
        r"x_{h l}": "the channels of head h, projected, on level l of the pyramid",
        r"A_{h q l p}": "the attention weights, a softmax over levels and points",
        r"r_q": "the reference point of the query",
        r"\varepsilon_{h q l p}": "the offset of point p, in pixels of the level, or in shares of a box",
        r"W_h": "the part of the output projection that reads head h",
        r"b": "its bias",
    },
    source="X. Zhu et al., arXiv 2010.04159; fundamentalvision/Deformable-DETR",
    conventions=(
        "Places are in [0, 1] of a level, x before y; 0 and 1 are the outer edges of its pixels.",
        "Outside of a level there are zeros; a place within half a pixel of the edge is mixed with them, and a place "
        "that is not finite reads nothing.",
    ),
    initialisation="Attention is even. Offsets do not depend on the query: head h looks along direction 2πh/G, and its "
    "p-th point is p pixels away along the longer axis, so that an average over a star is read.",
    examples={"points": _example(2, 2, "linear"), "boxes": _example(4, (1, 3), "keys")},
    counterparts=(
        Counterpart(
            "models.ops.modules.ms_deform_attn.MSDeformAttn", MultiScaleDeformableAttention, _to_ours, _to_original
        ),
    ),
)
