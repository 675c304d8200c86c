"""Experiments on offset fields with Gaussian slopes, and on the caustics of random waves (B7)."""

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.symbolic._slopes import TAU
from warptheory.warping.jacobian import _determinant, jacobian_determinant, offset_jacobian

_PIXELS = 4
_FINE_PIXELS = 128
_STRATA = 64


def gaussian_offsets(
    generator: np.random.Generator, rows: int, dim: int, tau: float, pixels: int = _PIXELS
) -> Float[Tensor, "rows d *T"]:
    """Draw periodic offsets whose forward differences at a pixel are d² independent N(0, τ²).

    εᵢ(t) = Σⱼ s (aᵢⱼ cos ktⱼ + bᵢⱼ sin ktⱼ), k = 2π/pixels, with a, b ~ N(0, 1) and 2s²(1 − cos k) = τ².

    Args:
        generator: source of every random number.
        rows: number of fields.
        dim: number d of axes.
        tau: the deviation τ of the slopes, without unit.
        pixels: the period in pixels.

    Returns:
        Offsets in pixels, shape (rows, d, *T), T = pixels + 1 along every axis: one period and its first pixel again.
    """
    wavenumber = 2 * math.pi / pixels
    scale = tau / math.sqrt(2 * (1 - math.cos(wavenumber)))
    phase = wavenumber * torch.arange(pixels + 1, dtype=torch.float64)
    amplitudes = torch.from_numpy(scale * generator.standard_normal((rows, dim, dim, 2)))
    waves = amplitudes @ torch.stack([phase.cos(), phase.sin()])
    total = torch.zeros(rows, dim, *[pixels + 1] * dim, dtype=torch.float64)
    for axis in range(dim):
        shape = [1] * dim
        shape[axis] = pixels + 1
        total += waves[:, :, axis].reshape(rows, dim, *shape)
    return total


class OffsetFieldExperiment:
    """What experiments on fields of `gaussian_offsets` have in common; a subclass draws the rows.

    Attributes:
        dim: number d of axes.
        pixels: the period in pixels.
    """

    dim: int
    pixels: int = _PIXELS

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field."""
        return int((self.pixels + 1) ** self.dim)

    @property
    def symbols(self) -> Set[str]:
        """The deviation of the slopes."""
        return {TAU.name}


@dataclass(frozen=True)
class JacobianExperiment(OffsetFieldExperiment):
    """The mean of a function of J over the pixels of offset fields with Gaussian slopes.

    Attributes:
        function: of the Jacobians, element by element.
        dim: number d of axes.
    """

    function: Callable[[Tensor], Tensor]
    dim: int

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields, take their Jacobians as users' networks are diagnosed, and average; shape (rows,)."""
        period = gaussian_offsets(generator, rows, self.dim, values[TAU.name]).to(device)
        return self.function(jacobian_determinant(period)).flatten(1).mean(1)


def is_folded(jacobian: Tensor) -> Tensor:
    """Return 1 where J < 0, and else 0, shape (rows, *N) as given."""
    return (jacobian < 0).double()


@dataclass(frozen=True)
class ZeroDensityExperiment(OffsetFieldExperiment):
    """The density of J at 0 given one part of the slopes, averaged over the pixels of offset fields that have it.

    Given the part that is drawn, J has a bounded density in closed form, so that nothing has to be counted in a window
    about 0, which would be biased by its width:

    - d = 1: J = X + Y, both halves Gaussian of variance τ²/2; X is 1 + the slope of the field that is drawn.
    - d = 2: J = R² − S², the squared lengths of the parts of I + A that turn and that mirror the plane, which are
      independent; S² is exponential of mean τ², and R² = ((m₁₁ + m₂₂)² + (m₂₁ − m₁₂)²)/4 is that of the field.

    Attributes:
        dim: number d of axes, 1 or 2.
    """

    dim: int

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields, and average what their slopes say of the density; shape (rows,)."""
        tau = values[TAU.name]
        drawn = tau / math.sqrt(2) if self.dim == 1 else tau
        period = gaussian_offsets(generator, rows, self.dim, drawn).to(device)
        return self._density(period, tau).flatten(1).mean(1)

    def _density(self, period: Tensor, tau: float) -> Tensor:
        if self.dim == 1:
            return torch.exp(-((jacobian_determinant(period) / tau) ** 2)) / (math.sqrt(math.pi) * tau)
        slopes = offset_jacobian(period)
        trace, curl = 2 + slopes[:, 0, 0] + slopes[:, 1, 1], slopes[:, 1, 0] - slopes[:, 0, 1]
        return torch.exp(-(trace**2 + curl**2) / (2 * tau) ** 2) / tau**2


@dataclass(frozen=True)
class PreimageExperiment(OffsetFieldExperiment):
    """The number of solutions t of φ(t) = s, counted one by one, for one point s and an offset field of a few pixels.

    The offsets are joined linearly between the pixels; they are sums of functions of one coordinate each, so that φ
    is affine on every cell of the grid, and a cell holds a solution if its image holds s. The slopes of that map are
    forward differences, independent N(0, τ²), and s lies anywhere in a cell: there is no error of discretisation.

    Attributes:
        dim: number d of axes.
        signed: whether a solution with J < 0 counts −1.
        pixels: the period in pixels, 3 or more.
    """

    dim: int
    signed: bool = False
    pixels: int = 3

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and a point for each, and count; shape (rows,)."""
        offsets = gaussian_offsets(generator, rows, self.dim, values[TAU.name], self.pixels).to(device)
        point = torch.from_numpy(self.pixels * generator.random((rows, self.dim))).to(device)
        return count_preimages(offsets, point, signed=self.signed)


