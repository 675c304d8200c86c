"""A2: the variance of an interpolated value, given where between the pixels it is read."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import IIDField, OffsetField, Variance, warp

result = Result(
    "A2",
    "Variance at a given fraction",
    "Var(y | f) = σ² ∏ᵢ ρ(fᵢ) with ρ(f) = Σₘ k(f − m)²; for linear interpolation it lies between 2⁻ᵈσ² "
    "(half-way between the pixels) and σ² (on a pixel).",
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The offsets ε are independent of x; f is the fraction of the sampling position along each axis.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A2",
    meaning="Sampling half-way between pixels averages 2ᵈ of them and loses most of the variance of noise, "
    "sampling on a pixel loses none. Variance that differs from place to place in a warped feature map is "
    "therefore a picture of the fractions, and no feature of the image.",
    inputs=("normal", "exponential"),
)


@result.quantity("variance given f")
def variance_at_fraction(setting: Setting) -> Variance:
    """State Var(y[n] | f)."""
    eps = OffsetField(setting.offsets, setting.dim)
    y = warp(IIDField("x"), eps, setting.kernel)
    return Variance(y[PIXEL], given=eps.fraction)
