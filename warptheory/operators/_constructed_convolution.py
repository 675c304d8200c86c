"""A convolution whose dense kernel is computed from few parameters: it reads pixels, and its weights are made."""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer, check_known
from warptheory.core.errors import ArgumentError
from warptheory.operators._convolution import Geometry
from warptheory.operators._operator import SamplingOperator
from warptheory.patterns import SamplingPattern
from warptheory.warping.arguments import check_values

_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)

# The boundary rule that a padding mode of torch's convolutions stands for.
BOUNDARIES = {"zeros": "zeros", "reflect": "mirror", "replicate": "border", "circular": "periodic"}


class ConstructedConvolution(SamplingOperator):
    """A convolution along `dim` axes; a subclass supplies `dense_kernel`."""

    dim: ClassVar[int]

    def __init__(
        self, in_channels: int, out_channels: int, geometry: Geometry, groups: int, bias: bool, padding_mode: str
    ) -> None:
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels)
        self.out_channels = check_integer("out_channels", out_channels)
        self.groups = check_integer("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ArgumentError("groups", expected=f"a divisor of {in_channels} and {out_channels}", received=groups)
        check_known("padding_mode", padding_mode, BOUNDARIES)
        self.geometry, self.padding_mode = geometry, padding_mode
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels)) if check_flag("bias", bias) else None)

    stride = property(lambda self: self.geometry.stride)
    padding = property(lambda self: self.geometry.padding)
    dilation = property(lambda self: self.geometry.dilation)

    @abstractmethod
    def dense_kernel(self) -> Float[Tensor, "D I *N"]:
        """Return the kernel (D, C/groups, *N) that the input is convolved with."""

    def grid(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of the outcome."""
        return self.geometry.grid(size)

    def pattern(self, input: Float[Tensor, "B C *S"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at an input (B, C, *S): the taps of the dense kernel, at pixels, with its filters."""
        grid, filters = self.grid(self._checked(input)), self.dense_kernel().flatten(2)
        taps = filters.shape[2]
        offsets = input.new_zeros(1, 1, 1, *[1] * self.dim).expand(len(input), taps, self.dim, *grid)
        boundary = BOUNDARIES[self.padding_mode]
        lattice = self.geometry.lattice()
        size = tuple(input.shape[2:])
        return SamplingPattern(
            size, self.in_channels, offsets, lattice, taps, filters=filters, kernel="nearest", boundary=boundary
        )

    def forward(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B D *T"]:  # noqa: A002
        """Return the convolution of an input (B, C, *S), shape (B, D, *T)."""
        self.grid(self._checked(input))
        padded, padding = self.padded(input)
        convolve = _CONVOLUTIONS[self.dim - 1]
        return convolve(padded, self.dense_kernel(), self.bias, self.stride, padding, self.dilation, self.groups)

    def padded(self, x: Float[Tensor, "B C *S"]) -> tuple[Float[Tensor, "B C *T"], tuple[int, ...]]:
        """Return an input (B, C, *S), padded unless by zeros, and the zeros that are still to be added."""
        if self.padding_mode == "zeros" or not any(self.padding):
            return x, self.padding
        self._check_padding(tuple(x.shape[2:]))
        both = [pad for axis in reversed(self.padding) for pad in (axis, axis)]
        return functional.pad(x, both, self.padding_mode), (0,) * self.dim

    def finish(self, y: Float[Tensor, "B D *T"]) -> Float[Tensor, "B D *T"]:
        """Add the bias to images (B, D, *T)."""
        return y if self.bias is None else y + self.bias.reshape(-1, *[1] * self.dim)

    def _checked(self, x: Tensor) -> tuple[int, ...]:
        if check_values("input", x) != self.dim or x.shape[1] != self.in_channels:
            expected = f"shape (B, {self.in_channels}, *S) with {self.dim} axes S"
            raise ArgumentError("input", expected=expected, received=tuple(x.shape))
        return tuple(x.shape[2:])

    def _check_padding(self, size: tuple[int, ...]) -> None:
        least = {"reflect": 1, "circular": 0}.get(self.padding_mode)
        if least is not None and any(pad + least > n for pad, n in zip(self.padding, size, strict=True)):
            expected = f"more than {self.padding} pixels" if least else f"at least {self.padding} pixels"
            raise ArgumentError(
                "input", expected=f"{expected} along the axes, for padding {self.padding_mode!r}", received=size
            )
