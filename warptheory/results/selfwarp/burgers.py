"""F1: a self-warp is a step of Burgers' equation, folds where its slope passes −1, and how often that is.

y(t) = x(t + αx(t)) is a semi-Lagrangian step of ∂ₛu = u ∂ₜu over the time α, with the foot of the characteristic taken
from the velocity at its arrival. The solution itself is u(t) = x(t + αu(t)).

Two things can happen to the step, and they are not the same. The map t ↦ t + αx(t), by which it reads, folds where
αx′ < −1, where the flow spreads out: its feet have crossed each other. Burgers' solution breaks where αx′ > 1, where
the flow runs together: a shock. The criterion of trajectories, α|x′| < 1 everywhere, excludes both; a homogeneous field
of symmetric law has one as often as the other.
"""

import sympy as sp

from warptheory.fields import Matern, RationalQuadratic
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.fields._fields import EXACT, LENGTH, smooth_covariance
from warptheory.results.selfwarp._characteristics import burgers_solution as burgers_solution  # analyses solve it too
from warptheory.results.selfwarp._fold_experiments import (
    FoldedPoints,
    FoldRate,
    FoldsInInterval,
    LatePileUps,
    OrthonormalHeads,
)
from warptheory.results.selfwarp._heads import SCALE
from warptheory.results.selfwarp._wave_experiments import (
    ConservedEnergy,
    EarlyPileUps,
    UnfoldedWaves,
    WaveDistance,
    WaveEnergy,
)
from warptheory.symbolic import DEVIATION

result = Result(
    "F1",
    "A self-warp is a step of Burgers' equation, and folds",
    "y(t) = x(t + αx(t)) is one semi-Lagrangian step of ∂ₛu = u ∂ₜu, whose solution is u(t) = x(t + αu(t)). The "
    "map t ↦ t + αx(t) folds where αx′ < −1, the solution has a shock where αx′ > 1, and neither happens while "
    "α|x′| < 1. Down-crossings of −1 by αx′, that is folds, are (1/2π)√(λ₄/λ₂) exp(−1/(2α²λ₂)) per pixel "
    "(Kac–Rice), turning points twice as many; a point lies in a fold with probability Φ(−1/(α√λ₂)), and an "
    "interval of length T meets Φ(−1/(α√λ₂)) + T times the rate of folds on average, which bounds the probability "
    "that the least αx′ in it is below −1. The law of that minimum itself is known for a wave whose cosine and "
    "sine have normal coefficients, 1 − exp(−1/(2α²λ₂)) of which do not fold. Heads with the Gram matrix G on "
    "independent channels of isotropic fields have slopes of covariance α²λ₂Gᵢₖδⱼₗ: d orthonormal ones fold as "
    "independent offsets do (B7), one channel with unit weights in every component folds as on a line. One step "
    "of a wave of slope τ = max αx′ keeps 1 − J₂(2τ) of its energy and is, in mean square, τ⁴/8 + … from the "
    "solution, which keeps all of it. At a uniform time before a wave's first fold gradients above M times what "
    "enters come to a share of inputs that falls as the power −5/2 of M (density −7/2), after folds as the power "
    "−2 (density −3).",
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
    meaning="A self-warp moves features as a fluid moves itself, so steep features fold first, and how often they "
    "do depends only on the slope √λ₂ of what the head sees times its scale α, through the factor "
    "exp(−1/(2α²λ₂)). Keep α√λ₂ below a third: on a line, for squared exponential features, there is one "
    "fold in about three hundred correlation lengths then, and one in six where it is one.",
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
        "alpha": SCALE,
        "T": "length of an interval, in pixels",
        "M": "by how much a gradient is multiplied on its way back through a warp",
    },
)


# Two per cent: a count scatters as √N, and no part of it is known beforehand.
@result.quantity("folds per pixel", smallest_effect=0.02)
def fold_rate(setting: Setting) -> FoldRate:
    """State the rate of folds of a field with C(τ) = σ² exp(−τ²/2ℓ²)."""
    return FoldRate(setting, smooth_covariance(setting.dim))


@result.quantity("folds per pixel, Matérn field", smallest_effect=0.02)
def fold_rate_of_matern(setting: Setting) -> FoldRate:
    """State the rate of folds of a Matérn field of ν = 9/2: at 7/2, h³ is left after extrapolation, 0.7 %."""
    return FoldRate(setting, Matern(length=LENGTH, variance=DEVIATION**2, dim=1, nu=sp.Rational(9, 2)))


@result.quantity("folds per pixel, rational quadratic field", smallest_effect=0.02)
def fold_rate_of_rational_quadratic(setting: Setting) -> FoldRate:
    """State the rate of folds of a rational quadratic field of shape 4, of correlations on many scales."""
    return FoldRate(setting, RationalQuadratic(length=LENGTH, variance=DEVIATION**2, dim=1, alpha=4))


@result.quantity("folds that meet an interval", smallest_effect=0.02)
def folds_in_interval(setting: Setting) -> FoldsInInterval:
    """State it for a field with C(τ) = σ² exp(−τ²/2ℓ²)."""
    return FoldsInInterval(setting, smooth_covariance(setting.dim))


result.quantity("fold probability", dims=(1, 2))(FoldedPoints)
result.quantity("fold probability, orthonormal heads", dims=(2,))(OrthonormalHeads)
result.quantity("gradients above M times, after folds")(LatePileUps)
result.quantity("energy of a wave after a self-warp", kernels=EXACT)(WaveEnergy)
result.quantity("energy of Burgers' solution before the shock", kernels=EXACT)(ConservedEnergy)
result.quantity("distance of a self-warp from Burgers' solution", kernels=EXACT)(WaveDistance)
result.quantity("waves without a fold")(UnfoldedWaves)
result.quantity("gradients above M times, before the first fold", bias=0.05, kernels=("bspline3",))(EarlyPileUps)
