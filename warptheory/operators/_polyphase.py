"""The phases of a grid: which pixels lie stride apart, how they are chosen among, and how they are put back."""

import itertools
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn import functional

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import told
from warptheory.operators._blurring import Blur, binomial_filters, boundary_of
from warptheory.operators._operator import SamplingOperator
from warptheory.patterns import Lattice, SamplingPattern

# Scores of phases (B, P, E), all E numbers of a phase in a row: the largest is chosen. Sums are in double precision,
# here and below, so that a shift, which changes their order, changes no choice.
CRITERIA: dict[str, Callable[[Tensor], Tensor]] = {
    "l2": lambda phases: vector_norm(phases, 2, -1, dtype=torch.float64),
    "l1": lambda phases: vector_norm(phases, 1, -1, dtype=torch.float64),
    "l_infty": lambda phases: phases.abs().amax(-1),
    "non_abs_max": lambda phases: phases.amax(-1),
    "l2_min": lambda phases: -vector_norm(phases, 2, -1, dtype=torch.float64),
    "l1_min": lambda phases: -vector_norm(phases, 1, -1, dtype=torch.float64),
}


def grid_of(size: Sequence[int], stride: int) -> tuple[int, ...]:
    """Return the size T of a phase of images of a size S: S/stride, rounded up."""
    return tuple(-(-n // stride) for n in size)


def phases_of(x: Float[Tensor, "B C *S"], stride: int) -> Float[Tensor, "B P C *T"]:
    """Return the phases of images (B, C, *S) in C order, (B, P, C, *T): phase φ has the pixels s·n + φ, modulo S."""
    dim = x.ndim - 2
    for axis, (n, count) in enumerate(zip(x.shape[2:], grid_of(x.shape[2:], stride), strict=True), start=2):
        if n != stride * count:
            x = x.index_select(axis, torch.arange(stride * count, device=x.device) % n)
    for axis in reversed(range(2, dim + 2)):
        x = torch.unflatten(x, axis, (-1, stride))
    inner, outer = range(3, 2 * dim + 2, 2), range(2, 2 * dim + 1, 2)
    return x.permute(0, *inner, 1, *outer).flatten(1, dim)


def merged(phases: Float[Tensor, "B P C *T"], stride: int, size: Sequence[int]) -> Float[Tensor, "B C *S"]:
    """Return images (B, C, *S) of a size that have phases (B, P, C, *T); pixels of several are added."""
    dim = phases.ndim - 3
    x = torch.unflatten(phases, 1, (stride,) * dim)
    order = [axis for d in range(dim) for axis in (dim + 2 + d, 1 + d)]
    x = x.permute(0, dim + 1, *order)
    for axis in range(2, dim + 2):
        x = x.flatten(axis, axis + 1)
    for axis, n in enumerate(size, start=2):
        if n != x.shape[axis]:
            pixels = torch.arange(x.shape[axis], device=x.device) % n
            whole = x.new_zeros(*x.shape[:axis], n, *x.shape[axis + 1 :])
            x = whole.index_add(axis, pixels, x)
    return x


def selection_pattern(x: Float[Tensor, "B C *S"], index: Int[Tensor, "B"], stride: int) -> SamplingPattern:
    """Return the pattern that reads one phase of images (B, C, *S), by index (B,): one whole offset an image."""
    size, dim = tuple(x.shape[2:]), x.ndim - 2
    grid = grid_of(size, stride)
    dtype = torch.promote_types(x.dtype, torch.float32)
    phase = torch.stack(torch.unravel_index(index, (stride,) * dim), 1).to(dtype)
    offsets = phase.reshape(len(x), 1, dim, *[1] * dim).expand(-1, -1, -1, *grid)
    lattice = Lattice((float(stride),) * dim, ((0.0,) * dim,))
    return SamplingPattern(size, x.shape[1], offsets, lattice, kernel="nearest", boundary="periodic")


def mixture_pattern(size: Sequence[int], channels: int, weights: Float[Tensor, "B P"], stride: int) -> SamplingPattern:
    """Return the pattern that adds the phases of images of a size, with weights (B, P): P taps of no offsets."""
    dim, taps = len(size), weights.shape[1]
    grid = grid_of(size, stride)
    origins = tuple(tuple(map(float, phase)) for phase in itertools.product(range(stride), repeat=dim))
    return SamplingPattern(
        tuple(size),
        channels,
        weights.new_zeros(len(weights), taps, dim, *grid),
        Lattice((float(stride),) * dim, origins),
        taps,
        weights.reshape(*weights.shape, *[1] * dim).expand(-1, -1, *grid),
        kernel="nearest",
        boundary="periodic",
    )


class PhaseScore(nn.Module):
    """A score for each phase, by one small network for all: two circular convolutions, and a mean over all they make.

    Args:
        channels: number C of channels of the phases.
        hid_channels: channels of both convolutions.
        dim: number d of axes.

    Source: R. A. Rojas-Gomez et al., arXiv 2210.08001; learnable_polyphase_sampling, LPSLogitLayersV2, with its names
        of parameters.
    """

    def __init__(self, channels: int, hid_channels: int, dim: int) -> None:
        super().__init__()
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dim - 1]
        self.conv1 = kind(channels, hid_channels, 3, padding=1, padding_mode="circular")
        self.conv2 = kind(hid_channels, hid_channels, 3, padding=1, padding_mode="circular")

    def forward(self, phases: Float[Tensor, "B P C *T"]) -> Float[Tensor, "B P"]:
        """Return the scores (B, P) of phases (B, P, C, *T)."""
        found = self.conv2(functional.relu(self.conv1(phases.flatten(0, 1))))
        mean = found.flatten(1).mean(1, dtype=torch.float64).to(found.dtype)
        return torch.unflatten(mean, 0, tuple(phases.shape[:2]))


class Polyphase(SamplingOperator):
    """Phases of a grid, and a binomial filter.

    Args:
        channels: number C of channels.
        pad_type: what lies outside for the blur, as in `BlurPool`.
        filt_size: pixels of the binomial filter along each axis; 1 for none.
        stride: s, pixels between those of a phase; there are P = s^d phases.
    """

    dim: ClassVar[int]
    # Names of further arguments, in the order in which they are told.
    options: ClassVar[tuple[str, ...]] = ()
    filt: Tensor

    def __init__(self, channels: int, pad_type: str, filt_size: int, stride: int) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels)
        self.filt_size = check_integer("filt_size", filt_size)
        self.stride = check_integer("stride", stride)
        self.blur = Blur((filt_size - 1) // 2, filt_size // 2, 1, boundary_of(pad_type))
        self.pad_type = pad_type
        self.register_buffer("filt", binomial_filters(channels, filt_size, self.dim))

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.channels}, {told(self, 'pad_type', 'filt_size', 'stride', *self.options)}"

    def checked(self, phase: Float[Tensor, "N P"], x: Float[Tensor, "B C *S"]) -> Float[Tensor, "N P"]:
        """Return weights (B, P) of the phases of images (B, C, *S), checked.

        Raises:
            ArgumentError: no weights of that shape.
        """
        shape = (len(x), self.stride**self.dim)
        if not isinstance(phase, Tensor) or tuple(phase.shape) != shape or not phase.is_floating_point():
            received = tuple(phase.shape) if isinstance(phase, Tensor) else type(phase).__name__
            raise ArgumentError("phase", expected=f"floating weights of shape {shape}", received=received)
        return phase
