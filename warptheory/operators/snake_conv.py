"""Snake convolution: taps on a line whose places across it are a random walk from the centre, predicted per pixel."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_integer, check_known, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, check_same_dtype, check_tensor, check_tensors, odd, told
from warptheory.operators._convolution import Geometry, biased
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import SamplingPattern
from warptheory.warping.arguments import check_values

__all__ = ["SnakeConv2d", "SnakeConv3d", "snake_conv2d", "snake_conv3d", "snake_offsets"]


def snake_offsets(increments: Float[Tensor, "B J *T"]) -> Float[Tensor, "B K *T"]:
    """Add increments up from the centre to both ends: ε_{c±j} = ε_{c±(j−1)} + δ_{c±j}, ε_c = 0.

    Args:
        increments: δ of all taps but the centre, in their order, shape (B, K − 1, *T) with K odd.

    Returns:
        The offsets ε of K taps, shape (B, K, *T), in the unit of the increments.

    Raises:
        ArgumentError: an odd number of increments, or none.

    Source: Y. Qi et al., arXiv 2307.08388.
    """
    check_tensor("increments", increments)
    if increments.ndim < 2 or increments.shape[1] % 2 or not increments.shape[1]:
        expected = "shape (B, K − 1, *T), an even number of increments"
        raise ArgumentError("increments", expected=expected, received=tuple(increments.shape))
    before, after = torch.split(increments, [increments.shape[1] // 2] * 2, 1)
    centre = torch.zeros_like(before[:, :1])
    return torch.cat([before.flip(1).cumsum(1).flip(1), centre, after.cumsum(1)], 1)


def snake_pattern(
    input: Float[Tensor, "B C *S"],  # noqa: A002
    increments: Float[Tensor, "B J *T"] | None,
    weight: Float[Tensor, "D I *K"],
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> SamplingPattern:
    """Return the pattern of a snake convolution; arguments as of `snake_conv2d`, and None for a straight line.

    Raises:
        ArgumentError: shapes that do not fit, by name of the argument.
    """
    dim, size = check_values("input", input), tuple(input.shape[2:])
    check_tensors(increments=increments)
    line, kernel_size = _line(weight, input), tuple(weight.shape[2:])
    taps = kernel_size[line]
    offsets = input.new_zeros(()).expand(len(input), taps, dim, *size)
    if increments is not None:
        shape = (len(input), (dim - 1) * (taps - 1), *size)
        if tuple(increments.shape) != shape:
            expected = f"shape {shape}, {taps - 1} for each axis across the line"
            raise ArgumentError("increments", expected=expected, received=tuple(increments.shape))
        walks = [snake_offsets(each) for each in torch.split(increments, [taps - 1] * (dim - 1), 1)]
        walks.insert(line, torch.zeros_like(walks[0]))
        offsets = torch.stack(walks, 2)
    ones = (1,) * dim
    lattice = Geometry(kernel_size, ones, tuple(n // 2 for n in kernel_size), ones).lattice()
    return SamplingPattern(size, input.shape[1], offsets, lattice, taps, None, weight.flatten(2), kernel, boundary)


def _line(weight: Tensor, x: Tensor) -> int:
    """Return the axis along which a weight (D, C, *K) has taps."""
    check_tensor("weight", weight)
    kernel_size = list(weight.shape[2:])
    taps = max(kernel_size, default=1)
    others = sorted(kernel_size)[:-1]
    if weight.ndim != x.ndim or weight.shape[1] != x.shape[1] or set(others) != {1} or taps < 3 or taps % 2 == 0:
        expected = f"shape (D, {x.shape[1]}, *K), K one odd number ≥ 3 and {x.ndim - 3} ones"
        raise ArgumentError("weight", expected=expected, received=tuple(weight.shape))
    check_same_dtype("weight", weight, "input has", x)
    return kernel_size.index(taps)


def snake_conv2d(
    input: Float[Tensor, "B C H W"],  # noqa: A002
    increments: Float[Tensor, "B J H W"],
    weight: Float[Tensor, "D C K L"],
    bias: Float[Tensor, "D"] | None = None,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B D H W"]:
    """Convolve images along a line that sways across itself: y_o[n] = b_o + Σ_c Σ_k F[o, c, k] x_c(n + p_k + ε_k[n]).

    Args:
        input: images, shape (B, C, H, W).
        increments: δ in pixels, whose sums from the centre are the offsets ε across the line (see `snake_offsets`),
            shape (B, K − 1, H, W).
        weight: F, the filters, shape (D, C, 1, K) for a line along the last axis, (D, C, K, 1) along the first; K odd.
        bias: b, shape (D,).
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Returns:
        The outcome (B, D, H, W), dtype of the input.

    Raises:
        ArgumentError: shapes that do not fit, by name of the argument.
        UnknownNameError: no such kernel or boundary.

    Source: Y. Qi et al., arXiv 2307.08388.
    """
    return _snake_conv(2, (input, increments, weight, kernel, boundary), bias)


def snake_conv3d(
    input: Float[Tensor, "B C Z H W"],  # noqa: A002
    increments: Float[Tensor, "B J Z H W"],
    weight: Float[Tensor, "D C K L M"],
    bias: Float[Tensor, "D"] | None = None,
    *,
    kernel: Any = "linear",
    boundary: str = "zeros",
) -> Float[Tensor, "B D Z H W"]:
    """Convolve volumes (B, C, Z, H, W) likewise, to (B, D, Z, H, W); K − 1 increments for each axis across the line."""
    return _snake_conv(3, (input, increments, weight, kernel, boundary), bias)


def _snake_conv(dim: int, arguments: tuple[Any, ...], bias: Tensor | None) -> Tensor:
    image = arguments[0]
    if check_values("input", image) != dim:
        raise ArgumentError("input", expected=f"{dim} spatial axes", received=tuple(image.shape))
    check_tensors(bias=bias)
    return biased(snake_pattern(*arguments).apply(image), bias)


class _SnakeConv(SamplingOperator):
    """A convolution along a line that sways across itself by steps that are predicted at every pixel.

    The steps are extend_scope·tanh(norm(offset_conv(x))); the filters and the bias are those of `conv`.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        kernel_size: odd number K ≥ 3 of taps.
        extend_scope: the longest step across the line from a tap to the next, in pixels.
        morph: the axis of the line, counted from the last one: 0 is x, 1 is y, 2 is z.
        if_offset: whether the line sways; False makes the plain convolution.
        norm: what normalises the steps before the tanh: "group" (two steps of one image together) or "batch".
        bias: whether a bias is added.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: a number that makes no sense.
        UnknownNameError: no such norm, kernel or boundary.

    Source: Y. Qi et al., arXiv 2307.08388; YaoleiQi/DSCNet, class DSConv_pro, which normalises the outcome too.
    """

    dim: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 9,
        extend_scope: float = 1.0,
        morph: int = 0,
        if_offset: bool = True,
        *,
        norm: str = "group",
        bias: bool = True,
        kernel: Any = "linear",
        boundary: str = "zeros",
    ) -> None:
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels)
        self.out_channels = check_integer("out_channels", out_channels)
        self.kernel_size = odd("kernel_size", kernel_size, least=3)
        self.extend_scope = check_number("extend_scope", extend_scope, least=0)
        self.morph = check_integer("morph", morph, least=0, most=self.dim - 1)
        self.if_offset = check_flag("if_offset", if_offset)
        check_known("norm", norm, ("batch", "group"))
        self.norm = norm
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        convolution: Any = (nn.Conv2d, nn.Conv3d)[self.dim - 2]
        batch_norm = (nn.BatchNorm2d, nn.BatchNorm3d)[self.dim - 2]
        line = tuple(self.kernel_size if axis == self.dim - 1 - self.morph else 1 for axis in range(self.dim))
        self.conv = convolution(in_channels, out_channels, line, bias=check_flag("bias", bias))
        if if_offset:
            steps = (self.dim - 1) * (self.kernel_size - 1)
            self.offset_conv = convolution(in_channels, steps, 3, padding=1)
            self.offset_norm = batch_norm(steps) if norm == "batch" else nn.GroupNorm(steps // 2, steps)

    def increments(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B J *S"]:  # noqa: A002
        """Return the steps at images (B, C, *S), in pixels: K − 1 along each axis across the line, (B, J, *S)."""
        steps: Tensor = self.extend_scope * torch.tanh(self.offset_norm(self.offset_conv(input)))
        return steps

    def pattern(self, input: Float[Tensor, "B C *S"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at images (B, C, *S)."""
        check_images("input", input, self.in_channels, self.dim, self.conv.weight)
        increments = self.increments(input) if self.if_offset else None
        return snake_pattern(input, increments, self.conv.weight, self.kernel, self.boundary)

    def extra_repr(self) -> str:
        """Return the arguments."""
        options = told(self, "kernel_size", "extend_scope", "morph", "if_offset", "norm", "kernel", "boundary")
        return f"{self.in_channels}, {self.out_channels}, {options}, bias={self.conv.bias is not None}"

    def finish(self, y: Float[Tensor, "B D *T"]) -> Float[Tensor, "B D *T"]:
        """Add the bias to images (B, D, *T)."""
        return biased(y, self.conv.bias)


