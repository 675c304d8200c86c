"""A convolution whose dense kernel is computed from few parameters: it reads pixels, and its weights are made."""

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from warptheory.core.checks import check_known
from warptheory.core.errors import ArgumentError
from warptheory.operators._convolution import Geometry
from warptheory.operators._convolution_layer import ConvolutionLayer
from warptheory.patterns import SamplingPattern

_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)

# The boundary rule that a padding mode of torch's convolutions stands for.
BOUNDARIES = {"zeros": "zeros", "reflect": "mirror", "replicate": "border", "circular": "periodic"}


class ConstructedConvolution(ConvolutionLayer):
    """A convolution along `dim` axes; a subclass supplies `dense_kernel`."""

    def __init__(
        self, in_channels: int, out_channels: int, geometry: Geometry, groups: int, bias: bool, padding_mode: str
    ) -> None:
        super().__init__(in_channels, out_channels, geometry, groups, bias)
        check_known("padding_mode", padding_mode, BOUNDARIES)
        self.padding_mode = padding_mode

    @abstractmethod
    def dense_kernel(self) -> Float[Tensor, "D I *N"]:
        """Return the kernel (D, C/groups, *N) that the input is convolved with."""

    def grid(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of the outcome."""
        return self.geometry.grid(size)

    def pattern(self, input: Float[Tensor, "B C *S"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at an input (B, C, *S): the taps of the dense kernel, at pixels, with its filters."""
        grid, filters = self.grid(self.size_of(input)), self.dense_kernel().flatten(2)
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
        self.grid(self.size_of(input))
        padded, padding = self.padded(input)
        convolve = _CONVOLUTIONS[self.dim - 1]
        return convolve(padded, self.dense_kernel(), self.bias, self.stride, padding, self.dilation, self.groups)

    def padded(
        self,
        input: Float[Tensor, "B C *S"],  # noqa: A002
    ) -> tuple[Float[Tensor, "B C *T"], tuple[int, ...]]:
        """Return an input (B, C, *S), padded unless by zeros, and the zeros that are still to be added."""
        if self.padding_mode == "zeros" or not any(self.padding):
            return input, self.padding
        self._check_padding(tuple(input.shape[2:]))
        both = [pad for axis in reversed(self.padding) for pad in (axis, axis)]
        return functional.pad(input, both, self.padding_mode), (0,) * self.dim

    def _check_padding(self, size: tuple[int, ...]) -> None:
        least = {"reflect": 1, "circular": 0}.get(self.padding_mode)
        if least is not None and any(pad + least > n for pad, n in zip(self.padding, size, strict=True)):
            expected = f"more than {self.padding} pixels" if least else f"at least {self.padding} pixels"
            raise ArgumentError(
                "input", expected=f"{expected} along the axes, for padding {self.padding_mode!r}", received=size
            )
