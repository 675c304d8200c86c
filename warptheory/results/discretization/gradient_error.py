"""D5: the error of the offset gradient."""

from collections.abc import Callable

from warptheory.fields import Covariance
from warptheory.results._ranges import Range
from warptheory.results._result import Quantity, Result, Setting
from warptheory.results.discretization._errors import derivative_error
from warptheory.results.fields._fields import (
    FAMILIES,
    IMAGE,
    SHAPES,
    SPACING,
    continuum_simulation,
    field_on_grid,
    image_covariance,
    smooth_covariance,
    uniform_offsets,
)
from warptheory.symbolic import Expectation, SmallSpacing, SpectralForm


def mean_error_of(field: Callable[[int], Covariance]) -> Callable[[Setting], SpectralForm]:
    """Return what states E(∂₁y[n]/h − ∂₁x)² for a field of that covariance, every fraction equally likely."""

    def statistic(setting: Setting) -> SpectralForm:
        x = field_on_grid(field(setting.dim))
        return SpectralForm(Expectation(derivative_error(setting, x, uniform_offsets(setting.dim)) ** 2))

    return statistic


def _of_family(name: str) -> Quantity:
    # Where C is rougher, so is the spline that stands for the truth.
    return Quantity(
        f"mean error, {name}",
        mean_error_of(FAMILIES[name]),
        smallest_effect=0.03,
        kernels=("linear", "keys") if name == "Matérn" else ("linear",),
        dims=(1,),
        values=lambda setting: {"l": Range(1.8, 1.6, 2.5, "log"), "h": Range(1.2, 0.9, 1.4)},
        simulation=continuum_simulation(8 if name == "Matérn" else 4, wrapped=1e-4),
    )


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
            "mean error", mean_error_of(smooth_covariance), smallest_effect=0.02, simulation=continuum_simulation(4)
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
        *map(_of_family, FAMILIES),
        Quantity(
            f"mean error, {IMAGE}",
            mean_error_of(image_covariance),
            smallest_effect=0.1,
            # Of slow correlations beyond the period, and of waves near the finest that splines do not read well.
            bias=0.3,
            kernels=("linear",),
            dims=(2,),
            values=lambda setting: {"h": Range(0.8, 0.7, 0.9)},
            simulation=continuum_simulation(2, wrapped=2e-3),
        ),
    ),
    kernels=("linear", "keys", "bspline3(prefilter=True)", "lanczos3", "gauss(0.5)"),
    values={"l": Range(1.8, 1.2, 3.0), "h": Range(1.2, 0.8, 1.8), **SHAPES},
)
