"""D3: the error of interpolating rough fields, and gradients that only a grid has."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import sympy as sp

from warptheory.fields import Exponential, Matern
from warptheory.montecarlo import ContinuumSimulation
from warptheory.results._experiment import DerivedStatistic
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import PIXEL, Setting
from warptheory.results.discretization._errors import error
from warptheory.results.discretization._rough import LogarithmicLeading, RoughLeading, order_steps
from warptheory.results.fields._fields import LENGTH, SMOOTHNESS, SPACING, field_on_grid, uniform_offsets
from warptheory.symbolic import (
    DEVIATION,
    Averaging,
    Expectation,
    GaussianField,
    MomentStatistic,
    SmallSpacing,
    Variance,
    by_linearity,
    compose,
    warp,
)

result = Result(
    "D3",
    "Discretization error and gradients of rough fields",
    "Linear interpolation, d = 1. Exponential covariance: the mean square error is σ²h/(3ℓ) as h → 0. Matérn ν: it "
    "is of the order h^min(2ν, 4), with the coefficient σ²(νh²/2ℓ²)ᵛ Γ(2 − ν)(2ν + 5)/[3Γ(ν + 1)(ν + 1)(2ν + 1)] "
    "for ν < 2, (7/36)σ²h²/ℓ² at ν = 1 without a logarithm, and at ν = 2, where two terms have poles that cancel, "
    "σ²h⁴/(5ℓ⁴) (log(ℓ/h) + 91/180 − γ), γ Euler's number. For ν ≤ 1, and so for the "
    "exponential (ν = 1/2), x has no derivative: its gradient has infinite variance in the continuum, and only "
    "that of the grid, 2(C(0) − C(h))/h², has a meaning; it grows without end as the grid is refined.",
    assumptions=(
        "x is a homogeneous Gaussian field of mean zero.",
        "The offsets are independent of x; every fraction is equally likely.",
        "The order is measured between the spacings h and h/2, and at h → 0 its limit is min(2ν, 4).",
    ),
    source="arXiv 2511.20800, discretization; theory label D3",
    meaning="On rough features finer grids help little, and the gradient of an offset depends on the grid for "
    "good. Do not compare offset learning rates across resolutions there, and smooth the features first.",
    kernels=("linear",),
    dims=(1,),
    values={"l": Range(24.0, 16.0, 36.0), "h": Range(1.2, 0.8, 1.8), "nu": Range(1.0, 0.5, 1.1)},
)

# Images of a period N add cosh(τ/ℓ) exp(−N/ℓ) to an exponential covariance, which has no slope at τ = 0 and so changes
# differences between neighbours by that share times h/ℓ.
_WRAPPED = 1e-2
_POINTS = 32  # of the fine grid per pixel; the mean of f(1 − f) over them is 1/6 but for a share 1/32²
_ORDER = "order between two grids, Matérn"


def _exponential() -> GaussianField:
    return field_on_grid(Exponential(length=LENGTH, variance=DEVIATION**2, dim=1))


def _matern(nu: sp.Expr | str | int, spacing: sp.Expr = SPACING, name: str = "x") -> GaussianField:
    return field_on_grid(Matern(nu=nu, length=LENGTH, variance=DEVIATION**2, dim=1), spacing, name)


def _mean_error(setting: Setting, x: GaussianField) -> Expectation:
    """State E(y[n] − x(h(n + ε)))²."""
    return Expectation(error(setting, x, uniform_offsets(1)) ** 2)


@result.quantity("mean error, exponential covariance", smallest_effect=0.02)
def mean_error(setting: Setting) -> ContinuumSimulation:
    """State the leading term of E(y[n] − x(h(n + ε)))² for exponential covariance."""
    statistic = SmallSpacing(_mean_error(setting, _exponential()), SPACING, by_formula=True)
    return ContinuumSimulation(statistic, setting.inputs, _POINTS, on_points=True, wrapped=_WRAPPED)


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

    def latex(self) -> str:
        """Return it in LaTeX."""
        return rf"\log_{{2}} \frac{{{self.coarse.latex()}}}{{{self.fine.latex()}}}"


def _local_order(setting: Setting, nu: str, **reading: Any) -> ContinuumSimulation:
    """State the local order for the Matérn covariance of smoothness ν, read as `ContinuumSimulation` is told."""
    grids = (_matern(nu), _matern(nu, SPACING / 2, "z"))
    return ContinuumSimulation(LocalOrder(*(_mean_error(setting, x) for x in grids)), setting.inputs, **reading)


_AT_POINTS: Mapping[str, Any] = {"refinement": _POINTS, "on_points": True}
_SHORTER = {"l": Range(9.6, 7.0, 14.0)}
_READINGS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, float]]] = {
    "1/2": ({**_AT_POINTS, "wrapped": _WRAPPED}, {}),
    "3/2": (_AT_POINTS, {}),
    "5/2": ({"refinement": 8}, _SHORTER),
    "1": (_AT_POINTS, {}),
    "2": ({"refinement": 8, "wrapped": 1e-4}, _SHORTER),
}
for _nu, (_reading, _values) in _READINGS.items():
    result.quantity(f"{_ORDER} {_nu}", smallest_effect=0.03, values=_values)(partial(_local_order, nu=_nu, **_reading))


@result.quantity("leading error, Matérn", smallest_effect=0.03, values={"l": Range(24.0, 24.0, 40.0, "log")})
def leading_error(setting: Setting) -> ContinuumSimulation:
    """State the leading term of E(y[n] − x(h(n + ε)))² for Matérn covariance."""
    statistic = RoughLeading(_mean_error(setting, _matern(SMOOTHNESS)), setting.kernel)
    return ContinuumSimulation(statistic, setting.inputs, _POINTS, on_points=True)


@result.quantity(
    "leading error, Matérn 2",
    smallest_effect=0.03,
    bias=0.1,  # of the neglected terms: 0.3 %
    values={"l": Range(24.0, 20.0, 36.0, "log"), "h": Range(1.2, 0.8, 1.4)},
)
def leading_error_at_two(setting: Setting) -> ContinuumSimulation:
    """State the leading term for Matérn covariance of ν = 2."""
    statistic = LogarithmicLeading(_mean_error(setting, _matern(2)), setting.kernel)
    return ContinuumSimulation(statistic, setting.inputs, refinement=8, wrapped=1e-4)


@result.quantity("order in h, Matérn", checked_by=tuple(f"{_ORDER} {nu}" for nu in ("1/2", "1", "3/2", "2", "5/2")))
def order(setting: Setting) -> DerivedStatistic:
    """State the power of h that the mean error of a Matérn field follows as h → 0, ν other than 2."""
    return DerivedStatistic(f"order in {SPACING} of the mean error", lambda: order_steps(setting.kernel))


@result.quantity("gradient on the grid, exponential covariance")
def gradient_on_grid(setting: Setting) -> Variance:
    """State Var ∂Wx, per unit of length, for exponential covariance."""
    return Variance(warp(_exponential(), uniform_offsets(1), setting.kernel).diff(0)[PIXEL] / SPACING)


@result.quantity(
    "gradient in the continuum, exponential covariance", checked_by=("gradient on the grid, exponential covariance",)
)
def gradient_in_continuum(setting: Setting) -> Variance:
    """State Var x′ for exponential covariance, which is infinite."""
    return Variance(compose(_exponential(), uniform_offsets(1)).diff(0)[PIXEL] / SPACING)
