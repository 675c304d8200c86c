"""Matrices of any kind, read in double precision: as a sparse array, dense, or as a linear operator."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from warptheory.core.checks import check_fits
from warptheory.core.errors import ArgumentError

MatrixLike = Tensor | np.ndarray | sparse.sparray | sparse.spmatrix | LinearOperator
_COLUMNS = 64  # of a linear operator that are computed together
_AXES = 2


def read(matrix: MatrixLike) -> sparse.csr_array | LinearOperator:
    """Return a matrix (N, M) as a sparse array in double precision; a linear operator stays what it is.

    Raises:
        ArgumentError: no matrix, one that is empty, complex, or holds a NaN or an infinity.
    """
    if isinstance(matrix, LinearOperator):
        _check_shape(matrix.shape)
        if np.iscomplexobj(np.empty(0, matrix.dtype)):
            raise ArgumentError("matrix", expected="a real linear operator", received=matrix.dtype)
        return matrix
    found: Any
    if isinstance(matrix, Tensor):
        found = _of_torch(matrix)
    elif isinstance(matrix, np.ndarray | sparse.sparray | sparse.spmatrix):
        found = matrix
    else:
        raise ArgumentError("matrix", expected="a matrix of torch, NumPy or SciPy", received=type(matrix).__name__)
    _check_shape(found.shape)
    if not (np.issubdtype(found.dtype, np.floating) or np.issubdtype(found.dtype, np.integer)):
        raise ArgumentError("matrix", expected="real numbers", received=found.dtype)
    as_read: sparse.csr_array = sparse.csr_array(found.astype(np.float64))
    if not np.isfinite(as_read.data).all():
        raise ArgumentError("matrix", expected="finite numbers", received="a NaN or an infinity")
    return as_read


def read_dense(matrix: MatrixLike) -> Float[np.ndarray, "N M"]:
    """Return a matrix (N, M) as a dense array; raises as `read`, and for one that does not fit into memory."""
    found = read(matrix)
    rows, columns = found.shape
    check_fits("matrix", found.shape, rows * columns * np.dtype(np.float64).itemsize)
    return np.concatenate([block.toarray() for _, block in column_blocks(found)], axis=1)


def read_sparse(matrix: MatrixLike) -> sparse.csr_array:
    """Return a matrix (N, M) as a sparse array, an operator by its columns; raises as `read`."""
    found = read(matrix)
    if isinstance(found, sparse.csr_array):
        return found
    return sparse.csr_array(sparse.hstack([block for _, block in column_blocks(found)]))


def column_blocks(matrix: sparse.csr_array | LinearOperator) -> Iterator[tuple[int, sparse.csr_array]]:
    """Yield a matrix (N, M) in blocks of columns, each after the number of its first one.

    Raises:
        ArgumentError: an operator that returns a NaN or an infinity.
    """
    if isinstance(matrix, sparse.csr_array):
        yield 0, matrix
        return
    columns = matrix.shape[1]
    for first in range(0, columns, _COLUMNS):
        last = min(first + _COLUMNS, columns)
        found = np.asarray(matrix @ np.eye(columns, last - first, -first), np.float64)
        yield first, read_block(found)


def read_block(block: Float[np.ndarray, "N K"]) -> sparse.csr_array:
    """Return columns (N, K) as a sparse array; raises as `read`."""
    found = read(block)
    assert isinstance(found, sparse.csr_array)
    return found


def energy(matrix: MatrixLike) -> float:
    """Return the energy of a matrix, a scalar: the sum of its squared entries, the square of its Frobenius norm.

    Args:
        matrix: A, shape (N, M).

    Raises:
        ArgumentError: no matrix of finite real numbers.
    """
    return sum(float(block.data @ block.data) for _, block in column_blocks(read(matrix)))


def samples(matrices: Float[Tensor, "B N M"]) -> list[sparse.csr_array]:
    """Take a batch of sparse matrices apart, such as `warp_matrix` and `operator_matrix` return.

    Args:
        matrices: a sparse tensor of shape (B, N, M).

    Returns:
        B sparse arrays of SciPy of shape (N, M), in double precision.

    Raises:
        ArgumentError: no sparse tensor of three axes.
    """
    if not (isinstance(matrices, Tensor) and matrices.layout == torch.sparse_coo and matrices.ndim == 3):
        kind = f"{matrices.layout} {tuple(matrices.shape)}" if isinstance(matrices, Tensor) else type(matrices).__name__
        raise ArgumentError("matrices", expected="a sparse tensor (B, N, M)", received=kind)
    found = matrices.detach().coalesce().cpu()
    batch, rows, columns = found.shape
    sample, *places = found.indices().numpy()
    values = found.values().to(torch.float64).numpy()
    bounds = np.searchsorted(sample, np.arange(batch + 1))
    return [
        sparse.csr_array((values[part], (places[0][part], places[1][part])), shape=(rows, columns))
        for part in map(slice, bounds[:-1], bounds[1:])
    ]


def _of_torch(matrix: Tensor) -> Any:
    found = matrix.detach().cpu()
    if found.dtype in (torch.bfloat16, torch.float16):
        found = found.to(torch.float32)
    if found.layout == torch.strided:
        return found.numpy()
    if found.ndim != _AXES:
        raise ArgumentError("matrix", expected="shape (N, M): take one sample of a batch", received=tuple(found.shape))
    if found.layout != torch.sparse_coo:
        found = torch.Tensor.to_sparse_coo(found)  # type: ignore[no-untyped-call]
    found = found.coalesce()
    return sparse.coo_array((found.values().numpy(), tuple(found.indices().numpy())), shape=tuple(found.shape))


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) != _AXES:
        raise ArgumentError("matrix", expected="shape (N, M): take one sample of a batch", received=tuple(shape))
    if 0 in shape:
        raise ArgumentError("matrix", expected="rows and columns", received=f"shape {tuple(shape)}")
