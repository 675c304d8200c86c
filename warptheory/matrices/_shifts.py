"""Shifts of periodic images as matrices, and how far an operator is from commuting with them."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.matrices._images import as_sequence, checked_images, checked_shape
from warptheory.matrices._reading import MatrixLike, read


def shift_matrix(shape: Sequence[int], shift: Sequence[int]) -> sparse.csr_array:
    """Return the matrix of a shift of periodic images: (S x)[n] = x[n + shift].

    Args:
        shape: (C, *S), that of the images.
        shift: whole pixels along each spatial axis.

    Returns:
        A sparse permutation, shape (C·M, C·M) with M = ∏S.

    Raises:
        ArgumentError: no shape of images, or a shift of another number of axes.
    """
    lengths = checked_shape("shape", shape)
    steps = _checked_shift(shift, len(lengths) - 1)
    pixels = math.prod(lengths)
    axes = tuple(range(1, len(lengths)))
    read_from = np.roll(np.arange(pixels).reshape(lengths), [-step for step in steps], axes).ravel()
    return sparse.csr_array((np.ones(pixels), read_from, np.arange(pixels + 1)), shape=(pixels, pixels))


def shift_commutator(
    matrix: MatrixLike, shift: Sequence[int], input_shape: Sequence[int], output_shape: Sequence[int] | None = None
) -> sparse.csr_array | LinearOperator:
    """Return the commutator of an operator with a shift, A S − S A; it is zero for all shifts iff A is a convolution.

    Images are periodic. Where the output is coarser, the input is shifted by as many more pixels.

    Args:
        matrix: A, shape (D·N, C·M).
        shift: whole pixels of the output along each spatial axis.
        input_shape: (C, *S).
        output_shape: (D, *T), lengths that divide those of the input; None takes the shape of the input.

    Returns:
        The commutator, shape (D·N, C·M): a sparse array, or a linear operator where A is one. See `energy`.

    Raises:
        ArgumentError: no matrix of finite real numbers, or shapes that do not fit it.
    """
    found = read(matrix)
    images = checked_images(found.shape, input_shape, output_shape)
    steps = _checked_shift(shift, len(images.stride))
    before = shift_matrix(images.inputs, [step * stride for step, stride in zip(steps, images.stride, strict=True)])
    after = shift_matrix(images.outputs, steps)
    if isinstance(found, LinearOperator):
        return found @ aslinearoperator(before) - aslinearoperator(after) @ found
    commutator: sparse.csr_array = found @ before - after @ found
    return commutator


def _checked_shift(shift: Sequence[int], axes: int) -> tuple[int, ...]:
    steps = as_sequence(shift)
    if not isinstance(steps, Sequence) or len(steps) != axes:
        raise ArgumentError("shift", expected=f"a whole number for each of {axes} spatial axes", received=repr(shift))
    return tuple(check_integer("shift", step, least=None) for step in steps)
