"""Slopes of real layers: a ramp that is warped, positions that pass a stack of warps, and products of drawn slopes.

A ramp x(t) = t₁ is read between its pixels without error, so that forward differences of Wx are what a layer makes of
the slope e₁: (δ₁ⱼ + ∂ⱼε₁)ⱼ. The offsets are waves whose forward differences are independent N(0, τ²), as those of
`_folded_fields`; those of the other components move along the ramp's levels and are zero.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor

from warptheory import warping
from warptheory.fields import FieldSampler, SquaredExponential, kept_sampler
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._setting import TAU
from warptheory.results.backward._folded_fields import offsets_of_waves

PERIOD = 4  # of the waves, in pixels: each holds the slopes of two independent numbers with both signs
_DEVIATIONS = 12.0  # that the ramp is long, on either side
_LEAST = 2.0**-53


def lattice_normals(
    generator: np.random.Generator, rows: int, points: int, count: int
) -> Float[Tensor, "rows points count"]:
    """Draw standard normal numbers of which a row's are evenly spread: a lattice with a random shift of its own.

    They have the shape (rows, points, count). Every number alone is normal, and numbers along the last axis are
    independent; means over a row scatter less.

    Args:
        generator: source of every random number.
        rows: number of rows.
        points: of a row's lattice.
        count: numbers of a point.

    Source: R. Cranley, T. N. L. Patterson, SIAM J. Numer. Anal. 13(6), 1976.
    """
    along = np.arange(points)[:, None] * _irrational(count)
    shifted = (generator.random((rows, 1, count)) + along) % 1.0
    return torch.from_numpy(special.ndtri(np.clip(shifted, _LEAST, 1 - _LEAST)))


@cache
def _irrational(count: int) -> np.ndarray:
    """Return a generator of a lattice, powers of 1/x with x^(count + 1) = x + 1, of shape (count,)."""
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (count + 1))
    return root ** -np.arange(1.0, count + 1)


def slopes_of_warped_ramp(
    generator: np.random.Generator, rows: int, points: int, dim: int, tau: float, device: str = "cpu"
) -> Float[Tensor, "rows positions"]:
    """Return ‖∇(Wx)‖ of a ramp of slope one at every position of warps that are drawn, shape (rows, positions).

    Args:
        generator: source of every random number.
        rows: number of rows, which are independent.
        points: warps of a row, whose offsets are evenly spread.
        dim: number d of axes.
        tau: the deviation τ of the slopes, without unit.
        device: torch device on which the operator runs.
    """
    normals = lattice_normals(generator, rows, points, 2 * dim).reshape(rows * points, 1, dim, 2)
    wave = offsets_of_waves(normals.to(device), tau, PERIOD)
    margin = math.ceil(_DEVIATIONS * tau * math.sqrt(dim)) + PERIOD
    offsets = torch.cat([wave + margin, *[torch.zeros_like(wave)] * (dim - 1)], 1)
    ramp = torch.arange(2.0 * margin + PERIOD, dtype=torch.float64, device=device)
    x = ramp.reshape(1, 1, -1, *[1] * (dim - 1)).expand(rows * points, -1, -1, *[-1] * (dim - 1))
    y = warping.warp(x, offsets, "linear", "border")
    return _lengths(y).reshape(rows, -1)


def _lengths(y: Float[Tensor, "B 1 *T"]) -> Float[Tensor, "B *N"]:
    """Return the length of the forward differences of y, shape (B, *(T − 1))."""
    dim = y.ndim - 2
    total = torch.zeros((), dtype=y.dtype, device=y.device)
    for axis in range(2, y.ndim):
        difference = torch.diff(y, dim=axis)
        for other in range(2, y.ndim):
            difference = difference.narrow(other, 0, PERIOD)
        total = total + difference[:, 0].square()
    assert total.ndim == dim + 1
    return total.sqrt()


class WarpedRamp(DerivedExperiment):
    """Means over the slopes of a warped ramp: functions of r = ‖∇(Wx)‖, the columns of a row."""

    symbols = frozenset({TAU.name})
    points: ClassVar[Mapping[int, int]] = {1: 1024, 2: 512, 3: 128}  # of a row's lattice

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels that a row reads and writes, over all components."""
        dim = self.setting.dim
        return int(self.points[dim] * (dim + 2) * (PERIOD + 1) ** dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"] | Float[Tensor, "rows k"]:
        """Draw warps, and average over their positions; shape (rows,), or (rows, k) for several means."""
        dim, tau = self.setting.dim, values[TAU.name]
        return self.means(slopes_of_warped_ramp(generator, rows, self.points[dim], dim, tau, device), values)

    def means(
        self, slope: Float[Tensor, "rows positions"], values: Mapping[str, float]
    ) -> Float[Tensor, "rows"] | Float[Tensor, "rows k"]:
        """Return what is averaged over the positions, shape (rows,) or (rows, k)."""
        raise NotImplementedError(type(self).__name__)


def drawn_slopes(
    generator: np.random.Generator, rows: int, positions: int, dim: int, tau: float, layers: int
) -> Float[Tensor, "rows positions"]:
    """Return the slope of a feature of slope one after layers of slopes I + A that are drawn, shape (rows, positions).

    Args:
        generator: source of every random number.
        rows: number of rows.
        positions: independent positions of a row.
        dim: number d of axes.
        tau: the deviation τ of the slopes, without unit.
        layers: the number L of layers.
    """
    slope = torch.zeros(rows * positions, dim, dtype=torch.float64)
    slope[:, 0] = 1.0
    for _ in range(layers):
        offsets = tau * torch.from_numpy(generator.standard_normal((len(slope), dim, dim)))
        slope = slope + torch.einsum("bij,bi->bj", offsets, slope)
    return slope.square().sum(1).sqrt().reshape(rows, positions)


SPLINE = "bspline3(prefilter=True)"
_LENGTH = 5.0  # of the offsets in pixels: slopes of a cubic spline through them have lost 2e-4 of their variance
_EXTENT: Mapping[int, int] = {1: 2048, 2: 80, 3: 32}  # pixels of a field along each axis, which is periodic
_APART = 4  # pixels from one position to the next


def composed_slopes(
    generator: np.random.Generator, rows: int, dim: int, tau: float, layers: int, device: str = "cpu"
) -> Float[Tensor, "rows positions"]:
    """Return ‖∇(x∘φ₁∘…∘φ_L)‖ of a ramp x of slope one, by autograd through the warps that read the offsets.

    Each layer's offsets are a homogeneous Gaussian field of their own on a periodic grid, read between its pixels by a
    cubic spline where the layers behind it have moved a position to.

    Args:
        generator: source of every random number.
        rows: number of stacks.
        dim: number d of axes, 1 or 2.
        tau: the deviation τ of the slopes, without unit.
        layers: the number L of layers.
        device: torch device on which the operator runs.

    Returns:
        The slopes at evenly spread positions, shape (rows, positions).
    """
    sampler = _offset_fields(dim, tau)
    start = _positions(rows, dim, device).requires_grad_(True)
    moved = start
    for _ in range(layers):
        offsets = sampler.sample(rows, generator, channels=dim, device=device)
        moved = moved + warping.warp(offsets, moved, SPLINE, "periodic")
    (slopes,) = torch.autograd.grad(moved[:, 0].sum(), start)
    lengths: Tensor = slopes.square().sum(1).sqrt()
    return lengths.flatten(1)


def _offset_fields(dim: int, tau: float) -> FieldSampler:
    covariance = SquaredExponential(_LENGTH, (tau * _LENGTH) ** 2, dim)
    return kept_sampler(covariance, (_EXTENT[dim],) * dim, periodic=True)


def _positions(rows: int, dim: int, device: str) -> Float[Tensor, "rows d *T"]:
    """Return evenly spread positions in pixels, less the number of each, from which the operator counts."""
    places = (_APART - 1.0) * torch.arange(_EXTENT[dim] // _APART, dtype=torch.float64, device=device)
    return torch.stack(torch.meshgrid(*[places] * dim, indexing="ij")).expand(rows, *[-1] * (dim + 1)).clone()


def composed_jacobians(
    generator: np.random.Generator, rows: int, dim: int, tau: float, layers: int, device: str = "cpu"
) -> Iterator[Float[Tensor, "rows positions d d"]]:
    """Yield ∇(φ_l∘…∘φ_L) for one layer more each time, from the last on, at evenly spread positions of stacks.

    The stacks are those of `composed_slopes`; slopes of each layer are read where the layers behind it have moved to.

    Args:
        generator: source of every random number.
        rows: number of stacks.
        dim: number d of axes.
        tau: the deviation τ of the slopes, without unit.
        layers: the number L of layers.
        device: torch device on which the operator runs.

    Yields:
        Entry [..., i, j] is ∂ⱼ of the component i, shape (rows, positions, d, d).
    """
    sampler, moved = _offset_fields(dim, tau), _positions(rows, dim, device)
    identity = torch.eye(dim, dtype=moved.dtype, device=device)
    whole = identity.expand(rows, (_EXTENT[dim] // _APART) ** dim, dim, dim)
    for _ in range(layers):
        offsets = sampler.sample(rows, generator, channels=dim, device=device)
        slopes = warping.warp_gradient(offsets, moved, SPLINE, "periodic").flatten(3).movedim(-1, 1)
        whole = (identity + slopes) @ whole
        moved = moved + warping.warp(offsets, moved, SPLINE, "periodic")
        yield whole


def composed_pixels(dim: int, layers: float) -> int:
    """Return the number of pixels of a stack, over its layers and components."""
    return int(int(layers) * dim * _EXTENT[dim] ** dim)
