"""D4: the mean square error of any kernel, by its error kernel."""

from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results.discretization._errors import error, mean_square, of_covariances
from warptheory.results.fields._fields import (
    SHAPES,
    continuum_simulation,
    smooth_covariance,
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
        # The spline that stands for the truth adds 6e-4 of the error of Keys' kernel.
        Quantity(
            "mean error",
            mean_square(error, smooth_covariance),
            smallest_effect=0.015,
            bias=0.05,
            simulation=continuum_simulation(4),
        ),
        Quantity(
            "mean error, cubic spline",
            mean_square(error, smooth_covariance),
            kernels=("bspline3(prefilter=True)",),
            dims=(1,),
            # What stands for the truth errs in the same way, and by the fourth power of the refinement less.
            simulation=continuum_simulation(8),
        ),
        Quantity(
            "mean error, other kernels",
            mean_square(error, smooth_covariance),
            kernels=("nearest", "lanczos3", "gauss(0.5)"),
            dims=(1,),
            simulation=continuum_simulation(4),
        ),
        *of_covariances(error, lambda name: ()),
    ),
    kernels=("linear", "keys"),
    values={"l": Range(1.8, 1.2, 3.0), "h": Range(1.2, 0.8, 1.8), **SHAPES},
)
