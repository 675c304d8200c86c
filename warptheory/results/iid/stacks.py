"""A9: what repeated warping leaves of the variance."""

from warptheory.results._result import HALF_WIDTH, PIXEL, Quantity, Result, Setting, wide_offsets
from warptheory.symbolic import Field, IIDField, OffsetField, Variance, WideOffsets, warp


def stack(setting: Setting, layers: int) -> Field:
    """Return x after a number of warps with independent offsets, uniform on [−a, a)."""
    y: Field = IIDField("x")
    for number in range(1, layers + 1):
        y = warp(y, OffsetField("uniform", setting.dim, name=f"epsilon_{number}"), setting.kernel, name=f"y{number}")
    return y


def variance_of_two(setting: Setting) -> Variance:
    """State the variance after two layers."""
    return Variance(stack(setting, 2)[PIXEL])


def wide_variance_of_three(setting: Setting) -> WideOffsets:
    """State the variance after three layers whose offsets are spread widely."""
    return WideOffsets(Variance(stack(setting, 3)[PIXEL]), HALF_WIDTH)


RESULT = Result(
    label="A9",
    title="Variance of stacked warps",
    statement=(
        "L warps with independent, widely spread offsets leave σ² ρ̄ᵈᴸ of white input. At a finite spread a little "
        "more stays, because a warp correlates neighbours: its output has the spectral density |ŵ|²S + ∫(R̂ − |ŵ|²)S, "
        "ŵ(θ) = Σⱼ k̂(θ + 2πj) χ(θ + 2πj), R̂ = E |Σₘ k(ε − m) exp(imθ)|²; W and R in the steps are |ŵ|² and R̂ of a "
        "layer."
    ),
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The offsets of every layer and pixel are independent, uniform on [−a, a)ᵈ.",
        "The kernel is a partition of unity with finitely many taps.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A9",
    quantities=(
        Quantity("variance after two layers", variance_of_two),
        # At these widths the exact variance is within 0.1 % of the limit.
        Quantity("variance after three layers, wide offsets", wide_variance_of_three, values=wide_offsets),
    ),
)
