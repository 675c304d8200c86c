"""D4: the mean square error of any kernel, by its error kernel."""

from functools import partial

from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results.discretization._errors import by_spectrum, declare_covariances, error
from warptheory.results.fields._fields import SHAPES

result = Result(
    "D4",
    "The error kernel",
    "E(y − x)² = (2π)⁻ᵈ ∫ S(ω) [|1 − k̂(hω)|² + Σ_{n≠0} |k̂(hω + 2πn)|²] dω, k̂ the product over the axes: what the "
    "kernel takes from a wave, and what it adds as images of it. The bracket is of the order |hω|^2L for a kernel "
    "that reproduces polynomials of degree L − 1: L = 2 for linear, 3 for keys, 4 for cubic splines.",
    assumptions=(
        "x is a homogeneous field of mean zero with spectral density S.",
        "The offsets are independent of x; every fraction is equally likely, and independent along the axes.",
    ),
    source=(
        "arXiv 2511.20800, discretization; theory label D4; T. Blu, M. Unser, IEEE Trans. Signal Process. 47(10), 1999"
    ),
    meaning="The error of a kernel is its spectrum read against that of the features: what it takes away and what "
    "it folds back. Choose the kernel by the frequencies that your features have, with the page on "
    "kernels at hand.",
    kernels=("linear", "keys"),
    values={"l": Range(1.8, 1.2, 3.0), "h": Range(1.2, 0.8, 1.8), **SHAPES},
)


_mean_error = partial(by_spectrum, error, refinement=4)
# The spline that stands for the truth adds 6e-4 of the error of Keys' kernel.
result.quantity("mean error", smallest_effect=0.015, bias=0.05)(_mean_error)
# What stands for the truth errs in the same way, and by the fourth power of the refinement less.
result.quantity("mean error, cubic spline", kernels=("bspline3(prefilter=True)",), dims=(1,))(
    partial(by_spectrum, error, refinement=8)
)
result.quantity("mean error, other kernels", kernels=("nearest", "lanczos3", "gauss(0.5)"), dims=(1,))(_mean_error)
declare_covariances(result, error, lambda name: ())
