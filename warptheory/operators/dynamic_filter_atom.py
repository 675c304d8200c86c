"""Convolution with dynamic filter atoms (ACDA): filters are composed anew at every pixel, of atoms and coefficients."""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, check_same_dtype, check_tensor, check_tensors, odd, told
from warptheory.operators._convolution import Geometry, PerAxis, biased
from warptheory.operators._counterparts import loaded
from warptheory.operators._entry import Counterpart, Defect, OperatorEntry, OperatorExample
from warptheory.operators._fourier_bessel import fourier_bessel_bases
from warptheory.operators._operator import SamplingOperator
from warptheory.patterns import SamplingPattern
from warptheory.warping.arguments import check_values

__all__ = ["DynamicFilterAtomConv2d", "dynamic_filter_atom_conv2d"]

_QUADRATURE_POINTS = 200


def dynamic_filter_atom_conv2d(
    input: Float[Tensor, "B C H W"],  # noqa: A002
    atoms: Float[Tensor, "B M K L h w"],
    coefficients: Float[Tensor, "D I 1 1"],
    bias: Float[Tensor, "D"] | None = None,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Float[Tensor, "B D h w"]:
    """Convolve with filters of each pixel's own: y_o[n] = b_o + Σ_c Σ_m F[o, c, m] Σ_k a_mk[n] x_c(s·n + p_k).

    Args:
        input: images, shape (B, C, H, W).
        atoms: a, M atoms of K_y × K_x taps at every output pixel, shared by all channels, (B, M, K_y, K_x, h, w).
        coefficients: F, how much of each atom is in the filter from a channel to another, shape (D, C/groups·M, 1, 1),
            the atoms of a channel side by side.
        bias: b, shape (D,).
        stride: s, for all axes or each.
        padding: of p, for all axes or each.
        dilation: of p, for all axes or each.
        groups: number of groups of channels that are mixed among themselves.

    Returns:
        The outcome (B, D, h, w), dtype of the input.

    Raises:
        ArgumentError: shapes that do not fit, by name of the argument.

    Source: Z. Wang et al., arXiv 2108.07895.
    """
    check_tensors(bias=bias)
    geometry = _checked(input, atoms, coefficients, groups, (stride, padding, dilation))
    return biased(_composed(input, atoms, coefficients, geometry, groups), bias)


def _checked(x: Tensor, atoms: Tensor, coefficients: Tensor, groups: int, options: tuple[Any, Any, Any]) -> Geometry:
    """Return the geometry of a call whose shapes fit; its options are stride, padding and dilation."""
    if check_values("input", x) != 2 or x.shape[1] % check_integer("groups", groups):
        expected = f"shape (B, C, H, W) with C a multiple of {groups} groups"
        raise ArgumentError("input", expected=expected, received=tuple(x.shape))
    check_tensor("atoms", atoms, 6, "(B, M, K_y, K_x, h, w)")
    check_same_dtype("atoms", atoms, "input has", x)
    shape = tuple(atoms.shape)
    geometry = Geometry.of(shape[2:4], *options, 2)
    grid = geometry.grid(tuple(x.shape[2:]))
    if shape[0] != len(x) or shape[4:] != grid:
        raise ArgumentError("atoms", expected=f"shape ({len(x)}, M, K_y, K_x, {grid[0]}, {grid[1]})", received=shape)
    check_tensor("coefficients", coefficients)
    check_same_dtype("coefficients", coefficients, "input has", x)
    inputs = x.shape[1] // groups * shape[1]
    if tuple(coefficients.shape[1:]) != (inputs, 1, 1) or len(coefficients) % groups:
        expected = f"shape (D, {inputs}, 1, 1) with D a multiple of {groups} groups"
        raise ArgumentError("coefficients", expected=expected, received=tuple(coefficients.shape))
    return geometry


def _composed(x: Tensor, atoms: Tensor, coefficients: Tensor, geometry: Geometry, groups: int) -> Tensor:
    """Return the outcome without bias: at each pixel a product of its samples (C, K) with its atoms (K, M)."""
    vertical, horizontal = geometry.padding
    windows = functional.pad(x, (horizontal, horizontal, vertical, vertical)).movedim(1, -1)
    along = zip(geometry.kernel_size, geometry.stride, geometry.dilation, strict=True)
    for axis, (taps, stride, dilation) in enumerate(along, start=1):
        windows = windows.unfold(axis, dilation * (taps - 1) + 1, stride)[..., ::dilation]
    found = windows.flatten(4) @ atoms.flatten(2, 3).permute(0, 3, 4, 2, 1)
    return functional.conv2d(found.flatten(3).movedim(-1, 1), coefficients, groups=groups)


@cache
def _tanh_energy() -> float:
    """Return E tanh² of a standard normal number, the variance of what `bases_net` returns at initialisation."""
    places, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE_POINTS)
    return float(weights @ np.tanh(places) ** 2 / weights.sum())


