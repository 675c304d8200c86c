"""A7: the derivative of a warped value in its offset, which scales the gradient that offsets receive."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import Covariance, IIDField, OffsetField, Variance, WarpedField, warp, warp_gradient

result = Result(
    "A7",
    "Variance of the offset derivative",
    "Var(∂ᵢWx) = σ² δ̄ ρ̄ᵈ⁻¹ with δ̄ = ∫k′²: 2σ²(2/3)ᵈ⁻¹ for multilinear interpolation. At a given fraction "
    "Var(∂ᵢWx | f) = σ² δ(fᵢ) ∏_{j≠i} ρ(fⱼ) and Cov(y, ∂ᵢy | f) = (σ²/2) ρ′(fᵢ) ∏_{j≠i} ρ(fⱼ).",
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The offsets ε are independent of x; the fraction is uniform on [0, 1)ᵈ, or given.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A7",
    meaning="The gradient that an offset receives from white features has twice their variance, per pixel squared "
    "and on a line: noise teaches offsets loudly. Smooth the features that are warped, or give offsets a "
    "smaller learning rate than weights.",
)


@result.quantity("variance")
def variance(setting: Setting) -> Variance:
    """State Var ∂₁y[n] for offsets uniform over one pixel."""
    eps = OffsetField("uniform", setting.dim, scale="1/2")
    return Variance(warp_gradient(IIDField("x"), eps, 0, setting.kernel)[PIXEL])


@result.quantity("variance given f", kernels=("linear", "keys"))
def variance_at_fraction(setting: Setting) -> Variance:
    """State Var(∂₁y[n] | f)."""
    _, gradient = _value_and_gradient(setting)
    return Variance(gradient[PIXEL], given=gradient.offsets.fraction)


@result.quantity("covariance given f", kernels=("linear", "keys"))
def covariance_at_fraction(setting: Setting) -> Covariance:
    """State Cov(y[n], ∂₁y[n] | f)."""
    value, gradient = _value_and_gradient(setting)
    return Covariance(value[PIXEL], gradient[PIXEL], given=value.offsets.fraction)


def _value_and_gradient(setting: Setting) -> tuple[WarpedField, WarpedField]:
    x, eps = IIDField("x"), OffsetField(setting.offsets, setting.dim)
    return warp(x, eps, setting.kernel), warp_gradient(x, eps, 0, setting.kernel)
