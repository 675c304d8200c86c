"""C2: the covariance of a field that random offsets have moved."""

from warptheory.results._ranges import Range
from warptheory.results._result import Quantity, Result, Setting
from warptheory.results.fields._fields import (
    CONTINUUM,
    EXACT,
    LAG,
    check_continuum,
    continuum_simulation,
    smooth_field,
    smooth_offsets,
)
from warptheory.symbolic import Covariance, compose


def covariance(setting: Setting) -> Covariance:
    """State Cov(y(0), y(τ)), τ = (t, t, …)."""
    y = compose(smooth_field(setting.dim), smooth_offsets(setting.dim))
    return Covariance(y(*[0] * setting.dim), y(*[LAG] * setting.dim))


RESULT = Result(
    label="C2",
    title="Covariance after random offsets",
    statement=(
        "C_y(τ) = (2π)⁻ᵈ ∫ S(ω) exp(iω·τ) exp(−|ω|²(K(0) − K(τ))) dω: a wave is damped by the variance "
        "v = 2(K(0) − K(τ)) of the difference of the offsets. For C(τ) = σ² exp(−|τ|²/2ℓ²) it is "
        "σ² (1 + v/ℓ²)^(−d/2) exp(−|τ|²/2(ℓ² + v))."
    ),
    assumptions=(
        "x is a homogeneous field of mean zero with spectral density S.",
        "The components of the offsets are independent homogeneous Gaussian fields of covariance K, independent of x.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C2",
    quantities=(Quantity("covariance", covariance, simulation=continuum_simulation(), check_drawn=check_continuum()),),
    kernels=EXACT,
    values={**CONTINUUM, "l": Range(2.0, 2.0, 3.5), "l_e": Range(2.5, 2.0, 4.0)},
)
