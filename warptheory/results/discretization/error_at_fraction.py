"""D1: the mean square error of interpolation at a given fraction, for any covariance."""

from warptheory.fields import Exponential
from warptheory.montecarlo import ContinuumSimulation
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.discretization._errors import error, mean_square
from warptheory.results.fields._fields import LENGTH, smooth_covariance
from warptheory.symbolic import DEVIATION

# Points per pixel: the fraction of 0.3 is one of them.
_POINTS = 10

result = Result(
    "D1",
    "Discretization error at a fraction",
    "The grid has the spacing h, positions the fraction f. Linear interpolation, d = 1, any C: E(y − x)² = "
    "C(0)(1 + (1 − f)² + f²) − 2(1 − f)C(fh) − 2fC((1 − f)h) + 2f(1 − f)C(h). Other kernels and axes: "
    "Σₘ,ₘ′ wₘwₘ′C(h(m − m′)) − 2Σₘ wₘC(h(f − m)) + C(0) with the weights wₘ = ∏ k(fᵢ − mᵢ).",
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero, known at the pixels of the grid.",
        "The offsets are independent of x; the fraction is given, or uniform on [0, 1)ᵈ.",
    ),
    source="arXiv 2511.20800, discretization; theory label D1",
    meaning="What interpolation gets wrong depends on the fraction of the position, from nothing on a pixel to "
    "the most half-way. An error that varies with the fraction looks like a signal to the offsets, so use "
    "a better kernel where features are rough.",
    kernels=("linear",),
    values={
        "l": Range(1.8, 1.2, 3.0),
        "h": Range(1.2, 0.8, 1.8),
        "f": Range(0.3, 0.1, 0.9, step=1 / _POINTS),
    },
)


@result.quantity(
    "error given f",
    smallest_effect=0.015,
    kernels=("linear", "keys"),
    # Points of a grid four times as fine, at which the field is exact: between them, the spline that reads it would add
    # 6e-4 of the error of Keys' kernel.
    values={
        name: Range(standard, 0.25, 0.75, step=0.25) for name, standard in (("f", 0.25), ("f_1", 0.25), ("f_2", 0.5))
    },
)
def error_at_fraction(setting: Setting) -> ContinuumSimulation:
    """State E[(y[n] − x(h(n + ε)))² | f] for a smooth field."""
    statistic = mean_square(error, setting, smooth_covariance(setting.dim), given_fraction=True)
    return ContinuumSimulation(statistic, setting.inputs, refinement=4)


@result.quantity("error given f, exponential covariance", dims=(1,))
def error_at_fraction_of_rough_field(setting: Setting) -> ContinuumSimulation:
    """State the same for a field of exponential covariance."""
    rough = Exponential(length=LENGTH, variance=DEVIATION**2, dim=setting.dim)
    statistic = mean_square(error, setting, rough, given_fraction=True)
    return ContinuumSimulation(statistic, setting.inputs, _POINTS, on_points=True)


@result.quantity("mean error", smallest_effect=0.015)
def mean_error(setting: Setting) -> ContinuumSimulation:
    """State E(y[n] − x(h(n + ε)))², every fraction equally likely."""
    statistic = mean_square(error, setting, smooth_covariance(setting.dim))
    return ContinuumSimulation(statistic, setting.inputs, refinement=4)
