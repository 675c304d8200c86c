"""A8: the gradient that an offset receives when several channels share it."""

import sympy as sp

from warptheory.results._result import PIXEL, Quantity, Result, Setting
from warptheory.symbolic import ExchangeableVariance, IIDField, OffsetField, Variance, warp_gradient

CHANNELS = sp.Symbol("C", positive=True)
GRADIENT_DEVIATION = sp.Symbol("sigma_g", positive=True)


def channel(setting: Setting, number: int) -> sp.Expr:
    """Return g_c[n]·∂₁y_c[n], what channel c adds to the gradient; all channels have the same offsets."""
    eps = OffsetField("uniform", setting.dim, scale="1/2")
    g = IIDField(f"g{number}", mean=0, deviation=GRADIENT_DEVIATION)
    slope = warp_gradient(IIDField(f"x{number}"), eps, 0, setting.kernel, name=f"y{number}")
    return (g * slope)[PIXEL]


def variance(setting: Setting) -> ExchangeableVariance:
    """State Var of the sum over C channels."""
    return ExchangeableVariance(channel(setting, 1), channel(setting, 2), CHANNELS)


def variance_of_four(setting: Setting) -> Variance:
    """State Var of the sum over four channels, written out: what one of 4 groups of offsets gets from 16 channels.

    The experiment draws the four channels of the group. That the operator keeps groups apart is a property of `warp`
    that its own tests hold against one call for each group.
    """
    return Variance(sp.Add(*(channel(setting, number) for number in (1, 2, 3, 4))))


RESULT = Result(
    label="A8",
    title="Gradient of an offset shared by channels",
    statement=(
        "∂L/∂εᵢ[n] = Σ_c g_c[n] ∂ᵢy_c[n] has variance C σ_g² σ² δ̄ ρ̄ᵈ⁻¹: channels add up although they share the "
        "offsets, because their gradients are uncorrelated. With G groups of offsets C/G channels take the place of "
        "C."
    ),
    assumptions=(
        "The channels of x and g are independent fields of independent pixels, g with mean 0 and variance σ_g².",
        "The fraction of the sampling position is uniform on [0, 1)ᵈ, and the same for all channels of a group.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A8",
    quantities=(Quantity("variance", variance), Quantity("variance, four channels a group", variance_of_four)),
    # That channels add is the same for every kernel; A7 has each kernel's own factor.
    kernels=("linear",),
)
