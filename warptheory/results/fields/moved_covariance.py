"""C2: the covariance of a field that random offsets have moved."""

from collections.abc import Callable

from warptheory.fields import CovarianceFunction
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.fields._fields import (
    CONTINUUM,
    EXACT,
    FAMILIES,
    IMAGE,
    SHAPES,
    check_continuum,
    continuum_simulation,
    field_on_grid,
    image_covariance,
    lag,
    smooth_covariance,
    smooth_offsets,
)
from warptheory.symbolic import Covariance, compose


def covariance_of(field: Callable[[int], CovarianceFunction]) -> Callable[[Setting], Covariance]:
    """Return what states Cov(y(0), y(τ)) for a field of that covariance, by the number of axes."""

    def statistic(setting: Setting) -> Covariance:
        y = compose(field_on_grid(field(setting.dim), 1), smooth_offsets(setting.dim))
        return Covariance(y(*[0] * setting.dim), y(*lag(setting.dim)))

    return statistic


def _of_family(name: str, dims: tuple[int, ...], refinement: int) -> Quantity:
    return Quantity(
        f"covariance, {name}",
        covariance_of(FAMILIES[name]),
        smallest_effect=0.03,
        dims=dims,
        values=lambda setting: {"l": Range(3.0, 3.0, 4.5, "log")},
        # Beyond the period of a row a share of 1e-4 of C(0) is left; slow correlations would make rows long.
        simulation=continuum_simulation(refinement, wrapped=1e-4),
        check_drawn=check_continuum(),
    )


RESULT = Result(
    label="C2",
    title="Covariance after random offsets",
    statement=(
        "C_y(τ) = (2π)⁻ᵈ ∫ S(ω) exp(iω·τ) exp(−|ω|²(K(0) − K(τ))) dω: a wave is damped by the variance "
        "v = 2(K(0) − K(τ)) of the difference of the offsets. For C(τ) = σ² exp(−|τ|²/2ℓ²) it is "
        "σ² (1 + v/ℓ²)^(−d/2) exp(−|τ|²/2(ℓ² + v)); for other covariances the integral has a number, at any lag."
    ),
    assumptions=(
        "x is a homogeneous field of mean zero with spectral density S.",
        "The components of the offsets are independent homogeneous Gaussian fields of covariance K, independent of x.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines.",
    ),
    source="arXiv 2511.20800, homogeneous random fields; theory label C2",
    quantities=(
        Quantity(
            "covariance",
            covariance_of(smooth_covariance),
            simulation=continuum_simulation(),
            check_drawn=check_continuum(),
        ),
        # The spline takes 6e-5 to 3e-4 of the variance.
        _of_family("Matérn", (1, 2), 2),
        _of_family("rational quadratic", (1,), 1),
        _of_family("power law", (1, 2), 1),
        Quantity(
            f"covariance, {IMAGE}",
            covariance_of(image_covariance),
            smallest_effect=0.1,
            dims=(2,),
            simulation=continuum_simulation(1, wrapped=1e-3),
        ),
    ),
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
)
