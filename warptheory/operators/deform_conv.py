"""Deformable convolution: a convolution whose taps are displaced, each by an offset of its own at every pixel."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_same_dtype, check_tensor, check_tensors
from warptheory.operators._convolution import Geometry, PerAxis, biased
from warptheory.operators._convolution_layer import ConvolutionLayer
from warptheory.operators._counterparts import loaded
from warptheory.operators._entry import Counterpart, Defect, OperatorEntry, OperatorExample
from warptheory.operators._operator import checked_reading
from warptheory.patterns import SamplingPattern
from warptheory.patterns.layouts import OffsetOutput
from warptheory.warping.arguments import check_values

__all__ = ["DeformConv1d", "DeformConv2d", "DeformConv3d", "deform_conv1d", "deform_conv2d", "deform_conv3d"]


def deform_conv_pattern(
    input: Float[Tensor, "B C *S"],  # noqa: A002
    offset: Float[Tensor, "B R *T"],
    weight: Float[Tensor, "D I *K"],
    geometry: Geometry,
    mask: Float[Tensor, "B M *T"] | None = None,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> SamplingPattern:
    """Return the pattern of a deformable convolution; arguments as of `deform_conv2d`, with d axes.

    Groups and offset groups are read off the shapes.

    Raises:
        ArgumentError: shapes that do not fit, by name of the argument.
    """
    dim = check_values("input", input)
    check_tensor("offset", offset)
    check_tensors(mask=mask)
    _check_weight(weight, input, dim)
    grid, taps = geometry.grid(tuple(input.shape[2:])), geometry.taps
    groups = _offset_groups(offset, input, grid, taps)
    if mask is not None and tuple(mask.shape) != (len(input), groups * taps, *grid):
        expected = f"shape {(len(input), groups * taps, *grid)}: a factor for each tap of {groups} offset groups"
        raise ArgumentError("mask", expected=expected, received=tuple(mask.shape))
    return SamplingPattern(
        tuple(input.shape[2:]),
        input.shape[1],
        OffsetOutput(dim=dim).offsets(offset),
        geometry.lattice(groups),
        taps,
        mask,
        weight.flatten(2),
        kernel,
        boundary,
    )


def _check_weight(weight: Tensor, x: Tensor, dim: int) -> None:
    check_tensor("weight", weight)
    channels, shape = x.shape[1], tuple(weight.shape)
    if len(shape) != dim + 2 or shape[1] == 0 or channels % shape[1] or shape[0] % (channels // shape[1]):
        expected = f"shape (D, C/groups, *K) with {dim} axes K, where groups divides C = {channels} and D"
        raise ArgumentError("weight", expected=expected, received=shape)
    check_same_dtype("weight", weight, "input has", x)


def _offset_groups(offset: Tensor, x: Tensor, grid: tuple[int, ...], taps: int) -> int:
    dim, channels = len(grid), x.shape[1]
    shape = tuple(offset.shape)
    groups = shape[1] // (dim * taps) if len(shape) == dim + 2 else 0
    if groups < 1 or channels % groups or shape != (len(x), dim * taps * groups, *grid):
        expected = f"shape {(len(x), f'{dim}·{taps}·G', *grid)}, where the number G of offset groups divides {channels}"
        raise ArgumentError("offset", expected=expected, received=shape)
    return groups


def _deform_conv(dim: int, arguments: tuple[Any, ...], mask: Tensor | None, kernel: Any, boundary: str) -> Tensor:
    x, offset, weight, bias, stride, padding, dilation = arguments
    if check_values("input", x) != dim:
        raise ArgumentError("input", expected=f"{dim} spatial axes", received=tuple(x.shape))
    check_tensors(bias=bias)
    _check_weight(weight, x, dim)
    geometry = Geometry.of(tuple(weight.shape[2:]), stride, padding, dilation, dim)
    y = deform_conv_pattern(x, offset, weight, geometry, mask, kernel, boundary).apply(x)
    return biased(y, bias)


def deform_conv1d(
    input: Float[Tensor, "B C L"],  # noqa: A002
    offset: Float[Tensor, "B R T"],
    weight: Float[Tensor, "D I K"],
    bias: Float[Tensor, "D"] | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    mask: Float[Tensor, "B M T"] | None = None,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B D T"]:
    """Convolve signals (B, C, N) with displaced taps; arguments and errors as of `deform_conv2d`, with one axis."""
    arguments = (input, offset, weight, bias, stride, padding, dilation)
    return _deform_conv(1, arguments, mask, kernel, boundary)


def deform_conv2d(
    input: Float[Tensor, "B C H W"],  # noqa: A002
    offset: Float[Tensor, "B R h w"],
    weight: Float[Tensor, "D I K L"],
    bias: Float[Tensor, "D"] | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    mask: Float[Tensor, "B M h w"] | None = None,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B D h w"]:
    """Convolve images with displaced taps: y_o[n] = b_o + Σ_c Σ_k F[o, c, k] m_k[n] x_c(s·n + p_k + ε_k[n]).

    Args:
        input: images, shape (B, C, H, W).
        offset: ε in pixels, shape (B, 2·G·K, h, w): for each of G offset groups and K taps dy, then dx.
        weight: F, the filters, shape (D, C/groups, K_y, K_x).
        bias: b, shape (D,).
        stride: s, for all axes or each.
        padding: of p, for all axes or each.
        dilation: of p, for all axes or each.
        mask: m, shape (B, G·K, h, w); None for ones.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Returns:
        The outcome (B, D, h, w), dtype of the input.

    Raises:
        ArgumentError: shapes or dtypes that do not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: J. Dai et al., arXiv 1703.06211; the mask: X. Zhu et al., arXiv 1811.11168; arguments and channel order of
        torchvision.ops.deform_conv2d.
    """
    arguments = (input, offset, weight, bias, stride, padding, dilation)
    return _deform_conv(2, arguments, mask, kernel, boundary)


def deform_conv3d(
    input: Float[Tensor, "B C Z H W"],  # noqa: A002
    offset: Float[Tensor, "B R z h w"],
    weight: Float[Tensor, "D I J K L"],
    bias: Float[Tensor, "D"] | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    mask: Float[Tensor, "B M z h w"] | None = None,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B D z h w"]:
    """Convolve volumes (B, C, Z, H, W) with displaced taps; as `deform_conv2d`, with offsets dz, dy, dx."""
    arguments = (input, offset, weight, bias, stride, padding, dilation)
    return _deform_conv(3, arguments, mask, kernel, boundary)


class _DeformConv(ConvolutionLayer):
    """A deformable convolution whose offsets, and masks, come from outside.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        kernel_size: taps along all axes or each.
        stride: as in `deform_conv2d`.
        padding: as in `deform_conv2d`.
        dilation: as in `deform_conv2d`.
        groups: number of groups of channels that are mixed among themselves.
        bias: whether a bias is added.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or groups that do not divide both numbers of channels.
        UnknownNameError: no such kernel or boundary.

    Source: torchvision.ops.DeformConv2d, by arguments and initialisation.
    """

    options = ("kernel", "boundary")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        geometry = Geometry.of(kernel_size, stride, padding, dilation, self.dim)
        super().__init__(in_channels, out_channels, geometry, groups, bias)
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        self.add_parameters(out_channels, in_channels // groups, *self.kernel_size)
        self.reset_parameters()

    def pattern(
        self,
        input: Float[Tensor, "B C *S"],  # noqa: A002
        offset: Float[Tensor, "B R *T"],
        mask: Float[Tensor, "B M *T"] | None = None,
    ) -> SamplingPattern:
        """Return the pattern at an input (B, C, *S), its offsets (B, d·G·K, *T) and masks (B, G·K, *T)."""
        self.size_of(input)
        return deform_conv_pattern(input, offset, self.weight, self.geometry, mask, self.kernel, self.boundary)


class DeformConv1d(_DeformConv):
    """Deformable convolution of signals (B, C, N), with given offsets."""

    dim = 1


class DeformConv2d(_DeformConv):
    """Deformable convolution of images (B, C, H, W), with given offsets: torchvision's, by arguments and parameters."""

    dim = 2


