"""Anti-aliased pooling: first at stride 1, then a blur keeps every stride-th pixel."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, told
from warptheory.operators._blurring import Blur, check_covered
from warptheory.operators._convolution import PerAxis, per_axis
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator
from warptheory.operators.blur_pool import BlurPool1d, BlurPool2d, BlurPool3d
from warptheory.patterns import Chain, Lattice, SamplingPattern

__all__ = [
    "AntiAliasedAvgPool1d",
    "AntiAliasedAvgPool2d",
    "AntiAliasedAvgPool3d",
    "AntiAliasedMaxPool1d",
    "AntiAliasedMaxPool2d",
    "AntiAliasedMaxPool3d",
]


class _AntiAliasedPool(SamplingOperator):
    """Pooling at stride 1, and a BlurPool after it.

    Args:
        channels: number C of channels.
        kernel_size: pixels of the window that is pooled, along all axes or each.
        stride: pixels between output pixels.
        pad_type: of the blur, as in `BlurPool`.
        filt_size: of the blur, as in `BlurPool`; 1 for none: the plain pooling.
        pad_off: of the blur, as in `BlurPool`.
    """

    dim: ClassVar[int]
    # Names of further arguments, in the order in which they are told.
    options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        channels: int,
        kernel_size: PerAxis = 2,
        stride: int = 2,
        *,
        pad_type: str = "reflect",
        filt_size: int = 4,
        pad_off: int = 0,
    ) -> None:
        super().__init__()
        kind = (BlurPool1d, BlurPool2d, BlurPool3d)[self.dim - 1]
        self.blur = kind(channels, pad_type, filt_size, stride, pad_off)
        self.kernel_size = per_axis("kernel_size", kernel_size, self.dim)
        self.channels, self.stride = self.blur.channels, self.blur.stride

    @abstractmethod
    def pooled(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:  # noqa: A002
        """Return images (B, C, *S) pooled at stride 1: (B, C, *T).

        Raises:
            ArgumentError: images smaller than the window, or of another number of axes.
        """

    def forward(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:  # noqa: A002
        """Return the pooled images: (B, C, *S) → (B, C, *T)."""
        blurred: Tensor = self.blur(self.pooled(input))
        return blurred

    def _check(self, input: Tensor, reach: Sequence[int]) -> None:  # noqa: A002
        check_images("input", input, self.channels, self.dim, None)
        check_covered(input, reach)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.channels}, {told(self, 'kernel_size', 'stride', *self.options)}"


class AntiAliasedMaxPool(_AntiAliasedPool):
    """Max pooling at stride 1, then BlurPool: max pooling with a stride, without its aliasing.

    Its pattern is that of the pixels which are the largest at the input.

    Args:
        padding: pixels, smaller than all others, by which the image is continued for the window.
        dilation: pixels between those of the window.

    Raises:
        ArgumentError: a number that makes no sense, padding of more than half a window, or no such padding.

    Source: R. Zhang, arXiv 1904.11486: MaxPool(k, s) becomes MaxPool(k, 1) and BlurPool(s).
    """

    options = ("padding", "dilation")

    def __init__(
        self,
        channels: int,
        kernel_size: PerAxis = 2,
        stride: int = 2,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        *,
        pad_type: str = "reflect",
        filt_size: int = 4,
        pad_off: int = 0,
    ) -> None:
        super().__init__(channels, kernel_size, stride, pad_type=pad_type, filt_size=filt_size, pad_off=pad_off)
        self.padding = per_axis("padding", padding, self.dim, least=0)
        self.dilation = per_axis("dilation", dilation, self.dim)
        if any(2 * pad > size for pad, size in zip(self.padding, self.kernel_size, strict=True)):
            raise ArgumentError("padding", expected=f"at most half of {self.kernel_size}", received=self.padding)

    def pattern(self, input: Float[Tensor, "B C *S"]) -> Chain:  # noqa: A002
        """Return the pattern at an input (B, C, *S): whole offsets to the largest pixels, then the blur."""
        largest, pixels = self._largest(input)
        size = tuple(input.shape[2:])
        places = torch.stack(torch.unravel_index(pixels, size), 2).to(torch.promote_types(input.dtype, torch.float32))
        lattice = Lattice.unit(self.dim)
        offsets = places - lattice.identity(places)
        selection = SamplingPattern(size, input.shape[1], offsets, lattice, kernel="nearest")
        return Chain((selection, self.blur.pattern(largest)))

    def pooled(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:  # noqa: A002
        """Return the largest pixels of windows of images (B, C, *S), at stride 1: (B, C, *T)."""
        return self._largest(input)[0]

    def _largest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the largest values of windows, and at which pixels they are."""
        window = zip(self.kernel_size, self.padding, self.dilation, strict=True)
        self._check(x, [step * (size - 1) + 1 - 2 * pad for size, pad, step in window])
        pool: Any = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[self.dim - 1]
        found: tuple[Tensor, Tensor] = pool(x, self.kernel_size, 1, self.padding, self.dilation, return_indices=True)
        return found


