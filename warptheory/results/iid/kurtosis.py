"""A5: the tails of a warped value."""

from functools import partial

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
    meaning="Interpolated noise has slightly heavier tails than a normal law, an excess kurtosis of 0.15 on a "
    "line and 0.3 in the plane. That is no cause for concern in the forward pass; the backward pass has "
    "far heavier ones (B2).",
    inputs=("uniform",),
)


def _excess_kurtosis(setting: Setting, x: IIDField) -> ExcessKurtosis:
    """State the excess kurtosis of y[n] for offsets uniform over one pixel."""
    return ExcessKurtosis(warp(x, OffsetField("uniform", setting.dim, scale="1/2"), setting.kernel)[PIXEL])


# Input of any law enters by its fourth cumulant κ₄.
for _name, _law in {"excess kurtosis": "normal", "excess kurtosis, any input": None}.items():
    result.quantity(_name, smallest_effect=0.02)(partial(_excess_kurtosis, x=IIDField("x", law=_law)))
