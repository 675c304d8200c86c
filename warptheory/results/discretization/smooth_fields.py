"""D2: the error of interpolating smooth fields, to leading order in the spacing of the grid."""

from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.discretization._errors import error
from warptheory.results.fields._fields import (
    SPACING,
    continuum_simulation,
    field_on_grid,
    smooth_covariance,
    uniform_offsets,
)
from warptheory.symbolic import Expectation, SmallSpacing


def mean_error(setting: Setting) -> SmallSpacing:
    """State the leading term of E(y[n] − x(h(n + ε)))², every fraction equally likely."""
    x = field_on_grid(smooth_covariance(setting.dim))
    return SmallSpacing(Expectation(error(setting, x, uniform_offsets(setting.dim)) ** 2), SPACING)


def error_at_fraction(setting: Setting) -> SmallSpacing:
    """State the leading term at a given fraction."""
    x, offsets = field_on_grid(smooth_covariance(setting.dim)), uniform_offsets(setting.dim)
    return SmallSpacing(Expectation(error(setting, x, offsets) ** 2, offsets.fraction), SPACING)


RESULT = Result(
    label="D2",
    title="Discretization error of smooth fields",
    statement=(
        "For linear interpolation of a field with λ₄ < ∞ on a grid of spacing h → 0 the mean square error is "
        "(h⁴/120)λ₄ for d = 1, (h⁴/4)[(λ₄₀ + λ₀₄)/30 + λ₂₂/18] for d = 2, and (h⁴/4)f²(1 − f)²λ₄ at the fraction f. "
        "Keys' kernel, which reproduces parabolas, has (h⁶/7560)λ₆ for d = 1."
    ),
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero, smooth enough for the spectral moment that occurs.",
        "The offsets are independent of x; the fraction is uniform on [0, 1)ᵈ, or given.",
    ),
    source="arXiv 2511.20800, discretization; theory label D2",
    quantities=(
        Quantity(
            "mean error",
            mean_error,
            smallest_effect=0.03,
            values=lambda setting: {"l": {1: Range(10.0, 8.0, 16.0), 2: Range(7.0, 6.0, 9.0)}[setting.dim]},
            simulation=continuum_simulation(),
        ),
        Quantity(
            "mean error, parabolas exact",
            mean_error,
            kernels=("keys",),
            dims=(1,),
            smallest_effect=0.03,
            values=lambda setting: {"l": Range(40.0, 30.0, 50.0)},
            simulation=continuum_simulation(),
        ),
        Quantity(
            "error given f", error_at_fraction, dims=(1,), smallest_effect=0.02, simulation=continuum_simulation()
        ),
    ),
    kernels=("linear",),
    values={"l": Range(10.0, 8.0, 16.0), "h": Range(0.5, 0.3, 0.6)},
)
