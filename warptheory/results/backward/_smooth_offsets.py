"""Random waves, warped and splatted by smooth offsets without folds, on grids that resolve them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, warping
from warptheory.core.errors import ArgumentError
from warptheory.results._setting import TAU, Setting

# Pixels of a period, by the number of axes. A kernel takes a share of order (2π/N)² of the wave's energy, and one
# that reproduces parabolas (2π/N)⁴: a few parts in ten thousand, far below the smallest effect.
_PERIOD: Mapping[int, int] = {1: 512, 2: 320}
_PERIOD_FOR_PARABOLAS: Mapping[int, int] = {1: 256, 2: 96}
# Slopes up to which these grids are fine enough. Beyond, 1/J has peaks where neighbouring positions come together, of
# a width that goes as (1 − τ)^(3/2), and the grid is refined by as much, up to this many points.
_FINE_ENOUGH = 0.5
MOST_POINTS = 2**24


@dataclass(frozen=True)
class WaveGrid:
    """A grid on which offsets εᵢ(n) = (τ/k) sin(k nᵢ + θᵢ), k = 2π/N, act on a wave g(n) = √2 cos(k·n + θ).

    The backward pass reads from a finer grid: with one output a pixel the continuum is missed where J > 1, however
    smooth φ is, because neighbouring positions lie more than a pixel apart and leave gaps.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        period: N, pixels along each axis.
        oversampling: output pixels per input pixel along each axis.
    """

    kernel: str
    dim: int
    period: int
    oversampling: int = 3

    @classmethod
    def of(cls, setting: Setting) -> "WaveGrid":
        """Return a grid that is fine enough for the kernel, of slopes up to 0.5."""
        periods = _PERIOD_FOR_PARABOLAS if kernels.get(setting.kernel).reproduces >= 2 else _PERIOD
        return cls(setting.kernel, setting.dim, periods[setting.dim])

    @property
    def points(self) -> int:
        """Number of output pixels."""
        return int((self.period * self.oversampling) ** self.dim)

    def resolving(self, tau: float) -> "WaveGrid":
        """Return a grid that resolves the peaks of 1/J.

        Args:
            tau: the largest slope τ, without unit.

        Raises:
            ArgumentError: a slope at which φ folds, or whose peaks are too narrow for a grid that can be held.
        """
        if tau >= 1:
            raise ArgumentError(TAU.name, expected="a slope below 1, as φ folds beyond", received=tau)
        refinement = max(1.0, (1 - _FINE_ENOUGH) / (1 - tau)) ** 1.5
        finer = replace(self, period=math.ceil(self.period * refinement))
        if finer.points > MOST_POINTS:
            expected = f"a slope at which a grid of {MOST_POINTS} points resolves 1/J on {self.dim} axes"
            raise ArgumentError(TAU.name, expected=expected, received=tau)
        return finer

    def warped_energy(self, phases: Float[Tensor, "rows phases"], tau: float) -> Float[Tensor, "rows"]:
        """Return the mean square of what `warp` makes of waves of mean square one.

        Args:
            phases: θ and θ₁ … θ_d, shape (rows, 1 + d).
            tau: the largest slope τ, without unit.

        Returns:
            Mean squares, shape (rows,).
        """
        offsets = self._offsets(phases[:, 1:], tau)
        return warping.warp(self._wave(phases[:, 0]), offsets, self.kernel, "periodic").square().flatten(1).mean(1)

    def splatted_energy(self, phases: Float[Tensor, "rows phases"], tau: float) -> Float[Tensor, "rows"]:
        """Return the mean square of what `splat` makes of them, shape (rows,); arguments as in `warped_energy`."""
        return self.splatted(self._wave(phases[:, 0]), phases[:, 1:], tau).square().flatten(1).mean(1)

    def splatted(
        self, g: Float[Tensor, "rows C *T"], phases: Float[Tensor, "rows d"], tau: float
    ) -> Float[Tensor, "rows C *S"]:
        """Return φ₊g on the grid of the period.

        Args:
            g: values on the finer grid, shape (rows, C, *T).
            phases: θ₁ … θ_d, shape (rows, d).
            tau: the largest slope τ, without unit.

        Returns:
            Values, shape (rows, C, *S).
        """
        offsets, size = self._offsets(phases, tau), (self.period,) * self.dim
        return warping.splat(g / self.oversampling**self.dim, offsets, size, self.kernel, "periodic")

    def _positions(self, device: torch.device) -> Tensor:
        """Return where the output pixels lie along an axis, in input pixels, shape (T,)."""
        count = self.period * self.oversampling
        return torch.arange(count, dtype=torch.float64, device=device) / self.oversampling

    def _wave(self, phase: Tensor) -> Tensor:
        """Return g at the output pixels, shape (rows, 1, *T)."""
        along = torch.meshgrid(*[self._positions(phase.device)] * self.dim, indexing="ij")
        total = 2 * math.pi / self.period * sum(along[1:], along[0])
        return math.sqrt(2) * torch.cos(total + phase.reshape(-1, 1, *[1] * self.dim))

    def _offsets(self, phases: Tensor, tau: float) -> Tensor:
        """Return ε relative to the output pixels' own index, shape (rows, d, *T)."""
        positions = self._positions(phases.device)
        wavenumber = 2 * math.pi / self.period
        waves = tau / wavenumber * torch.sin(wavenumber * positions + phases[..., None])
        read = positions - torch.arange(len(positions), device=phases.device)
        shape = [len(positions)] * self.dim
        axes = []
        for axis in range(self.dim):
            other = self._axis_of_wave(axis)
            displaced = self._along(axis, read) + self._along(other, waves[:, other])
            axes.append(displaced.expand(len(phases), *shape))
        return torch.stack(axes, 1)

    def _axis_of_wave(self, axis: int) -> int:
        """Return along which axis the offset of an axis waves."""
        return axis

    def _along(self, axis: int, values: Tensor) -> Tensor:
        """Return values of one coordinate as a function of the position, shape (rows or 1, *T or 1)."""
        view = [1] * self.dim
        view[axis] = values.shape[-1]
        return values.reshape(-1, *view)


class CrossedGrid(WaveGrid):
    """The same for εᵢ = (τ/k) sin(k nⱼ + θⱼ), j the other axis: slopes off the diagonal alone, J ≥ 1 − τ²; d = 2."""

    def resolving(self, tau: float) -> "WaveGrid":
        """Return a grid that resolves the peaks of 1/J, which are those of a slope of τ²."""
        return super().resolving(tau**2)

    def _axis_of_wave(self, axis: int) -> int:
        return 1 - axis
