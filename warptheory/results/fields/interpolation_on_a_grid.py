"""C4: the variance of an interpolated field and of its offset derivative, on a grid."""

from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import SPACING, field_on_grid, smooth_covariance, uniform_offsets
from warptheory.symbolic import Variance, WarpedField, warp

result = Result(
    "C4",
    "Interpolation of a homogeneous field on a grid",
    "Linear interpolation at a uniform fraction, d = 1: Var y = C(0) − (C(0) − C(h))/3 and "
    "Var(∂Wx) = 2(C(0) − C(h))/h². d = 2, isotropic C: Var y = (4C₀₀ + 4C₁₀ + C₁₁)/9 and "
    "Var(∂₁Wx) = [(4/3)(C₀₀ − C₁₀) + (2/3)(C₁₀ − C₁₁)]/h². Other kernels weigh the lags that they "
    "reach, by Σ over Δ of C(hΔ) ∏ᵢ ∫k(u)k(u + Δᵢ)du.",
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero on a grid of spacing h, independent of the offsets.",
        "Every fraction of the position is equally likely.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C4",
    meaning="On a line interpolated features lose a third of the difference C(0) − C(h), and offsets receive the "
    "slope of the interpolant. Both follow from two numbers of the features, so measure these before "
    "choosing a kernel.",
    kernels=("linear", "keys"),
    values={"l": Range(1.8, 0.9, 3.0), "h": Range(1.2, 0.7, 2.0)},
)


@result.quantity("variance", kernels=("linear", "keys"))
def variance(setting: Setting) -> Variance:
    """State Var y[n]."""
    return Variance(_warped(setting)[PIXEL])


@result.quantity("variance of the offset derivative", kernels=("linear", "keys"))
def offset_derivative(setting: Setting) -> Variance:
    """State Var ∂₁y[n]/h, of the derivative per unit of length."""
    return Variance(_warped(setting).diff(0)[PIXEL] / SPACING)


def _warped(setting: Setting) -> WarpedField:
    return warp(field_on_grid(smooth_covariance(setting.dim)), uniform_offsets(setting.dim), setting.kernel)
