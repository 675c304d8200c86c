"""B1: the backward pass has the second moment of the forward one."""

from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.symbolic import Expectation, IIDField, OffsetField, splat

result = Result(
    "B1",
    "Second moment of the backward pass",
    "For white g of mean 0, E (Wᵀg)² = σ² (E ρ(ε))ᵈ, the gain of the forward pass for the same law of the offsets"
    " (A4): tr WWᵀ = tr WᵀW, and Σₙ k(n + ε − m)² over the outputs is ρ(ε) just as Σₘ k(ε − m)² over the taps. "
    "σ²ρ̄ᵈ for a uniform fraction.",
    assumptions=(
        "The gradients g[n] are independent with one law of mean 0 and variance σ².",
        "The offsets ε are independent of g; independent over pixels and alike along the axes.",
    ),
    source="arXiv 2511.20800, forward and backward pass; theory label B1",
    meaning="On average the backward pass of a warp loses exactly what the forward pass loses, so that a steady "
    "gradient norm does not show that the two passes are alike. They differ in tails, constants and "
    "smooth gradients (B2, B3, B6).",
    offsets=("normal", "uniform", "mixture"),
)


@result.quantity("second moment")
def second_moment(setting: Setting) -> Expectation:
    """State E (Wᵀg)[m]² for white g."""
    z = splat(IIDField("g", mean=0), OffsetField(setting.offsets, setting.dim), setting.kernel)
    return Expectation(z[PIXEL] ** 2)
