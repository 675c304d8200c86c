"""The fields in which results on the continuum are stated and checked."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.fields import CovarianceFunction, ImageSpectrum, Matern, PowerLaw, RationalQuadratic, SquaredExponential
from warptheory.montecarlo import ContinuumSimulation
from warptheory.results._ranges import Range
from warptheory.symbolic import DEVIATION, GaussianField, OffsetField
from warptheory.symbolic.offset_fields import axis_symbols

LENGTH = sp.Symbol("l", positive=True)  # ℓ of the field, in pixels
SPREAD = sp.Symbol("s", positive=True)  # √K(0) of the offsets, in pixels
OFFSET_LENGTH = sp.Symbol("l_e", positive=True)  # ℓ of the offsets, in pixels
SPACING = sp.Symbol("h", positive=True)  # of the grid, in the unit of the field's length

SMOOTHNESS = sp.Symbol("nu", positive=True)  # ν of Matérn fields
SHAPE = sp.Symbol("alpha", positive=True)  # of rational quadratic ones
EXPONENT = sp.Symbol("beta", positive=True)  # of the power law
INNER = sp.Symbol("w", positive=True)  # inner scale of the power law, in the unit of the field's length

# Fields of other covariances than the squared exponential, by name, for a number of axes.
FAMILIES: Mapping[str, Callable[[int], CovarianceFunction]] = MappingProxyType(
    {
        "Matérn": lambda dim: Matern(length=LENGTH, variance=DEVIATION**2, dim=dim, nu=SMOOTHNESS),
        "rational quadratic": lambda dim: RationalQuadratic(length=LENGTH, variance=DEVIATION**2, dim=dim, alpha=SHAPE),
        "power law": lambda dim: PowerLaw(
            length=LENGTH, variance=DEVIATION**2, dim=dim, exponent=EXPONENT, inner=INNER
        ),
    }
)

IMAGE = "image spectrum"


def image_covariance(dim: int) -> ImageSpectrum:
    """Return the measured covariance of a photograph, in its own pixels."""
    return _photograph()


@cache
def _photograph() -> ImageSpectrum:
    return ImageSpectrum.of_photograph("camera")


# The continuum is read from a grid through this kernel.
EXACT = ("bspline3(prefilter=True)",)

# A field that is smooth on the scale of the pixel, so that the grid stands for the continuum: the cubic spline's
# mean square error is 1e-6 of the variance at ℓ = 2. The variance that it takes away is more, 7e-4 along each axis,
# as it falls with the fourth power of the spacing only; where that counts, two points per pixel make it 4e-5. Slopes
# of the offsets of 0.3 deviate by s/ℓ.
CONTINUUM: Mapping[str, Range] = MappingProxyType(
    {"l": Range(2.0, 1.6, 3.5), "s": Range(1.2, 0.6, 1.8), "l_e": Range(4.0, 3.0, 6.0)}
)

# Shapes of the families: Matérn fields with two derivatives, so that cubic splines read them between points, and
# correlations of the others that end within a row.
SHAPES: Mapping[str, Range] = MappingProxyType(
    {
        "nu": Range(2.5, 2.4, 4.0),
        "alpha": Range(4.0, 4.0, 8.0, "log"),
        "beta": Range(4.5, 3.0, 4.5),
        "w": Range(1.5, 1.5, 2.0),
    }
)


def smooth_field(dim: int, name: str = "x") -> GaussianField:
    """Return a field x with C(τ) = σ² exp(−|τ|²/2ℓ²), on a grid of spacing 1."""
    return field_on_grid(smooth_covariance(dim), 1, name)


def field_on_grid(covariance: CovarianceFunction, spacing: Any = SPACING, name: str = "x") -> GaussianField:
    """Return a field that the grid samples at a spacing h."""
    return GaussianField(name, covariance, spacing=spacing)


def smooth_covariance(dim: int) -> SquaredExponential:
    """Return C(τ) = σ² exp(−|τ|²/2ℓ²)."""
    return SquaredExponential(length=LENGTH, variance=DEVIATION**2, dim=dim)


def lag(dim: int) -> tuple[sp.Symbol, ...]:
    """Return τ in pixels: t, or t₁ … t_d."""
    return axis_symbols("t", dim, real=True)


def frequencies(dim: int) -> tuple[sp.Symbol, ...]:
    """Return ω, or ω₁ … ω_d, in radians per pixel."""
    return axis_symbols("omega", dim, real=True)


def uniform_offsets(dim: int) -> OffsetField:
    """Return offsets for which every fraction is equally likely."""
    return OffsetField("uniform", dim, scale="1/2")


def smooth_offsets(dim: int, name: str = "epsilon") -> OffsetField:
    """Return offsets with K(τ) = s² exp(−|τ|²/2ℓ_e²)."""
    return OffsetField(name=name, covariance=SquaredExponential(length=OFFSET_LENGTH, variance=SPREAD**2, dim=dim))


# A Gaussian covariance of this many lengths' distance changes the variance of slopes by 2e-4.
_LENGTHS_AROUND = 5


def check_length(name: str, length: float, finest: float, period: float) -> None:
    """Check that a periodic grid holds a field of Gaussian covariance.

    Args:
        name: name of the field's length.
        length: the length ℓ.
        finest: the smallest length that the grid resolves, in the same unit.
        period: the period of the grid, in the same unit; infinite where it follows the length.

    Raises:
        ArgumentError: a length that is too small or too large.
    """
    largest = period / _LENGTHS_AROUND
    if not finest <= length <= largest:
        range_ = f"in [{finest:.3g}, {largest:.3g}]" if math.isfinite(largest) else f"of at least {finest:.3g}"
        expected = f"a length {range_}, which the grid of the experiment holds"
        raise ArgumentError(name, expected=expected, received=length)


@dataclass(frozen=True)
class FieldSimulation(ContinuumSimulation):
    """The simulation of a statistic of a smooth field, whose length the grid has to resolve.

    Attributes:
        refinement: points of the grid per pixel, along each axis.
        finest: the smallest length ℓ of the field at which the grid stands for the continuum, in pixels.
    """

    refinement: int = 1
    finest: float = 2.0

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check the length of the field; raises as `check_length`."""
        check_length(LENGTH.name, values[LENGTH.name], self.finest, math.inf)
