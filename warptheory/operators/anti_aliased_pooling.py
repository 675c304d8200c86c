"""Anti-aliased pooling and strided convolution: first at stride 1, then a blur keeps every stride-th pixel."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._blurring import Blur
from warptheory.operators._convolution import PerAxis, per_axis
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator
from warptheory.operators.blur_pool import BlurPool, BlurPool1d, BlurPool2d, BlurPool3d
from warptheory.patterns import Chain, Lattice, SamplingPattern
from warptheory.warping.arguments import check_values

__all__ = [
    "AntiAliasedAvgPool1d",
    "AntiAliasedAvgPool2d",
    "AntiAliasedAvgPool3d",
    "AntiAliasedConv1d",
    "AntiAliasedConv2d",
    "AntiAliasedConv3d",
    "AntiAliasedMaxPool1d",
    "AntiAliasedMaxPool2d",
    "AntiAliasedMaxPool3d",
]

_BLURS: tuple[type[BlurPool], ...] = (BlurPool1d, BlurPool2d, BlurPool3d)


class _AntiAliased(SamplingOperator):
    """What is computed at stride 1, and a BlurPool after it.

    Args:
        channels: number C of channels that are blurred.
        stride: pixels between output pixels.
        pad_type: of the blur, as in `BlurPool`.
        filt_size: of the blur, as in `BlurPool`.
        pad_off: of the blur, as in `BlurPool`.
    """

    dim: ClassVar[int]

    def __init__(self, channels: int, stride: int, pad_type: str, filt_size: int, pad_off: int) -> None:
        super().__init__()
        self.blur = _BLURS[self.dim - 1](channels, pad_type, filt_size, stride, pad_off)
        self.stride = self.blur.stride


class AntiAliasedMaxPool(_AntiAliased):
    """Max pooling at stride 1, then BlurPool: max pooling with a stride, without its aliasing.

    Its pattern is that of the pixels which are the largest at the input.

    Args:
        channels: number C of channels.
        kernel_size: pixels of the window of which the largest is taken, along all axes or each.
        stride: pixels between output pixels.
        padding: pixels, smaller than all others, by which the image is continued for the window.
        dilation: pixels between those of the window.
        pad_type: of the blur, as in `BlurPool`.
        filt_size: of the blur, as in `BlurPool`; 1: plain max pooling.
        pad_off: of the blur, as in `BlurPool`.

    Raises:
        ArgumentError: a number that makes no sense, padding of more than half a window, or no such padding.

    Source: R. Zhang, arXiv 1904.11486: MaxPool(k, s) becomes MaxPool(k, 1) and BlurPool(s).
    """

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
        super().__init__(channels, stride, pad_type, filt_size, pad_off)
        self.kernel_size = per_axis("kernel_size", kernel_size, self.dim)
        self.padding = per_axis("padding", padding, self.dim, least=0)
        self.dilation = per_axis("dilation", dilation, self.dim)
        if any(2 * pad > size for pad, size in zip(self.padding, self.kernel_size, strict=True)):
            raise ArgumentError("padding", expected=f"at most half of {self.kernel_size}", received=self.padding)

    def pattern(self, x: Float[Tensor, "B C *S"]) -> Chain:
        """Return the pattern at an input (B, C, *S): whole offsets to the largest pixels, then the blur."""
        size = tuple(x.shape[2:])
        largest, pixels = self._pooled(x, with_pixels=True)
        places = torch.stack(torch.unravel_index(pixels, size), 2).to(torch.promote_types(x.dtype, torch.float32))
        lattice = Lattice.unit(self.dim)
        offsets = places - lattice.identity(places)
        selection = SamplingPattern(size, x.shape[1], offsets, lattice, kernel="nearest")
        return Chain((selection, self.blur.pattern(largest)))

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:
        """Return the pooled images: (B, C, *S) → (B, C, *T)."""
        pooled: Tensor = self.blur(self._pooled(x))
        return pooled

    def _pooled(self, x: Tensor, with_pixels: bool = False) -> Any:
        reach = [
            step * (size - 1) + 1 - 2 * pad
            for size, pad, step in zip(self.kernel_size, self.padding, self.dilation, strict=True)
        ]
        _check_covered(x, reach)
        pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[self.dim - 1]
        return pool(x, self.kernel_size, 1, self.padding, self.dilation, return_indices=with_pixels)


class AntiAliasedAvgPool(_AntiAliased):
    """Average pooling at stride 1, then BlurPool: the filter is a box convolved with a binomial one.

    Args:
        channels: number C of channels.
        kernel_size: pixels of the window that is averaged, along all axes or each; 1: BlurPool alone, by which the
            source replaces average pooling.
        stride: pixels between output pixels.
        pad_type: of the blur, as in `BlurPool`.
        filt_size: of the blur, as in `BlurPool`; 1: plain average pooling.
        pad_off: of the blur, as in `BlurPool`.

    Raises:
        ArgumentError: a number that makes no sense, no such padding, or an image smaller than the window.

    Source: R. Zhang, arXiv 1904.11486.
    """

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
        super().__init__(channels, stride, pad_type, filt_size, pad_off)
        self.kernel_size = per_axis("kernel_size", kernel_size, self.dim)

    def pattern(self, x: Float[Tensor, "B C *S"]) -> Chain:
        """Return the pattern at an input (B, C, *S): the box, then the blur."""
        box = x.new_full((x.shape[1], 1, *self.kernel_size), 1 / math.prod(self.kernel_size))
        mean = Blur(0, 0, 1, "zeros").pattern(x, box)
        return Chain((mean, self.blur.pattern(self._pooled(x))))

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:
        """Return the pooled images: (B, C, *S) → (B, C, *T)."""
        pooled: Tensor = self.blur(self._pooled(x))
        return pooled

    def _pooled(self, x: Tensor) -> Tensor:
        _check_covered(x, self.kernel_size)
        pool = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[self.dim - 1]
        return pool(x, self.kernel_size, 1)


class AntiAliasedConv(_AntiAliased):
    """Convolution at stride 1, perhaps a rectification, then BlurPool: strided convolution without its aliasing.

    What is sampled is the outcome of the convolution: the pattern is that of the blur.

    Args:
        in_channels: number of channels of the input.
        out_channels: number D of channels of the outcome, which are blurred.
        kernel_size: of the convolution.
        stride: pixels between output pixels.
        padding: of the convolution, by zeros.
        dilation: of the convolution.
        groups: of the convolution.
        bias: whether the convolution adds a bias.
        relu: whether the blur acts on max(·, 0) of the convolution's outcome.
        pad_type: of the blur, as in `BlurPool`.
        filt_size: of the blur, as in `BlurPool`; 1: the plain strided convolution.
        pad_off: of the blur, as in `BlurPool`.

    Raises:
        ArgumentError: a number that makes no sense, groups that do not divide the channels, or no such padding.

    Source: R. Zhang, arXiv 1904.11486: Conv(s) and ReLU become Conv(1), ReLU and BlurPool(s).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: int = 2,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        relu: bool = False,
        pad_type: str = "reflect",
        filt_size: int = 4,
        pad_off: int = 0,
    ) -> None:
        super().__init__(out_channels, stride, pad_type, filt_size, pad_off)
        if check_integer("in_channels", in_channels) % check_integer("groups", groups) or out_channels % groups:
            raise ArgumentError("groups", expected=f"a divisor of {in_channels} and {out_channels}", received=groups)
        self.relu = check_flag("relu", relu)
        self.convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[self.dim - 1](
            in_channels,
            out_channels,
            per_axis("kernel_size", kernel_size, self.dim),
            1,
            per_axis("padding", padding, self.dim, least=0),
            per_axis("dilation", dilation, self.dim),
            groups,
            check_flag("bias", bias),
        )

    def image(self, x: Float[Tensor, "B I *S"]) -> Float[Tensor, "B C *N"]:
        """Return the outcome (B, D, *N) of the convolution of an input (B, I, *S), rectified if asked for."""
        if check_values("x", x) != self.dim or x.shape[1] != self.convolution.in_channels:
            expected = f"shape (B, {self.convolution.in_channels}, *S) with {self.dim} axes S"
            raise ArgumentError("x", expected=expected, received=tuple(x.shape))
        image: Tensor = self.convolution(x)
        return functional.relu(image) if self.relu else image

    def pattern(self, x: Float[Tensor, "B I *S"]) -> SamplingPattern:
        """Return the pattern of the blur at an input (B, I, *S)."""
        return self.blur.pattern(self.image(x))

    def forward(self, x: Float[Tensor, "B I *S"]) -> Float[Tensor, "B C *T"]:
        """Return the smaller images: (B, I, *S) → (B, D, *T)."""
        blurred: Tensor = self.blur(self.image(x))
        return blurred


