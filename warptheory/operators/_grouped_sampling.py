"""What DCNv3 and DCNv4 share: taps in groups of channels that are weighed and added, without filters, channels last.

Their offsets name the last axis first, x before y, and so do their taps: those of the first column come first.
"""

import inspect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.checks import check_flag, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_pixels, check_tensor, odd, told
from warptheory.operators._convolution import Geometry
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import Lattice, SamplingPattern

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class GroupedTaps:
    """Where the taps of every group lie: p_k = c·(half of the kernel's reach) + offset_scale·(place of k from there).

    Attributes:
        geometry: kernel size, stride, padding and dilation, first axis first.
        group: number G of groups.
        offset_scale: factor on offsets, and on the distances of the taps from the middle.
        remove_center: whether the middle tap is left out.

    Raises:
        ArgumentError: a middle that is to be left out of a kernel that has none.
    """

    geometry: Geometry
    group: int
    offset_scale: float
    remove_center: bool

    def __post_init__(self) -> None:
        if self.remove_center and (len({*self.geometry.kernel_size}) > 1 or self.geometry.kernel_size[0] % 2 == 0):
            expected = f"False for a kernel of size {self.geometry.kernel_size}, which is not square and odd"
            raise ArgumentError("remove_center", expected=expected, received=True)
        if self.taps == 0:
            raise ArgumentError("remove_center", expected="False for a kernel of one tap", received=True)

    @classmethod
    def of(
        cls,
        pairs: tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]],
        rows: Float[Tensor, "B H W C"],
        group: int,
        group_channels: int,
        offset_scale: float,
        remove_center: bool,
    ) -> "GroupedTaps":
        """Return the taps for images (B, H, W, C); pairs are kernel size, stride, padding and dilation.

        Raises:
            ArgumentError: a number that makes no sense, by name of the argument.
        """
        check_pixels("input", rows, None, 2)
        channels = rows.shape[-1]
        if check_integer("group", group) * check_integer("group_channels", group_channels) != channels:
            expected = f"{channels} channels / {group} groups"
            raise ArgumentError("group_channels", expected=expected, received=group_channels)
        scale = check_number("offset_scale", offset_scale)
        return cls(Geometry.of(*pairs, 2), group, scale, bool(remove_center))

    @property
    def taps(self) -> int:
        """Number P of taps of a group."""
        return self.geometry.taps - self.remove_center

    def lattice(self) -> Lattice:
        """Return where the taps of all groups lie without offsets."""
        return Lattice(tuple(map(float, self.geometry.stride)), tuple(self._origins()) * self.group)

    def _origins(self) -> list[tuple[float, ...]]:
        """Return the place of each tap at output pixel 0, first axis first."""
        shape, steps = self.geometry.kernel_size, self.geometry.dilation
        halves = [step * (n - 1) // 2 for n, step in zip(shape, steps, strict=True)]
        places = []
        for tap in itertools.product(*map(range, reversed(shape))):
            if self.remove_center and all(2 * t == n - 1 for t, n in zip(reversed(tap), shape, strict=True)):
                continue
            axes = zip(reversed(tap), steps, halves, self.geometry.padding, strict=True)
            places.append(tuple(half - pad + self.offset_scale * (step * t - half) for t, step, half, pad in axes))
        return places

    def pattern(
        self,
        size: tuple[int, ...],
        channels: int,
        offset: Float[Tensor, "B *TGPd"],
        mask: Float[Tensor, "B *TGP"],
        kernel: Any,
        boundary: str,
    ) -> SamplingPattern:
        """Return the pattern at offsets (B, *T, G, P, d), x before y, and masks (B, *T, G, P)."""
        fields = offset.flip(-1).flatten(-3, -2).movedim((-2, -1), (1, 2))
        weights = mask.flatten(-2).movedim(-1, 1)
        offsets = self.offset_scale * fields if self.offset_scale != 1 else fields
        return SamplingPattern(
            size, channels, offsets, self.lattice(), self.taps, weights, kernel=kernel, boundary=boundary
        )


def with_pixel(pattern: SamplingPattern, share: Float[Tensor, "B *TG"]) -> SamplingPattern:
    """Return (1 − s) times a pattern without filters, plus s times the pixel itself, which becomes one more tap.

    Args:
        pattern: that of `GroupedTaps`.
        share: s for each output pixel and group, shape (B, *T, G).
    """
    groups, dim = pattern.offset_groups, len(pattern.size)
    share = share.movedim(-1, 1).unsqueeze(2)
    offsets = functional.pad(torch.unflatten(pattern.offsets, 1, (groups, -1)), (0, 0) * (dim + 1) + (0, 1))
    assert pattern.weights is not None
    weights = torch.unflatten(pattern.weights, 1, (groups, -1))
    weights = torch.cat([(1 - share) * weights, share.to(weights.dtype)], 2)
    origins = (*pattern.lattice.origins[: pattern.taps], (0.0,) * dim) * groups
    return SamplingPattern(
        pattern.size,
        pattern.channels,
        offsets.flatten(1, 2),
        Lattice(pattern.lattice.spacing, origins),
        pattern.taps + 1,
        weights.flatten(1, 2),
        kernel=pattern.kernel,
        boundary=pattern.boundary,
    )


def check_rows(argument: str, rows: Tensor, shape: Sequence[int], width: int, meaning: str, multiple: int = 1) -> None:
    """Check that a tensor (B, *T, R) has the batch and grid of a shape, and `width` channels, or up to a multiple.

    Raises:
        ArgumentError: it has not, by name of the argument.
    """
    check_tensor(argument, rows)
    received = tuple(rows.shape)
    if received[:-1] != tuple(shape) or not width <= received[-1] <= -(-width // multiple) * multiple:
        raise ArgumentError(argument, expected=f"shape {(*shape, width)}: {meaning}", received=received)


class GroupedSampling(SamplingOperator):
    """A layer with `GroupedTaps`, whose kernel is alike along all axes.

    A subclass computes offsets and masks at every stride-th pixel.
    """

    def __init__(
        self,
        channels: int,
        taps: tuple[int, int, int, int],
        group: int,
        offset_scale: float,
        center_feature_scale: bool,
        remove_center: bool,
        dim: int,
        reading: tuple[Any, str],
    ) -> None:
        super().__init__()
        self.dim = check_integer("dim", dim, most=3)
        self.channels = check_integer("channels", channels)
        self.group = check_integer("group", group)
        if channels % group:
            raise ArgumentError("group", expected=f"a divisor of the {channels} channels", received=group)
        self.kernel_size, self.stride, self.dilation = (
            check_integer(name, value)
            for name, value in zip(("kernel_size", "stride", "dilation"), (*taps[:2], taps[3]), strict=True)
        )
        self.pad = check_integer("pad", taps[2], least=0)
        self.offset_scale = check_number("offset_scale", offset_scale)
        self.center_feature_scale = check_flag("center_feature_scale", center_feature_scale)
        self.remove_center = bool(remove_center)
        geometry = Geometry.of(self.kernel_size, self.stride, self.pad, self.dilation, self.dim)
        self.taps = GroupedTaps(geometry, self.group, self.offset_scale, self.remove_center)
        self.kernel, self.boundary = checked_reading(*reading)
        if self.center_feature_scale:
            self.center_feature_scale_proj_weight = nn.Parameter(torch.zeros(group, channels))
            self.center_feature_scale_proj_bias = nn.Parameter(torch.zeros(group))

    def extra_repr(self) -> str:
        """Return the arguments."""
        names = [name for name in inspect.signature(type(self)).parameters if name != "channels"]
        return f"{self.channels}, {told(self, *names)}"

    def depthwise(self, kernel_size: int | None) -> nn.Module:
        """Return a convolution of each channel by itself that keeps the size.

        Raises:
            ArgumentError: an even kernel size.
        """
        size = odd("dw_kernel_size", self.kernel_size if kernel_size is None else kernel_size)
        kind = _CONVOLUTIONS[self.dim - 1]
        return kind(self.channels, self.channels, size, padding=size // 2, groups=self.channels)

    def at_outputs(self, features: Float[Tensor, "B *SC"], size: Sequence[int]) -> Float[Tensor, "B *TC"]:
        """Return features (B, *S, C) at every stride-th pixel, one for each output pixel.

        Raises:
            ArgumentError: a padding with which there are more or fewer output pixels.
        """
        kept = features[(slice(None), *[slice(None, None, self.stride)] * self.dim)]
        grid = self.taps.geometry.grid(size)
        if tuple(kept.shape[1:-1]) != grid:
            pixels = "every pixel" if self.stride == 1 else f"one pixel in {self.stride} along each axis"
            expected = f"a padding with which {pixels} of {tuple(size)} has an outcome: {tuple(kept.shape[1:-1])}"
            raise ArgumentError("pad", expected=expected, received=f"{self.pad}, which gives {grid}")
        return kept

    def center_share(self, features: Float[Tensor, "B *TC"]) -> Float[Tensor, "B *TG"]:
        """Return the share of the pixel itself in the outcome, (B, *T, G), of features (B, *T, C)."""
        weight, bias = self.center_feature_scale_proj_weight, self.center_feature_scale_proj_bias
        return functional.linear(features, weight, bias).sigmoid()
