"""RT-DETR's form of deformable attention: levels with different numbers of points, and reading of the nearest pixel."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from warptheory.core.checks import check_integer, check_known
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_shape, told
from warptheory.operators._counterparts import loaded
from warptheory.operators._deformable_attention import (
    PyramidAttention,
    Shapes,
    check_heads,
    level_sizes,
    points_per_level,
)
from warptheory.operators._entry import Counterpart, Defect, OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator
from warptheory.operators.deformable_attention import pyramid_inputs
from warptheory.patterns import Levels

__all__ = ["MSDeformableAttention"]

_KERNELS = {"default": "linear", "discrete": "nearest"}


class MSDeformableAttention(PyramidAttention):
    """Multi-scale deformable attention, by parameters and calls that of RT-DETR and RT-DETRv2.

    Args:
        embed_dim: number C of channels of queries, values and outcome.
        num_heads: number G of heads, a divisor of C.
        num_levels: number L of levels of the pyramid.
        num_points: number P of points of a head on each level; L numbers where levels differ.
        method: "default" reads linearly, "discrete" the nearest pixel, with places that do not learn. For other
            kernels there is `MultiScaleDeformableAttention`.
        offset_scale: range of the points of a box, as a share of its size: the last of P points starts there.
        boundary: what lies outside of a level, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or heads that do not divide the channels.
        UnknownNameError: no such method or boundary.

    Source: W. Lv et al., arXiv 2407.17140; lyuwenyu/RT-DETR, MSDeformableAttention.
    """

    def __init__(
        self,
        embed_dim: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int | Sequence[int] = 4,
        method: str = "default",
        offset_scale: float = 0.5,
        *,
        boundary: str = "zeros",
    ) -> None:
        check_heads("embed_dim", check_integer("embed_dim", embed_dim), check_integer("num_heads", num_heads))
        points = points_per_level("num_points", num_points, check_integer("num_levels", num_levels))
        check_known("method", method, _KERNELS)
        super().__init__(embed_dim, num_heads, points, offset_scale, _KERNELS[method], boundary)
        self.embed_dim, self.num_heads, self.num_levels = embed_dim, num_heads, num_levels
        self.num_points, self.method = num_points, method
        self.sampling_offsets.requires_grad_(method == "default")

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q R D"],
        value: Float[Tensor, "B M C"],
        value_spatial_shapes: Shapes,
        value_mask: Shaped[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """Attend to a pyramid.

        Args:
            query: shape (B, Q, C).
            reference_points: in [0, 1] on each level, or on all alike, shape (B, Q, L or 1, 2): x, y; or boxes
                (B, Q, L or 1, 4): x, y of the middle, width, height.
            value: the pixels of all levels in a row, shape (B, M, C).
            value_spatial_shapes: (H, W) of each level, pairs or a tensor (L, 2). Only pairs can be traced.
            value_mask: True where a pixel is no padding, shape (B, M): the opposite of Deformable-DETR's.

        Returns:
            The outcome, shape (B, Q, C).

        Raises:
            ArgumentError: shapes that do not fit, by name of the argument.
        """
        return super().forward(query, reference_points, value, value_spatial_shapes, value_mask)

    def pattern(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q R D"],
        value: Float[Tensor, "B M C"],
        value_spatial_shapes: Shapes,
        value_mask: Shaped[Tensor, "B M"] | None = None,
    ) -> Levels:
        """Return the pattern (C, M) → (C, Q, 1); arguments as of `forward`."""
        sizes = level_sizes("value_spatial_shapes", value_spatial_shapes, self.num_levels)
        return self.attention(query, reference_points, sizes)

    def image(
        self,
        query: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q R D"],
        value: Float[Tensor, "B M C"],
        value_spatial_shapes: Shapes,
        value_mask: Shaped[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B C M"]:
        """Return the values, zero where there is padding, shape (B, C, M); arguments as of `forward`."""
        sizes = level_sizes("value_spatial_shapes", value_spatial_shapes, self.num_levels)
        shape = (len(query), sum(map(math.prod, sizes)), self.embed_dim)
        if value_mask is not None:
            check_shape("value_mask", value_mask, shape[:2])
        return self.projected("value", value, None if value_mask is None else value_mask == 0, shape)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # RT-DETRv2 keeps a buffer of 1/P, which follows from the numbers of points.
        state_dict.pop(f"{prefix}num_points_scale", None)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def extra_repr(self) -> str:
        """Return the arguments."""
        options = told(self, "method", "offset_scale", "boundary")
        return f"{self.embed_dim}, {self.num_heads}, {self.num_levels}, {self.num_points}, {options}"


def _to_ours(layer: Any) -> nn.Module:
    if getattr(layer, "method", "default") != "default":
        expected = "method 'default': the other one reads half a pixel beside the nearest one"
        raise ArgumentError("model", expected=expected, received=repr(layer.method))
    points = getattr(layer, "num_points_list", None) or layer.num_points
    scale = getattr(layer, "offset_scale", 0.5)
    made = MSDeformableAttention(layer.embed_dim, layer.num_heads, layer.num_levels, points, offset_scale=scale)
    return loaded(made, layer.state_dict())


def _checked(layer: Any) -> Any:
    if (layer.method, layer.boundary) != ("default", "zeros"):
        expected = "method 'default' and boundary 'zeros', as RT-DETR"
        raise ArgumentError("model", expected=expected, received=f"{layer.method!r}, {layer.boundary!r}")
    return layer


def _to_second(layer: Any, original: Callable[..., nn.Module]) -> nn.Module:
    points = list(_checked(layer).num_points_list)
    made = original(layer.embed_dim, layer.num_heads, layer.num_levels, points, offset_scale=layer.offset_scale)
    made.load_state_dict(layer.state_dict(), strict=False)  # it makes its buffer itself
    return made


def _to_first(layer: Any, original: Callable[..., nn.Module]) -> nn.Module:
    points = set(_checked(layer).num_points_list)
    if len(points) > 1 or layer.offset_scale != 0.5:
        expected = "as many points on each level and offset_scale 0.5, as RT-DETR"
        raise ArgumentError("model", expected=expected, received=layer.extra_repr())
    made = original(layer.embed_dim, layer.num_heads, layer.num_levels, points.pop())
    return loaded(made, layer.state_dict())


def _example() -> OperatorExample:
    def build() -> SamplingOperator:
        layer = MSDeformableAttention(4, 2, 2, (2, 1), "discrete")
        nn.init.normal_(layer.sampling_offsets.weight, std=0.5)
        nn.init.normal_(layer.attention_weights.weight)
        return layer

    def inputs(x: Tensor, generator: torch.Generator) -> tuple[Any, ...]:
        query, boxes, values, sizes = pyramid_inputs(x, generator, 4, 4)
        return query, boxes[:, :, :1], values, sizes

    return OperatorExample(build, inputs, (2, 4, 5, 4))


operator = OperatorEntry(
    formula=r"y_q = b + \sum_h W_h \sum_l \sum_{p \le P_l} A_{h q l p}\, x_{h l}"
    r"\left(r_q + \frac{s}{P_l}\, \varepsilon_{h q l p} \odot w_q\right)",
    where={
        r"x_{h l}": "the channels of head h, projected, on level l of the pyramid",
        r"A_{h q l p}": "the attention weights, a softmax over levels and points",
        r"r_q": "the middle of the query's box",
        r"w_q": "width and height of the box",
        r"\varepsilon_{h q l p}": "what the query says of point p",
        r"P_l": "the number of points on level l",
        r"s": "the scale of offsets, 1/2",
        r"W_h": "the part of the output projection that reads head h",
        r"b": "its bias",
    },
    source="W. Lv et al., arXiv 2407.17140; Y. Zhao et al., arXiv 2304.08069; lyuwenyu/RT-DETR",
    conventions=(
        "Places are in [0, 1] of a level, x before y; 0 and 1 are the outer edges of its pixels.",
        "Outside of a level there are zeros; a place that is not finite reads nothing.",
        "A mask is true where a pixel counts.",
    ),
    initialisation="As Deformable-DETR's; with the nearest pixel, places stay where they start.",
    examples={"discrete": _example()},
    defects=(
        Defect(
            "RT-DETRv2's method 'discrete' reads pixel ⌊size·place + ½⌋, half a pixel beside the nearest one: on 64 "
            "pixels the root mean square of the displacement is 0.574 pixels, and 0.289 for the nearest pixel.",
            "The nearest pixel is read.",
            "test_the_nearest_pixel_is_read",
        ),
        Defect(
            "It bounds both axes by the height: on a level of 4 × 8 pixels it never reads a column beyond the fourth.",
            "Each axis has its own size.",
            "test_rectangles_are_read_to_their_end",
        ),
        Defect(
            "It reads the edge where a place is outside, while the linear method reads zeros.",
            "Both methods have the same boundary.",
            "test_outside_is_zero_for_both_methods",
        ),
        Defect(
            "RT-DETRv2 refuses reference points of two coordinates: their shapes do not fit those of its offsets.",
            "They are taken, as Deformable-DETR takes them.",
            "test_points_are_taken_as_references",
        ),
    ),
    counterparts=(
        Counterpart(
            "src.zoo.rtdetr.rtdetrv2_decoder.MSDeformableAttention", MSDeformableAttention, _to_ours, _to_second
        ),
        Counterpart("src.zoo.rtdetr.rtdetr_decoder.MSDeformableAttention", MSDeformableAttention, _to_ours, _to_first),
    ),
)
