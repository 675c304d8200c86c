"""Slopes and folds of an offset field: where the map t ↦ t + ε(t) turns back on itself."""

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError


def offset_jacobian(offsets: Float[Tensor, "B d *T"]) -> Float[Tensor, "B d d *N"]:
    """Return the forward differences ∂ⱼεᵢ of an offset field, without unit.

    Args:
        offsets: ε in pixels, shape (B, d, *T), each axis of T at least 2 long.

    Returns:
        Entry [:, i, j] is ∂ⱼεᵢ on the pixels that have a next neighbour along every axis,
        shape (B, d, d, *(T − 1)).

    Raises:
        ArgumentError: not a floating tensor of that shape.
    """
    dim = offsets.ndim - 2
    if dim < 1 or offsets.shape[1] != dim or not offsets.is_floating_point() or min(offsets.shape[2:]) < 2:
        raise ArgumentError(
            "offsets",
            expected="a floating tensor (B, d, *T) with d axes of at least 2 pixels",
            received=f"shape {tuple(offsets.shape)}, {offsets.dtype}",
        )
    differences = [torch.diff(offsets, dim=2 + axis) for axis in range(dim)]
    for axis, length in enumerate(offsets.shape[2:]):
        differences = [difference.narrow(2 + axis, 0, length - 1) for difference in differences]
    return torch.stack(differences, dim=2)


def jacobian_determinant(offsets: Float[Tensor, "B d *T"]) -> Float[Tensor, "B *N"]:
    """Return J = det(I + ∇ε) by forward differences, shape (B, *(T − 1)); J ≤ 0 is a fold.

    Args:
        offsets: ε in pixels, shape (B, d, *T).

    Raises:
        ArgumentError: not a floating tensor of that shape.
    """
    slopes = offset_jacobian(offsets)
    matrices = slopes.movedim((1, 2), (-2, -1)) + torch.eye(slopes.shape[1], dtype=slopes.dtype, device=slopes.device)
    return torch.linalg.det(matrices)


def fold_fraction(offsets: Float[Tensor, "B d *T"]) -> Float[Tensor, ""]:
    """Return the share of pixels with J ≤ 0, a scalar in [0, 1].

    Args:
        offsets: ε in pixels, shape (B, d, *T).

    Raises:
        ArgumentError: not a floating tensor of that shape.
    """
    return (jacobian_determinant(offsets) <= 0).to(offsets.dtype).mean()


def slope_deviation(offsets: Float[Tensor, "B d *T"]) -> Float[Tensor, ""]:
    """Return τ, the root mean square of the slopes ∂ⱼεᵢ over all i, j and pixels, without unit.

    Args:
        offsets: ε in pixels, shape (B, d, *T).

    Raises:
        ArgumentError: not a floating tensor of that shape.
    """
    return offset_jacobian(offsets).square().mean().sqrt()