def count_preimages(
    offsets: Float[Tensor, "B d *T"], point: Float[Tensor, "B d"], *, signed: bool = False
) -> Float[Tensor, "B"]:
    """Count the solutions t of t + ε(t) = s for periodic offsets ε, joined linearly between the pixels.

    Args:
        offsets: one period and its first pixels again, shape (B, d, *T); a sum of functions of one coordinate each.
        point: s, in pixels, shape (B, d).
        signed: whether a solution counts as the sign of J.

    Returns:
        The counts, shape (B,).
    """
    cells = [length - 1 for length in offsets.shape[2:]]
    corner, edges = _images_of_cells(offsets)
    period = torch.tensor(cells, dtype=offsets.dtype, device=offsets.device)[:, None]
    lowest, highest = corner + edges.clamp(max=0).sum(0), corner + edges.clamp(min=0).sum(0)
    point_of_cell = point.T.repeat_interleave(math.prod(cells), dim=1)
    # s and its periods: the first one in the box about a cell's image, and how many follow along each axis.
    first = lowest + torch.remainder(point_of_cell - lowest, period)
    cell, steps = _combinations(((highest - first) / period).floor().long() + 1)
    target = first[:, cell] + period * steps - corner[:, cell]
    solution, jacobian = _solve(edges[:, :, cell], target)
    inside = ((solution >= 0) & (solution < 1)).all(0)
    weight = jacobian.sign() if signed else torch.ones_like(jacobian)
    counts = torch.zeros(len(offsets), dtype=offsets.dtype, device=offsets.device)
    return counts.index_add_(0, cell[inside] // math.prod(cells), weight[inside])


def _combinations(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return every (i, j) with 0 ≤ j_a < lengths[a, i]: i of shape (M,), and j of shape (d, M)."""
    totals = lengths.prod(0)
    number = torch.arange(len(totals), device=lengths.device).repeat_interleave(totals)
    rank = torch.arange(len(number), device=lengths.device) - (totals.cumsum(0) - totals)[number]
    steps = []
    for length in lengths[:, number]:
        steps.append(rank % length)
        rank = rank // length
    return number, torch.stack(steps)


def _images_of_cells(offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the image of every cell's first corner, shape (d, B·cells), and of its edges, shape (axis, d, B·cells)."""
    dim = offsets.shape[1]
    first = offsets
    for axis in range(dim):
        first = first.narrow(2 + axis, 0, offsets.shape[2 + axis] - 1)
    places = [torch.arange(n, dtype=offsets.dtype, device=offsets.device) for n in first.shape[2:]]
    corner = first + torch.stack(torch.meshgrid(*places, indexing="ij"))
    whole = torch.eye(dim, dtype=offsets.dtype, device=offsets.device).reshape(1, dim, dim, *[1] * dim)
    slopes = (offset_jacobian(offsets) + whole).movedim((2, 1), (0, 1))
    return corner.transpose(0, 1).reshape(dim, -1), slopes.reshape(dim, dim, -1)


def _solve(edges: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Solve Σ_axis tₐ edges[a] = right by Cramer's rule, shape (d, M), and return the determinants too, shape (M,)."""
    whole = _determinant(edges[None])[0]
    replaced = []
    for axis in range(len(edges)):
        moved = edges.clone()
        moved[axis] = right
        replaced.append(_determinant(moved[None])[0])
    return torch.stack(replaced) / whole, whole


@dataclass(frozen=True)
class GrowthExperiment:
    """The mean of (Wᵀ1)² on a grid of 2N pixels less that on N, for the same random wave.

    The offsets ε = A sin(kn + θ) are Gaussian: A/τ is Rayleigh, θ uniform, and the grid lies anywhere. A row is
    the mean over one field from each of 64 equal parts of the range of A, θ and the grid's positions (a Latin
    hypercube), which keeps the mean and takes off most of the scatter.

    Attributes:
        pixels: N, the period on the coarser grid.
    """

    pixels: int = _FINE_PIXELS

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its fields and both grids."""
        return 3 * self.pixels * _STRATA

    @property
    def symbols(self) -> Set[str]:
        """The deviation of the slopes."""
        return {TAU.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and splat ones at both resolutions; shape (rows,)."""
        order = generator.permuted(np.broadcast_to(np.arange(_STRATA), (4, rows, _STRATA)), axis=-1)
        uniform = torch.from_numpy((order + generator.random(order.shape)) / _STRATA).to(device).flatten(1)
        slope = values[TAU.name] * torch.sqrt(-2 * torch.log1p(-uniform[0]))
        phase = 2 * math.pi * uniform[1]
        fine = mean_square_hits(slope, phase, uniform[2], 2 * self.pixels)
        coarse = mean_square_hits(slope, phase, uniform[3], self.pixels)
        return (fine - coarse).reshape(rows, _STRATA).mean(1)


def mean_square_hits(
    slope: Float[Tensor, "B"], phase: Float[Tensor, "B"], shift: Float[Tensor, "B"], pixels: int
) -> Float[Tensor, "B"]:
    """Return the mean over a period of (Wᵀ1)² for offsets that are one wave.

    Args:
        slope: largest slope of the wave, without unit, shape (B,).
        phase: its phase, shape (B,).
        shift: a constant offset in pixels, shape (B,).
        pixels: the period in pixels.

    Returns:
        The means, shape (B,).
    """
    wavenumber = 2 * math.pi / pixels
    n = torch.arange(pixels, dtype=torch.float64, device=slope.device)
    offsets = slope[:, None] / wavenumber * torch.sin(wavenumber * n + phase[:, None]) + shift[:, None]
    hits = warping.hit_counts(offsets[:, None], kernel="linear", boundary="periodic")
    return hits.square().mean((1, 2))
