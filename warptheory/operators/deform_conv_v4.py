"""DCNv4: samples in groups of channels, added with weights without bounds; offsets and weights are one linear map."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_number, is_whole
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_for_layer, check_tensor
from warptheory.operators._counterparts import check_published, loaded
from warptheory.operators._entry import Counterpart, Defect, OperatorEntry, OperatorExample
from warptheory.operators._grouped_sampling import (
    GroupedSampling,
    GroupedTaps,
    check_rows,
    with_pixel,
)
from warptheory.operators._head import draw
from warptheory.operators._operator import checked_reading
from warptheory.patterns import SamplingPattern

__all__ = ["DCNv4", "dcnv4"]

# Numbers of outputs are rounded up to multiples of this.
_ALIGNED = 8
# What numbers of channels of a group are multiples of in the original.
_GROUP_CHANNELS = 16


def dcnv4(
    input: Float[Tensor, "B H W C"],  # noqa: A002
    offset_mask: Float[Tensor, "B h w R"],
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    group_channels: int,
    offset_scale: float,
    remove_center: bool = False,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B h w C"]:
    """Add samples of images, channels last: y[n] = Σ_k m_k[n] x(s·n + p_k + c·ε_k[n]), in each group of channels.

    Args:
        input: images, shape (B, H, W, C).
        offset_mask: shape (B, h, w, R): for each of G groups ε, dx and dy of each of P taps, then m of each; taps
            column by column. R = 3·G·P, or up to the next multiple of 8; the rest is not read.
        kernel_h: taps along the first axis.
        kernel_w: taps along the second axis.
        stride_h: s, along the first axis.
        stride_w: s, along the second axis.
        pad_h: of p, along the first axis.
        pad_w: of p, along the second axis.
        dilation_h: of p, along the first axis.
        dilation_w: of p, along the second axis.
        group: number G of groups.
        group_channels: number of channels of a group, C/G.
        offset_scale: c, in pixels per unit of the offsets; it spreads the taps as well.
        remove_center: whether the middle tap is left out.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Returns:
        The outcome (B, h, w, C).

    Raises:
        ArgumentError: shapes that do not fit, or a number that makes no sense, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: Y. Xiong et al., arXiv 2401.06197; arguments and layout of its `DCNv4Function`, without `im2col_step`.
    """
    pairs = ((kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    taps = GroupedTaps.of(pairs, input, group, group_channels, offset_scale, remove_center)
    rows = (len(input), *taps.geometry.grid(tuple(input.shape[1:-1])))
    check_rows("offset_mask", offset_mask, rows, 3 * group * taps.taps, f"{taps.taps} taps, {group} groups", _ALIGNED)
    offset, mask = _parted(offset_mask, taps, 2)
    size, reading = tuple(input.shape[1:-1]), checked_reading(kernel, boundary)
    return taps.pattern(size, input.shape[-1], offset, mask, *reading).apply(input.movedim(-1, 1)).movedim(1, -1)


def _parted(offset_mask: Tensor, taps: GroupedTaps, dim: int) -> tuple[Tensor, Tensor]:
    """Return offsets (B, *T, G, P, d) and masks (B, *T, G, P) of rows (B, *T, R)."""
    used = offset_mask[..., : (dim + 1) * taps.group * taps.taps]
    offset, mask = torch.split(torch.unflatten(used, -1, (taps.group, -1)), [dim * taps.taps, taps.taps], -1)
    return torch.unflatten(offset, -1, (-1, dim)), mask


class DCNv4(GroupedSampling):
    """The layer of DCNv4 on rows of pixels (B, L, C): offsets and masks, without bounds, are linear in its input.

    Args:
        channels: number C of channels.
        kernel_size: taps along each axis.
        stride: pixels between output pixels.
        pad: pixels before the first one.
        dilation: pixels between taps.
        group: number of groups of channels, each with offsets and masks of its own.
        offset_scale: pixels per unit of the offsets; it spreads the taps as well.
        dw_kernel_size: odd size of a convolution in front of the linear map; None for none.
        center_feature_scale: whether each group mixes its outcome with the pixel itself, by a share that it learns.
        remove_center: whether the middle tap is left out.
        output_bias: whether the last projection has a bias.
        without_pointwise: whether there are no projections before and after sampling.
        mask_start: the value at which masks start; None for 1/√P, for P taps, which keeps the variance of white
            input. At 0, as published, the outcome and the gradients of offsets and of projections start at zero.
        dim: number d of axes.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or groups that do not divide the channels.
        UnknownNameError: no such kernel or boundary.

    Source: Y. Xiong et al., arXiv 2401.06197; arguments and parameters of its module `DCNv4`.
    """

    def __init__(
        self,
        channels: int = 64,
        kernel_size: int = 3,
        stride: int = 1,
        pad: int = 1,
        dilation: int = 1,
        group: int = 4,
        offset_scale: float = 1.0,
        dw_kernel_size: int | None = None,
        center_feature_scale: bool = False,
        remove_center: bool = False,
        output_bias: bool = True,
        without_pointwise: bool = False,
        *,
        mask_start: float | None = None,
        dim: int = 2,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        taps, reading = (kernel_size, stride, pad, dilation), (kernel, boundary)
        super().__init__(channels, taps, group, offset_scale, center_feature_scale, remove_center, dim, reading)
        self.dw_kernel_size = dw_kernel_size
        self.output_bias = check_flag("output_bias", output_bias)
        self.without_pointwise = check_flag("without_pointwise", without_pointwise)
        self.mask_start = self.taps.taps**-0.5 if mask_start is None else check_number("mask_start", mask_start)
        outputs = (self.dim + 1) * group * self.taps.taps
        if dw_kernel_size is not None:
            self.offset_mask_dw = self.depthwise(dw_kernel_size)
        self.offset_mask = nn.Linear(channels, -(-outputs // _ALIGNED) * _ALIGNED)
        if not without_pointwise:
            self.value_proj = nn.Linear(channels, channels)
            self.output_proj = nn.Linear(channels, channels, bias=output_bias)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set offsets to zero and masks to `mask_start`, and draw both projections by Xavier's uniform law."""
        self.offset_mask.weight.zero_()
        self.offset_mask.bias.zero_()
        _parted(self.offset_mask.bias, self.taps, self.dim)[1].fill_(self.mask_start)
        for projection in () if self.without_pointwise else (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            if projection.bias is not None:
                nn.init.zeros_(projection.bias)

    def pattern(
        self,
        input: Float[Tensor, "B L C"],  # noqa: A002
        shape: tuple[int, ...] | None = None,
    ) -> SamplingPattern:
        """Return the pattern at an input (B, L, C) of images of a shape S, L = ∏S; None for a square."""
        size = self._size(input, shape)
        rows = torch.unflatten(input, 1, size)
        if self.dw_kernel_size is not None:
            rows = self.offset_mask_dw(rows.movedim(-1, 1)).movedim(1, -1)
        offset, mask = _parted(self.offset_mask(self.at_outputs(rows, size)), self.taps, self.dim)
        pattern = self.taps.pattern(size, self.channels, offset, mask, self.kernel, self.boundary)
        if not self.center_feature_scale:
            return pattern
        sampled = pattern.apply(self.image(input, shape))
        return with_pixel(pattern, self.center_share(sampled.movedim(1, -1)))

    def image(
        self,
        input: Float[Tensor, "B L C"],  # noqa: A002
        shape: tuple[int, ...] | None = None,
    ) -> Float[Tensor, "B C *S"]:
        """Return what is sampled, the projection of an input (B, L, C), as images (B, C, *S)."""
        size = self._size(input, shape)
        rows = input if self.without_pointwise else self.value_proj(input)
        return torch.unflatten(rows, 1, size).movedim(-1, 1)

    def finish(self, y: Float[Tensor, "B C *T"]) -> Float[Tensor, "B N C"]:
        """Project images (B, C, *T), and return their pixels in rows: (B, N, C)."""
        rows = y.flatten(2).transpose(1, 2)
        return rows if self.without_pointwise else self.output_proj(rows)

    def _size(self, x: Tensor, shape: tuple[int, ...] | None) -> tuple[int, ...]:
        check_tensor("input", x)
        if x.ndim != 3 or x.shape[-1] != self.channels:
            raise ArgumentError("input", expected=f"shape (B, L, {self.channels})", received=tuple(x.shape))
        check_for_layer("input", x, self.offset_mask.weight)
        if x.shape[1] == 0:
            raise ArgumentError("input", expected="at least one pixel", received=tuple(x.shape))
        if shape is None:
            shape = (round(x.shape[1] ** (1 / self.dim)),) * self.dim
        if (
            not isinstance(shape, Sequence)
            or len(shape) != self.dim
            or not all(is_whole(n) and n > 0 for n in shape)
            or math.prod(shape) != x.shape[1]
        ):
            expected = f"{self.dim} numbers whose product is the {x.shape[1]} rows of the input"
            raise ArgumentError("shape", expected=expected, received=shape)
        return tuple(shape)


_ARGUMENTS = ("channels", "kernel_size", "stride", "pad", "dilation", "group", "offset_scale", "dw_kernel_size")
_FLAGS = ("center_feature_scale", "remove_center", "without_pointwise")


def _to_ours(layer: Any) -> nn.Module:
    options: dict[str, Any] = {name: getattr(layer, name) for name in _ARGUMENTS}
    options |= {name: bool(getattr(layer, name)) for name in _FLAGS}
    made = DCNv4(**options, output_bias=layer.without_pointwise or layer.output_proj.bias is not None)
    return loaded(made, layer.state_dict())


def _to_original(layer: Any, original: Any) -> nn.Module:
    check_published(layer, dim=2, kernel="linear", boundary="zeros")
    width = layer.channels // layer.group
    if width % _GROUP_CHANNELS:
        expected = f"groups of a multiple of {_GROUP_CHANNELS} channels, as the original"
        raise ArgumentError("model", expected=expected, received=width)
    names = (*_ARGUMENTS, *_FLAGS, "output_bias")
    made: nn.Module = original(**{name: getattr(layer, name) for name in names})
    return loaded(made, layer.state_dict())


def _example(dim: int, size: tuple[int, ...], **options: Any) -> OperatorExample:
    def build() -> DCNv4:
        layer = DCNv4(4, group=2, dim=dim, **options)
        # At zero, where heads start, positions sit on pixels.
        draw(layer.offset_mask, 0.5)
        return layer

    return OperatorExample(build, lambda x, _: (x.flatten(2).transpose(1, 2), tuple(x.shape[2:])), (2, 4, *size))


operator = OperatorEntry(
    formula=r"y[n] = \sum_k m_k[n]\, x(s n + p_k + c\, \varepsilon_k[n])",
    where={
        r"m_k[n]": "the mask of tap k, without bounds",
        r"s": "the stride",
        r"p_k": "the place of tap k, whose distance from the middle is multiplied by c",
        r"c": "the offset scale, in pixels per unit of the offsets",
        r"\varepsilon_k[n]": "the offset of the tap",
    },
    source="Y. Xiong et al., DCNv4, arXiv 2401.06197, and its code",
    conventions=(
        "Pixels are rows of channels, and so are offsets and masks: for each group dx and dy of all taps, then masks.",
        "The number of outputs of the linear map is rounded up to a multiple of 8, and the rest is not read.",
        "Taps are counted column by column, from the upper left.",
        "Outside of the image there are zeros.",
    ),
    initialisation="Offsets start at zero and masks at 1/√P, not at zero as published: white input keeps its variance.",
    examples={
        "1d": _example(1, (6,), stride=2, center_feature_scale=True, without_pointwise=True),
        "2d": _example(2, (4, 5), dw_kernel_size=3),
    },
    defects=(
        Defect(
            "Masks start at 0: the outcome and the gradient of every offset are exactly 0 at the first step (J2).",
            "Masks start at 1/√P, or at any `mask_start`.",
            "test_dead_first_step",
        ),
    ),
    counterparts=(Counterpart("DCNv4.modules.dcnv4.DCNv4", DCNv4, _to_ours, _to_original),),
)