class SnakeConv2d(_SnakeConv):
    """Snake convolution of images (B, C, H, W): a line of taps that sways across itself, predicted at every pixel."""

    dim = 2


class SnakeConv3d(_SnakeConv):
    """Snake convolution of volumes (B, C, Z, H, W), whose line of taps sways along both axes across it."""

    dim = 3


operator = OperatorEntry(
    formula=r"y_o[n] = b_o + \sum_c \sum_k F_{o c k}\, x_c(n + k e + \varepsilon_k[n]), \qquad "
    r"\varepsilon_{\pm j} = \varepsilon_{\pm (j - 1)} + s \tanh \eta_{\pm j}, \quad \varepsilon_0 = 0",
    where={
        r"F": "the filters",
        r"k": "the tap, counted from the centre of the line",
        r"e": "the unit vector along the line",
        r"\varepsilon_k[n]": "the offset of the tap across the line, in pixels",
        r"\eta": "the normalised outcome of a 3×3 convolution of x",
        r"s": "the longest step, extend_scope",
    },
    source="Y. Qi et al., arXiv 2307.08388; YaoleiQi/DSCNet",
    conventions=(
        "The line lies along the last axis for morph = 0, and along the one before for morph = 1.",
        "Steps count outwards from the centre, and are in the order of the taps, which the centre is not among.",
        "Outside of the image there are zeros; DSConv_pro moves positions to the border, which boundary='border' does.",
    ),
    initialisation="All convolutions as torch's. The norm makes the steps tanh of a standard normal law: their "
    "deviation is 0.628, and that of the offset of tap j is 0.628·√j. With steps of zero it is the plain convolution.",
    examples={
        "2d": OperatorExample(lambda: SnakeConv2d(4, 6, 5), lambda x, _: (x,), (2, 4, 4, 5)),
        "3d": OperatorExample(
            lambda: SnakeConv3d(4, 2, 3, morph=1, norm="batch", boundary="border"), lambda x, _: (x,), (2, 4, 3, 3, 2)
        ),
    },
    defects=(
        Defect(
            "The sums of DSConv end one tap too early: the outermost taps keep a copy of their step that no gradient "
            "reaches. With 3 taps nothing is learned, with 9 taps 6 of 18 channels of the head are; the outermost "
            "step is up to 4 pixels long.",
            "All steps are learned, none is longer than extend_scope, and the head has no channel without use.",
            "test_end_taps_are_learned",
        ),
        Defect(
            "Every image of a batch is sampled from the first image: DSConv takes the place of the image out of the "
            "index again.",
            "Every image is sampled itself.",
            "test_every_image_is_sampled_itself",
        ),
        Defect(
            "Beyond the first pixel DSConv reads zeros at once, beyond the last one a whole pixel of its value: what "
            "it reads jumps by all of it.",
            "What is read goes to zero within a pixel on every side, or is that of the border.",
            "test_reading_has_no_jumps",
        ),
        Defect(
            "DSConv_pro ignores if_offset, and divides by zero on an image of one row or column.",
            "if_offset=False is the plain convolution, and images of one row are read.",
            "test_pro_version_without_offsets_and_on_one_row",
        ),
        Defect(
            "The 3-D version for z leaves the centre tap displaced along y by a step that no gradient reaches.",
            "The centre tap stays at its pixel.",
            "test_centre_stays_in_three_dimensions",
        ),
    ),
)
