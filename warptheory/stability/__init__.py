"""Conditions for stable training, and the state of real offset fields."""

from warptheory.stability.folding import fold_fraction, jacobian_determinant, offset_jacobian, slope_deviation

__all__ = ["fold_fraction", "jacobian_determinant", "offset_jacobian", "slope_deviation"]
