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
_BAND = 0.8  # in units of τ²


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
        function: of the Jacobians, element by element, and of τ.
        dim: number d of axes.
    """

    function: Callable[[Tensor, float], Tensor]
    dim: int

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields, take their Jacobians as users' networks are diagnosed, and average; shape (rows,)."""
        tau = values[TAU.name]
        period = gaussian_offsets(generator, rows, self.dim, tau).to(device)
        return self.function(jacobian_determinant(period), tau).flatten(1).mean(1)


def is_folded(jacobian: Tensor, tau: float) -> Tensor:
    """Return 1 where J < 0, and else 0, shape (rows, *N) as given."""
    return (jacobian < 0).double()


def near_zero(jacobian: Tensor, tau: float) -> Tensor:
    """Return weights of J in a band about 0, shape (rows, *N) as given, whose mean is the density of J at 0.

    The density is continuous, but has a kink at 0 for d > 1: on either side of it the weights, (9 − 36u + 30u²)/2w for
    |J| = uw, take the value at 0 out of a parabola. A band of w = 0.8τ² is narrow against the decay exp(−|J|/τ²) of
    the negative side in the plane; what is left of it is below 0.5 %.
    """
    width = _BAND * tau**2
    u = jacobian.abs() / width
    return torch.where(u < 1, (9 - 36 * u + 30 * u**2) / (2 * width), 0.0)


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
    """The mean of (Wᵀ1)² on a grid of 2N pixels less that on N, for the same random waves.

    The offsets εᵢ = Σⱼ A sin(ktⱼ + θ), A and θ new for each i and j, are Gaussian: A/τ is Rayleigh, θ uniform, and the
    grid lies anywhere. A row is the mean over one field from each of 64 equal parts of the range of every A, θ and
    coordinate of the grid (a Latin hypercube), which keeps the mean and takes off some of the scatter.

    Attributes:
        dim: number d of axes, 1 or 2.
        pixels: N, the period on the coarser grid.
    """

    dim: int = 1
    pixels: int = _FINE_PIXELS

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its fields and both grids."""
        return int((1 + 2**self.dim) * self.pixels**self.dim * _STRATA)

    @property
    def symbols(self) -> Set[str]:
        """The deviation of the slopes."""
        return {TAU.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and splat ones at both resolutions; shape (rows,)."""
        waves, places = self.dim**2, 2 * self.dim
        order = generator.permuted(np.broadcast_to(np.arange(_STRATA), (2 * waves + places, rows, _STRATA)), axis=-1)
        uniform = torch.from_numpy((order + generator.random(order.shape)) / _STRATA).to(device).flatten(1).T
        slopes, phases, fine, coarse = uniform.split([waves, waves, self.dim, self.dim], dim=1)
        shape = (-1, self.dim, self.dim)
        slope = (values[TAU.name] * torch.sqrt(-2 * torch.log1p(-slopes))).reshape(shape)
        phase = (2 * math.pi * phases).reshape(shape)
        growth = mean_square_hits(slope, phase, fine, 2 * self.pixels)
        growth = growth - mean_square_hits(slope, phase, coarse, self.pixels)
        return growth.reshape(rows, _STRATA).mean(1)


def mean_square_hits(
    slope: Float[Tensor, "B d d"], phase: Float[Tensor, "B d d"], shift: Float[Tensor, "B d"], pixels: int
) -> Float[Tensor, "B"]:
    """Return the mean over a period of (Wᵀ1)² for offsets that are sums of waves, one along each axis.

    Args:
        slope: entry [:, i, j] is the largest slope of the wave of εᵢ along axis j, without unit, shape (B, d, d).
        phase: its phase, shape (B, d, d).
        shift: a constant offset in pixels, shape (B, d).
        pixels: the period in pixels.

    Returns:
        The means, shape (B,).
    """
    dim, wavenumber = slope.shape[1], 2 * math.pi / pixels
    n = torch.arange(pixels, dtype=torch.float64, device=slope.device)
    waves = slope[..., None] / wavenumber * torch.sin(wavenumber * n + phase[..., None])
    offsets = shift.reshape(-1, dim, *[1] * dim)
    for axis in range(dim):
        along = [1] * dim
        along[axis] = pixels
        offsets = offsets + waves[:, :, axis].reshape(-1, dim, *along)
    hits = warping.hit_counts(offsets, kernel="linear", boundary="periodic")
    return hits.square().flatten(1).mean(1)