class DeformConv3d(_DeformConv):
    """Deformable convolution of volumes (B, C, Z, H, W), with given offsets."""

    dim = 3


def _to_ours(layer: Any) -> nn.Module:
    made = DeformConv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        layer.bias is not None,
    )
    return loaded(made, layer.state_dict())


def _to_torchvision(layer: Any, original: Callable[..., nn.Module]) -> nn.Module:
    if (layer.kernel, layer.boundary) != ("linear", "zeros"):
        received = f"{layer.kernel!r}, {layer.boundary!r}"
        raise ArgumentError("model", expected="kernel 'linear' and boundary 'zeros', as torchvision", received=received)
    geometry = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    made = original(layer.in_channels, layer.out_channels, *geometry, layer.groups, layer.bias is not None)
    return loaded(made, layer.state_dict())


def _example(dim: int, kernel_size: tuple[int, ...], geometry: tuple[Any, Any, Any], groups: int) -> OperatorExample:
    kind: type[_DeformConv] = (DeformConv1d, DeformConv2d, DeformConv3d)[dim - 1]

    def inputs(x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        grid = Geometry.of(kernel_size, *geometry, dim).grid(tuple(x.shape[2:]))
        taps = groups * math.prod(kernel_size)
        offset = torch.randn(len(x), dim * taps, *grid, generator=generator, dtype=x.dtype)
        return x, offset, torch.rand(len(x), taps, *grid, generator=generator, dtype=x.dtype)

    size = (5, 4, 3)[:dim]
    return OperatorExample(lambda: kind(4, 6, kernel_size, *geometry, groups=2), inputs, (2, 4, *size))


operator = OperatorEntry(
    formula=r"y_o[n] = b_o + \sum_c \sum_k F_{o c k}\, m_k[n]\, x_c(s n + p_k + \varepsilon_k[n])",
    where={
        r"F": "the filters",
        r"m_k[n]": "the mask, a factor on tap k at output pixel n",
        r"s": "the stride",
        r"p_k": "the place of tap k, dilation and padding included",
        r"\varepsilon_k[n]": "the offset of the tap, in pixels",
    },
    source="J. Dai et al., arXiv 1703.06211 (no mask) and X. Zhu et al., arXiv 1811.11168 (mask); torchvision.ops",
    conventions=(
        "Offsets are channels dy, dx, dy, dx, … for each tap, the last axis of the kernel fastest, and each offset "
        "group after the other.",
        "Outside of the image there are zeros; a sample within a pixel of the edge is mixed with them.",
        "At integer positions, where offsets start, the derivative in the offset is the right-hand one.",
        "A tap whose offset is NaN or infinite reads 0, without a word, and gets no gradient.",
    ),
    initialisation="Filters as those of torch's convolutions. The layer that makes the offsets usually starts at zero: "
    "then this is the plain convolution.",
    examples={
        "1d": _example(1, (3,), (2, 1, 1), 1),
        "2d": _example(2, (3, 2), ((2, 1), (1, 0), (2, 1)), 2),
        "3d": _example(3, (2, 1, 3), (1, (1, 0, 1), 1), 4),
    },
    defects=(
        Defect(
            "torchvision's derivative along a tangent, `torch.func.jvp`, is 0 without a word, where −3.58 is right.",
            "It is the derivative.",
            "test_forward_mode_of_torchvision",
        ),
        Defect(
            "torchvision cannot be differentiated twice: it raises.",
            "It can.",
            "test_double_backward_of_torchvision",
        ),
    ),
    counterparts=(Counterpart("torchvision.ops.deform_conv.DeformConv2d", DeformConv2d, _to_ours, _to_torchvision),),
)
