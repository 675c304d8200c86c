"""DCNv3, the operator of InternImage: samples in groups of channels, added with weights of a softmax."""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_known, check_number
from warptheory.operators._arguments import check_for_layer, check_pixels
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

__all__ = ["DCNv3", "dcnv3"]


def dcnv3(
    input: Float[Tensor, "B H W C"],  # noqa: A002
    offset: Float[Tensor, "B h w R"],
    mask: Float[Tensor, "B h w M"],
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
        offset: ε, shape (B, h, w, G·P·2): for each of G groups and P taps dx, then dy; taps column by column.
        mask: m, shape (B, h, w, G·P).
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

    Source: W. Wang et al., arXiv 2211.05778; arguments and layout of InternImage's `dcnv3_core_pytorch`.
    """
    pairs = ((kernel_h, kernel_w), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    taps = GroupedTaps.of(pairs, input, group, group_channels, offset_scale, remove_center)
    image, rows = input.movedim(-1, 1), (len(input), *taps.geometry.grid(tuple(input.shape[1:-1])))
    count = group * taps.taps
    check_rows("offset", offset, rows, 2 * count, f"dx and dy of {taps.taps} taps of {group} groups")
    check_rows("mask", mask, rows, count, f"a factor for each of {taps.taps} taps of {group} groups")
    offsets, weights = torch.unflatten(offset, -1, (group, -1, 2)), torch.unflatten(mask, -1, (group, -1))
    reading = checked_reading(kernel, boundary)
    return taps.pattern(tuple(image.shape[2:]), image.shape[1], offsets, weights, *reading).apply(image).movedim(1, -1)


class _Permuted(nn.Module):
    """Moves the axis of the channels."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.source, self.target = source, target

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(self.source, self.target)


_TO_LAST, _TO_FIRST = partial(_Permuted, 1, -1), partial(_Permuted, -1, 1)
_ACTIVATIONS = {"ReLU": nn.ReLU, "SiLU": nn.SiLU, "GELU": nn.GELU}
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _norm(name: str, channels: int, dim: int) -> nn.Module:
    """Return a normalisation that takes channels first and returns channels last."""
    check_known("norm_layer", name, ("LN", "BN"))
    if name == "BN":
        return nn.Sequential(_BATCH_NORMS[dim - 1](channels), _TO_LAST())
    return nn.Sequential(_TO_LAST(), nn.LayerNorm(channels, eps=1e-6))


class DCNv3(GroupedSampling):
    """The layer of InternImage on images (B, H, W, C), channels last: offsets and softmax masks are its input's.

    Args:
        channels: number C of channels.
        kernel_size: taps along each axis.
        dw_kernel_size: odd size of the convolution in front of the heads; None for `kernel_size`.
        stride: pixels between output pixels.
        pad: pixels before the first one.
        dilation: pixels between taps.
        group: number of groups of channels, each with offsets and masks of its own.
        offset_scale: pixels per unit of the offsets; it spreads the taps as well.
        act_layer: "GELU", "ReLU" or "SiLU".
        norm_layer: "LN" or "BN".
        center_feature_scale: whether each group mixes its outcome with the pixel itself, by a share that it learns.
        remove_center: whether the middle tap is left out.
        mask_gain: factor on the softmax masks; √P, for P taps, keeps the variance of white input, which 1, as
            published, divides by P.
        dim: number d of axes.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or groups that do not divide the channels.
        UnknownNameError: no such activation, normalisation, kernel or boundary.

    Source: W. Wang et al., arXiv 2211.05778; arguments, parameters and initialisation of InternImage's `DCNv3`.
    """

    def __init__(
        self,
        channels: int = 64,
        kernel_size: int = 3,
        dw_kernel_size: int | None = None,
        stride: int = 1,
        pad: int = 1,
        dilation: int = 1,
        group: int = 4,
        offset_scale: float = 1.0,
        act_layer: str = "GELU",
        norm_layer: str = "LN",
        center_feature_scale: bool = False,
        remove_center: bool = False,
        *,
        mask_gain: float = 1.0,
        dim: int = 2,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        taps = (kernel_size, stride, pad, dilation)
        reading = (kernel, boundary)
        super().__init__(channels, taps, group, offset_scale, center_feature_scale, remove_center, dim, reading)
        check_known("act_layer", act_layer, _ACTIVATIONS)
        self.act_layer, self.norm_layer = act_layer, norm_layer
        self.mask_gain = check_number("mask_gain", mask_gain, above=0)
        self.dw_kernel_size = self.kernel_size if dw_kernel_size is None else dw_kernel_size
        norm, activation = _norm(norm_layer, channels, dim), _ACTIVATIONS[act_layer]()
        self.dw_conv = nn.Sequential(self.depthwise(dw_kernel_size), norm, activation)
        self.offset = nn.Linear(channels, group * self.taps.taps * dim)
        self.mask = nn.Linear(channels, group * self.taps.taps)
        self.input_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the heads to zero, and draw both projections by Xavier's uniform law."""
        for head in (self.offset, self.mask):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        for projection in (self.input_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def pattern(self, input: Float[Tensor, "B *SC"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at an input (B, *S, C)."""
        self._check(input)
        features = self.at_outputs(self.dw_conv(input.movedim(-1, 1)), tuple(input.shape[1:-1]))
        offset = torch.unflatten(self.offset(features), -1, (self.group, -1, self.dim))
        mask = torch.unflatten(self.mask(features), -1, (self.group, -1)).softmax(-1)
        mask = self.mask_gain * mask if self.mask_gain != 1 else mask
        size = tuple(input.shape[1:-1])
        pattern = self.taps.pattern(size, self.channels, offset, mask, self.kernel, self.boundary)
        return with_pixel(pattern, self.center_share(features)) if self.center_feature_scale else pattern

    def image(self, input: Float[Tensor, "B *SC"]) -> Float[Tensor, "B C *S"]:  # noqa: A002
        """Return the projection of an input (B, *S, C) that is sampled, channels first: (B, C, *S)."""
        self._check(input)
        projected: Tensor = self.input_proj(input)
        return projected.movedim(-1, 1)

    def finish(self, y: Float[Tensor, "B C *T"]) -> Float[Tensor, "B *TC"]:
        """Project images (B, C, *T) and return them channels last: (B, *T, C)."""
        projected: Tensor = self.output_proj(y.movedim(1, -1))
        return projected

    def _check(self, x: Tensor) -> None:
        check_pixels("input", x, self.channels, self.dim)
        check_for_layer("input", x, self.input_proj.weight)


_ARGUMENTS = ("channels", "kernel_size", "dw_kernel_size", "stride", "pad", "dilation", "group", "offset_scale")
_FLAGS = ("center_feature_scale", "remove_center")


def _to_ours(layer: Any) -> nn.Module:
    batch_norms = [each for each in layer.dw_conv[1].modules() if isinstance(each, nn.BatchNorm2d)]
    options: dict[str, Any] = {name: getattr(layer, name) for name in _ARGUMENTS}
    options |= {name: bool(getattr(layer, name)) for name in _FLAGS}
    activation = type(layer.dw_conv[2]).__name__
    made = DCNv3(**options, act_layer=activation, norm_layer="BN" if batch_norms else "LN")
    return loaded(made, layer.state_dict())


def _to_original(layer: Any, original: Any) -> nn.Module:
    check_published(layer, mask_gain=1, dim=2, kernel="linear", boundary="zeros")
    names = (*_ARGUMENTS, *_FLAGS, "act_layer", "norm_layer")
    made: nn.Module = original(**{name: getattr(layer, name) for name in names})
    return loaded(made, layer.state_dict())


def _example(dim: int, size: tuple[int, ...], **options: Any) -> OperatorExample:
    def build() -> DCNv3:
        layer = DCNv3(4, group=2, dim=dim, **options)
        # At zero, where heads start, positions sit on pixels.
        draw(layer.offset, 0.5)
        draw(layer.mask, 0.5)
        return layer

    return OperatorExample(build, lambda x, _: (x.movedim(1, -1),), (2, 4, *size))


operator = OperatorEntry(
    formula=r"y[n] = \sum_k m_k[n]\, x(s n + p_k + c\, \varepsilon_k[n])",
    where={
        r"m_k[n]": "the mask of tap k, a softmax over the taps of a group",
        r"s": "the stride",
        r"p_k": "the place of tap k, whose distance from the middle is multiplied by c",
        r"c": "the offset scale, in pixels per unit of the offsets",
        r"\varepsilon_k[n]": "the offset of the tap",
    },
    source="W. Wang et al., InternImage, arXiv 2211.05778; `ops_dcnv3` of its code",
    conventions=(
        "Images are channels last, and so are offsets and masks: for each group and tap dx, then dy.",
        "Taps are counted column by column, from the upper left.",
        "Outside of the image there are zeros.",
        "With a stride, offsets and masks are computed at every so many pixels.",
    ),
    initialisation="Offsets start at zero and masks at 1/P: what is sampled is averaged over the P taps.",
    examples={
        "1d": _example(1, (6,), stride=2, center_feature_scale=True),
        "2d": _example(2, (4, 5), remove_center=True, offset_scale=2.0),
    },
    defects=(
        Defect(
            "Softmax masks start at 1/P, so that a new layer divides the variance of white input by P = 9 (J2).",
            "`mask_gain` multiplies the masks; with √P the variance is kept.",
            "test_shrinking_softmax",
        ),
        Defect(
            "`dcnv3_core_pytorch` pads the height by `pad_w` and the width by `pad_h`.",
            "Each axis has its own padding, as in the original's kernels.",
            "test_padding_of_the_twin",
        ),
    ),
    counterparts=(
        Counterpart("ops_dcnv3.modules.dcnv3.DCNv3", DCNv3, _to_ours, _to_original),
        Counterpart("ops_dcnv3.modules.dcnv3.DCNv3_pytorch", DCNv3, _to_ours, _to_original),
    ),
)
