"""LDConv: a convolution of any number of taps, each displaced by an offset that the layer predicts at every pixel."""

import math
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, check_same_dtype, check_tensor, check_tensors, told
from warptheory.operators._convolution import biased
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._offset_transform import scale_gradient
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import Lattice, SamplingPattern
from warptheory.patterns.layouts import OffsetOutput
from warptheory.warping.arguments import check_values

__all__ = ["LDConv", "ld_conv2d"]


def ld_conv2d(
    input: Float[Tensor, "B C H W"],  # noqa: A002
    offset: Float[Tensor, "B R h w"],
    weight: Float[Tensor, "D C N 1"],
    bias: Float[Tensor, "D"] | None = None,
    stride: int = 1,
    *,
    centred: bool = True,
    kernel: Any = "linear",
    boundary: str = "border",
) -> Float[Tensor, "B D h w"]:
    """Convolve images by any number of displaced taps: y_o[n] = b_o + Σ_c Σ_k F[o, c, k] x_c(s·n + p_k + ε_k[n]).

    Args:
        input: images, shape (B, C, H, W).
        offset: ε in pixels, shape (B, 2·N, h, w), first all dy, then all dx; h is ⌈H/s⌉, w is ⌈W/s⌉.
        weight: F, the filters, shape (D, C, N, 1).
        bias: b, shape (D,).
        stride: s, along both axes.
        centred: as in `LDConv`.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Returns:
        The outcome (B, D, h, w), dtype of the input.

    Raises:
        ArgumentError: shapes that do not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: X. Zhang et al., arXiv 2311.11587; CV-ZhangXin/LDConv, without its norm and SiLU.
    """
    if check_values("input", input) != 2:
        raise ArgumentError("input", expected="shape (B, C, H, W)", received=tuple(input.shape))
    check_tensors(bias=bias)
    check_tensor("weight", weight)
    shape = tuple(weight.shape)
    if len(shape) != 4 or shape[1] != input.shape[1] or shape[2] < 1 or shape[3] != 1:
        raise ArgumentError("weight", expected=f"shape (D, {input.shape[1]}, N, 1)", received=shape)
    check_same_dtype("weight", weight, "input has", input)
    check_integer("stride", stride)
    check_tensor("offset", offset)
    expected = (len(input), 2 * shape[2], *(-(-n // stride) for n in input.shape[2:]))
    if tuple(offset.shape) != expected:
        raise ArgumentError("offset", expected=f"shape {expected}", received=tuple(offset.shape))
    pattern = _pattern(input, OffsetOutput("planes").offsets(offset), weight, (stride, centred), (kernel, boundary))
    return biased(pattern.apply(input), bias)


def _places(count: int, centred: bool) -> tuple[tuple[int, int], ...]:
    """Return rows and columns of taps, in pixels from the output pixel."""
    width = round(math.sqrt(count))
    middle = ((-(-count // width) - 1) // 2, (width - 1) // 2) if centred else (0, 0)
    return tuple((n // width - middle[0], n % width - middle[1]) for n in range(count))


def _pattern(
    x: Tensor, offsets: Tensor, weight: Tensor, placement: tuple[int, bool], reading: tuple[Any, str]
) -> SamplingPattern:
    """Return the pattern at offsets (B, N, 2, h, w), given stride and centring, kernel and boundary."""
    (stride, centred), taps = placement, weight.shape[2]
    places = tuple((float(row), float(column)) for row, column in _places(taps, centred))
    lattice = Lattice((float(stride),) * 2, places)
    size, filters = tuple(x.shape[2:]), weight.squeeze(3)
    return SamplingPattern(size, x.shape[1], offsets, lattice, taps, None, filters, *reading)


class LDConv(SamplingOperator):
    """Linear deformable convolution: any number of taps, whose offsets are predicted, then a norm and SiLU.

    The taps lie in rows of round(√N), the last of which may be shorter. Parameters have the names of the original's:
    `conv` is the mixing convolution, the norm and SiLU, `p_conv` predicts the offsets, first all dy, then all dx.

    Args:
        inc: number C of channels of the input.
        outc: number D of channels of the outcome.
        num_param: number N of taps.
        stride: pixels between output pixels, along both axes.
        bias: whether the mixing convolution has a bias; None: no, as its norm takes it out again.
        centred: whether the middle of the taps lies on the pixel; where their number is even, the one before the
            middle. False: the first tap does, and the others lie to its lower right, as in the original.
        offset_gradient_scale: m ≥ 0, a factor on the gradient that reaches the offsets, through them `p_conv`, and the
            input. The original says 0.1 and computes 1.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense.
        UnknownNameError: no such kernel or boundary.

    Source: X. Zhang et al., arXiv 2311.11587; CV-ZhangXin/LDConv.
    """

    def __init__(
        self,
        inc: int,
        outc: int,
        num_param: int,
        stride: int = 1,
        bias: bool | None = None,
        *,
        centred: bool = True,
        offset_gradient_scale: float = 1.0,
        kernel: Any = "linear",
        boundary: str = "border",
    ) -> None:
        super().__init__()
        self.inc = check_integer("inc", inc)
        self.outc = check_integer("outc", outc)
        self.num_param = check_integer("num_param", num_param)
        self.stride = check_integer("stride", stride)
        self.bias = None if bias is None else check_flag("bias", bias)
        self.centred = check_flag("centred", centred)
        self.offset_gradient_scale = check_number("offset_gradient_scale", offset_gradient_scale, least=0)
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        column = (num_param, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(inc, outc, column, stride=column, bias=bool(bias)), nn.BatchNorm2d(outc), nn.SiLU()
        )
        self.p_conv = nn.Conv2d(inc, 2 * num_param, 3, padding=1, stride=stride)
        nn.init.zeros_(self.p_conv.weight)
        if self.p_conv.bias is not None:
            nn.init.zeros_(self.p_conv.bias)
        # A checkpoint of the original may hold the places of its taps, which are no parameters.
        cast("Any", self).register_load_state_dict_pre_hook(_without_places)

    def extra_repr(self) -> str:
        """Return the arguments."""
        options = told(self, "stride", "bias", "centred", "offset_gradient_scale", "kernel", "boundary")
        return f"{self.inc}, {self.outc}, {self.num_param}, {options}"

    @property
    def taps(self) -> tuple[tuple[int, int], ...]:
        """Places (row, column) of the taps, in pixels from the output pixel."""
        return _places(self.num_param, self.centred)

    @property
    def _mixing(self) -> nn.Conv2d:
        return cast("nn.Conv2d", self.conv[0])

    def pattern(self, input: Float[Tensor, "B C H W"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at images (B, C, H, W)."""
        check_images("input", input, self.inc, 2, self.p_conv.weight)
        offsets = OffsetOutput("planes").offsets(self.p_conv(input))
        if self.offset_gradient_scale != 1:
            offsets = scale_gradient(offsets, self.offset_gradient_scale)
        placement, reading = (self.stride, self.centred), (self.kernel, self.boundary)
        return _pattern(input, offsets, self._mixing.weight, placement, reading)

    def finish(self, y: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        """Return the bias, the norm and SiLU of images (B, D, h, w)."""
        found: Tensor = self.conv[1:](biased(y, self._mixing.bias))
        return found


def _without_places(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    state.pop(f"{prefix}p_n", None)


def _example_layer() -> LDConv:
    layer = LDConv(4, 3, 5, stride=2, bias=True)
    nn.init.normal_(layer.p_conv.weight, std=0.2)
    return layer


operator = OperatorEntry(
    formula=r"y_o[n] = \mathrm{SiLU}\, \mathrm{BN}\Bigl(b_o + \sum_c \sum_k F_{o c k}\, "
    r"x_c(s n + p_k + \varepsilon_k[n])\Bigr), \qquad \varepsilon = v * x + a",
    where={
        r"F": "the filters",
        r"s": "the stride",
        r"p_k": "the place of tap k, in rows of round(√N)",
        r"\varepsilon_k[n]": "the offset of the tap, in pixels",
        r"v": "3×3 filters that predict the offsets",
        r"a": "their bias",
    },
    source="X. Zhang et al., arXiv 2311.11587; CV-ZhangXin/LDConv",
    conventions=(
        "Offsets are channels dy of all taps, then dx of all taps.",
        "Positions beyond the border count as on it.",
        "The middle of the taps lies on the pixel; with centred=False the first one does, as in the original.",
    ),
    initialisation="What predicts the offsets starts at zero, so that a new layer is a plain convolution. The original "
    "zeroes its weights and keeps torch's bias, uniform in ±1/√(9C): all pixels of a tap then start displaced by the "
    "same random part of a pixel, of deviation 1/√(27C).",
    examples={"2d": OperatorExample(_example_layer, lambda x, _: (x,), (2, 4, 5, 6))},
    defects=(
        Defect(
            "A sample on the last row or column or beyond it, or before the first, has weights that sum to 2, and to 4 "
            "where both hold: the pixels are moved to the border, and the position apart from them.",
            "Weights sum to 1 everywhere.",
            "test_weights_sum_to_one_at_the_border",
        ),
        Defect(
            "The taps hang to the lower right of their pixel: of a 3×3 kernel on a ramp, column 5 reads 5, 6 and 7.",
            "The taps are centred: it reads 4, 5 and 6.",
            "test_taps_are_centred",
        ),
        Defect(
            "The hook that is to scale the gradient of the offsets by 0.1 returns nothing: the ratio is 1.000. "
            "Returned, what it computes would scale the gradient of the input, and not that of the weights.",
            "offset_gradient_scale is the ratio.",
            "test_gradient_of_the_offsets_is_scaled",
        ),
    ),
)
