"""Slopes and folds of an offset field: where the map t ↦ t + ε(t) turns back on itself."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.warping.jacobian import jacobian_determinant, offset_jacobian


def fold_fraction(offsets: Float[Tensor, "B d *T"], spacing: Sequence[float] | None = None) -> Float[Tensor, ""]:
    """Return the share of pixels with J ≤ 0, a scalar in [0, 1]; NaN where offsets are no numbers.

    Arguments (offsets of shape (B, d, *T)) and errors as of `offset_jacobian`.
    """
    determinant = jacobian_determinant(offsets, spacing)
    return torch.where(determinant.isnan(), determinant, (determinant <= 0).to(determinant.dtype)).mean()


def slope_deviation(offsets: Float[Tensor, "B d *T"], spacing: Sequence[float] | None = None) -> Float[Tensor, ""]:
    """Return τ, the root mean square of the slopes ∂ⱼεᵢ over all i, j and pixels, a scalar without unit.

    Arguments (offsets of shape (B, d, *T)) and errors as of `offset_jacobian`.
    """
    return offset_jacobian(offsets, spacing).square().mean().sqrt()
