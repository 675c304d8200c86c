"""A3: the variance of a warped value when every fraction is equally likely."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import IIDField, OffsetField, Variance, warp

result = Result(
    "A3",
    "Variance with a uniform fraction",
    "Var y = σ² ρ̄ᵈ with ρ̄ = ∫k²: (2/3)ᵈ σ² for multilinear interpolation, "
    "so that each warp of white input keeps only that share of the variance.",
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The fraction of the sampling position is uniform on [0, 1)ᵈ and independent of x.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A3",
    meaning="A layer with bilinear interpolation at spread-out offsets keeps four ninths of the variance of white "
    "features, and a stack of such layers starves. Rescale by A12, normalise behind the warp, or take a "
    "sharper kernel.",
    inputs=("normal", "exponential"),
    dims=(1, 2, 3),
)


@result.quantity("variance")
def variance(setting: Setting) -> Variance:
    """State Var y[n] for offsets uniform over one pixel."""
    eps = OffsetField("uniform", setting.dim, scale="1/2")
    return Variance(warp(IIDField("x"), eps, setting.kernel)[PIXEL])
