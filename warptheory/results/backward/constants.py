"""B3: what the two passes make of constants, and of gradients that are correlated."""

from warptheory.results._ranges import Range, wide_offsets
from warptheory.results._result import Result
from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.results.backward._correlated_splat import (
    FiniteSplatVariance,
    GaussianSplatVariance,
    SmoothSplatVariance,
    WideSplatVariance,
)
from warptheory.results.fields._fields import LENGTH
from warptheory.symbolic import Expectation, IIDField, OffsetField, Variance, WideOffsets, splat, warp

result = Result(
    "B3",
    "Constants and correlated gradients",
    "W1 = 1 exactly, but Wᵀ1 has mean 1 and the variance (E ρ)ᵈ − (Σⱼ w(j)²)ᵈ, w(j) = E k(ε + j) = (k∗q)(j), "
    "which tends to ρ̄ᵈ for wide offsets. For g of mean μ and spectral density S_g, Wᵀg has the density |ŵ|²S_g +"
    " (R̂ − |ŵ|²)(Var g + μ²), and the variance ρ̄ᵈ(Var g + μ²) in the limit: the mean of g turns into noise. "
    "As a sum over pixels: (C_g(0) + μ²)(E ρ)ᵈ + Σ_{n≠n′} w(n)w(n′)(C_g(n − n′) + μ²) − μ². For g that is long "
    "against the spread of the offsets it tends to C_g(0) + (C_g(0) + μ²) Var Wᵀ1.",
    assumptions=(
        "The offsets are independent of g, over pixels and along axes.",
        "The kernel is a partition of unity; the boundary adds nothing (periodic, or far away).",
        "Correlated g is white noise, with a mean, that independent offsets have warped: its covariance is known. "
        "A Gaussian field is checked for C_g = σ² exp(−|τ|²/2ℓ²).",
    ),
    source="arXiv 2511.20800, forward and backward pass; theory label B3",
    meaning="The mean of a gradient, which many losses have, turns into noise on its way through a warp, since "
    "inputs are read unequally often. Losses that average over the image suffer most, so check "
    "`input_gradient_variance` where the loss is a mean.",
    offsets=("normal",),
)

ONES = IIDField("g", mean=1, deviation=0)
_BOTH = ("linear", "keys")
_LENGTH = Range(1.5, 1.0, 2.5, "log")


@result.quantity("variance of the response to ones")
def backward_variance(setting: Setting) -> Variance:
    """State Var (Wᵀ1)[m]."""
    return Variance(splat(ONES, OffsetField(setting.offsets, setting.dim), setting.kernel)[PIXEL])


@result.quantity("variance of the response to ones, wide offsets", kernels=_BOTH, values=wide_offsets)
def wide_backward_variance(setting: Setting) -> WideOffsets:
    """State its limit for wide offsets, uniform on [−a, a)."""
    z = splat(ONES, OffsetField("uniform", setting.dim), setting.kernel)
    return WideOffsets(Variance(z[PIXEL]), HALF_WIDTH)


@result.quantity("mean of the response to ones", kernels=_BOTH)
def backward_mean(setting: Setting) -> Expectation:
    """State E (Wᵀ1)[m]."""
    return Expectation(splat(ONES, OffsetField(setting.offsets, setting.dim), setting.kernel)[PIXEL])


@result.quantity("mean square of warped ones", kernels=_BOTH)
def forward_mean_square(setting: Setting) -> Expectation:
    """State E (W1)[n]²."""
    return Expectation(warp(ONES, OffsetField(setting.offsets, setting.dim), setting.kernel)[PIXEL] ** 2)


@result.quantity("variance, correlated gradients", kernels=_BOTH)
def correlated_variance(setting: Setting) -> Variance:
    """State Var (Wᵀg)[m] for correlated g with a mean: white noise that another warp has smoothed."""
    return _correlated_variance(setting, setting.offsets)


@result.quantity("variance, correlated gradients, wide offsets", kernels=_BOTH, values=wide_offsets)
def wide_correlated_variance(setting: Setting) -> WideOffsets:
    """State its limit for wide offsets of both."""
    return WideOffsets(_correlated_variance(setting, "uniform"), HALF_WIDTH)


def _correlated_variance(setting: Setting, offsets: str) -> Variance:
    g = warp(IIDField("u"), OffsetField(offsets, setting.dim, name="eta"), setting.kernel, name="g")
    return Variance(splat(g, OffsetField(offsets, setting.dim), setting.kernel)[PIXEL])


@result.quantity("variance, Gaussian gradients", smallest_effect=0.05, values={LENGTH.name: _LENGTH})
def gaussian_variance(setting: Setting) -> GaussianSplatVariance:
    """State Var (Wᵀg)[m] for a Gaussian field g of mean μ and covariance C_g."""
    return FiniteSplatVariance.of(setting, setting.offsets)


@result.quantity(
    "variance, smooth Gaussian gradients",
    smallest_effect=0.01,  # a tenth of what the operator adds
    bias=0.1,  # of the neglected terms, 2 (s/ℓ)² at most
    values={LENGTH.name: Range(32.0, 28.0, 48.0, "log"), "s": Range(0.3, 0.2, 0.5, "log")},
)
def smooth_gaussian_variance(setting: Setting) -> GaussianSplatVariance:
    """State its limit for g that is long against the spread of the offsets."""
    return SmoothSplatVariance.of(setting, setting.offsets)


@result.quantity(
    "variance, Gaussian gradients, wide offsets",
    smallest_effect=0.02,
    values=lambda setting: {**wide_offsets(setting), LENGTH.name: _LENGTH},
)
def wide_gaussian_variance(setting: Setting) -> GaussianSplatVariance:
    """State its limit for offsets that are spread widely against the length of g."""
    return WideSplatVariance.of(setting, "uniform")
