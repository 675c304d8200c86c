"""A5: the tails of a warped value."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import ExcessKurtosis, IIDField, OffsetField, warp

result = Result(
    "A5",
    "Tails of a warped value",
    "Interpolation at a random fraction mixes variances: excess kurtosis (κ₄(x)/σ⁴ (∫k⁴)ᵈ + 3 (∫ρ²)ᵈ)/ρ̄²ᵈ − 3, "
    "which for normal input and the linear kernel is 3((21/20)ᵈ − 1).",
    assumptions=(
        "The pixels x[m] are independent with one law that has four moments.",
        "The fraction of the sampling position is uniform on [0, 1)ᵈ and independent of x.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A5",
    inputs=("uniform",),
)


@result.quantity("excess kurtosis", smallest_effect=0.02)
def excess_kurtosis(setting: Setting) -> ExcessKurtosis:
    """State the excess kurtosis of y[n] for normal input and offsets uniform over one pixel."""
    return _excess_kurtosis(setting, IIDField("x", law="normal"))


@result.quantity("excess kurtosis, any input", smallest_effect=0.02)
def excess_kurtosis_of_any_input(setting: Setting) -> ExcessKurtosis:
    """State the same for input of any law, which enters by its fourth cumulant κ₄."""
    return _excess_kurtosis(setting, IIDField("x"))


def _excess_kurtosis(setting: Setting, x: IIDField) -> ExcessKurtosis:
    return ExcessKurtosis(warp(x, OffsetField("uniform", setting.dim, scale="1/2"), setting.kernel)[PIXEL])
