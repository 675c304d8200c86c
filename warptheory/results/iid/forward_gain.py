"""A4: the variance of a warped value for any law of the offsets."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import IIDField, OffsetField, Variance, warp

result = Result(
    "A4",
    "Forward gain for any law of the offsets",
    "Var y = σ² (Σⱼ cⱼ χ(2πj))ᵈ, with cⱼ the Fourier coefficients of ρ and χ the characteristic function of the "
    "offset along an axis. Linear kernel and N(0, s²): 2/3 + 2 Σ_{j≥1} exp(−2π²j²s²)/(π²j²) for d = 1.",
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The offsets ε are independent of x, and independent and alike along the axes.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, independent inputs; Poisson summation; theory label A4",
    meaning="From a spread of half a pixel on, the gain no longer depends on the offsets; below that it falls "
    "steeply from one. An initialisation that is right at zero offsets is wrong by (2/3)ᵈ once they have "
    "moved by half a pixel, so normalise behind the warp or rescale as offsets grow.",
    offsets=("normal", "uniform", "laplace", "mixture", "constant"),
)


@result.quantity("variance")
def variance(setting: Setting) -> Variance:
    """State Var y[n]."""
    y = warp(IIDField("x"), OffsetField(setting.offsets, setting.dim), setting.kernel)
    return Variance(y[PIXEL])
