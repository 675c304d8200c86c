"""B7: folds. The sampling map t ↦ t + ε(t) of Gaussian slopes turns back on itself, and gradients pile up.

J = det(I + ∇ε) changes sign; where J = 0 (caustics) gradients pile up in the backward pass.

The theorem, then its quantities: what each is the mean of, and how it is drawn. The integrals that derive them are in
`_fold_integrals.py`, and the law of J that these start from is in `_gaussian_slopes.py`. Φ and φ are the distribution
and the density of the standard normal. The backward gain on a grid is the mean of (Wᵀ1)², which tends to E 1/|J|, and
so to infinity, as the grid is made finer; its growth per doubling of the resolution is gain(2N) − gain(N) for N pixels
in a period.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.results._experiment import DerivedExperiment, DerivedStatistic
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU, Setting
from warptheory.results.backward import _fold_integrals as integrals
from warptheory.results.backward._folded_fields import count_preimages, gaussian_offsets

# Public here: analyses compute the backward gain with it.
from warptheory.results.backward._folded_fields import mean_square_hits as mean_square_hits
from warptheory.symbolic import Step
from warptheory.warping.jacobian import jacobian_determinant

result = Result(
    "B7",
    "Folds and caustics of Gaussian slopes",
    "Slopes ∂ⱼεᵢ iid N(0, τ²), J = det(I + ∇ε). P(J < 0) = ½ P(χ²_d > 1/τ²) for d = 1, 2, 3: Φ(−1/τ), "
    "½exp(−1/2τ²), Φ(−1/τ) + φ(1/τ)/τ. Preimages of a point: E|J| = 1 − 2Φ(−1/τ) + 2τφ(1/τ) for d = 1, "
    "1 + τ²exp(−1/2τ²) for d = 2, in closed form for d = 3; counted with sign they are 1, in every single field. "
    "The density of J at 0 is positive, f(1/τ²)/τ² with f the density of χ²_d, so E 1/|J| is infinite: "
    "E[1/|J|; |J| > δ] grows like 2 p_J(0) log(1/δ), and the mean of (Wᵀ1)² on a grid by 2 log(2) p_J(0) with "
    "every doubling of its resolution.",
    assumptions=(
        "The slopes at a pixel are independent N(0, τ²), all d² alike.",
        "J is taken by forward differences, or in the continuum; preimages are those of offsets joined linearly "
        "between the pixels, for a point anywhere in a pixel.",
        "Growth: the offsets are a homogeneous Gaussian field, smooth on the scale of the grid.",
    ),
    source="arXiv 2511.20800, backward pass; theory label B7; Kac–Rice; Blaschke–Petkantschin (Schneider and Weil, "
    "Stochastic and Integral Geometry, Theorem 7.2.1)",
    meaning="Once slopes of the offsets come near one the map folds, and gradients pile up where it does, the "
    "more the finer the grid. Bound the slopes (`lipschitz`) where gradients blow up with the resolution.",
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"tau": Range(0.8, low=0.5, high=1.6, scale="log")},
)

GROWTH = "growth of the backward gain per doubling of the resolution"


class JacobianExperiment(DerivedExperiment):
    """The mean of a function of J over the pixels of offset fields with Gaussian slopes."""

    symbols = frozenset({TAU.name})
    period: ClassVar[int] = 4  # of the fields, in pixels

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field: those of one period, and its first pixels again."""
        return int((self.period + 1) ** self.setting.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields, take their Jacobians as users' networks are diagnosed, and average; shape (rows,)."""
        tau = values[TAU.name]
        offsets = gaussian_offsets(generator, rows, self.setting.dim, tau, self.period).to(device)
        return self.integrand(jacobian_determinant(offsets), tau).flatten(1).mean(1)

    @abstractmethod
    def integrand(self, jacobian: Float[Tensor, "rows *N"], tau: float) -> Float[Tensor, "rows *N"]:
        """Return the function of J, pixel by pixel, shape (rows, *N) as given."""


@result.quantity("fold probability")
class FoldProbability(JacobianExperiment):
    """P(J < 0)."""

    text = "P(J < 0)"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slopes."""
        return integrals.fold_probability_steps(self.setting.dim)

    def integrand(self, jacobian: Float[Tensor, "rows *N"], tau: float) -> Float[Tensor, "rows *N"]:
        """Return 1 where J < 0, and else 0, shape (rows, *N) as given."""
        return (jacobian < 0).double()


@result.quantity("preimages", smallest_effect=0.015)
@dataclass(frozen=True)
class Preimages(DerivedExperiment):
    """E|J|, the mean number of solutions t of t + ε(t) = s (Kac–Rice), counted one by one for a point s in a field.

    The offsets are joined linearly between the pixels; they are sums of functions of one coordinate each, so that
    t + ε(t) is affine on every cell of the grid, and a cell holds a solution if its image holds s. The slopes of that
    map are forward differences, independent N(0, τ²), and s lies anywhere in a cell: there is no error of
    discretisation.

    Attributes:
        period: that of the fields in pixels, 3 or more.
    """

    period: int = 3

    text = "E|J|"
    symbols = frozenset({TAU.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slopes."""
        return integrals.preimages_steps(self.setting.dim)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field: those of one period, and its first pixels again."""
        return int((self.period + 1) ** self.setting.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and a point for each, and count; shape (rows,)."""
        dim = self.setting.dim
        offsets = gaussian_offsets(generator, rows, dim, values[TAU.name], self.period).to(device)
        point = torch.from_numpy(self.period * generator.random((rows, dim))).to(device)
        return count_preimages(offsets, point, self.weight)

    def weight(self, jacobian: Float[Tensor, "M"]) -> Float[Tensor, "M"]:
        """Return what a solution counts, a function of its J, shape (M,)."""
        return torch.ones_like(jacobian)


@result.quantity("signed preimages")
class SignedPreimages(Preimages):
    """E J, the mean over s of Σ sign J over the solutions of t + ε(t) = s."""

    text = "E J"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slopes."""
        return integrals.signed_preimages_steps(self.setting.dim)

    def weight(self, jacobian: Float[Tensor, "M"]) -> Float[Tensor, "M"]:
        """Return −1 where φ turns back, shape (M,)."""
        return jacobian.sign()


_BAND = 0.8  # in units of τ²


@result.quantity("density at zero", smallest_effect=0.05)
class DensityAtZero(JacobianExperiment):
    """p_J(0), the density of J at 0, drawn as weights of J in a band about 0.

    The density is continuous, but has a kink at 0 for d > 1. On each side of it the weights are (9 − 36u + 30u²)/2w for
    |J| = uw, u < 1, some of them negative. They integrate 1, u, u² over the band to 1, 0, 0, so that a quadratic p_J
    gives p_J(0) exactly; on a line odd powers of J cancel too. The band has w = 0.8τ². By quadrature the error left is
    0.8 % for d = 1 at τ = 1.6, and below 0.3 % for τ up to 1.2 and in the plane.
    """

    text = "p_J(0)"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a mean over the slopes."""
        return integrals.density_at_zero_steps(self.setting.dim)

    def integrand(self, jacobian: Float[Tensor, "rows *N"], tau: float) -> Float[Tensor, "rows *N"]:
        """Return the weights, whose mean is the density, shape (rows, *N) as given."""
        width = _BAND * tau**2
        u = jacobian.abs() / width
        return torch.where(u < 1, (9 - 36 * u + 30 * u**2) / (2 * width), 0.0)


@result.quantity("backward gain in the continuum", checked_by=("density at zero", GROWTH))
def mean_inverse_jacobian(setting: Setting) -> DerivedStatistic:
    """State E 1/|J|, infinite and so not drawn: the two quantities named check how it diverges.

    It is the backward gain of B6 (`jensen.py`), which assumes J > 0.
    """
    return DerivedStatistic("E 1/|J|", partial(integrals.mean_inverse_jacobian_steps, setting.dim))


_STRATA = 64


@dataclass(frozen=True)
class CausticGrowth(DerivedExperiment):
    """How much the mean of (Wᵀ1)² grows from a grid of N pixels to one of 2N, for the same random waves.

    The offsets εᵢ = Σⱼ A sin(ktⱼ + θ), k = 2π/N, A and θ new for each i and j, are Gaussian: kA/τ is Rayleigh, θ
    uniform. On the finer grid the same wave is 2N pixels long and its amplitude 2A; each grid lies anywhere, by a shift
    of its own. A row is the mean over one field from each of 64 equal parts of the range of every A, θ and coordinate
    of the grid (a Latin hypercube), which keeps the mean and takes off some of the scatter.

    Attributes:
        period: N, that of the fields in pixels of the coarser grid.
    """

    period: int

    text = "lim (h → 0) of (E (Wᵀ1)² at h/2 − E (Wᵀ1)² at h)"
    symbols = frozenset({TAU.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from a sum over pairs of outputs, in the limit of fine grids."""
        return integrals.growth_per_doubling_steps(self.setting.dim)

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a row, over its fields and both grids."""
        return int((1 + 2**self.setting.dim) * self.period**self.setting.dim * _STRATA)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw fields and splat ones at both resolutions; shape (rows,)."""
        dim = self.setting.dim
        waves, shifts = dim**2, 2 * dim
        order = generator.permuted(np.broadcast_to(np.arange(_STRATA), (2 * waves + shifts, rows, _STRATA)), axis=-1)
        uniform = torch.from_numpy((order + generator.random(order.shape)) / _STRATA).to(device).flatten(1).T
        u_slope, u_phase, shift_fine, shift_coarse = torch.split(uniform, [waves, waves, dim, dim], dim=1)
        slope = (values[TAU.name] * torch.sqrt(-2 * torch.log1p(-u_slope))).reshape(-1, dim, dim)
        phase = (2 * math.pi * u_phase).reshape(-1, dim, dim)
        gain_fine = mean_square_hits(slope, phase, shift_fine, 2 * self.period)
        gain_coarse = mean_square_hits(slope, phase, shift_coarse, self.period)
        return (gain_fine - gain_coarse).reshape(rows, _STRATA).mean(1)


@result.quantity(GROWTH, smallest_effect=0.02, dims=(1,))
def growth(setting: Setting) -> CausticGrowth:
    """State how much the backward gain grows on a line, from a grid that is fine enough."""
    return CausticGrowth(setting, period=128)


@result.quantity(
    f"{GROWTH} in the plane",
    smallest_effect=0.06,
    dims=(2,),
    values={"tau": Range(0.8, low=0.75, high=1.2, scale="log")},
)
def growth_in_the_plane(setting: Setting) -> CausticGrowth:
    """State the same in the plane, on the finest affordable grid.

    Its discretisation error is a ninth of `smallest_effect`.
    """
    return CausticGrowth(setting, period=24)
