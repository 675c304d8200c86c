"""D2: the error of interpolating smooth fields, to leading order in the spacing of the grid."""

from collections.abc import Mapping
from functools import partial

from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.discretization._errors import error, leading_error

result = Result(
    "D2",
    "Discretization error of smooth fields",
    "For linear interpolation of a field with λ₄ < ∞ on a grid of spacing h → 0 the mean square error is "
    "(h⁴/120)λ₄ for d = 1, (h⁴/4)[(λ₄₀ + λ₀₄)/30 + λ₂₂/18] for d = 2, and (h⁴/4)f²(1 − f)²λ₄ at the fraction f. "
    "Keys' kernel, which reproduces parabolas, has (h⁶/7560)λ₆ for d = 1.",
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero, smooth enough for the spectral moment that occurs.",
        "The offsets are independent of x; the fraction is uniform on [0, 1)ᵈ, or given.",
    ),
    source="arXiv 2511.20800, discretization; theory label D2",
    meaning="Linear interpolation is right to h⁴ on smooth features, so that halving the spacing makes its error "
    "a sixteenth. Upsample features once rather than change the kernel everywhere, or take keys for h⁶.",
    kernels=("linear",),
    values={"l": Range(10.0, 8.0, 16.0), "h": Range(0.5, 0.3, 0.6)},
)


def _lengths(setting: Setting) -> Mapping[str, float]:
    return {"l": {1: Range(10.0, 8.0, 16.0), 2: Range(7.0, 6.0, 9.0)}[setting.dim]}


_mean_error = partial(leading_error, error)
result.quantity("mean error", smallest_effect=0.03, values=_lengths)(_mean_error)
result.quantity(
    "mean error, parabolas exact",
    smallest_effect=0.03,
    kernels=("keys",),
    dims=(1,),
    values={"l": Range(40.0, 30.0, 50.0)},
)(_mean_error)
result.quantity("error given f", smallest_effect=0.02, dims=(1,))(partial(leading_error, error, given_fraction=True))
