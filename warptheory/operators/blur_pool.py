"""BlurPool: images are filtered by a binomial filter before every stride-th pixel is kept."""

from collections.abc import Callable
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import told
from warptheory.operators._blurring import Blur, binomial_filters, boundary_of
from warptheory.operators._counterparts import loaded
from warptheory.operators._entry import Counterpart, OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator
from warptheory.patterns import SamplingPattern

__all__ = ["BlurPool1d", "BlurPool2d", "BlurPool3d", "blur_pool1d", "blur_pool2d", "blur_pool3d"]


def _blur(filt_size: int, stride: int, pad_type: str, pad_off: int) -> Blur:
    size = check_integer("filt_size", filt_size)
    more = check_integer("pad_off", pad_off, least=-((size - 1) // 2))
    before, after = (size - 1) // 2 + more, size // 2 + more
    return Blur(before, after, check_integer("stride", stride), boundary_of(pad_type))


class BlurPool(SamplingOperator):
    """Downsampling after a binomial filter: y[n] = Σ_k b_k x[s·n + k].

    The filter of f pixels begins ⌊(f − 1)/2⌋ + pad_off pixels before the first pixel.

    Args:
        channels: number C of channels, each of which is filtered by itself.
        pad_type: what lies outside, "reflect" (without repeating the border pixel: the boundary rule "mirror"),
            "replicate", "zero" or "circular".
        filt_size: f, pixels of the filter along each axis; 1 for none.
        stride: s, pixels between output pixels.
        pad_off: pixels by which each axis is continued further, at both ends; a negative one continues it less, down to
            no pixel before the first one.

    Raises:
        ArgumentError: a number that makes no sense, or no such padding.

    Source: R. Zhang, Making convolutional networks shift-invariant again, arXiv 1904.11486; antialiased-cnns.
    """

    dim: ClassVar[int]
    filt: Tensor

    def __init__(
        self, channels: int, pad_type: str = "reflect", filt_size: int = 4, stride: int = 2, pad_off: int = 0
    ) -> None:
        super().__init__()
        self.blur = _blur(filt_size, stride, pad_type, pad_off)
        self.channels, self.filt_size = check_integer("channels", channels), int(filt_size)
        self.pad_type, self.pad_off, self.stride = pad_type, int(pad_off), self.blur.stride
        self.register_buffer("filt", binomial_filters(self.channels, self.filt_size, self.dim))

    def pattern(self, input: Float[Tensor, "B C *S"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at an input (B, C, *S): the filter's taps, of no offsets."""
        return self.blur.pattern(input, self.filt)

    def forward(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:  # noqa: A002
        """Return the smaller images: (B, C, *S) → (B, C, *T), T = ⌊(S − 1 + 2 pad_off)/s⌋ + 1."""
        return self.blur.apply(input, self.filt)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.channels}, {told(self, 'pad_type', 'filt_size', 'stride', 'pad_off')}"


class BlurPool1d(BlurPool):
    """Downsampling of signals (B, C, N) after a binomial filter; arguments as in `BlurPool`."""

    dim = 1

    def __init__(
        self, channels: int, pad_type: str = "reflect", filt_size: int = 3, stride: int = 2, pad_off: int = 0
    ) -> None:
        super().__init__(channels, pad_type, filt_size, stride, pad_off)


class BlurPool2d(BlurPool):
    """Downsampling of images (B, C, H, W) after a binomial filter; arguments as in `BlurPool`."""

    dim = 2


class BlurPool3d(BlurPool):
    """Downsampling of volumes (B, C, Z, H, W) after a binomial filter; arguments as in `BlurPool`."""

    dim = 3


def _blur_pool(x: Tensor, dim: int, blur: Blur, filt_size: int) -> Tensor:
    if not isinstance(x, Tensor) or x.ndim != dim + 2:
        received = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ArgumentError("input", expected=f"shape (B, C, *S) with {dim} axes S", received=received)
    return blur.apply(x, binomial_filters(x.shape[1], filt_size, dim).to(x))


def blur_pool1d(
    input: Float[Tensor, "B C N"],  # noqa: A002
    filt_size: int = 3,
    stride: int = 2,
    pad_type: str = "reflect",
    pad_off: int = 0,
) -> Float[Tensor, "B C T"]:
    """Filter signals (B, C, N) and keep every stride-th pixel, (B, C, T); arguments and errors as of `BlurPool`."""
    return _blur_pool(input, 1, _blur(filt_size, stride, pad_type, pad_off), filt_size)


def blur_pool2d(
    input: Float[Tensor, "B C H W"],  # noqa: A002
    filt_size: int = 4,
    stride: int = 2,
    pad_type: str = "reflect",
    pad_off: int = 0,
) -> Float[Tensor, "B C h w"]:
    """Filter images and keep every stride-th pixel: y[n] = Σ_k b_k x[s·n + k], b binomial.

    Args:
        input: images, shape (B, C, H, W).
        filt_size: pixels of the filter along each axis; 1 for none.
        stride: s, pixels between output pixels.
        pad_type: what lies outside, "reflect", "replicate", "zero" or "circular".
        pad_off: pixels by which each axis is continued further, at both ends, or less, if it is negative.

    Returns:
        The smaller images (B, C, h, w), dtype of the input.

    Raises:
        ArgumentError: a number that makes no sense, no such padding, or another number of axes.

    Source: as of `BlurPool`; with "zero" it is kornia's function of this name.
    """
    return _blur_pool(input, 2, _blur(filt_size, stride, pad_type, pad_off), filt_size)


def blur_pool3d(
    input: Float[Tensor, "B C Z H W"],  # noqa: A002
    filt_size: int = 4,
    stride: int = 2,
    pad_type: str = "reflect",
    pad_off: int = 0,
) -> Float[Tensor, "B C z h w"]:
    """Filter volumes (B, C, Z, H, W) likewise, (B, C, z, h, w); arguments and errors as of `BlurPool`."""
    return _blur_pool(input, 3, _blur(filt_size, stride, pad_type, pad_off), filt_size)


def _counterpart(original: str, ours: type[BlurPool]) -> Counterpart:
    pads = {"ReflectionPad": "reflect", "ReplicationPad": "replicate", "ZeroPad": "zero", "ConstantPad": "zero"}

    def to_ours(layer: Any) -> nn.Module:
        pad_type = pads.get(type(layer.pad).__name__[:-2])
        if pad_type is None:
            raise ArgumentError("model", expected=f"padding by {', '.join(pads)}", received=type(layer.pad).__name__)
        made = ours(layer.channels, pad_type, layer.filt_size, layer.stride, layer.pad_off).to(layer.filt)
        return loaded(made, layer.state_dict())

    def to_original(layer: Any, kind: Callable[..., nn.Module]) -> nn.Module:
        if layer.blur.boundary == "periodic" or layer.filt_size > 7:
            received = f"{layer.pad_type!r}, {layer.filt_size}"
            raise ArgumentError("model", expected="no 'circular' padding and at most 7 taps", received=received)
        made = kind(layer.channels, layer.pad_type, layer.filt_size, layer.stride, layer.pad_off).to(layer.filt)
        return loaded(made, layer.state_dict())

    return Counterpart(f"antialiased_cnns.blurpool.{original}", ours, to_ours, to_original)


def _example(build: Callable[[], BlurPool], shape: tuple[int, ...]) -> OperatorExample:
    return OperatorExample(build, lambda x, _: (x,), shape)


operator = OperatorEntry(
    formula=r"y_c[n] = \sum_k b_k\, x_c(s n + k - p), \qquad b_k = 2^{1 - f} \binom{f - 1}{k}",
    where={
        r"f": "the size of the filter, along each axis",
        r"s": "the stride",
        r"p": "the pixels before the first one: half of f − 1, rounded down, and pad_off",
    },
    source="R. Zhang, arXiv 1904.11486; antialiased-cnns and kornia",
    conventions=(
        "A filter of even size lies half a pixel towards higher indices.",
        "The padding named reflect does not repeat the border pixel: it is the boundary rule mirror.",
        "The filter's numbers are exact up to filters of 28, 15 and 12 pixels in 1, 2 and 3 dimensions in single and "
        "double precision, of 14, 9 and 6 in half precision, and of 12, 7 and 6 in bfloat16. Larger ones are rounded, "
        "to single precision at best.",
    ),
    initialisation="Nothing is learned. The filters are a buffer of the original's name and shape.",
    examples={
        "1d": _example(lambda: BlurPool1d(3, "zero", 4, 3, 1), (2, 3, 7)),
        "2d": _example(lambda: BlurPool2d(2, filt_size=3), (2, 2, 6, 5)),
    },
    counterparts=(_counterpart("BlurPool", BlurPool2d), _counterpart("BlurPool1D", BlurPool1d)),
)
