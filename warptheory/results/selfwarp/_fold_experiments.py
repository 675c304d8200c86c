"""Experiments on folds: fields on fine grids, and heads on small ones, by the offsets of the module itself.

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

from warptheory.fields import CovarianceFunction
from warptheory.fields.sampling import kept_sampler
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._setting import TAU
from warptheory.results.backward import _fold_integrals
from warptheory.results.backward._folded_fields import gaussian_offsets
from warptheory.results.fields._fields import smooth_covariance
from warptheory.results.selfwarp import _heads as heads
from warptheory.results.selfwarp import _waves as waves
from warptheory.results.selfwarp._kac_rice import fold_rate_steps
from warptheory.results.selfwarp._layers import offsets_of, own_pixel_layer
from warptheory.symbolic import Step, restated
from warptheory.symbolic.gaussian import normal_density
from warptheory.warping.jacobian import jacobian_determinant

INTERVAL = sp.Symbol("T", positive=True)
_PER_LENGTH = 8  # points of the grid per length ℓ
_POINTS = 2048
STRIDES = (1, 2, 4)
# Σ wᵢ N(sᵢh) = N(0) + O(h⁶) for N even in h: Σ wᵢ = 1, Σ wᵢ sᵢ² = Σ wᵢ sᵢ⁴ = 0.
WEIGHTS = (64 / 45, -20 / 45, 1 / 45)


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
        offsets = offsets_of(own_pixel_layer([[1.0]], values[heads.ALPHA.name] / spacing, device=device), x)
        around = torch.cat([offsets, offsets[..., : 2 * max(STRIDES)]], dim=-1)
        cells = jacobian_determinant(around)
        rate, share = torch.zeros(rows, device=device), torch.zeros(rows, device=device)
        for stride, weight in zip(STRIDES, WEIGHTS, strict=True):
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
        return fold_rate_steps(self.covariance, heads.ALPHA)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and count the folds; shape (rows,)."""
        return self.folds(generator, rows, values, device)[0]


class FoldsInInterval(FoldExperiment):
    """The mean number of folded stretches that meet an interval, which bounds the probability of a fold in it."""

    text = "E N(T)"
    symbols = frozenset({"sigma", "l", "alpha", "T"})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from those of the rate: at the start of the interval, and within it."""
        start = _line_probability(heads.ALPHA * sp.sqrt(self.covariance.second_moment()))[-1].expression
        reason = (
            "a stretch that meets the interval holds its start, or begins in it; P(N ≥ 1) ≤ E N, sharp while folds "
            "are rare; "
        )
        steps = fold_rate_steps(self.covariance, heads.ALPHA)
        return restated(steps, reason, lambda rate: sp.Add(start, INTERVAL * rate))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and count in all intervals that begin at a point; shape (rows,)."""
        rate, share = self.folds(generator, rows, values, device)
        return share + values[INTERVAL.name] * rate


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
        return heads.ALPHA * sp.sqrt(smooth_covariance(self.setting.dim).second_moment())

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field: those of one period, and its first pixels again."""
        return int((self.period + 1) ** self.setting.dim)

    def jacobian(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows *N"]:
        """Draw channels and return J by the module's offsets, shape (rows, *N)."""
        channels = gaussian_offsets(generator, rows, self.setting.dim, values["sigma"] / values["l"], self.period)
        layer = own_pixel_layer(self.weights, values[heads.ALPHA.name], device=device)
        return jacobian_determinant(offsets_of(layer, channels[:, : len(self.weights[0])].to(device)))


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


class LatePileUps(HeadsExperiment):
    """E[|J|; |J| < 1/M]: branches per input whose gradient is multiplied by more than M, at a fixed scale."""

    text = "E[|J|; |J| < 1/M]"
    symbols = frozenset({"sigma", "l", "alpha", "M"})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slope."""
        jacobian, z = sp.symbols("J z", real=True)
        end, slope = 1 / waves.GAIN, self.slope
        standard = sp.expand((1 + slope * z) * normal_density(z, sp.Integer(0), sp.Integer(1)))
        ends = [(edge - 1) / slope for edge in (-end, sp.Integer(0), end)]
        weighted = jacobian * normal_density(jacobian, sp.Integer(1), slope**2)
        below, above = (sp.Integral(standard, (z, *piece)) for piece in itertools.pairwise(ends))
        primitive = sp.integrate(standard, z)
        lower, middle, upper = (primitive.xreplace({z: end}) for end in ends)
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
                sp.powsimp(sp.expand(upper - 2 * middle + lower)),
            ),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and average |J| where it is small; shape (rows,)."""
        size = self.jacobian(generator, rows, values, device).abs()
        return torch.where(size < 1 / values[waves.GAIN.name], size, 0.0).flatten(1).mean(1)


def _line_probability(slope: sp.Expr) -> tuple[Step, ...]:
    """Return B7's steps to P(1 + z < 0), z normal, for another name of its deviation."""
    return restated(_fold_integrals.fold_probability_steps(1), "", lambda found: found.subs(TAU, slope))
