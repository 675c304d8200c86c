"""What layers with the arguments of a convolution share: channels, geometry, filters and bias, and how they start."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, told
from warptheory.operators._convolution import Geometry, biased
from warptheory.operators._operator import SamplingOperator


class ConvolutionLayer(SamplingOperator):
    """A layer along `dim` axes with the geometry of a convolution; a subclass says the shape of its filters.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        geometry: kernel size, stride, padding and dilation.
        groups: number of groups of channels that are mixed among themselves.
        bias: whether a bias is added.

    Raises:
        ArgumentError: a number that makes no sense, or groups that do not divide both numbers of channels.
    """

    dim: ClassVar[int]
    # Names of further arguments, in the order in which they are told.
    options: ClassVar[tuple[str, ...]] = ()
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, in_channels: int, out_channels: int, geometry: Geometry, groups: int, bias: bool) -> None:
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels)
        self.out_channels = check_integer("out_channels", out_channels)
        self.groups = check_integer("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ArgumentError("groups", expected=f"a divisor of {in_channels} and {out_channels}", received=groups)
        self.geometry = geometry
        self._has_bias = check_flag("bias", bias)

    def add_parameters(self, *shape: int) -> None:
        """Add filters of a shape, and the bias: in this order, as torch's convolutions have them."""
        self.weight = nn.Parameter(torch.empty(*shape))
        self.register_parameter("bias", nn.Parameter(torch.empty(self.out_channels)) if self._has_bias else None)

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Numbers of taps along each axis."""
        return self.geometry.kernel_size

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels between output pixels, along each axis."""
        return self.geometry.stride

    @property
    def padding(self) -> tuple[int, ...]:
        """Pixels before the first one, along each axis."""
        return self.geometry.padding

    @property
    def dilation(self) -> tuple[int, ...]:
        """Pixels between taps, along each axis."""
        return self.geometry.dilation

    def reset_parameters(self) -> None:
        """Draw filters and bias anew, as torch's convolutions do."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def size_of(self, input: Float[Tensor, "B C *S"]) -> tuple[int, ...]:  # noqa: A002
        """Return the size S of an input (B, C, *S).

        Raises:
            ArgumentError: another number of channels or axes, or another dtype than that of the filters.
        """
        return check_images("input", input, self.in_channels, self.dim, self.weight)

    def finish(self, y: Float[Tensor, "B D *T"]) -> Float[Tensor, "B D *T"]:
        """Add the bias to images (B, D, *T)."""
        return biased(y, self.bias)

    def extra_repr(self) -> str:
        """Return the arguments."""
        said = told(self, "kernel_size", "stride", "padding", "dilation", "groups", *self.options)
        return f"{self.in_channels}, {self.out_channels}, {said}, bias={self.bias is not None}"