class AntiAliasedAvgPool(_AntiAliasedPool):
    """Average pooling at stride 1, then BlurPool: the filter is a box convolved with a binomial one.

    With a window of one pixel it is BlurPool, by which the source replaces average pooling.

    Raises:
        ArgumentError: a number that makes no sense, or no such padding.

    Source: R. Zhang, arXiv 1904.11486.
    """

    def pattern(self, input: Float[Tensor, "B C *S"]) -> Chain:  # noqa: A002
        """Return the pattern at an input (B, C, *S): the box, then the blur."""
        self._check(input, self.kernel_size)
        box = input.new_full((self.channels, 1, *self.kernel_size), 1 / math.prod(self.kernel_size))
        mean = Blur(0, 0, 1, "zeros").pattern(input, box)
        return Chain((mean, self.blur.pattern(self.pooled(input))))

    def pooled(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:  # noqa: A002
        """Return the averages of windows of images (B, C, *S), at stride 1: (B, C, *T)."""
        self._check(input, self.kernel_size)
        pool = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[self.dim - 1]
        return pool(input, self.kernel_size, 1)


class AntiAliasedMaxPool1d(AntiAliasedMaxPool):
    """Anti-aliased max pooling of signals (B, C, N); arguments as in `AntiAliasedMaxPool`."""

    dim = 1


class AntiAliasedMaxPool2d(AntiAliasedMaxPool):
    """Anti-aliased max pooling of images (B, C, H, W); arguments as in `AntiAliasedMaxPool`."""

    dim = 2


class AntiAliasedMaxPool3d(AntiAliasedMaxPool):
    """Anti-aliased max pooling of volumes (B, C, Z, H, W); arguments as in `AntiAliasedMaxPool`."""

    dim = 3


class AntiAliasedAvgPool1d(AntiAliasedAvgPool):
    """Anti-aliased average pooling of signals (B, C, N); arguments as in `AntiAliasedAvgPool`."""

    dim = 1


class AntiAliasedAvgPool2d(AntiAliasedAvgPool):
    """Anti-aliased average pooling of images (B, C, H, W); arguments as in `AntiAliasedAvgPool`."""

    dim = 2


class AntiAliasedAvgPool3d(AntiAliasedAvgPool):
    """Anti-aliased average pooling of volumes (B, C, Z, H, W); arguments as in `AntiAliasedAvgPool`."""

    dim = 3


operator = OperatorEntry(
    formula=r"y_c[n] = \sum_k b_k\, u_c[s n + k], \qquad u_c[m] = \max_{j \in W} x_c[m + j]",
    where={
        r"b": "the filter of BlurPool",
        r"u": "the outcome at stride 1, of max pooling or of an average in its place",
        r"W": "the window of the pooling",
        r"s": "the stride",
    },
    source="R. Zhang, arXiv 1904.11486; antialiased-cnns, and kornia's MaxBlurPool2D",
    conventions=(
        "Of equal pixels the first in the window is the largest, as in torch.",
        "The stride belongs to the blur: what is before it has stride 1.",
    ),
    initialisation="Nothing is learned.",
    examples={
        "max 2d": OperatorExample(lambda: AntiAliasedMaxPool2d(2, 3, padding=1), lambda x, _: (x,), (2, 2, 6, 5)),
        "average 1d": OperatorExample(lambda: AntiAliasedAvgPool1d(3, 2, filt_size=3), lambda x, _: (x,), (2, 3, 7)),
    },
)
