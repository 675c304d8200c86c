"""Anti-aliased strided convolution: a convolution of stride 1, then a blur keeps every stride-th pixel."""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, told
from warptheory.operators._convolution import Geometry, PerAxis, per_axis
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator
from warptheory.operators.blur_pool import BlurPool1d, BlurPool2d, BlurPool3d
from warptheory.patterns import SamplingPattern

__all__ = ["AntiAliasedConv1d", "AntiAliasedConv2d", "AntiAliasedConv3d"]


class AntiAliasedConv(SamplingOperator):
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

    dim: ClassVar[int]

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
        super().__init__()
        check_integer("out_channels", out_channels)
        self.blur = (BlurPool1d, BlurPool2d, BlurPool3d)[self.dim - 1](
            out_channels, pad_type, filt_size, stride, pad_off
        )
        self.stride = self.blur.stride
        if check_integer("in_channels", in_channels) % check_integer("groups", groups) or out_channels % groups:
            raise ArgumentError("groups", expected=f"a divisor of {in_channels} and {out_channels}", received=groups)
        self.relu = check_flag("relu", relu)
        convolution: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[self.dim - 1]
        self.convolution = convolution(
            in_channels,
            out_channels,
            per_axis("kernel_size", kernel_size, self.dim),
            1,
            per_axis("padding", padding, self.dim, least=0),
            per_axis("dilation", dilation, self.dim),
            groups,
            check_flag("bias", bias),
        )

    def image(self, input: Float[Tensor, "B I *S"]) -> Float[Tensor, "B C *N"]:  # noqa: A002
        """Return the outcome (B, D, *N) of the convolution of an input (B, I, *S), rectified if asked for."""
        made = self.convolution
        size = check_images("input", input, made.in_channels, self.dim, made.weight)
        Geometry(made.kernel_size, (1,) * self.dim, made.padding, made.dilation).grid(size)
        image: Tensor = self.convolution(input)
        return functional.relu(image) if self.relu else image

    def pattern(self, input: Float[Tensor, "B I *S"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern of the blur at an input (B, I, *S)."""
        return self.blur.pattern(self.image(input))

    def forward(self, input: Float[Tensor, "B I *S"]) -> Float[Tensor, "B C *T"]:  # noqa: A002
        """Return the smaller images: (B, I, *S) → (B, D, *T)."""
        blurred: Tensor = self.blur(self.image(input))
        return blurred

    def extra_repr(self) -> str:
        """Return the arguments which no part tells."""
        return told(self, "relu")


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
    formula=r"y_o[n] = \sum_k b_k\, u_o[s n + k], \qquad u_o[m] = \max(0, \beta_o + \sum_{c j} F_{o c j}\, x_c[m + j])",
    where={
        r"b": "the filter of BlurPool",
        r"F": "the filters of the convolution",
        r"\beta": "its bias",
        r"s": "the stride",
    },
    source="R. Zhang, arXiv 1904.11486; antialiased-cnns",
    conventions=(
        "The stride belongs to the blur: the convolution has stride 1.",
        "What is sampled is the outcome of the convolution, rectified if asked for: the pattern is the blur's.",
    ),
    initialisation="Filters and bias as torch's convolutions; the blur has nothing to learn.",
    examples={
        "1d": OperatorExample(lambda: AntiAliasedConv1d(3, 2, 2, filt_size=3), lambda x, _: (x,), (2, 3, 7)),
        "2d": OperatorExample(
            lambda: AntiAliasedConv2d(2, 3, 3, padding=1, relu=True, filt_size=2), lambda x, _: (x,), (2, 2, 5, 4)
        ),
    },
)
