"""D3: the error of interpolating rough fields, and gradients that only a grid has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from warptheory.fields import Exponential, Matern
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.discretization._errors import error
from warptheory.results.discretization._rough import Order, leading_error, leading_error_at_two
from warptheory.results.fields._fields import (
    LENGTH,
    SPACING,
    continuum_simulation,
    field_on_grid,
    uniform_offsets,
)
from warptheory.symbolic import (
    DEVIATION,
    Averaging,
    Expectation,
    MomentStatistic,
    SmallSpacing,
    Variance,
    by_linearity,
    compose,
    warp,
)

# Images of a period N add cosh(τ/ℓ) exp(−N/ℓ) to an exponential covariance, which has no slope at τ = 0 and so changes
# differences between neighbours by that share times h/ℓ.
_WRAPPED = 1e-2
_POINTS = 32  # of the fine grid per pixel; the mean of f(1 − f) over them is 1/6 but for a share 1/32²


@dataclass(frozen=True)
class LocalOrder(MomentStatistic):
    """log₂ of the ratio of two errors, that of a grid and that of one twice as fine: the power of h that they follow.

    Attributes:
        coarse: the error at the spacing h.
        fine: the error at h/2, of an independent field.
    """

    coarse: Expectation
    fine: Expectation

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        """Those of both."""
        return (*self.coarse.operands, *self.fine.operands)

    def moments(self, expected: Averaging = by_linearity) -> sp.Expr:
        """Return log₂(E e²/E e′²)."""
        return sp.log(self.coarse.moments(expected) / self.fine.moments(expected)) / sp.log(2)

    def __str__(self) -> str:
        return f"log₂ of {self.coarse} over {self.fine}"


def mean_error(setting: Setting) -> SmallSpacing:
    """State the leading term of E(y[n] − x(h(n + ε)))² for exponential covariance."""
    x = field_on_grid(Exponential(length=LENGTH, variance=DEVIATION**2, dim=1))
    return SmallSpacing(Expectation(error(setting, x, uniform_offsets(1)) ** 2), SPACING, by_formula=True)


def local_order(nu: str) -> Callable[[Setting], LocalOrder]:
    """Return what states the local order for the Matérn covariance of smoothness ν."""

    def statistic(setting: Setting) -> LocalOrder:
        return LocalOrder(*(_error_at(setting, nu, *grid) for grid in ((SPACING, "x"), (SPACING / 2, "z"))))

    return statistic


def _error_at(setting: Setting, nu: str, spacing: Any, name: str) -> Expectation:
    covariance = Matern(nu=nu, length=LENGTH, variance=DEVIATION**2, dim=1)
    return Expectation(error(setting, field_on_grid(covariance, spacing, name), uniform_offsets(1)) ** 2)


def gradient_on_grid(setting: Setting) -> Variance:
    """State Var ∂Wx, per unit of length, for exponential covariance."""
    x = field_on_grid(Exponential(length=LENGTH, variance=DEVIATION**2, dim=1))
    return Variance(warp(x, uniform_offsets(1), setting.kernel).diff(0)[PIXEL] / SPACING)


def gradient_in_continuum(setting: Setting) -> Variance:
    """State Var x′ for exponential covariance, which is infinite."""
    x = field_on_grid(Exponential(length=LENGTH, variance=DEVIATION**2, dim=1))
    return Variance(compose(x, uniform_offsets(1)).diff(0)[PIXEL] / SPACING)


RESULT = Result(
    label="D3",
    title="Discretization error and gradients of rough fields",
    statement=(
        "Linear interpolation, d = 1. Exponential covariance: the mean square error is σ²h/(3ℓ) as h → 0. Matérn ν: it "
        "is of the order h^min(2ν, 4), with the coefficient σ²(νh²/2ℓ²)ᵛ Γ(2 − ν)(2ν + 5)/[3Γ(ν + 1)(ν + 1)(2ν + 1)] "
        "for ν < 2, (7/36)σ²h²/ℓ² at ν = 1 without a logarithm, and at ν = 2, where two terms have poles that cancel, "
        "σ²h⁴/(5ℓ⁴) (log(ℓ/h) + 91/180 − γ), γ Euler's number. For ν ≤ 1, and so for the "
        "exponential (ν = 1/2), x has no derivative: its gradient has infinite variance in the continuum, and only "
        "that of the grid, 2(C(0) − C(h))/h², has a meaning; it grows without end as the grid is refined."
    ),
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero.",
        "The offsets are independent of x; every fraction is equally likely.",
        "The order is measured between the spacings h and h/2, and at h → 0 its limit is min(2ν, 4).",
    ),
    source="arXiv 2511.20800, discretization; theory label D3",
    quantities=(
        Quantity(
            "mean error, exponential covariance",
            mean_error,
            smallest_effect=0.02,
            simulation=continuum_simulation(_POINTS, on_points=True, wrapped=_WRAPPED),
        ),
        Quantity(
            "order between two grids, Matérn 1/2",
            local_order("1/2"),
            smallest_effect=0.03,
            simulation=continuum_simulation(_POINTS, on_points=True, wrapped=_WRAPPED),
        ),
        Quantity(
            "order between two grids, Matérn 3/2",
            local_order("3/2"),
            smallest_effect=0.03,
            simulation=continuum_simulation(_POINTS, on_points=True),
        ),
        Quantity(
            "order between two grids, Matérn 5/2",
            local_order("5/2"),
            smallest_effect=0.03,
            values=lambda setting: {"l": Range(9.6, 7.0, 14.0)},
            simulation=continuum_simulation(8),
        ),
        Quantity(
            "order between two grids, Matérn 1",
            local_order("1"),
            smallest_effect=0.03,
            simulation=continuum_simulation(_POINTS, on_points=True),
        ),
        Quantity(
            "order between two grids, Matérn 2",
            local_order("2"),
            smallest_effect=0.03,
            values=lambda setting: {"l": Range(9.6, 7.0, 14.0)},
            simulation=continuum_simulation(8, wrapped=1e-4),
        ),
        Quantity(
            "leading error, Matérn",
            leading_error,
            smallest_effect=0.03,
            values=lambda setting: {"l": Range(24.0, 24.0, 40.0, "log")},
            simulation=continuum_simulation(_POINTS, on_points=True),
        ),
        Quantity(
            "leading error, Matérn 2",
            leading_error_at_two,
            smallest_effect=0.03,
            bias=0.1,  # of the neglected terms: 0.3 %
            values=lambda setting: {"l": Range(24.0, 20.0, 36.0, "log"), "h": Range(1.2, 0.8, 1.4)},
            simulation=continuum_simulation(8, wrapped=1e-4),
        ),
        Quantity(
            "order in h, Matérn",
            lambda setting: Order(setting.kernel),
            checked_by=tuple(f"order between two grids, Matérn {nu}" for nu in ("1/2", "1", "3/2", "2", "5/2")),
        ),
        Quantity("gradient on the grid, exponential covariance", gradient_on_grid),
        Quantity(
            "gradient in the continuum, exponential covariance",
            gradient_in_continuum,
            checked_by=("gradient on the grid, exponential covariance",),
        ),
    ),
    kernels=("linear",),
    dims=(1,),
    values={"l": Range(24.0, 16.0, 36.0), "h": Range(1.2, 0.8, 1.8), "nu": Range(1.0, 0.5, 1.1)},
)
