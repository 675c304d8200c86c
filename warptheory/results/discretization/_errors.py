"""The discretization error of a warped field, and of its offset derivative."""

from collections.abc import Callable

import sympy as sp

from warptheory.fields import CovarianceFunction
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import (
    FAMILIES,
    IMAGE,
    continuum_simulation,
    field_on_grid,
    image_covariance,
    uniform_offsets,
)
from warptheory.symbolic import Expectation, GaussianField, OffsetField, SpectralForm, compose, warp

# Returns what a warped value, or its derivative, misses: of a setting, a field and offsets.
Miss = Callable[[Setting, GaussianField, OffsetField], sp.Expr]


def error(setting: Setting, x: GaussianField, offsets: OffsetField) -> sp.Expr:
    """Return y[n] − x(h(n + ε)), what a warped value misses."""
    return warp(x, offsets, setting.kernel)[PIXEL] - compose(x, offsets)[PIXEL]


def derivative_error(setting: Setting, x: GaussianField, offsets: OffsetField) -> sp.Expr:
    """Return ∂₁y[n]/h − (∂₁x)(h(n + ε)), what the offset's derivative misses, per unit of length."""
    difference = warp(x, offsets, setting.kernel).diff(0)[PIXEL] - compose(x, offsets).diff(0)[PIXEL]
    return difference / x.spacing


def mean_square(miss: Miss, covariance: Callable[[int], CovarianceFunction]) -> Callable[[Setting], SpectralForm]:
    """Return what states the mean square of what is missed, every fraction equally likely.

    Args:
        miss: `error` or `derivative_error`.
        covariance: returns the covariance of the field for a number of axes.
    """

    def statistic(setting: Setting) -> SpectralForm:
        x = field_on_grid(covariance(setting.dim))
        return SpectralForm(Expectation(miss(setting, x, uniform_offsets(setting.dim)) ** 2))

    return statistic


def of_covariances(miss: Miss, kernels_of: Callable[[str], tuple[str, ...]]) -> tuple[Quantity, ...]:
    """Return the mean errors for the families of covariances, and for that of a photograph.

    Args:
        miss: `error` or `derivative_error`.
        kernels_of: returns the kernels for which a family is checked; none for those of the result.
    """
    families = (
        Quantity(
            f"mean error, {name}",
            mean_square(miss, covariance),
            smallest_effect=0.03,
            kernels=kernels_of(name),
            dims=(1,),
            values=lambda setting: {"l": Range(1.8, 1.6, 2.5, "log"), "h": Range(1.2, 0.9, 1.4)},
            # Where C is rougher, so is the spline that stands for the truth.
            simulation=continuum_simulation(8 if name == "Matérn" else 4, wrapped=1e-4),
        )
        for name, covariance in FAMILIES.items()
    )
    photograph = Quantity(
        f"mean error, {IMAGE}",
        mean_square(miss, image_covariance),
        smallest_effect=0.1,
        # Of slow correlations beyond the period, and of waves near the finest that splines do not read well.
        bias=0.3,
        kernels=("linear",),
        dims=(2,),
        values=lambda setting: {"h": Range(0.8, 0.7, 0.9)},
        simulation=continuum_simulation(2, wrapped=2e-3),
    )
    return (*families, photograph)
