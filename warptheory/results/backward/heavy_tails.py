"""B2: the backward pass has heavier tails than the forward one."""

from warptheory.results._ranges import wide_offsets
from warptheory.results._result import Result
from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.symbolic import ExcessKurtosis, IIDField, OffsetField, WideOffsets, splat

result = Result(
    "B2",
    "Tails of the backward pass",
    "For normal white g and widely spread offsets the excess kurtosis of Wᵀg is 3(κ₄/ρ̄²)ᵈ, κ₄ = ∫k⁴: 2.7 and "
    "2.43 for the linear kernel in d = 1, 2, where the forward pass has 3((21/20)ᵈ − 1). An input is read by a "
    "random number of outputs; an output always reads a whole set of taps. At a finite spread it is 3(E Σk⁴ − "
    "Σₙ(E k²)²)/(E ρ)² in one dimension.",
    assumptions=(
        "The gradients g[n] are independent normal variables of mean 0.",
        "The offsets are independent of g, over pixels and along axes; uniform on [−a, a), and a → ∞ in the limit.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, forward and backward pass; theory label B2",
    meaning="A warp gives its gradient in lumps: some inputs are read by many outputs, others by none. Expect "
    "outliers of the gradient to inputs, and clip by value or position rather than by norm.",
)


# At these widths the exact kurtosis is within a tenth of the smallest effect of the limit.
@result.quantity("excess kurtosis, wide offsets", smallest_effect=0.02, values=wide_offsets)
def wide_kurtosis(setting: Setting) -> WideOffsets:
    """State its limit for wide offsets."""
    return WideOffsets(finite_kurtosis(setting), HALF_WIDTH)


@result.quantity("excess kurtosis", smallest_effect=0.02)
def finite_kurtosis(setting: Setting) -> ExcessKurtosis:
    """State the excess kurtosis of (Wᵀg)[m] for normal g and offsets uniform on [−a, a)."""
    z = splat(IIDField("g", law="normal", mean=0), OffsetField("uniform", setting.dim), setting.kernel)
    return ExcessKurtosis(z[PIXEL])