class DynamicFilterAtomConv2d(SamplingOperator):
    """A convolution whose filters are composed at every pixel of atoms, which are predicted there.

    The atoms are combinations of fixed Fourier-Bessel `bases`, by numbers that `bases_net` predicts: convolution, norm
    and tanh, twice. A 1×1 convolution by `coef` mixes what the atoms filter.

    Args:
        in_channels: number C of channels of the input.
        out_channels: number D of channels of the outcome.
        kernel_size: odd number of taps along both axes, 3 or more.
        inter_kernel_size: odd size of the filters that predict.
        stride: pixels between output pixels, along both axes.
        padding: zeros around the image.
        num_bases: number M of atoms, and of bases of each of the grids 3, 5, …, kernel_size; 6 at most.
        bias: whether a bias is added.
        bases_grad: whether the bases are learned.
        dilation: pixels between taps.
        groups: number of groups of channels that are mixed among themselves.
        initial_gain: the variance of the outcome on white images of variance 1, in a new layer and away from borders;
            None: coefficients of variance 2/D, as in the original, which makes it 28 or more where C = D.

    Raises:
        ArgumentError: a number that makes no sense.

    Source: Z. Wang et al., arXiv 2108.07895; ZeWang95/ACDA, class Conv_DCFD, whose arguments `mode` and `bases_drop` do
        nothing. The gain: theory label J3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        inter_kernel_size: int = 3,
        stride: int = 1,
        padding: int = 0,
        num_bases: int = 6,
        bias: bool = True,
        bases_grad: bool = False,
        dilation: int = 1,
        groups: int = 1,
        *,
        initial_gain: float | None = 1.0,
    ) -> None:
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels)
        self.out_channels = check_integer("out_channels", out_channels)
        self.kernel_size = odd("kernel_size", kernel_size, least=3)
        self.inter_kernel_size = odd("inter_kernel_size", inter_kernel_size)
        self.stride = check_integer("stride", stride)
        self.padding = check_integer("padding", padding, least=0)
        self.num_bases = check_integer("num_bases", num_bases)
        self.bases_grad = check_flag("bases_grad", bases_grad)
        self.dilation = check_integer("dilation", dilation)
        self.groups = check_integer("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ArgumentError("groups", expected=f"a divisor of {in_channels} and {out_channels}", received=groups)
        self.initial_gain = None if initial_gain is None else check_number("initial_gain", initial_gain, above=0)
        bases = torch.from_numpy(fourier_bessel_bases(kernel_size, num_bases)).flatten(1).to(torch.get_default_dtype())
        if bases_grad:
            self.bases = nn.Parameter(bases)
        else:
            self.register_buffer("bases", bases)
        predicted = num_bases * len(bases)
        hidden = max(64, predicted // 2)
        self.bases_net = nn.Sequential(
            nn.Conv2d(in_channels, hidden, inter_kernel_size, stride=stride),
            nn.BatchNorm2d(hidden),
            nn.Tanh(),
            nn.Conv2d(hidden, predicted, inter_kernel_size, padding=inter_kernel_size // 2),
            nn.BatchNorm2d(predicted),
            nn.Tanh(),
        )
        self.coef = nn.Parameter(torch.empty(out_channels, in_channels // groups * num_bases, 1, 1))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels)) if check_flag("bias", bias) else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the coefficients anew, as `initial_gain` says, and set the bias to zero."""
        variance = 2 / self.out_channels
        if self.initial_gain is not None:
            # White images: each of C/groups·M inputs of a filter has the energy of an atom.
            energy = _tanh_energy() * float(self.bases.detach().square().sum())
            variance = self.initial_gain / (self.coef.shape[1] * energy)
        nn.init.normal_(self.coef, std=math.sqrt(variance))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """Return the arguments."""
        names = ("inter_kernel_size", "stride", "padding", "num_bases", "bases_grad", "dilation", "groups")
        options = told(self, *names, "initial_gain")
        return f"{self.in_channels}, {self.out_channels}, {self.kernel_size}, {options}, bias={self.bias is not None}"

    def atoms(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B M K K h w"]:  # noqa: A002
        """Return the atoms at images (B, C, H, W): shape (B, M, K, K, h, w)."""
        # So padded, or cropped, that every outcome of bases_net lies in the middle of an output pixel's taps.
        margin = self.padding - self.dilation * (self.kernel_size // 2) + self.inter_kernel_size // 2
        numbers = torch.unflatten(self.bases_net(functional.pad(input, (margin,) * 4)), 1, (self.num_bases, -1))
        atoms = torch.einsum("bmfhw,fk->bmkhw", numbers, self.bases)
        return torch.unflatten(atoms, 2, (self.kernel_size, self.kernel_size))

    def _inputs(self, x: Tensor) -> tuple[Tensor, Geometry]:
        """Return the atoms and the geometry at checked images (B, C, H, W)."""
        check_images("input", x, self.in_channels, 2, self.coef)
        geometry = Geometry.of(self.kernel_size, self.stride, self.padding, self.dilation, 2)
        geometry.grid(tuple(x.shape[2:]))
        return self.atoms(x), geometry

    def pattern(self, input: Float[Tensor, "B C H W"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at images (B, C, H, W): every atom has the taps of the convolution, which rest."""
        atoms, geometry = self._inputs(input)
        taps, lattice = self.num_bases * geometry.taps, geometry.lattice(self.num_bases)
        offsets = input.new_zeros(()).expand(len(input), taps, 2, *atoms.shape[4:])
        by_atom = torch.unflatten(self.coef.flatten(1), 1, (-1, self.num_bases))
        filters = by_atom.unsqueeze(3).expand(-1, -1, -1, geometry.taps).flatten(2)
        size, weights = tuple(input.shape[2:]), atoms.flatten(1, 3)
        return SamplingPattern(size, self.in_channels, offsets, lattice, taps, weights, filters)

    def finish(self, y: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        """Add the bias to images (B, D, h, w)."""
        return biased(y, self.bias)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:  # noqa: A002
        """Return the outcome (B, D, h, w) at images (B, C, H, W)."""
        atoms, geometry = self._inputs(input)
        return self.finish(_composed(input, atoms, self.coef, geometry, self.groups))


def _to_ours(layer: Any) -> nn.Module:
    options = (layer.stride, layer.padding, layer.num_bases, layer.bias is not None)
    made = DynamicFilterAtomConv2d(layer.in_channels, layer.out_channels, layer.kernel_size, 3, *options)
    return loaded(made, layer.state_dict())


def _to_original(layer: Any, original: Any) -> nn.Module:
    received = (layer.inter_kernel_size, layer.dilation, layer.groups)
    if received != (3, 1, 1):
        expected = "inter_kernel_size, dilation and groups 3, 1, 1, as Conv_DCFD computes"
        raise ArgumentError("model", expected=expected, received=received)
    options = (layer.stride, layer.padding, layer.num_bases, layer.bias is not None)
    made: nn.Module = original(layer.in_channels, layer.out_channels, layer.kernel_size, 3, *options)
    return loaded(made, layer.state_dict())


operator = OperatorEntry(
    formula=r"y_o[n] = b_o + \sum_c \sum_m F_{o c m} \sum_k a_{m k}[n]\, x_c(s n + p_k), \qquad "
    r"a_{m k}[n] = \sum_f \eta_{m f}[n]\, \psi_f(p_k)",
    where={
        r"F": "the coefficients",
        r"a_{m k}[n]": "tap k of atom m at output pixel n, shared by all channels",
        r"s": "the stride",
        r"p_k": "the place of tap k, dilation and padding included",
        r"\eta": "what two convolutions, each with a norm and a tanh, predict from x",
        r"\psi_f": "Fourier-Bessel functions on the grids 3, 5, … up to the kernel's size",
    },
    source="Z. Wang et al., arXiv 2108.07895; ZeWang95/ACDA",
    conventions=(
        "The numbers η are channels, those of an atom side by side; so are the coefficients of a channel.",
        "Outside of the image there are zeros, for the samples and for what predicts.",
    ),
    initialisation="What predicts starts as torch's convolutions, so that η is tanh of a number that is nearly "
    "standard normal. Coefficients are normal, of a variance that keeps that of white images; bias 0.",
    examples={
        "2d": OperatorExample(
            lambda: DynamicFilterAtomConv2d(4, 6, 3, stride=2, padding=1, num_bases=2, groups=2),
            lambda x, _: (x,),
            (2, 4, 5, 4),
        )
    },
    defects=(
        Defect(
            "A new layer multiplies the variance of white images by 28.4 (3 × 3 taps) or 56.7 (5 × 5) where C = D: "
            "2·6·E tanh²·6 for each size of bases. Borders lower it by a few percent, at which taps read zeros.",
            "The gain is initial_gain, 1 by default.",
            "test_gain_of_a_new_layer",
        ),
        Defect(
            "With stride 2, images of odd size raise an error, as does any padding but kernel_size // 2.",
            "All sizes and paddings work; what predicts a pixel's atoms looks at the middle of its taps.",
            "test_odd_sizes_and_any_padding",
        ),
        Defect(
            "inter_kernel_size, bases_grad, mode, dilation, groups and bases_drop change nothing.",
            "The arguments that there are do what they say; mode and bases_drop are not among them.",
            "test_no_argument_is_without_effect",
        ),
    ),
    counterparts=(Counterpart("Conv_DCFD.Conv_DCFD", DynamicFilterAtomConv2d, _to_ours, _to_original),),
)
