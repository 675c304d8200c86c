"""The discretization error of a warped field, and of its offset derivative."""

import sympy as sp

from warptheory.results._result import PIXEL, Setting
from warptheory.symbolic import GaussianField, OffsetField, compose, warp


def error(setting: Setting, x: GaussianField, offsets: OffsetField) -> sp.Expr:
    """Return y[n] − x(h(n + ε)), what a warped value misses."""
    return warp(x, offsets, setting.kernel)[PIXEL] - compose(x, offsets)[PIXEL]


def derivative_error(setting: Setting, x: GaussianField, offsets: OffsetField) -> sp.Expr:
    """Return ∂₁y[n]/h − (∂₁x)(h(n + ε)), what the offset's derivative misses, per unit of length."""
    difference = warp(x, offsets, setting.kernel).diff(0)[PIXEL] - compose(x, offsets).diff(0)[PIXEL]
    return difference / x.spacing
