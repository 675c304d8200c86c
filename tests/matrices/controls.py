"""Matrices whose answers are known: each by its name, with the shape (C, *S) of the images."""

import itertools
import math

import numpy as np
from scipy import sparse


def generator():
    return np.random.default_rng(3)


def shifted(shape, shift):
    """The permutation of a shift, entry by entry."""
    size = math.prod(shape)
    found = np.zeros((size, size))
    for n in np.ndindex(*shape):
        m = (n[0], *((place + step) % length for place, step, length in zip(n[1:], shift, shape[1:], strict=True)))
        found[np.ravel_multi_index(n, shape), np.ravel_multi_index(m, shape)] = 1
    return found


def all_shifts(shape):
    """Every shift of a periodic image, and its matrix."""
    for shift in itertools.product(*map(range, shape[1:])):
        yield shift, shifted(shape, shift)


def circulant(filters):
    """The matrix of a convolution with filters (D, C, *S), summed shift by shift."""
    size = filters.shape[2:]
    found = 0
    for shift, one in all_shifts((1, *size)):
        found = found + np.kron(filters[(slice(None), slice(None), *shift)], one)
    return found


def projected(matrix, input_shape, output_shape=None):
    """The nearest convolution by its definition: the mean of Sᵀ A S over all shifts of the output."""
    output_shape = output_shape or input_shape
    stride = [m // n for m, n in zip(input_shape[1:], output_shape[1:], strict=True)]
    terms = [
        after.T @ matrix @ shifted(input_shape, [s * k for s, k in zip(stride, shift, strict=True)])
        for shift, after in all_shifts(output_shape)
    ]
    return sum(terms) / len(terms)


def dense(rows, columns):
    return generator().standard_normal((rows, columns))


def orthogonal(size):
    return np.linalg.qr(dense(size, size))[0]


def deficient(rows, columns, rank):
    return dense(rows, rank) @ generator().standard_normal((rank, columns))


CONTROLS = {
    "convolution": (circulant(dense(6, 6).reshape(2, 3, 6)), (3, 6), (2, 6)),
    "convolution in the plane": (circulant(dense(3, 4).reshape(1, 1, 3, 4)), (1, 3, 4), None),
    "permutation": (np.eye(8)[generator().permutation(8)], (1, 8), None),
    "translation": (shifted((1, 4, 3), (1, 2)), (1, 4, 3), None),
    "identity": (np.eye(12), (3, 4), None),
    "zeros": (np.zeros((6, 6)), (1, 6), None),
    "rank deficient": (deficient(8, 8, 3), (2, 2, 2), None),
    "tall": (dense(12, 6), (1, 6), (2, 6)),
    "wide, with a stride": (dense(6, 24), (2, 2, 6), (3, 1, 2)),
    "one by one": (np.array([[-2.5]]), (1, 1), None),
    "sparse": (sparse.random_array((16, 16), density=0.2, rng=generator()).toarray(), (1, 4, 4), None),
}
