"""The discretization error of a warped field, and of its offset derivative."""

from collections.abc import Callable
from functools import partial

import sympy as sp

from warptheory.fields import CovarianceFunction
from warptheory.montecarlo import ContinuumSimulation
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.fields._fields import (
    FAMILIES,
    IMAGE,
    SPACING,
    field_on_grid,
    image_covariance,
    smooth_covariance,
    uniform_offsets,
)
from warptheory.symbolic import Expectation, GaussianField, OffsetField, SmallSpacing, SpectralForm, compose, warp

# Returns what a warped value, or its derivative, misses: of a setting, a field and offsets.
Miss = Callable[[Setting, GaussianField, OffsetField], sp.Expr]


def error(setting: Setting, x: GaussianField, offsets: OffsetField) -> sp.Expr:
    """Return y[n] − x(h(n + ε)), what a warped value misses."""
    return warp(x, offsets, setting.kernel)[PIXEL] - compose(x, offsets)[PIXEL]


def derivative_error(setting: Setting, x: GaussianField, offsets: OffsetField) -> sp.Expr:
    """Return ∂₁y[n]/h − (∂₁x)(h(n + ε)), what the offset's derivative misses, per unit of length."""
    difference = warp(x, offsets, setting.kernel).diff(0)[PIXEL] - compose(x, offsets).diff(0)[PIXEL]
    return difference / x.spacing


def mean_square(
    miss: Miss, setting: Setting, covariance: CovarianceFunction, *, given_fraction: bool = False
) -> Expectation:
    """Return the mean square of what is missed on a grid of spacing h.

    Args:
        miss: `error` or `derivative_error`.
        setting: the setting.
        covariance: that of the field.
        given_fraction: whether the fraction is given; else all are equally likely.
    """
    offsets = uniform_offsets(setting.dim)
    missed = miss(setting, field_on_grid(covariance), offsets)
    return Expectation(missed**2, offsets.fraction if given_fraction else None)


def leading_error(miss: Miss, setting: Setting, *, given_fraction: bool = False) -> ContinuumSimulation:
    """Return the experiment on its leading term for a smooth field as h → 0; arguments as in `mean_square`."""
    finite = mean_square(miss, setting, smooth_covariance(setting.dim), given_fraction=given_fraction)
    return ContinuumSimulation(SmallSpacing(finite, SPACING), setting.inputs, refinement=1)


def by_spectrum(
    miss: Miss,
    setting: Setting,
    refinement: int,
    covariance: Callable[[int], CovarianceFunction] = smooth_covariance,
    wrapped: float = ContinuumSimulation.wrapped,
) -> ContinuumSimulation:
    """Return the experiment on the mean square as an integral over frequencies.

    Args:
        miss: `error` or `derivative_error`.
        setting: the setting.
        refinement: points of the grid that stands for the continuum, per pixel.
        covariance: returns the covariance of the field for a number of axes.
        wrapped: share of C(0) that correlations across the period of a row may add.
    """
    statistic = SpectralForm(mean_square(miss, setting, covariance(setting.dim)))
    return ContinuumSimulation(statistic, setting.inputs, refinement, wrapped=wrapped)


def declare_covariances(result: Result, miss: Miss, kernels_of: Callable[[str], tuple[str, ...]]) -> None:
    """Declare the mean errors for the families of covariances, and for that of a photograph.

    Args:
        result: the result.
        miss: `error` or `derivative_error`.
        kernels_of: returns the kernels for which a family is checked; none for those of the result.
    """
    for name, family in FAMILIES.items():
        # Where C is rougher, so is the spline that stands for the truth.
        refinement = 8 if name == "Matérn" else 4
        result.quantity(
            f"mean error, {name}",
            smallest_effect=0.03,
            kernels=kernels_of(name),
            dims=(1,),
            values={"l": Range(1.8, 1.6, 2.5, "log"), "h": Range(1.2, 0.9, 1.4)},
        )(partial(by_spectrum, miss, refinement=refinement, covariance=family, wrapped=1e-4))
    result.quantity(
        f"mean error, {IMAGE}",
        smallest_effect=0.1,
        # Of slow correlations beyond the period, and of waves near the finest that splines do not read well.
        bias=0.3,
        kernels=("linear",),
        dims=(2,),
        values={"h": Range(0.8, 0.7, 0.9)},
    )(partial(by_spectrum, miss, refinement=2, covariance=image_covariance, wrapped=2e-3))
