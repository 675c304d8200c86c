"""D5: the error of the offset gradient."""

from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.discretization._errors import derivative_error, mean_square, of_covariances
from warptheory.results.fields._fields import (
    SHAPES,
    SPACING,
    continuum_simulation,
    field_on_grid,
    smooth_covariance,
    uniform_offsets,
)
from warptheory.symbolic import Expectation, SmallSpacing


def leading_error(setting: Setting) -> SmallSpacing:
    """State the leading term for a fine grid."""
    x = field_on_grid(smooth_covariance(setting.dim))
    return SmallSpacing(Expectation(derivative_error(setting, x, uniform_offsets(setting.dim)) ** 2), SPACING)


def leading_error_at_fraction(setting: Setting) -> SmallSpacing:
    """State the leading term at a given fraction."""
    x, offsets = field_on_grid(smooth_covariance(setting.dim)), uniform_offsets(setting.dim)
    return SmallSpacing(Expectation(derivative_error(setting, x, offsets) ** 2, offsets.fraction), SPACING)


RESULT = Result(
    label="D5",
    title="Discretization error of the offset gradient",
    statement=(
        "E(∂ᵢWx/h − ∂ᵢx)² = (2π)⁻ᵈ ∫ S(ω) [ωᵢ²|1 − k̂(hω)|² + Σ_{n≠0} (ωᵢ + 2πnᵢ/h)² |k̂(hω + 2πn)|²] dω for "
        "continuous kernels. Linear interpolation: h²(f − ½)²λ₄ at the fraction f, (h²/12)λ₄ in the mean. The forward "
        "pass errs at h⁴, the gradient at h²: a second asymmetry of the two passes."
    ),
    assumptions=(
        "x is a homogeneous field of mean zero with spectral density S; λ₄ < ∞ for the leading terms.",
        "The offsets are independent of x; every fraction is equally likely, and independent along the axes, or given.",
    ),
    source="arXiv 2511.20800, discretization; theory label D5",
    quantities=(
        Quantity(
            "mean error",
            mean_square(derivative_error, smooth_covariance),
            smallest_effect=0.03,
            simulation=continuum_simulation(4),
        ),
        Quantity(
            "mean error, fine grid",
            leading_error,
            kernels=("linear",),
            dims=(1,),
            smallest_effect=0.02,
            values=lambda setting: {"l": Range(10.0, 8.0, 16.0), "h": Range(0.5, 0.3, 0.6)},
            simulation=continuum_simulation(),
        ),
        Quantity(
            "error given f, fine grid",
            leading_error_at_fraction,
            kernels=("linear",),
            dims=(1,),
            smallest_effect=0.02,
            values=lambda setting: {"l": Range(10.0, 8.0, 16.0), "h": Range(0.5, 0.3, 0.6)},
            simulation=continuum_simulation(),
        ),
        *of_covariances(derivative_error, lambda name: ("linear", "keys") if name == "Matérn" else ("linear",)),
    ),
    kernels=("linear", "keys", "bspline3(prefilter=True)", "lanczos3", "gauss(0.5)"),
    values={"l": Range(1.8, 1.2, 3.0), "h": Range(1.2, 0.8, 1.8), **SHAPES},
)
