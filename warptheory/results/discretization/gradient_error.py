"""D5: the error of the offset gradient."""

from functools import partial

from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results.discretization._errors import (
    by_spectrum,
    declare_covariances,
    derivative_error,
    leading_error,
)
from warptheory.results.fields._fields import SHAPES

result = Result(
    "D5",
    "Discretization error of the offset gradient",
    "E(∂ᵢWx/h − ∂ᵢx)² = (2π)⁻ᵈ ∫ S(ω) [ωᵢ²|1 − k̂(hω)|² + Σ_{n≠0} (ωᵢ + 2πnᵢ/h)² |k̂(hω + 2πn)|²] dω for "
    "continuous kernels. Linear interpolation: h²(f − ½)²λ₄ at the fraction f, (h²/12)λ₄ in the mean. The forward "
    "pass errs at h⁴, the gradient at h²: a second asymmetry of the two passes.",
    assumptions=(
        "x is a homogeneous field of mean zero with spectral density S; λ₄ < ∞ for the leading terms.",
        "The offsets are independent of x; every fraction is equally likely, and independent along the axes, or given.",
    ),
    source="arXiv 2511.20800, discretization; theory label D5",
    meaning="The gradient of an offset is less accurate than the value, h² against h⁴, and the value's accuracy "
    "says little about it. Train with a kernel of higher order if offsets have to find sub-pixel "
    "positions.",
    kernels=("linear", "keys", "bspline3(prefilter=True)", "lanczos3", "gauss(0.5)"),
    values={"l": Range(1.8, 1.2, 3.0), "h": Range(1.2, 0.8, 1.8), **SHAPES},
)

_FINE_GRID = {"l": Range(10.0, 8.0, 16.0), "h": Range(0.5, 0.3, 0.6)}

result.quantity("mean error", smallest_effect=0.03)(partial(by_spectrum, derivative_error, refinement=4))
for _name, _given_fraction in {"mean error": False, "error given f": True}.items():
    result.quantity(f"{_name}, fine grid", smallest_effect=0.02, kernels=("linear",), dims=(1,), values=_FINE_GRID)(
        partial(leading_error, derivative_error, given_fraction=_given_fraction)
    )
declare_covariances(result, derivative_error, lambda name: ("linear", "keys") if name == "Matérn" else ("linear",))
