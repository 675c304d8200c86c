"""Anti-aliased warping: where the sampling map compresses, what is read is low-passed along it first."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import odd, told
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import Lattice, SamplingPattern
from warptheory.warping.arguments import check_offsets, check_pair, check_values

__all__ = ["AntiAliasedWarp1d", "AntiAliasedWarp2d", "AntiAliasedWarp3d", "anti_aliased_warp"]


def anti_aliased_warp(
    x: Float[Tensor, "B C *S"],
    offsets: Float[Tensor, "B *GdT"],
    kernel: Any = "linear",
    boundary: str = "border",
    *,
    taps: int = 5,
) -> Float[Tensor, "B C *T"]:
    """Warp images, low-passed where the map t ↦ t + ε(t) compresses: y[n] = Σ_k b_k x(n + ε[n] + Σ_j k_j δ_j[n]).

    A step along axis j of the outcome is one of cⱼ = (I + ∇ε)ⱼ in the input, by central differences. Where it is longer
    than a pixel, an odd number of taps lie along it, with binomial weights b, at a distance δⱼ for which their standard
    deviation is the least of (|cⱼ| − 1)/√2 and √((|cⱼ|² − 1)/6). The second is what a triangle needs to become one |cⱼ|
    times as wide; the first is below it at |cⱼ| < 2, and starts at 1 without a jump of its slope to infinity.
    Where no step is longer than a pixel, it is the plain warp, exactly.

    Args:
        x: images, shape (B, C, *S).
        offsets: ε in pixels, shape (B, d, *T), or (B, G, d, *T) for G groups of channels.
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.
        taps: K, odd, along each axis; a map that compresses c-fold wants about 1 + 2c²/3 of them. 1 for a plain warp.

    Returns:
        The warped images (B, C, *T), dtype of x.

    Raises:
        ArgumentError: shapes that do not fit, an even number of taps, or a kernel that does not go with the boundary.
        UnknownNameError: no such kernel or boundary.

    Source: theory I2; P. S. Heckbert, Fundamentals of texture mapping and image warping, 1989 (footprints of a map).
    """
    kernel, boundary = checked_reading(kernel, boundary)
    return _pattern(x, offsets, kernel, boundary, odd("taps", taps)).apply(x)


def _pattern(x: Tensor, offsets: Tensor, kernel: Any, boundary: str, taps: int) -> SamplingPattern:
    dim = check_values("x", x)
    fields = check_offsets(offsets, dim)
    check_pair("x", x, fields, fields.shape)
    displacements, weights = _footprint(fields, taps)
    return SamplingPattern(
        tuple(x.shape[2:]),
        x.shape[1],
        (fields.unsqueeze(2) + displacements).flatten(1, 2),
        Lattice.unit(dim),
        taps**dim,
        weights.flatten(1, 2),
        kernel=kernel,
        boundary=boundary,
    )


def _footprint(
    offsets: Float[Tensor, "B G d *T"], taps: int
) -> tuple[Float[Tensor, "B G K d *T"], Float[Tensor, "B G K *T"]]:
    """Return displacements and weights of the taps around each position, K = tapsᵈ in C order."""
    dim, half = offsets.shape[2], taps // 2
    steps = [_step(offsets, axis) for axis in range(dim)]
    squares = [step.square().sum(2, keepdim=True) for step in steps]
    # The deviation of binomial weights a distance δ apart is δ√(K − 1)/2.
    unit = 2 / math.sqrt(max(taps - 1, 1))
    apart = [unit * step * _relative_deviation(square) for step, square in zip(steps, squares, strict=True)]
    compressed = [square.squeeze(2) > 1 for square in squares]
    displacements, weights = [], []
    for tap in itertools.product(range(-half, half + 1), repeat=dim):
        displacements.append(sum((k * delta for k, delta in zip(tap, apart, strict=True)), torch.zeros_like(offsets)))
        weight = torch.ones_like(offsets[:, :, 0])
        for k, where in zip(tap, compressed, strict=True):
            share = math.comb(taps - 1, k + half) / 2 ** (taps - 1)
            weight = weight * torch.where(where, share, float(k == 0))
        weights.append(weight)
    return torch.stack(displacements, 2), torch.stack(weights, 2)


def _relative_deviation(square: Tensor) -> Tensor:
    """Return the standard deviation of a footprint over the length of its step, given that length squared."""
    length = square.clamp(min=1).sqrt()
    short = (length - 1) / math.sqrt(2)
    # Below two pixels the other one is not looked at, nor is its slope, which is infinite at one pixel.
    long = ((square.clamp(min=4) - 1) / 6).sqrt()
    return torch.where(length < 2, short, long) / length


def _step(offsets: Float[Tensor, "B G d *T"], axis: int) -> Float[Tensor, "B G d *T"]:
    """Return where a step along an axis of the outcome leads in the input: a column of I + ∇ε, (B, G, d, *T)."""
    along = 3 + axis
    slope = torch.zeros_like(offsets)
    if offsets.shape[along] > 1:
        rise = offsets.diff(dim=along)
        first, last = rise.narrow(along, 0, 1), rise.narrow(along, rise.shape[along] - 1, 1)
        slope = (torch.cat([first, rise], along) + torch.cat([rise, last], along)) / 2
    unit = torch.zeros(offsets.shape[2], dtype=offsets.dtype, device=offsets.device)
    unit[axis] = 1
    return slope + unit.reshape(-1, *[1] * (offsets.ndim - 3))


class AntiAliasedWarp(SamplingOperator):
    """A warp by given offsets that is low-passed where its map compresses; see `anti_aliased_warp`.

    Args:
        kernel: how to read between pixels, a name or a `Kernel`.
        boundary: what lies outside of the image, the name of a boundary rule.
        taps: K, odd, along each axis of the outcome.

    Raises:
        ArgumentError: an even number of taps, or a kernel that does not go with the boundary.
        UnknownNameError: no such kernel or boundary.

    Source: theory I2.
    """

    dim: ClassVar[int]

    def __init__(self, kernel: Any = "linear", boundary: str = "border", taps: int = 5) -> None:
        super().__init__()
        self.kernel, self.boundary = checked_reading(kernel, boundary)
        self.taps = odd("taps", taps)

    def pattern(self, x: Float[Tensor, "B C *S"], offsets: Float[Tensor, "B *GdT"]) -> SamplingPattern:
        """Return the pattern at an input (B, C, *S) and offsets (B, d, *T) or (B, G, d, *T): Kᵈ taps with weights."""
        if check_values("x", x) != self.dim:
            raise ArgumentError("x", expected=f"shape (B, C, *S) with {self.dim} axes S", received=tuple(x.shape))
        return _pattern(x, offsets, self.kernel, self.boundary, self.taps)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return told(self, "kernel", "boundary", "taps")


class AntiAliasedWarp1d(AntiAliasedWarp):
    """Anti-aliased warp of signals (B, C, N); arguments as in `AntiAliasedWarp`."""

    dim = 1


class AntiAliasedWarp2d(AntiAliasedWarp):
    """Anti-aliased warp of images (B, C, H, W); arguments as in `AntiAliasedWarp`."""

    dim = 2


class AntiAliasedWarp3d(AntiAliasedWarp):
    """Anti-aliased warp of volumes (B, C, Z, H, W); arguments as in `AntiAliasedWarp`."""

    dim = 3


def _example(build: Any, dim: int, shape: Sequence[int]) -> OperatorExample:
    def inputs(x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        return x, 1.5 * torch.randn(len(x), dim, *x.shape[2:], generator=generator, dtype=x.dtype)

    return OperatorExample(build, inputs, tuple(shape))


operator = OperatorEntry(
    formula=r"y[n] = \sum_k b_k\, x\Big(n + \varepsilon[n] + \sum_j k_j \delta_j[n]\Big), \qquad "
    r"\delta_j = \frac{2 s(|c_j|)}{\sqrt{K - 1}} \frac{c_j}{|c_j|}, \qquad "
    r"s(c) = \min\Big(\frac{c - 1}{\sqrt 2}, \sqrt{\frac{c^2 - 1}{6}}\Big)",
    where={
        r"\varepsilon": "the offsets, in pixels",
        r"c_j": "the step in the input for one along axis j of the outcome: a column of the Jacobian",
        r"b": "binomial weights of K taps along each axis",
        r"s": "the standard deviation of the taps, in pixels; 0 where the step is no longer than a pixel",
    },
    source="Theory I2; P. S. Heckbert, Fundamentals of texture mapping and image warping, 1989",
    conventions=(
        "Slopes are central differences of the offsets, one-sided at the border.",
        "A map that stretches or rotates is left as it is.",
        "Uniform compression by 2 with three taps is BlurPool of three taps.",
    ),
    initialisation="Nothing is learned; zero offsets are the identity.",
    examples={
        "1d": _example(lambda: AntiAliasedWarp1d(), 1, (2, 2, 7)),
        "2d": _example(lambda: AntiAliasedWarp2d(boundary="zeros", taps=3), 2, (2, 2, 5, 4)),
    },
)
