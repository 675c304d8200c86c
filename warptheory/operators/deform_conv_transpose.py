"""Transposed deformable convolution: every input pixel is spread over taps that are displaced."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_same_dtype, check_tensor, check_tensors
from warptheory.operators._convolution import Geometry, PerAxis, biased, per_axis
from warptheory.operators._convolution_layer import ConvolutionLayer
from warptheory.operators._counterparts import check_published, loaded
from warptheory.operators._entry import Counterpart, Defect, OperatorEntry, OperatorExample
from warptheory.operators._operator import checked_reading
from warptheory.patterns import SamplingPattern, Transposed
from warptheory.patterns.layouts import OffsetOutput
from warptheory.warping.arguments import check_values

__all__ = [
    "DeformConvTranspose1d",
    "DeformConvTranspose2d",
    "DeformConvTranspose3d",
    "deform_conv_transpose1d",
    "deform_conv_transpose2d",
    "deform_conv_transpose3d",
]


def _pattern(
    x: Tensor,
    weight: Tensor,
    fields: tuple[Tensor | None, Tensor | None],
    geometry: Geometry,
    output_padding: tuple[int, ...],
    groups: int,
    reading: tuple[Any, str],
) -> Transposed:
    """Return the pattern for an input (B, C, *S), filters (C, D/groups, *K), and offsets and masks."""
    size, taps, dim = tuple(x.shape[2:]), geometry.taps, x.ndim - 2
    _check_weight(weight, x, groups)
    channels = weight.shape[1] * groups
    offset, mask = fields
    moved = _groups("offset", offset, x, dim * taps, channels)
    masked = _groups("mask", mask, x, taps, channels)
    # Offsets and masks may have groups of their own; all are put into the common parts of both.
    common = math.lcm(moved, masked)
    if offset is None:
        offsets = x.new_zeros(len(x), common * taps, dim, *size)
    else:
        offsets = _repeated(OffsetOutput(dim=dim).offsets(offset), moved, common)
    return Transposed(
        SamplingPattern(
            _output_size(size, geometry, output_padding),
            channels,
            offsets,
            geometry.lattice(common),
            taps,
            None if mask is None else _repeated(mask, masked, common),
            weight.flatten(2),
            *reading,
        )
    )


def _check_weight(weight: Tensor, x: Tensor, groups: int) -> None:
    if check_integer("groups", groups) and x.shape[1] % groups:
        raise ArgumentError("groups", expected=f"a divisor of {x.shape[1]} channels", received=groups)
    check_tensor("weight", weight)
    if weight.ndim != x.ndim or weight.shape[0] != x.shape[1] or weight.shape[1] == 0:
        expected = f"shape ({x.shape[1]}, D/groups, *K) with {x.ndim - 2} axes K"
        raise ArgumentError("weight", expected=expected, received=tuple(weight.shape))
    check_same_dtype("weight", weight, "input has", x)


def _groups(argument: str, fields: Tensor | None, x: Tensor, per_group: int, channels: int) -> int:
    """Return the number of groups of offsets or masks, which divides the channels of the outcome."""
    if fields is None:
        return 1
    check_tensor(argument, fields)
    shape = tuple(fields.shape)
    groups = shape[1] // per_group if len(shape) == x.ndim else 0
    if groups < 1 or channels % groups or shape != (len(x), per_group * groups, *x.shape[2:]):
        rows = (len(x), f"{per_group}·G", *x.shape[2:])
        expected = f"shape {rows}, where the number G of groups divides the {channels} channels of the outcome"
        raise ArgumentError(argument, expected=expected, received=shape)
    return groups


def _repeated(fields: Tensor, groups: int, common: int) -> Tensor:
    """Return fields (B, G·K, …) for more groups, each of which repeats that which it is part of."""
    if groups == common:
        return fields
    return torch.unflatten(fields, 1, (groups, -1)).repeat_interleave(common // groups, 1).flatten(1, 2)


def _least_size(size: tuple[int, ...], geometry: Geometry) -> tuple[int, ...]:
    """Return the size of the outcome without output padding."""
    axes = zip(size, geometry.kernel_size, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    return tuple((n - 1) * step - 2 * pad + gap * (taps - 1) + 1 for n, taps, step, pad, gap in axes)


def _output_size(size: tuple[int, ...], geometry: Geometry, output_padding: tuple[int, ...]) -> tuple[int, ...]:
    found = tuple(n + more for n, more in zip(_least_size(size, geometry), output_padding, strict=True))
    if min(found) < 1:
        raise ArgumentError("padding", expected="an outcome of at least one pixel", received=f"size {found}")
    return found


def _output_padding_of(size: tuple[int, ...], geometry: Geometry, output_size: Sequence[int]) -> tuple[int, ...]:
    """Return the output padding with which the outcome has a size *T, given as such or as (B, D, *T)."""
    least, wanted = _least_size(size, geometry), tuple(output_size)
    wanted = wanted[2:] if len(wanted) == len(size) + 2 else wanted
    most = tuple(n + step - 1 for n, step in zip(least, geometry.stride, strict=True))
    if len(wanted) != len(size) or any(not a <= n <= b for n, a, b in zip(wanted, least, most, strict=True)):
        raise ArgumentError("output_size", expected=f"from {least} to {most}", received=tuple(output_size))
    return tuple(n - first for n, first in zip(wanted, least, strict=True))


def _checked_output_padding(geometry: Geometry, output_padding: PerAxis) -> tuple[int, ...]:
    found = per_axis("output_padding", output_padding, len(geometry.stride), least=0)
    most = [max(pair) for pair in zip(geometry.stride, geometry.dilation, strict=True)]
    if any(more >= bound for more, bound in zip(found, most, strict=True)):
        expected = f"numbers below stride or dilation, {tuple(most)}"
        raise ArgumentError("output_padding", expected=expected, received=output_padding)
    return found


def _deform_conv_transpose(dim: int, arguments: tuple[Any, ...], reading: tuple[Any, str]) -> Tensor:
    x, weight, offset, mask, bias, stride, padding, output_padding, dilation, groups = arguments
    if check_values("input", x) != dim:
        raise ArgumentError("input", expected=f"{dim} spatial axes", received=tuple(x.shape))
    check_tensors(bias=bias)
    _check_weight(weight, x, groups)
    geometry = Geometry.of(tuple(weight.shape[2:]), stride, padding, dilation, dim)
    more = _checked_output_padding(geometry, output_padding)
    y = _pattern(x, weight, (offset, mask), geometry, more, groups, checked_reading(*reading)).apply(x)
    return biased(y, bias)


def deform_conv_transpose1d(
    input: Float[Tensor, "B C L"],  # noqa: A002
    weight: Float[Tensor, "C D K"],
    offset: Float[Tensor, "B R L"] | None = None,
    mask: Float[Tensor, "B M L"] | None = None,
    bias: Float[Tensor, "E"] | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B E T"]:
    """Spread signals (B, C, N) over displaced taps; arguments and errors as of `deform_conv_transpose2d`."""
    arguments = (input, weight, offset, mask, bias, stride, padding, output_padding, dilation, groups)
    return _deform_conv_transpose(1, arguments, (kernel, boundary))


def deform_conv_transpose2d(
    input: Float[Tensor, "B C h w"],  # noqa: A002
    weight: Float[Tensor, "C D K L"],
    offset: Float[Tensor, "B R h w"] | None = None,
    mask: Float[Tensor, "B M h w"] | None = None,
    bias: Float[Tensor, "E"] | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B E H W"]:
    """Spread images over displaced taps: y_o = b_o + Σ_c Σ_k W_kᵀ(F[c, o, k] m_k x_c), W_k reads at s·n + p_k + ε_k[n].

    Args:
        input: images, shape (B, C, h, w).
        weight: F, the filters, shape (C, D/groups, K_y, K_x).
        offset: ε in pixels of the outcome, shape (B, 2·G·K, h, w): for each of G groups of the D channels of the
            outcome and K taps dy, then dx; None for zeros.
        mask: m, shape (B, M·K, h, w), for each of M groups of the D channels; None for ones.
        bias: b, shape (D,).
        stride: s, for all axes or each.
        padding: of p, for all axes or each.
        output_padding: pixels that the outcome has more at its end, for all axes or each.
        dilation: of p, for all axes or each.
        groups: number of groups of channels that are mixed among themselves.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the outcome, the name of a boundary rule.

    Returns:
        The outcome (B, D, H, W), dtype of the input.

    Raises:
        ArgumentError: shapes or dtypes that do not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: arguments and layout of tvdcn.ops.deform_conv_transpose2d.
    """
    arguments = (input, weight, offset, mask, bias, stride, padding, output_padding, dilation, groups)
    return _deform_conv_transpose(2, arguments, (kernel, boundary))


def deform_conv_transpose3d(
    input: Float[Tensor, "B C z h w"],  # noqa: A002
    weight: Float[Tensor, "C D J K L"],
    offset: Float[Tensor, "B R z h w"] | None = None,
    mask: Float[Tensor, "B M z h w"] | None = None,
    bias: Float[Tensor, "E"] | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B E Z H W"]:
    """Spread volumes (B, C, Z, H, W) over displaced taps; as `deform_conv_transpose2d`, with offsets dz, dy, dx."""
    arguments = (input, weight, offset, mask, bias, stride, padding, output_padding, dilation, groups)
    return _deform_conv_transpose(3, arguments, (kernel, boundary))


class _DeformConvTranspose(ConvolutionLayer):
    """A transposed deformable convolution whose offsets, and masks, come from outside.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        kernel_size: taps along all axes or each.
        stride: as in `deform_conv_transpose2d`.
        padding: as in `deform_conv_transpose2d`.
        dilation: as in `deform_conv_transpose2d`.
        output_padding: as in `deform_conv_transpose2d`.
        groups: number of groups of channels that are mixed among themselves.
        bias: whether a bias is added.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the outcome, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or groups that do not divide both numbers of channels.
        UnknownNameError: no such kernel or boundary.

    Source: tvdcn.ops.DeformConvTranspose2d, by arguments and initialisation.
    """

    options = ("output_padding", "kernel", "boundary")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        output_padding: PerAxis = 0,
        groups: int = 1,
        bias: bool = True,
        *,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        geometry = Geometry.of(kernel_size, stride, padding, dilation, self.dim)
        super().__init__(in_channels, out_channels, geometry, groups, bias)
        self.output_padding = _checked_output_padding(self.geometry, output_padding)
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        self.add_parameters(in_channels, out_channels // groups, *self.kernel_size)
        self.reset_parameters()

    def pattern(
        self,
        input: Float[Tensor, "B C *S"],  # noqa: A002
        offset: Float[Tensor, "B R *S"] | None = None,
        mask: Float[Tensor, "B M *S"] | None = None,
        output_size: Sequence[int] | None = None,
    ) -> Transposed:
        """Return the pattern at an input (B, C, *S), its offsets (B, d·G·K, *S) and masks (B, M·K, *S).

        An output size takes the place of the output padding.
        """
        size, more = self.size_of(input), self.output_padding
        reading = (self.kernel, self.boundary)
        if output_size is not None:
            more = _output_padding_of(size, self.geometry, output_size)
        return _pattern(input, self.weight, (offset, mask), self.geometry, more, self.groups, reading)


class DeformConvTranspose1d(_DeformConvTranspose):
    """Transposed deformable convolution of signals (B, C, N), with given offsets."""

    dim = 1


class DeformConvTranspose2d(_DeformConvTranspose):
    """Transposed deformable convolution of images (B, C, H, W), with given offsets."""

    dim = 2


class DeformConvTranspose3d(_DeformConvTranspose):
    """Transposed deformable convolution of volumes (B, C, Z, H, W), with given offsets."""

    dim = 3


_SHARED = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "output_padding", "groups")


def _counterpart(kind: type[_DeformConvTranspose]) -> Counterpart:
    def to_ours(layer: Any) -> nn.Module:
        options = {name: getattr(layer, name) for name in _SHARED}
        return loaded(kind(**options, bias=layer.bias is not None), layer.state_dict())

    def to_tvdcn(layer: Any, original: Callable[..., nn.Module]) -> nn.Module:
        check_published(layer, kernel="linear", boundary="zeros")
        options = {name: getattr(layer, name) for name in _SHARED}
        return loaded(original(**options, bias=layer.bias is not None), layer.state_dict())

    return Counterpart(f"tvdcn.ops.deform_conv_transpose.{kind.__name__}", kind, to_ours, to_tvdcn)


def _example(kind: type[_DeformConvTranspose], size: tuple[int, ...], moved: int, **options: Any) -> OperatorExample:
    def inputs(x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        taps = kind(4, 6, **options).geometry.taps
        grid = x.shape[2:]
        offset = torch.randn(len(x), kind.dim * taps * moved, *grid, generator=generator, dtype=x.dtype)
        return x, offset, torch.rand(len(x), 2 * taps, *grid, generator=generator, dtype=x.dtype)

    return OperatorExample(lambda: kind(4, 6, **options), inputs, (2, 4, *size))


operator = OperatorEntry(
    formula=r"y_o = b_o + \sum_c \sum_k W_k^\top (F_{c o k}\, m_k\, x_c), \qquad "
    r"(W_k y)[n] = y(s n + p_k + \varepsilon_k[n])",
    where={
        r"F": "the filters",
        r"m_k": "the mask, a factor on tap k at every input pixel n",
        r"s": "the stride, in pixels of the outcome",
        r"p_k": "the place of tap k, dilation and padding included",
        r"\varepsilon_k[n]": "the offset of the tap at input pixel n, in pixels of the outcome",
    },
    source="tvdcn.ops.deform_conv_transpose2d; the adjoint of J. Dai et al., arXiv 1703.06211",
    conventions=(
        "Offsets and masks live on the grid of the input, and their groups are groups of channels of the outcome.",
        "Offsets are channels dy, dx, dy, dx, … for each tap, the last axis of the kernel fastest.",
        "Masks may have groups of their own.",
        "What is spread outside of the outcome is lost.",
    ),
    initialisation="Filters as those of torch's transposed convolutions. With zero offsets it is the plain one.",
    examples={
        "1d": _example(DeformConvTranspose1d, (4,), 3, kernel_size=3, stride=2, padding=1, output_padding=1),
        "2d": _example(DeformConvTranspose2d, (3, 2), 1, kernel_size=(2, 1), stride=(1, 2), dilation=(2, 1), groups=2),
        "3d": _example(DeformConvTranspose3d, (2, 1, 2), 2, kernel_size=(2, 1, 1), padding=(1, 0, 0), bias=False),
    },
    defects=(
        Defect(
            "tvdcn 1.1 asks that offset groups divide the channels of the input, and uses them for those of the "
            "outcome: with 3 of these and 2 groups the last one reads the offsets of a third group.",
            "Groups that do not divide the channels of the outcome are refused.",
            "test_groups_are_those_of_the_outcome",
        ),
    ),
    counterparts=tuple(map(_counterpart, (DeformConvTranspose1d, DeformConvTranspose2d, DeformConvTranspose3d))),
)
