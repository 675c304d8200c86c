"""D1: the mean square error of interpolation at a given fraction, for any covariance."""

from warptheory.fields import Exponential
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.discretization._errors import error
from warptheory.results.fields._fields import (
    LENGTH,
    continuum_simulation,
    field_on_grid,
    smooth_covariance,
    uniform_offsets,
)
from warptheory.symbolic import DEVIATION, Expectation

# Points per pixel: the fraction of 0.3 is one of them.
_POINTS = 10


def error_at_fraction(setting: Setting) -> Expectation:
    """State E[(y[n] − x(h(n + ε)))² | f] for a smooth field."""
    offsets = uniform_offsets(setting.dim)
    return Expectation(error(setting, field_on_grid(smooth_covariance(setting.dim)), offsets) ** 2, offsets.fraction)


def error_at_fraction_of_rough_field(setting: Setting) -> Expectation:
    """State the same for a field of exponential covariance."""
    offsets = uniform_offsets(setting.dim)
    rough = field_on_grid(Exponential(length=LENGTH, variance=DEVIATION**2, dim=setting.dim))
    return Expectation(error(setting, rough, offsets) ** 2, offsets.fraction)


def mean_error(setting: Setting) -> Expectation:
    """State E(y[n] − x(h(n + ε)))², every fraction equally likely."""
    offsets = uniform_offsets(setting.dim)
    return Expectation(error(setting, field_on_grid(smooth_covariance(setting.dim)), offsets) ** 2)


RESULT = Result(
    label="D1",
    title="Discretization error at a fraction",
    statement=(
        "The grid has the spacing h, positions the fraction f. Linear interpolation, d = 1, any C: E(y − x)² = "
        "C(0)(1 + (1 − f)² + f²) − 2(1 − f)C(fh) − 2fC((1 − f)h) + 2f(1 − f)C(h). Other kernels and axes: "
        "Σₘ,ₘ′ wₘwₘ′C(h(m − m′)) − 2Σₘ wₘC(h(f − m)) + C(0) with the weights wₘ = ∏ k(fᵢ − mᵢ)."
    ),
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero, known at the pixels of the grid.",
        "The offsets are independent of x; the fraction is given, or uniform on [0, 1)ᵈ.",
    ),
    source="arXiv 2511.20800, discretization; theory label D1",
    quantities=(
        Quantity(
            "error given f",
            error_at_fraction,
            smallest_effect=0.015,
            kernels=("linear", "keys"),
            # Points of a grid four times as fine, at which the field is exact: between them, the spline that reads it
            # would add 6e-4 of the error of Keys' kernel.
            values=lambda setting: {
                name: Range(standard, 0.25, 0.75, step=0.25)
                for name, standard in (("f", 0.25), ("f_1", 0.25), ("f_2", 0.5))
            },
            simulation=continuum_simulation(4),
        ),
        Quantity(
            "error given f, exponential covariance",
            error_at_fraction_of_rough_field,
            dims=(1,),
            simulation=continuum_simulation(_POINTS, on_points=True),
        ),
        Quantity("mean error", mean_error, smallest_effect=0.015, simulation=continuum_simulation(4)),
    ),
    kernels=("linear",),
    values={
        "l": Range(1.8, 1.2, 3.0),
        "h": Range(1.2, 0.8, 1.8),
        "f": Range(0.3, 0.1, 0.9, step=1 / _POINTS),
    },
)
