"""C2: the covariance of a field that random offsets have moved."""

from functools import partial

from warptheory.fields import CovarianceFunction
from warptheory.montecarlo import ContinuumSimulation
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.fields._fields import (
    CONTINUUM,
    EXACT,
    FAMILIES,
    IMAGE,
    SHAPES,
    FieldSimulation,
    field_on_grid,
    image_covariance,
    lag,
    smooth_covariance,
    smooth_offsets,
)
from warptheory.symbolic import Covariance, compose

result = Result(
    "C2",
    "Covariance after random offsets",
    "C_y(τ) = (2π)⁻ᵈ ∫ S(ω) exp(iω·τ) exp(−|ω|²(K(0) − K(τ))) dω: a wave is damped by the variance "
    "v = 2(K(0) − K(τ)) of the difference of the offsets. For C(τ) = σ² exp(−|τ|²/2ℓ²) it is "
    "σ² (1 + v/ℓ²)^(−d/2) exp(−|τ|²/2(ℓ² + v)); for other covariances the integral has a number, at any lag.",
    assumptions=(
        "x is a homogeneous field of mean zero with spectral density S.",
        "The components of the offsets are independent homogeneous Gaussian fields of covariance K, independent of x.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C2",
    meaning="Random offsets blur the correlations of features at lags where offsets differ, and leave those where "
    "offsets move together. Offsets that are smooth over the size of the next filter keep what that "
    "filter looks for.",
    kernels=EXACT,
    values={
        **CONTINUUM,
        **SHAPES,
        "l": Range(2.0, 2.0, 3.5),
        "l_e": Range(2.5, 2.0, 4.0),
        "t": Range(2.0, 0.8, 3.0),
        "t_1": Range(1.6, 0.8, 2.4),
        "t_2": Range(0.8, 0.4, 1.6),
        "t_3": Range(-0.5, -1.0, 1.0),
    },
    notation={
        "t": "the distance of two positions",
        "t_1": "the distance of two positions along one axis, the first for t_1, the second for t_2, the third for t_3",
    },
)

_LONG = {"l": Range(3.0, 3.0, 4.5, "log")}
# Beyond the period of a row a share of 1e-4 of C(0) is left; slow correlations would make rows long.
_WRAPPED = 1e-4


def _covariance(setting: Setting, field: CovarianceFunction) -> Covariance:
    """State Cov(y(0), y(τ)) for a field of that covariance."""
    y = compose(field_on_grid(field, 1), smooth_offsets(setting.dim))
    return Covariance(y(*[0] * setting.dim), y(*lag(setting.dim)))


@result.quantity("covariance")
def covariance(setting: Setting) -> FieldSimulation:
    """State it for a squared exponential covariance."""
    return FieldSimulation(_covariance(setting, smooth_covariance(setting.dim)), setting.inputs)


def _covariance_of_family(setting: Setting, family: str) -> FieldSimulation:
    """State it for a family of covariances; of the variance of Matérn fields the spline takes 6e-5 to 3e-4."""
    statistic, refinement = _covariance(setting, FAMILIES[family](setting.dim)), 2 if family == "Matérn" else 1
    return FieldSimulation(statistic, setting.inputs, refinement=refinement, wrapped=_WRAPPED)


for _family in FAMILIES:
    result.quantity(
        f"covariance, {_family}",
        smallest_effect=0.03,
        dims=(1,) if _family == "rational quadratic" else (1, 2),
        values=_LONG,
    )(partial(_covariance_of_family, family=_family))


@result.quantity(f"covariance, {IMAGE}", smallest_effect=0.1, dims=(2,))
def covariance_of_a_photograph(setting: Setting) -> ContinuumSimulation:
    """State it for a photograph's covariance."""
    return ContinuumSimulation(
        _covariance(setting, image_covariance(setting.dim)), setting.inputs, refinement=1, wrapped=1e-3
    )
