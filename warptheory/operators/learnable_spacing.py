"""Learnable spacings: a convolution with a large kernel of few weights, whose positions in it are learned."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_flag, check_integer
from warptheory.operators._arguments import told
from warptheory.operators._constructed_convolution import ConstructedConvolution
from warptheory.operators._constructed_kernel import check_version, construct_kernel
from warptheory.operators._convolution import Geometry, PerAxis
from warptheory.operators._dcls import counterpart
from warptheory.operators._entry import Defect, OperatorEntry, OperatorExample
from warptheory.operators._spacing_versions import VERSIONS

__all__ = ["LearnableSpacingConv1d", "LearnableSpacingConv2d", "LearnableSpacingConv3d", "construct_kernel"]


class _LearnableSpacingConv(ConstructedConvolution):
    """A convolution with K weights at learned positions inside a dense kernel.

    Positions are to be kept inside by `clamp_parameters` after each step; one outside is read at the edge. They move
    little in the units of weights: dcls trains them at 5 times the learning rate, and without decay.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        kernel_count: number K of weights of each pair of channels.
        stride: pixels between output pixels, along all axes or each.
        padding: pixels before the first one and after the last.
        dilated_kernel_size: taps of the dense kernel, along all axes or each.
        groups: number of groups of channels that are mixed among themselves.
        bias: whether a bias is added.
        padding_mode: what is padded: "zeros", "reflect", "replicate" or "circular".
        version: how a weight is spread over the taps, s being |SIG| plus a least width: "v0" or "v1" linearly;
            "max" a triangle, s ≥ 1; "gauss", "lorentz", s ≥ 0.27; "hyper-gauss", exp(−|u/s|^b/2), b ≥ 1; "sinc",
            band-limited to 1/2s under Lanczos' window, s ≥ 1; "correlated-gauss", its covariance by Cholesky factors,
            and "rotated-gauss", by widths and angles, with two axes or three.
        use_implicit_gemm: which of two convolutions Dcls2d is to use; does nothing here, where there is one.
        dilation: pixels between the taps of the dense kernel.

    Raises:
        ArgumentError: a number that makes no sense, groups that do not divide both numbers of channels, or a version
            that needs more axes.
        UnknownNameError: no such version or padding mode.

    Source: dcls.construct.modules, by arguments, parameters and initialisation; I. Khalfaoui-Hassani et al., arXiv
        2112.03740 and 2306.00817.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_count: int,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        dilated_kernel_size: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        version: str = "gauss",
        use_implicit_gemm: bool = True,
        *,
        dilation: PerAxis = 1,
    ) -> None:
        geometry = Geometry.of(dilated_kernel_size, stride, padding, dilation, self.dim)
        super().__init__(in_channels, out_channels, geometry, groups, bias, padding_mode)
        self.kernel_count = check_integer("kernel_count", kernel_count)
        check_version(version, self.dim)
        self.version = version
        self.use_implicit_gemm = check_flag("use_implicit_gemm", use_implicit_gemm)
        shape = (out_channels, in_channels // groups, kernel_count)
        self.add_parameters(*shape)
        self.P = nn.Parameter(torch.empty(self.dim, *shape))
        rows = len(VERSIONS[version].start(self.dim))
        self.SIG: nn.Parameter | None
        self.register_parameter("SIG", nn.Parameter(torch.empty(rows, *shape)) if rows else None)
        self.reset_parameters()

    dilated_kernel_size = property(lambda self: self.geometry.kernel_size)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and bias as torch's convolutions do, and positions by N(0, ½²); widths get their start."""
        super().reset_parameters()
        for row in self.P:
            row.normal_(0, 0.5)
        self.clamp_parameters()
        for row, value in enumerate(VERSIONS[self.version].start(self.dim)):
            nn.init.constant_(self.SIG[row], value)  # type: ignore[index]  # it is there where a version has rows

    @torch.no_grad()
    def clamp_parameters(self) -> None:
        """Move positions outside of the kernel to its edge."""
        for row, n in zip(self.P, reversed(self.geometry.kernel_size), strict=True):
            row.clamp_(-(n // 2), n - 1 - n // 2)

    def dense_kernel(self) -> Float[Tensor, "D I *N"]:
        """Return the kernel (D, C/groups, *N); each weight is the sum of its part."""
        return construct_kernel(self.weight, self.P, self.SIG, self.geometry.kernel_size, self.version)

    def extra_repr(self) -> str:
        """Return the arguments."""
        names = ("kernel_count", "stride", "padding", "dilated_kernel_size", "groups", "padding_mode", "version")
        options = told(self, *names, "dilation")
        return f"{self.in_channels}, {self.out_channels}, {options}, bias={self.bias is not None}"


class LearnableSpacingConv1d(_LearnableSpacingConv):
    """Convolution of signals (B, C, N) with learned positions of its weights: Dcls1d, by arguments and parameters."""

    dim = 1


class LearnableSpacingConv2d(_LearnableSpacingConv):
    """Convolution of images (B, C, H, W) with learned positions of its weights: Dcls2d, by arguments and parameters."""

    dim = 2


class LearnableSpacingConv3d(_LearnableSpacingConv):
    """Convolution of volumes with learned positions of its weights: Dcls3d, by arguments and parameters."""

    dim = 3


_LAYERS: tuple[type[_LearnableSpacingConv], ...] = (
    LearnableSpacingConv1d,
    LearnableSpacingConv2d,
    LearnableSpacingConv3d,
)


def _example(dim: int, count: int, geometry: tuple[Any, Any, Any], options: tuple[Any, ...]) -> OperatorExample:
    @torch.no_grad()
    def build() -> _LearnableSpacingConv:
        made = _LAYERS[dim - 1](2, 4, count, *geometry, *options)
        # Within the kernel, and off the start of widths, there are no kinks.
        for row, n in zip(made.P, reversed(made.dilated_kernel_size), strict=True):
            row.uniform_(0.1, n - 1.1).sub_(n // 2)
        if made.SIG is not None:
            made.SIG.add_(0.2)
        return made

    return OperatorExample(build, lambda x, _: (x,), (2, 2, *(5, 4, 3)[:dim]))


def _defect(original: str, here: str, test: str) -> Defect:
    return Defect(original, here, f"test_{test}")


operator = OperatorEntry(
    formula=r"y_o[n] = b_o + \sum_c \sum_i K_{o c}[i]\, x_c[s n - q + i], \qquad "
    r"K_{o c}[i] = \sum_k w_{o c k} \frac{g(i - p_{o c k})}{\sum_j g(j - p_{o c k})}",
    where={
        r"w_{o c k}": "the weights",
        r"p_{o c k}": "their positions in the dense kernel, in taps",
        r"g": "how a weight is spread over the taps, by the version",
        r"s": "the stride",
        r"q": "the padding",
    },
    source="I. Khalfaoui-Hassani et al., arXiv 2112.03740 and 2306.00817; dcls 0.1.1",
    conventions=(
        "Row r of P is axis d − 1 − r: row 0 moves along the last axis, in every version.",
        "Positions count from tap ⌊size/2⌋ of their own axis; beyond the outermost taps they are read at the edge.",
        "At a whole position the derivative of linear versions is the right-hand one, at the last tap the left-hand.",
        "The least width is 1 for the triangle and the sinc, 0.27 for others; SIG is added by its magnitude.",
    ),
    initialisation="Weights as torch's convolutions; positions N(0, ½²) from the central tap; widths ½ of a tap for "
    "the Gaussians and Lorentz, 1 for triangle and sinc. The other numbers start at the plain Gaussian.",
    examples={
        "1d": _example(1, 2, (1, 2, 4), (2, True, "replicate", "max")),
        "2d": _example(2, 2, ((2, 1), (2, 1), (4, 3)), (1, True, "reflect", "gauss")),
        "3d": _example(3, 1, (1, 1, (2, 2, 3)), (2, False, "zeros", "v1")),
    },
    defects=(
        _defect(
            "Version v0 reads row 0 of P as the first axis, the others as the last: the same P gives the transposed "
            "kernel. In 3-d v0 reads the rows as axes 0, 2, 1.",
            "All versions read row 0 as the last axis.",
            "v0_is_transposed_in_the_original",
        ),
        _defect(
            "A position counts from the centre of another axis: at P = 0 a kernel of (7, 3) taps is all zero.",
            "It counts from the centre of the axis along which it moves.",
            "kernels_of_unequal_sizes_are_empty_in_the_original",
        ),
        _defect(
            "With an even size a position at the upper limit lies outside: the kernel sums to 0.",
            "The limit is the last tap, and each part sums to its weight.",
            "even_sizes_lose_the_weight_at_the_limit_in_the_original",
        ),
        _defect(
            "The gradient of SIG is 0 where version max starts, so that its width is never trained.",
            "The derivative of |SIG| at 0 is that from the right.",
            "widths_of_the_triangle_never_train_in_the_original",
        ),
        _defect(
            "In versions v1 and max a position that was clamped to the edge has gradient 0, and stays there.",
            "It has the derivative from inside.",
            "positions_stick_to_the_edge_in_the_original",
        ),
    ),
    counterparts=tuple(counterpart(kind) for kind in _LAYERS),
)
