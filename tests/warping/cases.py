"""Inputs on which every backend is compared with the reference, and bounds for the comparison."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from warptheory.core.tolerances import Tolerance, rounding
from warptheory.warping import boundaries

BOUNDARIES = tuple(boundaries.names())
SIZES = {1: (13,), 2: (9, 7), 3: (5, 4, 6)}
GRIDS = {1: (9,), 2: (5, 11), 3: (4, 6, 3)}
# Grids that few tiles cover, and overhang: Triton's interpreter takes as long for a tile as for a pixel.
TILES = {1: (53,), 2: (3, 16), 3: (2, 3, 8)}
Offsets = Callable[[tuple[int, ...], tuple[int, ...], torch.Generator], Tensor]
# Neighbouring pixels whose offsets are of one kind, in a case of several kinds.
RUN = 3


@dataclass(frozen=True)
class Case:
    """An image x (B, C, *S), offsets (B, G, d, *T) and a gradient g (B, C, *T)."""

    x: Tensor
    offsets: Tensor
    g: Tensor

    def to(self, there: torch.dtype | str) -> "Case":
        """Return the case in another dtype, or on another device; layouts stay."""
        return Case(self.x.to(there), self.offsets.to(there), self.g.to(there))


def zero(shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return the offsets of a zero-initialised network."""
    return torch.zeros(shape)


def integer(shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return whole pixels, some of them far outside."""
    return torch.randint(-4, 5, shape, generator=generator).float()


def integer_along_one_axis(shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return whole pixels along the last axis, and fractions along the others."""
    offsets = white(shape, size, generator)
    return torch.cat([offsets[:, :, :-1], offsets[:, :, -1:].round()], dim=2)


def half(shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return odd multiples of half a pixel."""
    return integer(shape, size, generator) + 0.5


def smooth(shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return a slow wave."""
    phase = torch.arange(math.prod(shape[3:])).reshape(shape[3:]) / 7
    amplitude = 2 * torch.randn(*shape[:3], *[1] * len(size), generator=generator)
    return amplitude * torch.sin(phase + amplitude)


def white(shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return independent offsets of three pixels' spread."""
    return 3 * torch.randn(shape, generator=generator)


def on_the_edge(shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return offsets that lead exactly to the first or last pixel, or one beyond."""
    targets = torch.stack([torch.tensor([-1.0, 0.0, n - 1.0, float(n)]) for n in size])
    choice = torch.randint(0, 4, shape, generator=generator)
    grids = torch.meshgrid(*(torch.arange(n) for n in shape[3:]), indexing="ij")
    chosen = torch.stack([targets[axis][choice[:, :, axis]] for axis in range(len(size))], dim=2)
    return chosen - torch.stack(grids)


def wild(shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return NaN, infinities and numbers beyond the integers, among ordinary offsets."""
    offsets = white(shape, size, generator)
    values = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**30, -(2.0**31), 2.0**30 - 64, 1e-40])
    places = torch.rand(shape, generator=generator) < 0.4
    return torch.where(places, values[torch.randint(0, len(values), shape, generator=generator)], offsets)


EVERY_KIND = (zero, integer, integer_along_one_axis, half, smooth, white, on_the_edge, wild)
KINDS = {kind.__name__: kind for kind in EVERY_KIND}
MIXTURES = {"every_kind": EVERY_KIND, "on_knots": (zero, integer, on_the_edge)}


def mixture(
    kinds: tuple[Offsets, ...], shape: tuple[int, ...], size: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Return offsets of several kinds, which take turns along a row: neighbours of one kind may be added up together.

    A pixel's result hangs on its own offset alone but for such sums, so one case shows what one of each kind would.
    """
    found = torch.stack([kind(shape, size, generator) for kind in kinds])
    runs = -(-shape[-1] // RUN)
    turns = torch.arange(math.prod((*shape[:2], *shape[3:-1])) * runs) % len(kinds)
    turns = turns.reshape(*shape[:2], 1, *shape[3:-1], runs).repeat_interleave(RUN, -1)[..., : shape[-1]]
    return found.gather(0, turns.expand(1, *shape))[0]


def make_case(
    dim: int,
    kind: str = "white",
    *,
    batch: int = 2,
    channels: int = 4,
    groups: int = 1,
    channels_last: bool = False,
    size: tuple[int, ...] | None = None,
    grid: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Case:
    """Draw a case in float32; every number is the same in float64."""
    generator = torch.Generator().manual_seed(seed)
    size, grid = size or SIZES[dim], grid or GRIDS[dim]
    shape = (batch, groups, dim, *grid)
    mixed = kind in MIXTURES
    offsets = mixture(MIXTURES[kind], shape, size, generator) if mixed else KINDS[kind](shape, size, generator)
    x = torch.randn(batch, channels, *size, generator=generator)
    g = torch.randn(batch, channels, *grid, generator=generator)
    if channels_last:
        x, g = (values.movedim(1, -1).contiguous().movedim(-1, 1) for values in (x, g))
    return Case(x, offsets, g)


def forward_tolerance(case: Case, dim: int) -> Tolerance:
    """Bound W x: per axis two weights of two roundings, then a sum over 2ᵈ corners of products of d weights."""
    return rounding(case.x.dtype, operations=2**dim + 4 * dim, magnitude=float(case.x.abs().max()) * 2**dim)


def image_gradient_tolerance(case: Case, dim: int) -> Tolerance:
    """Bound Wᵀg: as many terms as there are output pixels may meet in one input pixel."""
    hits = math.prod(case.g.shape[2:])
    return rounding(
        case.x.dtype, operations=hits * 2**dim + 4 * dim, magnitude=float(case.g.abs().flatten(2).sum(2).max())
    )


def offset_gradient_tolerance(case: Case, dim: int) -> Tolerance:
    """Bound Σ_c g ∂Wx: C products for each of 2ᵈ corners."""
    channels = case.x.shape[1] // case.offsets.shape[1]
    magnitude = float(case.g.abs().max() * case.x.abs().max()) * channels * 2**dim
    return rounding(case.x.dtype, operations=(channels + 2) * 2**dim + 4 * dim, magnitude=magnitude)
