"""C6: how far random offsets move a field from itself."""

from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import (
    CONTINUUM,
    EXACT,
    SPREAD,
    FieldSimulation,
    smooth_field,
    smooth_offsets,
)
from warptheory.symbolic import Expectation, SmallOffsets, compose

result = Result(
    "C6",
    "Sensitivity to deformations",
    "E|x∘φ − x|² = 2C(0) − 2(2π)⁻ᵈ ∫ S(ω) exp(−|ω|²K(0)/2) dω for Gaussian offsets: about λ₂ d K(0) while they are "
    "small against the field's length, and 2C(0) once they are large. For C(τ) = σ² exp(−|τ|²/2ℓ²) it is "
    "2σ²(1 − (1 + K(0)/ℓ²)^(−d/2)). Bounds of deformation stability, ‖∇x‖_∞ ‖ε‖_∞, hold for every deformation and "
    "grow without end; this is what a random one does on average.",
    assumptions=(
        "x is a homogeneous field with spectral density S.",
        "The offsets are Gaussian with variance K(0) along each axis, independent of x; how they are correlated "
        "from pixel to pixel does not matter.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C6",
    meaning="A random deformation changes smooth features by λ₂ times the squared length of the offsets while "
    "these are small, and never by more than twice the features' variance. Bounds by the largest slope of "
    "the features are far too careful for offsets that a network predicts.",
    kernels=EXACT,
    # The shorter the offsets are correlated, the more a row of pixels says.
    values={**CONTINUUM, "l_e": Range(1.0, 0.6, 1.5)},
)


@result.quantity("displacement error", smallest_effect=0.015)
def displacement_error(setting: Setting) -> FieldSimulation:
    """State E (x∘φ − x)²."""
    return FieldSimulation(_displacement_error(setting), setting.inputs, refinement=2, finest=1.0)


# The leading term leaves out (d + 2)s²/4ℓ² of it.
@result.quantity("displacement error, small offsets", smallest_effect=0.015, values={"s": Range(0.01, 0.005, 0.015)})
def small_offsets(setting: Setting) -> FieldSimulation:
    """State the leading term of the displacement error for offsets that are small against the field's length."""
    statistic = SmallOffsets(_displacement_error(setting), SPREAD)
    return FieldSimulation(statistic, setting.inputs, refinement=2, finest=1.0)


def _displacement_error(setting: Setting) -> Expectation:
    x = smooth_field(setting.dim)
    return Expectation((compose(x, smooth_offsets(setting.dim))[PIXEL] - x[PIXEL]) ** 2)
