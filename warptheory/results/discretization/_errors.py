"""The discretization error of a warped field, and the fields in which results on it are stated and checked."""

from typing import Any

import sympy as sp

from warptheory.fields import Covariance, SquaredExponential
from warptheory.results._result import PIXEL, Setting
from warptheory.results.fields._fields import LENGTH
from warptheory.symbolic import DEVIATION, GaussianField, OffsetField, compose, warp

SPACING = sp.Symbol("h", positive=True)


def field_on_grid(covariance: Covariance, spacing: Any = SPACING, name: str = "x") -> GaussianField:
    """Return a field that the grid samples at a spacing h."""
    return GaussianField(name, covariance, spacing=spacing)


def smooth_covariance(dim: int) -> SquaredExponential:
    """Return C(τ) = σ² exp(−|τ|²/2ℓ²)."""
    return SquaredExponential(length=LENGTH, variance=DEVIATION**2, dim=dim)


def uniform_offsets(dim: int) -> OffsetField:
    """Return offsets for which every fraction is equally likely."""
    return OffsetField("uniform", dim, scale="1/2")


def error(setting: Setting, x: GaussianField, offsets: OffsetField) -> sp.Expr:
    """Return y[n] − x(h(n + ε)), what a warped value misses."""
    return warp(x, offsets, setting.kernel)[PIXEL] - compose(x, offsets)[PIXEL]


def derivative_error(setting: Setting, x: GaussianField, offsets: OffsetField) -> sp.Expr:
    """Return ∂₁y[n]/h − (∂₁x)(h(n + ε)), what the offset's derivative misses, per unit of length."""
    difference = warp(x, offsets, setting.kernel).diff(0)[PIXEL] - compose(x, offsets).diff(0)[PIXEL]
    return difference / x.spacing
