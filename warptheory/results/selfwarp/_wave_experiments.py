"""Experiments on waves that warp themselves, and on Burgers' solution that starts from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._setting import TAU
from warptheory.results.selfwarp import _waves as waves
from warptheory.results.selfwarp._characteristics import burgers_solution
from warptheory.results.selfwarp._layers import offsets_of, own_pixel_layer
from warptheory.symbolic import Step
from warptheory.warping.jacobian import jacobian_determinant

_KEPT_BY_SEARCH = 16  # brackets, values and trial points, and their copies


@dataclass(frozen=True)
class WaveExperiment(DerivedExperiment):
    """A wave of one period, of slope τ and a random phase, and the module that warps it.

    Attributes:
        points: points of the period.
    """

    points: int = 64

    symbols = frozenset({TAU.name})

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of points of a period."""
        return self.points

    @property
    def wavenumber(self) -> float:
        """The wavenumber k, in radians per pixel."""
        return 2 * math.pi / self.points

    def phases(self, generator: np.random.Generator, rows: int, device: str) -> Float[Tensor, "rows 1 N"]:
        """Draw phases and return the angle at every point, shape (rows, 1, N)."""
        start = 2 * math.pi * torch.from_numpy(generator.random((rows, 1, 1))).to(device)
        return start + self.wavenumber * torch.arange(self.points, dtype=torch.float64, device=device)

    def warped(self, wave: Float[Tensor, "rows 1 N"], tau: float) -> Float[Tensor, "rows 1 N"]:
        """Return a wave of amplitude 1 after the module, shape (rows, 1, N)."""
        device = str(wave.device)
        warped: Tensor = own_pixel_layer([[1.0]], tau / self.wavenumber, self.setting.kernel, device)(wave)
        return warped


class WaveEnergy(WaveExperiment):
    """E y²/E x²."""

    text = "E y² / E x²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the phase."""
        return waves.energy_steps()

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and warp them; shape (rows,)."""
        wave = torch.sin(self.phases(generator, rows, device))
        return 2 * self.warped(wave, values[TAU.name]).square().flatten(1).mean(1)


class SolvedWave(WaveExperiment):
    """A wave and Burgers' solution that starts from it, point by point."""

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of points of a period in every array that the search for roots keeps."""
        return _KEPT_BY_SEARCH * self.points

    def solution(self, angle: Float[Tensor, "rows 1 N"], tau: float) -> Float[Tensor, "rows 1 N"]:
        """Return the solution at angles, shape (rows, 1, N), by root finding."""
        found = burgers_solution(np.sin, angle.cpu().numpy(), tau, bound=1.0)
        return torch.from_numpy(found).to(angle.device)


class ConservedEnergy(SolvedWave):
    """E u²/E x²."""

    text = "E u² / E x²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps along the characteristics."""
        return waves.conserved_steps()

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and solve; shape (rows,)."""
        return 2 * self.solution(self.phases(generator, rows, device), values[TAU.name]).square().flatten(1).mean(1)


class WaveDistance(SolvedWave):
    """E(y − u)²/E x²."""

    text = "E (y − u)² / E x²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps along the characteristics, and by waves."""
        return waves.distance_steps()

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves, warp them and solve; shape (rows,)."""
        angle, tau = self.phases(generator, rows, device), values[TAU.name]
        gap = self.warped(torch.sin(angle), tau) - self.solution(angle, tau)
        return 2 * gap.square().flatten(1).mean(1)


@dataclass(frozen=True)
class UnfoldedWaves(WaveExperiment):
    """P(max |αx′| < 1) for waves of normal amplitude, αx′ of the deviation τ: the criterion of trajectories.

    Attributes:
        points: points of the period; forward differences take π²/6 over their square from the largest slope.
    """

    points: int = 128

    text = "P(min J > 0)"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the law of the amplitude."""
        return waves.unfolded_steps()

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and say which have J > 0 everywhere; shape (rows,)."""
        angle = self.phases(generator, rows, device)
        first, second = torch.from_numpy(generator.standard_normal((2, rows, 1, 1))).to(device)
        wave = first * torch.cos(angle) + second * torch.sin(angle)
        offsets = offsets_of(own_pixel_layer([[1.0]], values[TAU.name] / self.wavenumber, device=device), wave)
        around = torch.cat([offsets, offsets[..., :1]], dim=-1)
        return (jacobian_determinant(around) > 0).all(1).double()


@dataclass(frozen=True)
class EarlyPileUps(WaveExperiment):
    """The share of inputs with a gradient of more than M times, at a uniform time before the wave's first fold.

    Before a share 1 − 1/M of that time there are none. A row has a time from each of 16 equal parts of the rest.
    Positions J apart hit a pixel (1 + 2Σⱼ k̂(2πj/J) cos …)/J times: a cubic B-spline leaves 1e-3 of that sum where the
    linear kernel leaves 3 %. At 1024 points the share is right to 2e-4, at 256 to 2e-3.

    Attributes:
        points: points of the period.
    """

    points: int = 1024

    text = "P(1/J > M)"
    symbols = frozenset({waves.GAIN.name})
    times: ClassVar[int] = 16

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over time and phase."""
        return waves.early_pile_up_steps()

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of points of a row, over its times."""
        return self.times * self.points

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw waves and times, send ones back through the warp, and count inputs with more than M; shape (rows,)."""
        wave = torch.sin(self.phases(generator, rows * self.times, device))
        strata = np.tile(np.arange(self.times), rows)[:, None, None]
        gain = values[waves.GAIN.name]
        left = torch.from_numpy((strata + generator.random(strata.shape)) / self.times / gain).to(device)
        offsets = offsets_of(own_pixel_layer([[1.0]], 1 / self.wavenumber, device=device), (1 - left) * wave)
        hits = warping.hit_counts(offsets, kernel=self.setting.kernel, boundary="periodic")
        return (hits > gain).double().reshape(rows, -1).mean(1) / gain
