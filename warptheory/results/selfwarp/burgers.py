"""F1: a self-warp is a step of Burgers' equation, folds where its slope passes −1, and how often that is.

y(t) = x(t + αx(t)) is a semi-Lagrangian step of ∂ₛu = u ∂ₜu over the time α, with the foot of the characteristic taken
from the velocity at its arrival. The solution itself is u(t) = x(t + αu(t)).

Two things can happen to the step, and they are not the same. The map t ↦ t + αx(t), by which it reads, folds where
αx′ < −1, where the flow spreads out: its feet have crossed each other. Burgers' solution breaks where αx′ > 1, where
the flow runs together: a shock. The criterion of trajectories, α|x′| < 1 everywhere, excludes both; a homogeneous field
of symmetric law has one as often as the other.

Folds are drawn on grids of eight points per length ℓ of the field. The count N(h) on a grid of spacing h is even in h;
those at h, 2h and 4h, of the same fields, are extrapolated to h = 0 with an error of order h⁶ (Richardson).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.fields import CovarianceFunction, Matern, RationalQuadratic
from warptheory.fields.sampling import kept_sampler
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU, Setting
from warptheory.results.backward import _fold_integrals
from warptheory.results.backward._folded_fields import gaussian_offsets
from warptheory.results.fields._fields import EXACT, LENGTH, smooth_covariance
from warptheory.results.selfwarp import _waves as waves
from warptheory.results.selfwarp._characteristics import burgers_solution as burgers_solution  # analyses solve it too
from warptheory.results.selfwarp._kac_rice import fold_rate_steps
from warptheory.results.selfwarp._layers import offsets_of, own_pixel_layer
from warptheory.symbolic import DEVIATION, Step, restated
from warptheory.symbolic.gaussian import normal_density
from warptheory.warping.jacobian import jacobian_determinant

result = Result(
    "F1",
    "A self-warp is a step of Burgers' equation, and folds",
    "y(t) = x(t + αx(t)) is one semi-Lagrangian step of ∂ₛu = u ∂ₜu, whose solution is u(t) = x(t + αu(t)). The map "
    "t ↦ t + αx(t) folds where αx′ < −1, the solution has a shock where αx′ > 1, and neither happens while α|x′| < 1. "
    "Down-crossings of −1 by αx′, that is folds, are (1/2π)√(λ₄/λ₂) exp(−1/(2α²λ₂)) per pixel (Kac–Rice), turning "
    "points twice as many; a point lies in a fold with probability Φ(−1/(α√λ₂)), and an interval of length T meets "
    "Φ(−1/(α√λ₂)) + T times the rate of folds on average, which bounds the probability that the least αx′ in it is "
    "below −1. The law of that minimum itself is known for a wave of normal amplitude, 1 − exp(−1/(2α²λ₂)) of which "
    "do not fold. Heads with the Gram matrix G on independent channels of isotropic fields have slopes of "
    "covariance α²λ₂Gᵢₖδⱼₗ: d orthonormal ones fold as independent offsets do (B7), one channel in every component "
    "folds as on a line. One step of a wave of slope τ = max αx′ keeps 1 − J₂(2τ) of its energy and is, in mean "
    "square, τ⁴/8 + … from the solution, which keeps all of it. At a uniform time before a wave's first fold "
    "gradients above M times what enters come to a share of inputs that falls as the power −5/2 of M (density −7/2), "
    "after folds as the power −2 (density −3).",
    assumptions=(
        "x is a homogeneous Gaussian field of finite fourth spectral moment λ₄, on one axis, and the head reads the "
        "pixel itself with weight 1.",
        "Heads on several channels: the channels are independent and isotropic.",
        "Waves: x = A sin(kt + θ) with a uniform phase, αkA = τ < 1.",
        "The field is smooth on the scale of the grid, or counts are extrapolated to a spacing of zero.",
    ),
    source="arXiv 2511.20800, self-warp; theory label F1; S. O. Rice, Bell Syst. Tech. J. 24, 46 (1945); "
    "P. K. Smolarkiewicz, J. A. Pudykiewicz, J. Atmos. Sci. 49, 2082 (1992), for the criterion of trajectories; "
    "J. Bec, U. Frisch, Phys. Rev. E 61, 1395 (2000), and R. H. Kraichnan, Phys. Fluids 11, 3738 (1999), for powers",
    meaning="A self-warp moves features as a fluid moves itself, so steep features fold first, and how often they do "
    "depends only on the slope √λ₂ of what the head sees times its scale α, through the factor exp(−1/(2α²λ₂)). "
    "Keep α√λ₂ below a third, where there is one fold in about three hundred correlation lengths, for at one there is "
    "one in six, and each of them piles up gradient.",
    kernels=("linear",),
    dims=(1,),
    values={
        "sigma": Range(1.3, 1.0, 1.7, "log"),
        "l": Range(2.0, 1.6, 2.4),
        "alpha": Range(1.6, 1.3, 2.2, "log"),
        "T": Range(3.0, 1.0, 6.0),
        "M": Range(2.5, 1.8, 4.0, "log"),
        "tau": Range(0.6, 0.4, 0.9),
    },
    notation={
        "alpha": "the scale of a self-warp: pixels of offset per unit of what its head computes",
        "T": "length of an interval, in pixels",
        "M": "by how much a gradient is multiplied on its way back through a warp",
    },
)

SCALE = sp.Symbol("alpha", positive=True)
INTERVAL = sp.Symbol("T", positive=True)
_PER_LENGTH = 8  # points of the grid per length ℓ
_POINTS = 2048
_STRIDES = (1, 2, 4)
# Σ wᵢ N(sᵢh) = N(0) + O(h⁶) for N even in h: Σ wᵢ = 1, Σ wᵢ sᵢ² = Σ wᵢ sᵢ⁴ = 0.
_WEIGHTS = (64 / 45, -20 / 45, 1 / 45)


@dataclass(frozen=True)
class FoldExperiment(DerivedExperiment):
    """Gaussian fields on a fine periodic grid, and the folds of the module's own offsets there.

    Attributes:
        covariance: the covariance of the field x, with the symbols σ and ℓ.
    """

    covariance: CovarianceFunction

    symbols = frozenset({"sigma", "l", "alpha"})

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of points of a field."""
        return _POINTS

    def folds(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> tuple[Float[Tensor, "rows"], Float[Tensor, "rows"]]:
        """Draw fields, and return folds per pixel and the share of folded points, extrapolated; both (rows,)."""
        spacing = values["l"] / _PER_LENGTH
        sampler = kept_sampler(self.covariance.subs(values), (_POINTS,), spacing, periodic=True)
        x = sampler.sample(rows, generator, device=device)
        offsets = offsets_of(own_pixel_layer([[1.0]], values[SCALE.name] / spacing, device=device), x)
        around = torch.cat([offsets, offsets[..., : 2 * max(_STRIDES)]], dim=-1)
        cells = jacobian_determinant(around)
        rate, share = torch.zeros(rows, device=device), torch.zeros(rows, device=device)
        for stride, weight in zip(_STRIDES, _WEIGHTS, strict=True):
            # The slope over a stride is the mean of those of its cells.
            folded = cells[:, : _POINTS + stride].clone()
            for step in range(1, stride):
                folded += cells[:, step : _POINTS + stride + step]
            below = folded < 0
            begins = (~below[:, :_POINTS] & below[:, stride:]).sum(1)
            rate = rate + weight * begins / (_POINTS * stride * spacing)
            share = share + weight * below[:, :_POINTS].sum(1) / _POINTS
        return rate.double(), share.double()


class FoldRate(FoldExperiment):
    """The mean number of folds per pixel: of stretches with αx′ < −1, each counted where it begins."""

    text = "E N / T"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the Kac–Rice formula."""
        return fold_rate_steps(self.covariance, SCALE)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and count the folds; shape (rows,)."""
        return self.folds(generator, rows, values, device)[0]


# Two per cent: a count scatters as √N, and no part of it is known beforehand.
@result.quantity("folds per pixel", smallest_effect=0.02)
def fold_rate(setting: Setting) -> FoldRate:
    """State the rate of folds of a field with C(τ) = σ² exp(−τ²/2ℓ²)."""
    return FoldRate(setting, smooth_covariance(setting.dim))


@result.quantity("folds per pixel, Matérn field", smallest_effect=0.025)
def fold_rate_of_matern(setting: Setting) -> FoldRate:
    """State the rate of folds of a Matérn field of ν = 9/2: at 7/2, h³ is left after extrapolation, 0.7 %."""
    return FoldRate(setting, Matern(length=LENGTH, variance=DEVIATION**2, dim=1, nu=sp.Rational(9, 2)))


@result.quantity("folds per pixel, rational quadratic field", smallest_effect=0.025)
def fold_rate_of_rational_quadratic(setting: Setting) -> FoldRate:
    """State the rate of folds of a rational quadratic field of shape 4, of correlations on many scales."""
    return FoldRate(setting, RationalQuadratic(length=LENGTH, variance=DEVIATION**2, dim=1, alpha=4))


class FoldsInInterval(FoldExperiment):
    """The mean number of folded stretches that meet an interval, which bounds the probability of a fold in it."""

    text = "E N(T)"
    symbols = frozenset({"sigma", "l", "alpha", "T"})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from those of the rate: at the start of the interval, and within it."""
        start = _line_probability(SCALE * sp.sqrt(self.covariance.second_moment()))[-1].expression
        reason = (
            "a stretch that meets the interval holds its start, or begins in it; P(N ≥ 1) ≤ E N, sharp while folds "
            "are rare; "
        )
        return restated(fold_rate_steps(self.covariance, SCALE), reason, lambda rate: sp.Add(start, INTERVAL * rate))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and count in all intervals that begin at a point; shape (rows,)."""
        rate, share = self.folds(generator, rows, values, device)
        return share + values[INTERVAL.name] * rate


@result.quantity("folds that meet an interval", smallest_effect=0.02)
def folds_in_interval(setting: Setting) -> FoldsInInterval:
    """State it for a field with C(τ) = σ² exp(−τ²/2ℓ²)."""
    return FoldsInInterval(setting, smooth_covariance(setting.dim))


def _line_probability(slope: sp.Expr) -> tuple[Step, ...]:
    """Return B7's steps to P(1 + z < 0), z normal, for another name of its deviation."""
    return restated(_fold_integrals.fold_probability_steps(1), "", lambda found: found.subs(TAU, slope))


@dataclass(frozen=True)
class HeadsExperiment(DerivedExperiment):
    """J of a self-warp whose heads read the pixel itself, over the pixels of small fields.

    The channels are sums of waves along single axes, whose forward differences are independent N(0, σ²/ℓ²): there is
    no error of discretisation.
    """

    symbols = frozenset({"sigma", "l", "alpha"})
    period: ClassVar[int] = 4

    @property
    def weights(self) -> Sequence[Sequence[float]]:
        """W: a row for each component of the offsets, a column for each channel."""
        return [[1 / math.sqrt(self.setting.dim)]] * self.setting.dim

    @property
    def slope(self) -> sp.Expr:
        """α√λ₂, the deviation of the slopes of a unit head."""
        return SCALE * sp.sqrt(smooth_covariance(self.setting.dim).second_moment())

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field: those of one period, and its first pixels again."""
        return int((self.period + 1) ** self.setting.dim)

    def jacobian(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows *N"]:
        """Draw channels and return J by the module's offsets, shape (rows, *N)."""
        channels = gaussian_offsets(generator, rows, self.setting.dim, values["sigma"] / values["l"], self.period)
        layer = own_pixel_layer(self.weights, values[SCALE.name], device=device)
        return jacobian_determinant(offsets_of(layer, channels[:, : len(self.weights[0])].to(device)))


@result.quantity("fold probability", dims=(1, 2))
class FoldedPoints(HeadsExperiment):
    """P(J < 0) for one channel in every component, ε = αxv with |v| = 1: J = 1 + αv·∇x."""

    text = "P(J < 0)"

    def steps(self) -> tuple[Step, ...]:
        """Return B7's steps on a line: the slope along v has the variance λ₂ whatever v."""
        reason = "∇ε = αv∇xᵀ has rank one, J = 1 + αv·∇x, of variance α²λ₂; "
        return restated(_line_probability(self.slope), reason, lambda found: found)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and average; shape (rows,)."""
        return (self.jacobian(generator, rows, values, device) < 0).double().flatten(1).mean(1)


@result.quantity("fold probability, orthonormal heads", dims=(2,))
class OrthonormalHeads(FoldedPoints):
    """P(J < 0) for heads that are orthonormal rows over d channels: the slopes are independent, as in B7."""

    @property
    def weights(self) -> Sequence[Sequence[float]]:
        """A rotation of two channels."""
        return [[0.6, 0.8], [-0.8, 0.6]]

    def steps(self) -> tuple[Step, ...]:
        """Return B7's steps in the plane."""
        reason = (
            "orthonormal combinations of independent channels are independent, and so are their slopes along axes; "
        )
        steps = _fold_integrals.fold_probability_steps(self.setting.dim)
        return restated(steps, reason, lambda found: found.subs(TAU, self.slope))


@result.quantity("gradients above M times, after folds")
class LatePileUps(HeadsExperiment):
    """E[|J|; |J| < 1/M]: branches per input whose gradient is multiplied by more than M, at a fixed scale."""

    text = "E[|J|; |J| < 1/M]"
    symbols = frozenset({"sigma", "l", "alpha", "M"})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slope."""
        jacobian, z = sp.symbols("J z", real=True)
        end, slope = 1 / waves.GAIN, self.slope
        standard = (1 + slope * z) * normal_density(z, sp.Integer(0), sp.Integer(1))
        ends = [(edge - 1) / slope for edge in (-end, sp.Integer(0), end)]
        weighted = jacobian * normal_density(jacobian, sp.Integer(1), slope**2)
        below, above = (sp.Integral(standard, (z, *piece)) for piece in itertools.pairwise(ends))
        return (
            Step(
                "Count inputs by outputs",
                "a short stretch of outputs covers |J| inputs, whose gradient is its own over |J|; J ~ N(1, α²λ₂)",
                sp.Integral(weighted, (jacobian, 0, end)) - sp.Integral(weighted, (jacobian, -end, 0)),
            ),
            Step("Split", "J = 1 + α√λ₂ z, z ~ N(0, 1); |J| = −J below the caustic J = 0", above - below),
            Step(
                "Integrate",
                "for large M it is p_J(0)/M², so that the density of 1/|J| falls as the power −3",
                sp.simplify(above.doit() - below.doit()),
            ),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and average |J| where it is small; shape (rows,)."""
        size = self.jacobian(generator, rows, values, device).abs()
        return torch.where(size < 1 / values[waves.GAIN.name], size, 0.0).flatten(1).mean(1)


@dataclass(frozen=True)
class WaveExperiment(DerivedExperiment):
    """A wave of one period, of slope τ and a random phase, and the module that warps it.

    Attributes:
        points: points of the period.
    """

    points: int = 256

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


@result.quantity("energy of a wave after a self-warp", kernels=EXACT)
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

    def solution(self, angle: Float[Tensor, "rows 1 N"], tau: float) -> Float[Tensor, "rows 1 N"]:
        """Return the solution at angles, shape (rows, 1, N), by root finding."""
        found = burgers_solution(np.sin, angle.cpu().numpy(), tau, bound=1.0)
        return torch.from_numpy(found).to(angle.device)


@result.quantity("energy of Burgers' solution before the shock", kernels=EXACT)
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


@result.quantity("distance of a self-warp from Burgers' solution", kernels=EXACT)
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


@result.quantity("waves without a fold")
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


@result.quantity("gradients above M times, before the first fold", bias=0.05, kernels=("bspline3",))
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
