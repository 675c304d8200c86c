"""DySample: upsampling that reads the coarse image at places which the image itself moves."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_integer, check_known
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, told
from warptheory.operators._counterparts import loaded
from warptheory.operators._entry import Counterpart, OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import Lattice, SamplingPattern

__all__ = ["DySample"]

# Pixels of offset per unit of what the convolution returns; half of it with a scope of 1, which starts at 1/2.
_RANGE = 0.25


class DySample(SamplingOperator):
    """Upsampling by DySample: bilinear at first, then at places that a convolution moves.

    Args:
        in_channels: number C of channels.
        scale: s, the whole number by which the image grows along both axes.
        style: "lp": the convolution sees the coarse image, and makes offsets for s² pixels of each of its own; "pl": it
            sees the image with its channels shuffled to the fine grid, where it makes one offset for each pixel.
        groups: number G of groups of C/G successive channels that move together.
        dyscope: whether a second convolution sets the range of the offsets, from 0 to 1/2 pixel; else it is 1/4.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, groups that do not divide the channels, or with style "pl" a number
            of channels that s² does not divide.
        UnknownNameError: no such style, kernel or boundary.

    Source: W. Liu et al., arXiv 2308.15085; tiny-smart/dysample.
    """

    def __init__(
        self,
        in_channels: int,
        scale: int = 2,
        style: str = "lp",
        groups: int = 4,
        dyscope: bool = False,
        *,
        kernel: Any = "linear",
        boundary: str = "border",
    ) -> None:
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels)
        self.scale = check_integer("scale", scale)
        self.groups = check_integer("groups", groups)
        self.dyscope = check_flag("dyscope", dyscope)
        check_known("style", style, ("lp", "pl"))
        self.style = style
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        if in_channels % groups:
            raise ArgumentError("groups", expected=f"a divisor of {in_channels} channels", received=groups)
        if style == "pl" and in_channels % scale**2:
            raise ArgumentError(
                "in_channels", expected=f"a multiple of {scale**2} for style 'pl'", received=in_channels
            )
        share = scale**2 if style == "pl" else 1
        channels, outputs = in_channels // share, 2 * groups * scale**2 // share
        self.offset = nn.Conv2d(channels, outputs, 1)
        self.scope = nn.Conv2d(channels, outputs, 1, bias=False) if dyscope else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the start: offsets that are all but zero, and a scope of 1/2."""
        nn.init.normal_(self.offset.weight, std=0.001)
        if self.offset.bias is not None:
            nn.init.zeros_(self.offset.bias)
        if self.scope is not None:
            nn.init.zeros_(self.scope.weight)

    def pattern(self, input: Float[Tensor, "B C H W"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at images (B, C, H, W): one sample for each pixel of the fine grid and channel."""
        size = check_images("input", input, self.in_channels, 2, self.offset.weight)
        grid = tuple(self.scale * n for n in size)
        lattice = Lattice.of_resize(size, grid, align_corners=False)
        offsets = self._offsets(input)
        return SamplingPattern(size, input.shape[1], offsets, lattice, kernel=self.kernel, boundary=self.boundary)

    def _offsets(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B G 2 h w"]:
        seen = _shuffled(x, self.scale) if self.style == "pl" else x
        moved = self.offset(seen)
        moved = _RANGE * moved if self.scope is None else 2 * _RANGE * self.scope(seen).sigmoid() * moved
        if self.style == "lp":
            moved = _shuffled(moved, self.scale)
        # All x come before all y.
        return torch.unflatten(moved, 1, (2, self.groups)).flip(1).transpose(1, 2)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:  # noqa: A002
        """Return images (B, C, H, W) on the fine grid: (B, C, s·H, s·W)."""
        return super().forward(input)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # The original keeps a buffer of where its samples lie, which follows from the scale.
        state_dict.pop(f"{prefix}init_pos", None)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.in_channels}, {told(self, 'scale', 'style', 'groups', 'dyscope', 'kernel', 'boundary')}"


def _shuffled(x: Float[Tensor, "B C H W"], scale: int) -> Float[Tensor, "B c h w"]:
    """Return `pixel_shuffle` (B, C/s², s·H, s·W) of images (B, C, H, W): torch's has no gradient of an empty batch."""
    parts = torch.unflatten(x, 1, (-1, scale, scale)).permute(0, 1, 4, 2, 5, 3)
    return parts.flatten(4, 5).flatten(2, 3)


def _to_ours(layer: Any) -> nn.Module:
    dyscope = hasattr(layer, "scope")
    channels = layer.offset.in_channels * (layer.scale**2 if layer.style == "pl" else 1)
    made = DySample(channels, layer.scale, layer.style, layer.groups, dyscope)
    return loaded(made, layer.state_dict())


def _to_original(layer: Any, original: Callable[..., nn.Module]) -> nn.Module:
    if (layer.kernel, layer.boundary) != ("linear", "border"):
        received = f"{layer.kernel!r}, {layer.boundary!r}"
        raise ArgumentError("model", expected="kernel 'linear' and boundary 'border', as DySample", received=received)
    made = original(layer.in_channels, layer.scale, layer.style, layer.groups, layer.dyscope)
    made.load_state_dict(layer.state_dict(), strict=False)  # it makes its buffer itself
    return made


def _example(style: str, dyscope: bool) -> OperatorExample:
    def build() -> SamplingOperator:
        layer = DySample(4, 2, style, 2, dyscope)
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
        return layer

    return OperatorExample(build, lambda x, _: (x,), (2, 4, 4, 3))


operator = OperatorEntry(
    formula=r"y[n] = x\left(\frac{n + \frac12}{s} - \frac12 + r\, L(x)[n]\right)",
    where={
        r"s": "the scale",
        r"L": "a convolution with one tap, whose channels are shuffled to the fine grid",
        r"r": "the range: 1/4, or half of a sigmoid of a second convolution",
    },
    source="W. Liu et al., arXiv 2308.15085; tiny-smart/dysample",
    conventions=(
        "Offsets are in pixels of the coarse image; channels hold all x before all y, groups, then the s² pixels.",
        "Outside of the image there is its edge.",
    ),
    initialisation="Filters of standard deviation 0.001: the layer is bilinear upsampling, up to some thousandths of a "
    "pixel. Both versions start with the range 1/4, at which offsets of ±1 do not yet change the order of samples.",
    examples={"lp": _example("lp", False), "pl": _example("pl", True)},
    counterparts=(Counterpart("dysample.DySample", DySample, _to_ours, _to_original),),
)
