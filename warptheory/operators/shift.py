"""Shifts: each channel is moved as a whole, by fixed numbers of pixels or by a learned one."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from warptheory import warping
from warptheory.core.checks import check_integer, check_number, is_whole
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_images, told
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._operator import SamplingOperator, checked_reading
from warptheory.patterns import Lattice, SamplingPattern

__all__ = ["Shift1d", "Shift2d", "Shift3d", "SparseShift1d", "SparseShift2d", "SparseShift3d"]


class _ChannelShift(SamplingOperator):
    """y_c[n] = x_c[n + ε_c], where ε_c is an offset of the whole channel; a subclass says `offsets`."""

    dim: ClassVar[int]
    kernel: Any

    def __init__(self, channels: int, boundary: str) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels)
        self.kernel, self.boundary = checked_reading("nearest", boundary)

    @property
    def offsets(self) -> Float[Tensor, "C d"]:
        """Offset of each channel, in pixels, shape (C, d)."""
        raise NotImplementedError

    def pattern(self, input: Float[Tensor, "B C *S"]) -> SamplingPattern:  # noqa: A002
        """Return the pattern at an input (B, C, *S): one sample for each pixel and channel."""
        size = self._checked(input)
        offsets = self._everywhere(self.offsets.to(input), input)
        return SamplingPattern(
            size, self.channels, offsets, Lattice.unit(self.dim), kernel=self.kernel, boundary=self.boundary
        )

    def _checked(self, x: Tensor) -> tuple[int, ...]:
        return check_images("input", x, self.channels, self.dim, None)

    def _everywhere(self, offsets: Tensor, x: Tensor) -> Tensor:
        """Return offsets (C, d) for all images and pixels."""
        lone = offsets.reshape(1, *offsets.shape, *[1] * self.dim)
        return lone.expand(len(x), -1, -1, *x.shape[2:])


class _Shift(_ChannelShift):
    """Moves groups of channels by fixed whole numbers of pixels: y_c[n] = x_c[n + s_g].

    Args:
        channels: number C of channels.
        shifts: s_g, for each of G groups of ⌊C/G⌋ successive channels a number of pixels along each axis; channels
            that are left over stay where they are. None: one pixel forwards and one backwards along each axis, and a
            group that stays.
        boundary: what lies outside of the image, the name of a boundary rule.

    Raises:
        ArgumentError: shifts that are not whole numbers, or more of them than channels.
        UnknownNameError: no such boundary.

    Source: B. Wu et al., arXiv 1711.08141 (a group for each shift); G. Wang et al., arXiv 2201.10801 (four directions).
    """

    def __init__(self, channels: int, shifts: Sequence[Sequence[int]] | None = None, boundary: str = "zeros") -> None:
        super().__init__(channels, boundary)
        self.shifts = self._directions() if shifts is None else self._table(shifts)
        if len(self.shifts) > channels:
            raise ArgumentError("shifts", expected=f"at most {channels}, a channel each", received=len(self.shifts))
        width = channels // len(self.shifts)
        self._groups = [
            *[(width, shift) for shift in self.shifts],
            (channels - width * len(self.shifts), (0,) * self.dim),
        ]

    def _directions(self) -> tuple[tuple[int, ...], ...]:
        units = [[int(axis == each) for each in range(self.dim)] for axis in range(self.dim)]
        moving = [tuple(sign * n for n in unit) for unit in units for sign in (1, -1)]
        return (*moving, (0,) * self.dim)

    def _table(self, shifts: Any) -> tuple[tuple[int, ...], ...]:
        expected = f"for each group {self.dim} whole numbers"
        if not isinstance(shifts, Sequence) or not shifts:
            raise ArgumentError("shifts", expected=expected, received=shifts)
        for shift in shifts:
            if not isinstance(shift, Sequence) or len(shift) != self.dim or not all(is_whole(n) for n in shift):
                raise ArgumentError("shifts", expected=expected, received=shift)
        return tuple(tuple(int(n) for n in shift) for shift in shifts)

    @property
    def offsets(self) -> Float[Tensor, "C d"]:
        """Shift of each channel, in pixels, shape (C, d)."""
        return torch.tensor([shift for count, shift in self._groups for _ in range(count)], dtype=torch.float64)

    def forward(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:  # noqa: A002
        """Return the shifted channels: (B, C, *S) → (B, C, *S)."""
        size = self._checked(input)
        furthest = max(abs(n) for shift in self.shifts for n in shift)
        if self.boundary != "zeros" or furthest > min(size):
            return super().forward(input)
        parts = torch.split(input, [count for count, _ in self._groups], 1)
        # What leaves at one end is cut off, and as many zeros come at the other.
        pads = [[n for step in reversed(shift) for n in (-step, step)] for _, shift in self._groups]
        return torch.cat([functional.pad(part, pad) for part, pad in zip(parts, pads, strict=True)], 1)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.channels}, {told(self, 'shifts', 'boundary')}"


class _SparseShift(_ChannelShift):
    """Moves each channel by a learned offset, rounded: y_c[n] = x_c[n + round(ε_c)].

    The gradient of ε is that of the linear interpolation at ε itself. Its penalty draws shifts to zero, and a channel
    with |ε| < ½ is not moved at all.

    Args:
        channels: number C of channels.
        spread: offsets start evenly in ±spread, in pixels.
        boundary: what lies outside of the image, the name of a boundary rule.

    Attributes:
        shift: ε, the parameter, in pixels, shape (C, d).

    Raises:
        ArgumentError: a number that makes no sense.
        UnknownNameError: no such boundary.

    Source: W. Chen et al., arXiv 1903.05285 (sparse shift layer); Y. Jeon, J. Kim, arXiv 1806.07370 (its start).
    """

    def __init__(self, channels: int, spread: float = 1.0, boundary: str = "zeros") -> None:
        super().__init__(channels, boundary)
        self.spread = check_number("spread", spread, least=0)
        self.shift = nn.Parameter(torch.empty(channels, self.dim))
        self.reset_parameters()

    @property
    def offsets(self) -> Float[Tensor, "C d"]:
        """Offset of each channel, in pixels, not rounded and without gradient, shape (C, d)."""
        return self.shift.detach()

    def reset_parameters(self) -> None:
        """Draw the offsets anew."""
        nn.init.uniform_(self.shift, -self.spread, self.spread)

    def penalty(self) -> Float[Tensor, ""]:
        """Return Σ|ε|, to be added to the loss with a factor: a scalar."""
        return self.shift.abs().sum()

    def forward(self, input: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:  # noqa: A002
        """Return the shifted channels: (B, C, *S) → (B, C, *S)."""
        found = super().forward(input)
        if not (torch.is_grad_enabled() and self.shift.requires_grad):
            return found
        smooth = warping.warp(
            input.detach(), self._everywhere(self.shift.to(input.dtype), input), "linear", self.boundary
        )
        return found + (smooth - smooth.detach()).to(found.dtype)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.channels}, {told(self, 'spread', 'boundary')}"


class Shift1d(_Shift):
    """Moves groups of channels of signals (B, C, N) by whole numbers of samples."""

    dim = 1


class Shift2d(_Shift):
    """Moves groups of channels of images (B, C, H, W) by whole numbers of pixels: by default in four directions."""

    dim = 2


class Shift3d(_Shift):
    """Moves groups of channels of volumes (B, C, Z, H, W) by whole numbers of voxels."""

    dim = 3


class SparseShift1d(_SparseShift):
    """Moves each channel of signals (B, C, N) by a learned number of samples."""

    dim = 1


class SparseShift2d(_SparseShift):
    """Moves each channel of images (B, C, H, W) by a learned number of pixels along each axis."""

    dim = 2


class SparseShift3d(_SparseShift):
    """Moves each channel of volumes (B, C, Z, H, W) by a learned number of voxels along each axis."""

    dim = 3


def _frozen() -> SparseShift2d:
    # What is learned has the gradient of another function than that which is returned.
    layer = SparseShift2d(4, spread=1.5, boundary="border")
    layer.requires_grad_(False)
    return layer


operator = OperatorEntry(
    formula=r"y_c[n] = x_c[n + \varepsilon_c]",
    where={r"\varepsilon_c": "the shift of a channel: a fixed whole number, or a learned number, rounded"},
    source="B. Wu et al., arXiv 1711.08141; G. Wang et al., arXiv 2201.10801; W. Chen et al., arXiv 1903.05285",
    conventions=(
        "A shift says where a pixel reads: with +1 along the last axis an image moves to the left.",
        "Learned shifts are rounded half up; their gradient is that of linear interpolation at the number itself.",
        "What comes in at an edge is zero, or what the boundary rule says.",
    ),
    initialisation="Fixed: by default a fifth of the channels of an image in each direction, and a fifth stays. "
    "Learned: evenly in ±1 pixel, which moves half of the channels along each axis.",
    examples={
        "fixed": OperatorExample(lambda: Shift2d(6), lambda x, _: (x,), (2, 6, 4, 3)),
        "learned": OperatorExample(_frozen, lambda x, _: (x,), (2, 4, 4, 3)),
    },
)
