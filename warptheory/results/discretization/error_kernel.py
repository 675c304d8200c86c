"""D4: the mean square error of any kernel, by its error kernel."""

from collections.abc import Callable

from warptheory.fields import Covariance
from warptheory.results._ranges import Range
from warptheory.results._result import Quantity, Result, Setting
from warptheory.results.discretization._errors import error
from warptheory.results.fields._fields import (
    FAMILIES,
    IMAGE,
    SHAPES,
    continuum_simulation,
    field_on_grid,
    image_covariance,
    smooth_covariance,
    uniform_offsets,
)
from warptheory.symbolic import Expectation, SpectralForm


def mean_error_of(field: Callable[[int], Covariance]) -> Callable[[Setting], SpectralForm]:
    """Return what states E(y[n] − x(h(n + ε)))² for a field of that covariance, every fraction equally likely."""

    def statistic(setting: Setting) -> SpectralForm:
        x = field_on_grid(field(setting.dim))
        return SpectralForm(Expectation(error(setting, x, uniform_offsets(setting.dim)) ** 2))

    return statistic


def _of_family(name: str) -> Quantity:
    return Quantity(
        f"mean error, {name}",
        mean_error_of(FAMILIES[name]),
        smallest_effect=0.03,
        dims=(1,),
        values=lambda setting: {"l": Range(1.8, 1.6, 2.5, "log"), "h": Range(1.2, 0.9, 1.4)},
        simulation=continuum_simulation(8 if name == "Matérn" else 4, wrapped=1e-4),
    )


RESULT = Result(
    label="D4",
    title="The error kernel",
    statement=(
        "E(y − x)² = (2π)⁻ᵈ ∫ S(ω) [|1 − k̂(hω)|² + Σ_{n≠0} |k̂(hω + 2πn)|²] dω, k̂ the product over the axes: what the "
        "kernel takes from a wave, and what it adds as images of it. The bracket is of the order |hω|^2L for a kernel "
        "that reproduces polynomials of degree L − 1: L = 2 for linear, 3 for keys, 4 for cubic splines."
    ),
    assumptions=(
        "x is a homogeneous field of mean zero with spectral density S.",
        "The offsets are independent of x; every fraction is equally likely, and independent along the axes.",
    ),
    source=(
        "arXiv 2511.20800, discretization; theory label D4; T. Blu, M. Unser, IEEE Trans. Signal Process. 47(10), 1999"
    ),
    quantities=(
        # The spline that stands for the truth adds 2e-4 of the error of Keys' kernel; at four points per pixel, 6e-4.
        Quantity("mean error", mean_error_of(smooth_covariance), simulation=continuum_simulation(6)),
        Quantity(
            "mean error, cubic spline",
            mean_error_of(smooth_covariance),
            kernels=("bspline3(prefilter=True)",),
            dims=(1,),
            # What stands for the truth errs in the same way, and by the fourth power of the refinement less.
            simulation=continuum_simulation(8),
        ),
        Quantity(
            "mean error, other kernels",
            mean_error_of(smooth_covariance),
            kernels=("nearest", "lanczos3", "gauss(0.5)"),
            dims=(1,),
            simulation=continuum_simulation(4),
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
    kernels=("linear", "keys"),
    values={"l": Range(1.8, 1.2, 3.0), "h": Range(1.2, 0.8, 1.8), **SHAPES},
)
