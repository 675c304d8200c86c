"""Frequency-adaptive dilated convolution: the taps of a convolution spread by a dilation of each pixel's own."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer, check_known, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, odd, told
from warptheory.operators._convolution import Geometry, PerAxis, biased
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._head import draw, head, zero
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.operators.deform_conv import deform_conv_pattern
from warptheory.patterns import SamplingPattern

__all__ = ["AdaptiveDilatedConv"]

_PADDING_MODES = {"repeat": "replicate", "zero": "constant"}


class AdaptiveDilatedConv(SamplingOperator):
    """A 3×3 convolution whose taps lie at (1 + d·|a|) p_k, by a dilation of each pixel, computed from the input.

    `conv_offset` computes a, `conv_mask` the masks. At a = 0 the modulus has a kink, where its derivative is taken as
    0: a pixel that gets there stays until its input changes.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        kernel_size: 3, or another odd number, of taps along both axes.
        stride: pixels between output pixels.
        dilation: d, pixels of dilation per unit of a; also the dilation at which a new layer starts.
        groups: number of groups of channels that are mixed among themselves.
        deform_groups: number of groups of input channels, each with dilations and masks of its own.
        bias: whether a bias is added.
        padding_mode: what a frame of half the kernel's size holds: "repeat" for the outermost pixels, "zero".
            Beyond it there are zeros.
        epsilon: by how much |a| starts beyond (d − 1)/d.
        use_zero_dilation: whether max(a, −1) takes the place of |a|, so that taps may also move inwards.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies beyond the frame, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense, or groups that do not divide the numbers of channels.
        UnknownNameError: no such padding mode, kernel or boundary.

    Source: L. Chen et al., Frequency-Adaptive Dilated Convolution, arXiv 2403.05369; the adaptive dilation of its
        `AdaptiveDilatedConv`, by parameters and initialisation. Its selection of frequencies before the convolution,
        and its factors on the filters, are not part of it.
    """

    dim = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: PerAxis = 1,
        dilation: int = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = True,
        padding_mode: str = "repeat",
        epsilon: float = 1e-4,
        use_zero_dilation: bool = False,
        *,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels)
        self.out_channels = check_integer("out_channels", out_channels)
        self.groups = check_integer("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ArgumentError("groups", expected=f"a divisor of {in_channels} and {out_channels}", received=groups)
        self.deform_groups = check_integer("deform_groups", deform_groups)
        if in_channels % deform_groups:
            raise ArgumentError("deform_groups", expected=f"a divisor of {in_channels}", received=deform_groups)
        self.kernel_size = odd("kernel_size", kernel_size)
        self.geometry = Geometry.of(kernel_size, stride, 0, 1, self.dim)
        self.dilation = check_integer("dilation", dilation)
        check_known("padding_mode", padding_mode, _PADDING_MODES)
        self.padding_mode = padding_mode
        self.epsilon = check_number("epsilon", epsilon)
        self.use_zero_dilation = check_flag("use_zero_dilation", use_zero_dilation)
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels)) if check_flag("bias", bias) else None)
        self.conv_offset = head(in_channels, deform_groups, self.geometry)
        self.conv_mask = head(in_channels, deform_groups * self.geometry.taps, self.geometry)
        self.reset_parameters()

    def extra_repr(self) -> str:
        """Return the arguments."""
        names = ("kernel_size", "stride", "dilation", "groups", "deform_groups", "padding_mode", "epsilon")
        options = told(self, *names, "use_zero_dilation", "kernel", "boundary")
        return f"{self.in_channels}, {self.out_channels}, {options}, bias={self.bias is not None}"

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels between output pixels, along each axis."""
        return self.geometry.stride

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the filters uniformly up to 1/√(inputs); set a to (d − 1)/d + epsilon, masks to ½ and the bias to 0."""
        bound = 1 / math.sqrt(self.in_channels * self.geometry.taps)
        self.weight.uniform_(-bound, bound)
        if self.bias is not None:
            self.bias.zero_()
        zero(self.conv_mask)
        zero(self.conv_offset)
        _, start = self.conv_offset.parameters()
        start.fill_((self.dilation - 1) / self.dilation + self.epsilon)

    def dilations(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B G h w"]:  # noqa: A002
        """Return 1 + d·|a| at an input (B, C, H, W): the dilation of each pixel and group, shape (B, G, h, w).

        With `use_zero_dilation` it is 1 + d·max(a, −1).
        """
        return 1 + self._spread(self.image(input))

    def image(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:  # noqa: A002
        """Return the input (B, C, H, W) in its frame, which is sampled."""
        check_images("input", input, self.in_channels, self.dim, self.weight)
        return functional.pad(input, (self.kernel_size // 2,) * 4, mode=_PADDING_MODES[self.padding_mode])

    def _spread(self, framed: Tensor) -> Tensor:
        """Return d·|a|, or d·max(a, −1), by which taps are spread beyond their places, (B, G, h, w)."""
        a = self.conv_offset(framed)
        spread: Tensor = self.dilation * (a.clamp(min=-1) if self.use_zero_dilation else a.abs())
        return spread

    def pattern(self, input: Float[Tensor, "B C H W"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at an input (B, C, H, W)."""
        framed = self.image(input)
        half = self.kernel_size // 2
        steps = torch.arange(-half, half + 1, dtype=framed.dtype, device=framed.device)
        places = torch.cartesian_prod(steps, steps).flatten()
        offset = (self._spread(framed).unsqueeze(2) * places.reshape(-1, 1, 1)).flatten(1, 2)
        mask = self.conv_mask(framed).sigmoid()
        return deform_conv_pattern(framed, offset, self.weight, self.geometry, mask, self.kernel, self.boundary)

    def finish(self, y: Float[Tensor, "B D *T"]) -> Float[Tensor, "B D *T"]:
        """Add the bias to images (B, D, *T)."""
        return biased(y, self.bias)


def _built() -> AdaptiveDilatedConv:
    layer = AdaptiveDilatedConv(4, 2, dilation=2, deform_groups=2, stride=(1, 2))
    # Where dilations are whole numbers, positions sit on pixels.
    draw(layer.conv_offset, 0.2)
    draw(layer.conv_mask, 0.2)
    return layer


operator = OperatorEntry(
    formula=r"y_o[n] = b_o + \sum_c \sum_k F_{o c k}\, m_k[n]\, x_c(s n + (1 + d |a[n]|)\, p_k)",
    where={
        r"F": "the filters",
        r"m_k[n]": "the mask of tap k, a sigmoid",
        r"s": "the stride",
        r"p_k": "the place of tap k from the middle",
        r"d": "the dilation per unit of a",
        r"a[n]": "one number a pixel and group, a convolution of the input",
    },
    source="L. Chen et al., arXiv 2403.05369; the adaptive dilation of `AdaptiveDilatedConv`",
    conventions=(
        "The image gets a frame of its outermost pixels, half a kernel wide; beyond it there are zeros.",
        "At a = 0 the dilation has a kink; its derivative there is taken as 0.",
    ),
    initialisation="The dilation starts at d + 10⁻⁴ d and masks at ½: half a plain convolution of dilation d.",
    examples={"2d": OperatorExample(_built, lambda x, _: (x,), (2, 4, 4, 3))},
)
