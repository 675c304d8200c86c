"""What a row is made of: fields on a periodic grid, offsets, and what the operator makes of them."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy import fft
from torch import Tensor

from warptheory import symbolic, warping
from warptheory.core.errors import ArgumentError
from warptheory.fields import CovarianceFunction, FieldSampler
from warptheory.fields.laws import scaled
from warptheory.montecarlo._extent import Values
from warptheory.symbolic import GaussianField, OffsetField, WarpedField

MOST_PIXELS = 2**24


@lru_cache(maxsize=8)
def periodic_sampler(
    field: GaussianField, size: tuple[int, ...], values: tuple[tuple[str, float], ...], refinement: int = 1
) -> FieldSampler:
    """Return what draws a Gaussian field on a periodic row; its eigenvalues are worked out once.

    Args:
        field: the field.
        size: pixels of the row along each axis.
        values: a number for every symbol.
        refinement: points per pixel along each axis.
    """
    numbers = dict(values)
    points = tuple(refinement * length for length in size)
    spacing = spacing_of(field, numbers) / refinement
    return FieldSampler(given_covariance(field, numbers), points, spacing=spacing, periodic=True)


def transformable(length: float) -> float:
    """Return the next length, if it is finite, that a Fourier transform takes apart into small factors."""
    return float(fft.next_fast_len(int(length))) if length <= MOST_PIXELS else length


def spacing_of(field: GaussianField, values: Values) -> float:
    return symbolic.evaluate(field.spacing, values)


def given_covariance(field: GaussianField, values: Values) -> CovarianceFunction:
    if field.covariance is None:
        raise ArgumentError("statistic", expected="Gaussian fields whose covariance is given", received=str(field))
    return field.covariance.subs(values)


def first_derivatives(inner: Tensor, offsets: Tensor, field: WarpedField) -> Tensor:
    """Return the derivatives along every axis; the left-hand ones from the right-hand ones and the mean of both."""
    if field.knot != "left":
        return warping.warp_gradient(inner, offsets, field.kernel, "periodic", knot=field.knot)
    right, central = (
        warping.warp_gradient(inner, offsets, field.kernel, "periodic", knot=knot) for knot in ("right", "central")
    )
    return 2 * central - right


def differentiated(inner: Tensor, offsets: Tensor, field: WarpedField) -> Float[Tensor, "B C *T"]:
    """Return a higher derivative in the offset, as automatic differentiation of the operator gives it.

    Args:
        inner: what is read, shape (B, C, *S).
        offsets: the offsets, shape (B, d, *T).
        field: the warped field, whose orders count the derivatives along each axis; at least two in all.

    Returns:
        Derivatives, shape (B, 1, *T); summed over the channels, of which there should be one.
    """
    axes = [axis for axis, order in enumerate(field.orders) for _ in range(order)]
    moving = offsets.detach().clone().requires_grad_()
    slopes = first_derivatives(inner, moving, field)[:, :, axes[0]]
    for axis in axes[1:]:
        # Each output depends on its own offset alone, so the gradient of the sum holds every derivative.
        (gradient,) = torch.autograd.grad(slopes.sum(), moving, create_graph=True)
        slopes = gradient[:, axis : axis + 1]
    return slopes.detach()


def number(expression: sp.Expr, values: Values) -> float:
    """Return the value of a parameter; what has been worked out is remembered from chunk to chunk.

    Args:
        expression: the parameter.
        values: a number for every symbol, by name.
    """
    return _number(expression, tuple(values.items()))


@lru_cache(maxsize=1024)
def _number(expression: sp.Expr, values: tuple[tuple[str, float], ...]) -> float:
    return symbolic.evaluate(expression, dict(values))


def drawn_shape(source: OffsetField, size: tuple[int, ...], values: Values) -> tuple[int, ...]:
    """Return the shape (d, *T) of the independent numbers that one realisation of an offset field is made of.

    Args:
        source: the offset field.
        size: pixels of the row along each axis.
        values: a number for every symbol, by name.
    """
    axes = 1 if number(source.correlation, values) == 1 else source.dim
    return (axes, *([1] * source.dim if source.is_shared else size))


def correlated(
    source: OffsetField,
    draw: Callable[[tuple[int, ...]], Float[ndarray, "..."]],
    rows: int,
    size: tuple[int, ...],
    values: Values,
) -> Float[ndarray, "rows d *T"]:
    """Return offsets of shape (rows, d, *T) without displacement, correlated between the axes as the field says.

    Args:
        source: the offset field.
        draw: returns values of the canonical law, of a given shape.
        rows: number of realisations.
        size: pixels of the row along each axis; T is 1 along each of them where one offset moves all pixels.
        values: a number for every symbol, by name.
    """
    law = source.axis_law
    location, scale = number(law.location, values), number(law.scale, values)
    correlation = number(source.correlation, values)
    drawn = draw((rows, *drawn_shape(source, size, values)))
    if correlation == 1:
        drawn = np.repeat(drawn, source.dim, axis=1)
    elif correlation != 0:
        matrix = np.linalg.cholesky((1 - correlation) * np.eye(source.dim) + correlation)
        drawn = np.einsum("ij,bj...->bi...", matrix, drawn)
    return scaled(drawn, location, scale)
