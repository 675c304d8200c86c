"""Deformable convolution with offsets of its own: a convolution of its input computes them, and the masks."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, told
from warptheory.operators._convolution import PerAxis
from warptheory.operators._counterparts import check_published, loaded
from warptheory.operators._entry import Counterpart, OperatorEntry, OperatorExample
from warptheory.operators._head import draw, head, zero
from warptheory.operators._operator import SamplingOperator
from warptheory.operators.deform_conv import DeformConv1d, DeformConv2d, DeformConv3d
from warptheory.patterns import SamplingPattern

__all__ = ["DeformConvPack1d", "DeformConvPack2d", "DeformConvPack3d"]

_LAYERS = (DeformConv1d, DeformConv2d, DeformConv3d)


class _DeformConvPack(SamplingOperator):
    """A deformable convolution with a head, a plain convolution of the same geometry that starts at zero.

    `conv` holds the filters, `conv_offset` is the head. A new layer is the plain convolution; with masks half of it.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        kernel_size: taps along all axes or each.
        stride: as in `deform_conv2d`.
        padding: as in `deform_conv2d`.
        dilation: as in `deform_conv2d`.
        groups: number of groups of channels that are mixed among themselves.
        offset_groups: number G of groups of input channels, each with offsets and masks of its own.
        bias: whether a bias is added.
        modulated: whether there are masks, sigmoids of the head's last third.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or groups that do not divide the numbers of channels.
        UnknownNameError: no such kernel or boundary.

    Source: DeformConv2dPack and ModulatedDeformConv2dPack of mmcv, by what they compute and by initialisation.
    """

    dim: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        offset_groups: int = 1,
        bias: bool = True,
        modulated: bool = False,
        *,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        super().__init__()
        arguments = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.conv = _LAYERS[self.dim - 1](*arguments, kernel=kernel, boundary=boundary)
        self.offset_groups = check_integer("offset_groups", offset_groups)
        if in_channels % offset_groups:
            expected = f"a divisor of {in_channels} channels"
            raise ArgumentError("offset_groups", expected=expected, received=offset_groups)
        self.modulated = check_flag("modulated", modulated)
        geometry = self.conv.geometry
        fields = offset_groups * geometry.taps * (self.dim + self.modulated)
        self.conv_offset = head(in_channels, fields, geometry)
        self.reset_parameters()

    def extra_repr(self) -> str:
        """Return the arguments that the convolution does not tell."""
        return told(self, "offset_groups", "modulated")

    def reset_parameters(self) -> None:
        """Draw filters and bias anew, as torch's convolutions do, and set the head to zero."""
        self.conv.reset_parameters()
        zero(self.conv_offset)

    def predicted(self, input: Float[Tensor, "B C *S"]) -> tuple[Tensor, Tensor | None]:  # noqa: A002
        """Return the offsets (B, d·G·K, *T) and the masks (B, G·K, *T) at an input (B, C, *S); None without masks."""
        found = self.conv_offset(input)
        if not self.modulated:
            return found, None
        count = self.offset_groups * self.conv.geometry.taps
        offset, logits = torch.split(found, [self.dim * count, count], 1)
        return offset, logits.sigmoid()

    def pattern(self, input: Float[Tensor, "B C *S"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at an input (B, C, *S)."""
        self.conv.geometry.grid(check_images("input", input, self.conv.in_channels, self.dim, self.conv.weight))
        return self.conv.pattern(input, *self.predicted(input))

    def finish(self, y: Float[Tensor, "B D *T"]) -> Float[Tensor, "B D *T"]:
        """Add the bias to images (B, D, *T)."""
        return self.conv.finish(y)


class DeformConvPack1d(_DeformConvPack):
    """Deformable convolution of signals (B, C, N) with offsets that it computes."""

    dim = 1


class DeformConvPack2d(_DeformConvPack):
    """Deformable convolution of images (B, C, H, W) with offsets that it computes."""

    dim = 2


class DeformConvPack3d(_DeformConvPack):
    """Deformable convolution of volumes (B, C, Z, H, W) with offsets that it computes."""

    dim = 3


_SHARED = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")


def _to_ours(layer: Any, modulated: bool) -> nn.Module:
    options: dict[str, Any] = {name: getattr(layer, name) for name in _SHARED}
    has_bias = getattr(layer, "bias", None) is not None
    made = DeformConvPack2d(**options, offset_groups=layer.deform_groups, bias=has_bias, modulated=modulated)
    state = {name if "." in name else f"conv.{name}": each for name, each in layer.state_dict().items()}
    parameters = dict(layer.named_parameters())
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(parameters[name.removeprefix("conv.")].requires_grad)
    return loaded(made, state)


def _to_mmcv(layer: Any, original: Callable[..., nn.Module], modulated: bool) -> nn.Module:
    check_published(layer, modulated=modulated)
    check_published(layer.conv, kernel="linear", boundary="zeros")
    has_bias = layer.conv.bias is not None
    if has_bias and not modulated:
        raise ArgumentError("model", expected="a layer without bias, as the original", received="one with it")
    options = {name: getattr(layer.conv, name) for name in _SHARED}
    made = original(**options, deform_groups=layer.offset_groups, bias=has_bias)
    parameters = dict(layer.named_parameters())
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(parameters[name if "." in name else f"conv.{name}"].requires_grad)
    return loaded(made, {name.removeprefix("conv."): each for name, each in layer.state_dict().items()})


def _counterpart(original: str, modulated: bool) -> Counterpart:
    there, back = partial(_to_ours, modulated=modulated), partial(_to_mmcv, modulated=modulated)
    return Counterpart(original, DeformConvPack2d, there, back)


def _example(layer: type[_DeformConvPack], size: tuple[int, ...], **options: Any) -> OperatorExample:
    def build() -> _DeformConvPack:
        made = layer(4, 6, **options)
        # At zero, where heads start, positions sit on pixels.
        draw(made.conv_offset, 0.2)
        return made

    return OperatorExample(build, lambda x, _: (x,), (2, 4, *size))


operator = OperatorEntry(
    formula=r"y_o[n] = b_o + \sum_c \sum_k F_{o c k}\, \sigma(\mu_k[n])\, x_c(s n + p_k + \varepsilon_k[n]), "
    r"\qquad (\varepsilon, \mu) = w * x",
    where={
        r"F": "the filters",
        r"w": "the head, a convolution of the same stride, padding and dilation",
        r"\mu_k[n]": "the logit of the mask of tap k at output pixel n; without masks σ is 1",
        r"p_k": "the place of tap k, dilation and padding included",
        r"\varepsilon_k[n]": "the offset of the tap, in pixels",
    },
    source="J. Dai et al., arXiv 1703.06211; X. Zhu et al., arXiv 1811.11168; mmcv.ops",
    conventions=(
        "The head's channels are dy, dx, … of each tap and offset group, as in `deform_conv2d`, then all masks.",
        "Outside of the image there are zeros.",
    ),
    initialisation="The head starts at zero: the layer is the plain convolution, and half of it with masks.",
    examples={
        "1d": _example(DeformConvPack1d, (7,), kernel_size=3, stride=2, padding=1, offset_groups=2),
        "2d": _example(DeformConvPack2d, (4, 4), kernel_size=(2, 1), padding=(1, 0), groups=2, modulated=True),
        "3d": _example(
            DeformConvPack3d, (3, 3, 2), kernel_size=(2, 1, 1), dilation=(2, 1, 1), modulated=True, bias=False
        ),
    },
    counterparts=(
        _counterpart("mmcv.ops.deform_conv.DeformConv2dPack", modulated=False),
        _counterpart("mmcv.ops.modulated_deform_conv.ModulatedDeformConv2dPack", modulated=True),
    ),
)
