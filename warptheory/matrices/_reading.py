"""Matrices of any kind, read in double precision: as a sparse array, dense, or as a linear operator."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy import sparse
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from warptheory.core.checks import check_fits
from warptheory.core.errors import ArgumentError

MatrixLike = Tensor | np.ndarray | sparse.sparray | sparse.spmatrix | LinearOperator
_COLUMNS = 64  # of a linear operator that are computed together
_AXES = 2
_REAL = "fiub"  # kinds of numbers: floating, whole, without sign, and True or False


def read(matrix: MatrixLike) -> sparse.csr_array | LinearOperator:
    """Return a matrix (N, M) as a sparse array in double precision; a linear operator stays what it is.

    Entries that are stored twice are summed, as SciPy means them; True counts as 1.

    Raises:
        ArgumentError: no matrix, one that is empty, complex, masked, or holds a NaN or an infinity.
    """
    if isinstance(matrix, LinearOperator):
        _check_shape(matrix.shape)
        if np.iscomplexobj(np.empty(0, matrix.dtype)):
            raise ArgumentError("matrix", expected="a real linear operator", received=matrix.dtype)
        return matrix
    found: Any
    if isinstance(matrix, Tensor):
        found = _of_torch(matrix)
    elif isinstance(matrix, np.ma.MaskedArray):
        raise ArgumentError("matrix", expected="an array without a mask", received="a masked array")
    elif isinstance(matrix, np.ndarray | sparse.sparray | sparse.spmatrix):
        found = matrix
    else:
        raise ArgumentError("matrix", expected="a matrix of torch, NumPy or SciPy", received=type(matrix).__name__)
    _check_shape(found.shape)
    if found.dtype.kind not in _REAL:
        raise ArgumentError("matrix", expected="real numbers", received=found.dtype)
    as_read: sparse.csr_array = sparse.csr_array(found.astype(np.float64))  # a copy
    as_read.sum_duplicates()
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
        ArgumentError: an operator that returns a NaN, an infinity, or complex numbers.
    """
    if isinstance(matrix, sparse.csr_array):
        yield 0, matrix
        return
    columns = matrix.shape[1]
    for first in range(0, columns, _COLUMNS):
        last = min(first + _COLUMNS, columns)
        yield first, read_block(np.asarray(matrix @ np.eye(columns, last - first, -first)))


def read_block(block: Shaped[np.ndarray, "N K"]) -> sparse.csr_array:
    """Return columns (N, K) as a sparse array; raises as `read`."""
    found = read(block)
    assert isinstance(found, sparse.csr_array)
    return found


def energy(matrix: MatrixLike) -> float:
    """Return the energy of a matrix, a scalar: the sum of its squared entries, the square of its Frobenius norm.

    It is infinite where squares of entries leave double precision, above about 10¹⁵⁴.

    Args:
        matrix: A, shape (N, M).

    Raises:
        ArgumentError: no matrix of finite real numbers.
    """
    return sum(sum_of_squares(block.data) for _, block in column_blocks(read(matrix)))


def sum_of_squares(entries: Float[np.ndarray, "*E"]) -> float:
    """Return Σ a² of entries (*E), a scalar; infinite beyond double precision."""
    with np.errstate(over="ignore"):
        return float(np.vdot(entries, entries))


def samples(matrices: Shaped[Tensor, "B N M"]) -> list[sparse.csr_array]:
    """Take a batch of sparse matrices apart, such as `warp_matrix` and `operator_matrix` return.

    Args:
        matrices: a sparse tensor of shape (B, N, M).

    Returns:
        B sparse arrays of SciPy of shape (N, M), in double precision.

    Raises:
        ArgumentError: no sparse tensor of three axes, or a complex one.
    """
    if not (isinstance(matrices, Tensor) and matrices.layout == torch.sparse_coo and matrices.ndim == 3):
        kind = f"{matrices.layout} {tuple(matrices.shape)}" if isinstance(matrices, Tensor) else type(matrices).__name__
        raise ArgumentError("matrices", expected="a sparse tensor (B, N, M)", received=kind)
    if matrices.is_complex():
        raise ArgumentError("matrices", expected="real numbers", received=matrices.dtype)
    found = matrices.detach().to(torch.float64).coalesce().cpu()
    batch, rows, columns = found.shape
    sample, *places = found.indices().numpy()
    values = found.values().numpy()
    bounds = np.searchsorted(sample, np.arange(batch + 1))
    return [
        sparse.csr_array((values[part], (places[0][part], places[1][part])), shape=(rows, columns))
        for part in map(slice, bounds[:-1], bounds[1:])
    ]


def _of_torch(matrix: Tensor) -> Any:
    if matrix.is_complex():
        raise ArgumentError("matrix", expected="real numbers", received=matrix.dtype)
    found = matrix.detach().cpu().to(torch.float64)
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
