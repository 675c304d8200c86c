"""The Jacobian of the sampling map t ↦ t + ε(t): its slopes, how much it stretches, and where it folds."""

import functools
import operator
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError


def offset_jacobian(
    offsets: Float[Tensor, "B d *T"], spacing: Sequence[float] | None = None
) -> Float[Tensor, "B d d *N"]:
    """Return the forward differences ∂ⱼεᵢ of an offset field, without unit.

    Args:
        offsets: ε in pixels, shape (B, d, *T), each axis of T at least 2 long.
        spacing: along each axis, the distance in pixels of what neighbours of T read without offsets, such as the
            stride of a convolution; None for 1.

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
    if spacing is not None:
        differences = [difference / step for difference, step in zip(differences, _steps(spacing, dim), strict=True)]
    return torch.stack(differences, dim=2)


def _steps(spacing: Sequence[float], dim: int) -> Sequence[float]:
    if len(spacing) != dim or not all(step > 0 for step in spacing):
        raise ArgumentError("spacing", expected=f"{dim} positive numbers", received=tuple(spacing))
    return spacing


def jacobian_determinant(
    offsets: Float[Tensor, "B d *T"], spacing: Sequence[float] | None = None
) -> Float[Tensor, "B *N"]:
    """Return J = det(I + ∇ε) by forward differences, shape (B, *(T − 1)); J ≤ 0 is a fold.

    Args:
        offsets: ε in pixels, shape (B, d, *T).
        spacing: distance in pixels of neighbours of T, as in `offset_jacobian`.

    Raises:
        ArgumentError: not a floating tensor of that shape.
    """
    slopes = offset_jacobian(offsets, spacing)
    dim = slopes.shape[1]
    identity = torch.eye(dim, dtype=slopes.dtype, device=slopes.device)
    return determinant(slopes + identity.reshape(1, dim, dim, *[1] * dim))


def determinant(matrices: Float[Tensor, "B d d *N"]) -> Float[Tensor, "B *N"]:
    """Return the determinants (B, *N) of matrices (B, d, d, *N), expanded along the first row.

    For the small d of a grid that is faster than a factorisation.
    """
    dim = matrices.shape[1]
    if dim == 1:
        return matrices[:, 0, 0]
    terms: list[Tensor] = []
    for column in range(dim):
        others = [other for other in range(dim) if other != column]
        terms.append((-1) ** column * matrices[:, 0, column] * determinant(matrices[:, 1:, others]))
    return functools.reduce(operator.add, terms)


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
