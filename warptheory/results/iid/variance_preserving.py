"""A12: offsets and factors that keep the variance."""

import sympy as sp

from warptheory import kernels
from warptheory.results._result import PIXEL, Quantity, Result, Setting
from warptheory.symbolic import IIDField, OffsetField, Variance, kernel_mean, splat, warp


def variance_of_whole_offsets(setting: Setting) -> Variance:
    """State Var y[n] for offsets of one pixel to either side."""
    whole = OffsetField("rademacher", setting.dim, scale=1)
    return Variance(warp(IIDField("x"), whole, setting.kernel)[PIXEL])


def rescaled_forward_variance(setting: Setting) -> Variance:
    """State the variance of ρ̄^(−d/2) y[n], offsets uniform over one pixel."""
    return Variance(_factor(setting) * warp(IIDField("x"), _uniform(setting), setting.kernel)[PIXEL])


def rescaled_backward_variance(setting: Setting) -> Variance:
    """State the variance of ρ̄^(−d/2) (Wᵀg)[m], offsets uniform over one pixel."""
    return Variance(_factor(setting) * splat(IIDField("g", mean=0), _uniform(setting), setting.kernel)[PIXEL])


def _uniform(setting: Setting) -> OffsetField:
    return OffsetField("uniform", setting.dim, scale="1/2")


def _factor(setting: Setting) -> sp.Expr:
    return kernel_mean(kernels.get(setting.kernel), 0, 0) ** -sp.Rational(setting.dim, 2)


RESULT = Result(
    label="A12",
    title="Offsets and factors that keep the variance",
    statement=(
        "The gain E ρ(ε)ᵈ is 1 if and only if ρ(ε) = 1 almost surely: for the linear kernel, offsets in whole pixels."
        " With a uniform fraction the factor ρ̄^(−d/2) restores the variance of the output, and with it that of the "
        "gradient to white input: both passes have the gain ρ̄ᵈ."
    ),
    assumptions=(
        "The pixels of x, or of g with mean 0, are independent with one law of variance σ².",
        "The offsets are independent of x and g.",
        "The kernel is a partition of unity; for whole offsets also interpolating, k(m) = 0 for m ≠ 0.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A12",
    quantities=(
        Quantity("variance, whole offsets", variance_of_whole_offsets, kernels=("linear", "keys")),
        Quantity("forward variance, rescaled", rescaled_forward_variance),
        Quantity("backward variance, rescaled", rescaled_backward_variance),
    ),
)