def _check_covered(x: Tensor, reach: Sequence[int]) -> None:
    """Check that images (B, C, *S) hold a window of some pixels.

    Raises:
        ArgumentError: they are smaller, or have another number of axes.
    """
    if check_values("x", x) != len(reach) or any(n < k for n, k in zip(x.shape[2:], reach, strict=True)):
        received = f"shape {tuple(x.shape)}"
        raise ArgumentError("x", expected=f"{len(reach)} axes of at least {tuple(reach)} pixels", received=received)


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


class AntiAliasedConv1d(AntiAliasedConv):
    """Anti-aliased strided convolution of signals (B, I, N); arguments as in `AntiAliasedConv`."""

    dim = 1


class AntiAliasedConv2d(AntiAliasedConv):
    """Anti-aliased strided convolution of images (B, I, H, W); arguments as in `AntiAliasedConv`."""

    dim = 2


class AntiAliasedConv3d(AntiAliasedConv):
    """Anti-aliased strided convolution of volumes (B, I, Z, H, W); arguments as in `AntiAliasedConv`."""

    dim = 3


operator = OperatorEntry(
    formula=r"y_c[n] = \sum_k b_k\, u_c[s n + k], \qquad u_c[m] = \max_{j \in W} x_c[m + j]",
    where={
        r"b": "the filter of BlurPool",
        r"u": "the outcome at stride 1: of max pooling, or of an average or a convolution in its place",
        r"W": "the window of the pooling",
        r"s": "the stride",
    },
    source="R. Zhang, arXiv 1904.11486; antialiased-cnns, and kornia's MaxBlurPool2D",
    conventions=(
        "Of equal pixels the first in the window is the largest, as in torch.",
        "The stride belongs to the blur: what is before it has stride 1.",
        "A convolution is computed before sampling; a window of max pooling is part of the pattern.",
    ),
    initialisation="Convolutions as torch's; else nothing is learned.",
    examples={
        "max 2d": OperatorExample(
            lambda: AntiAliasedMaxPool2d(2, 3, padding=1, filt_size=3), lambda x, _: (x,), (2, 2, 6, 5)
        ),
        "average 1d": OperatorExample(lambda: AntiAliasedAvgPool1d(3, 2, filt_size=3), lambda x, _: (x,), (2, 3, 7)),
        "convolution 2d": OperatorExample(
            lambda: AntiAliasedConv2d(2, 3, 3, padding=1, relu=True, filt_size=2), lambda x, _: (x,), (2, 2, 5, 4)
        ),
    },
)
