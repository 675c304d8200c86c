"""A8: the gradient that an offset receives when several channels share it."""

import sympy as sp

from warptheory.results._quantity import Quantity
from warptheory.results._ranges import whole
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.iid._automatic import GroupGradient, check_groups
from warptheory.symbolic import ExchangeableVariance, IIDField, OffsetField, warp_gradient

CHANNELS = sp.Symbol("C", positive=True)
GROUPS = sp.Symbol("G", positive=True)
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


def variance_of_groups(setting: Setting) -> ExchangeableVariance:
    """State the same for one of G groups of offsets, which C/G of the channels share."""
    return ExchangeableVariance(channel(setting, 1), channel(setting, 2), CHANNELS / GROUPS)


RESULT = Result(
    label="A8",
    title="Gradient of an offset shared by channels",
    statement=(
        "∂L/∂εᵢ[n] = Σ_c g_c[n] ∂ᵢy_c[n] has variance C σ_g² σ² δ̄ ρ̄ᵈ⁻¹: channels add up although they share the "
        "offsets, because their gradients are uncorrelated. With G groups of offsets C/G channels take the place of "
        "C. The experiment with groups draws them all and runs a loss backward, the other one its channels' terms."
    ),
    assumptions=(
        "The channels of x and g are independent fields of independent pixels, g with mean 0 and variance σ_g².",
        "The fraction of the sampling position is uniform on [0, 1)ᵈ, and the same for all channels of a group.",
        "The kernel is a partition of unity.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A8",
    quantities=(
        Quantity("variance", variance),
        Quantity(
            "variance, groups of offsets",
            variance_of_groups,
            smallest_effect=0.02,
            values=lambda setting: {"C": whole(6, 1, 12), "G": whole(3, 1, 4)},
            simulation=lambda _, s: GroupGradient(s.kernel, s.dim, s.inputs),
            check_drawn=lambda setting, values: check_groups(values),
        ),
    ),
    # That channels add is the same for every kernel; A7 has each kernel's own factor.
    kernels=("linear",),
)
