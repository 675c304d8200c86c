"""Singular values of an operator: all of them, the ends of the spectrum, rank, and the nearest isometry."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.csgraph import structural_rank as _structural_rank
from scipy.sparse.linalg import LinearOperator, lobpcg, splu

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.presented import Presented
from warptheory.matrices._reading import MatrixLike, read, read_block, read_dense, read_sparse

_DENSE = 256  # rows or columns up to which all singular values are computed
_SHIFT = 1e-6  # beside zero, where a Gram matrix is inverted, in units of its largest row sum
_RESIDUAL = 1e-9  # of an eigenvector, in units of the norm; eigenvalues err by about its square
_ITERATIONS = 1000
_COUNT = 6  # values at an end, where no number is asked for


class SpectrumError(WarpTheoryError):
    """Raised where an iteration does not come to singular values that it can vouch for."""


@dataclass(frozen=True, eq=False)
class SingularSpectrum(Presented):
    """All singular values of a matrix A, and what they say.

    Attributes:
        values: σ, the largest first, shape (K,), K = min(N, M).
        shape: (N, M), that of A.
    """

    values: Float[np.ndarray, "K"]
    shape: tuple[int, int]

    @property
    def rank(self) -> int:
        """The number of singular values above σ₁·max(N, M)·ε, ε the spacing of doubles, as `numpy.linalg` counts."""
        return int((self.values > self.values[0] * max(self.shape) * np.finfo(np.float64).eps).sum())

    @property
    def nullity(self) -> int:
        """The dimension of what A maps to zero, M − rank."""
        return self.shape[1] - self.rank

    @property
    def condition_number(self) -> float:
        """The largest over the smallest singular value; infinite where the rank is less than min(N, M)."""
        return float(self.values[0] / self.values[-1]) if self.rank == len(self.values) else np.inf

    @property
    def mean_square_distance_to_isometry(self) -> float:
        """The mean of (σ − 1)²: the squared Frobenius distance to the nearest isometry, per dimension.

        For a square matrix isometries are the orthogonal matrices; otherwise they have orthonormal columns, or rows.
        """
        return float(np.mean((self.values - 1) ** 2))


def singular_spectrum(matrix: MatrixLike) -> SingularSpectrum:
    """Return all singular values of a matrix, by a dense decomposition.

    Args:
        matrix: A, shape (N, M).

    Raises:
        ArgumentError: no matrix of finite real numbers, or one that does not fit into memory when dense.
    """
    dense = read_dense(matrix)
    return SingularSpectrum(np.linalg.svd(dense, compute_uv=False), (dense.shape[0], dense.shape[1]))


def extreme_singular_values(
    matrix: MatrixLike, count: int | None = None, end: Literal["largest", "smallest"] = "largest"
) -> Float[np.ndarray, "count"]:
    """Return singular values at one end of the spectrum, for matrices that are too large to be dense.

    Of min(N, M) singular values, as `singular_spectrum` has. The largest ones are found by multiplications alone, the
    smallest by factorising AᵀA, which asks for a matrix (and, for wide offsets in the plane, for patience). A block of
    vectors is iterated (LOBPCG), so that values which coincide are all found, up to twice as many as are asked for;
    each is checked by its residual, and right to about 10⁻⁸ of the largest.

    Args:
        matrix: A, shape (N, M); sparse for the smallest.
        count: how many, fewer than min(N, M), or the one that there is; None takes six, or as many as that allows.
        end: "largest" or "smallest".

    Returns:
        The singular values, that of the end first, shape (count,).

    Raises:
        ArgumentError: no matrix of finite real numbers, a count that is too large, another end, or the smallest ones of
            a large linear operator.
        SpectrumError: the iteration does not converge.

    Source: A. Knyazev, Toward the optimal preconditioned eigensolver (2001), by SciPy.
    """
    found = read(matrix)
    most = max(min(found.shape) - 1, 1)
    count = min(_COUNT, most) if count is None else check_integer("count", count, most=most)
    if end not in ("largest", "smallest"):
        raise ArgumentError("end", expected="'largest' or 'smallest'", received=repr(end))
    if min(found.shape) <= _DENSE:
        values = singular_spectrum(found).values
        return values[:count] if end == "largest" else values[: -count - 1 : -1]
    exponent = _exponent(found)
    scaled = _scaled(found, exponent)
    tall: Any = scaled if found.shape[0] >= found.shape[1] else scaled.T
    if end == "largest":
        vectors = _top_vectors(tall.T @ tall, count)
    elif isinstance(found, LinearOperator):
        raise ArgumentError("matrix", expected="a sparse matrix, for the smallest values", received="a linear operator")
    else:
        vectors = _top_vectors(_inverted(sparse.csc_array(tall.T @ tall)), count)
    values = np.ldexp(np.linalg.svd(tall @ vectors, compute_uv=False), exponent)
    return values[:count] if end == "largest" else values[: -count - 1 : -1]


def _exponent(matrix: sparse.csr_array | LinearOperator) -> int:
    """Return the exponent of two of the size of a matrix's entries, or of its products: squares of others overflow.

    Raises:
        ArgumentError: an operator that returns a NaN, an infinity, or complex numbers.
    """
    if isinstance(matrix, LinearOperator):
        start = np.random.default_rng(0).standard_normal((matrix.shape[1], 1))
        sizes = np.abs(read_block(np.asarray(matrix @ start)).data)
    else:
        sizes = np.abs(matrix.data)
    return int(np.frexp(sizes.max(initial=0.0))[1])


def _scaled(matrix: sparse.csr_array | LinearOperator, exponent: int) -> sparse.csr_array | LinearOperator:
    """Return 2⁻ᵉ A for A (N, M), without rounding."""
    if not isinstance(matrix, LinearOperator):
        entries = np.ldexp(matrix.data, -exponent)
        return sparse.csr_array((entries, matrix.indices, matrix.indptr), shape=matrix.shape)

    def forward(x: np.ndarray) -> np.ndarray:
        return np.ldexp(matrix @ x, -exponent)

    def backward(y: np.ndarray) -> np.ndarray:
        return np.ldexp(matrix.T @ y, -exponent)

    return LinearOperator(
        matrix.shape, matvec=forward, rmatvec=backward, matmat=forward, rmatmat=backward, dtype=np.dtype(np.float64)
    )


def _inverted(gram: sparse.csc_array) -> LinearOperator:
    """Return δ(G + δ)⁻¹ for a positive semidefinite matrix G (M, M), with δ small against its norm."""
    shift = _SHIFT * float(abs(gram).sum(axis=0).max() or 1.0)
    solver = splu(sparse.csc_matrix(gram + shift * sparse.eye_array(gram.shape[0])))

    def solve(x: np.ndarray) -> np.ndarray:
        return shift * solver.solve(x)

    return LinearOperator(gram.shape, matvec=solve, matmat=solve, dtype=np.dtype(np.float64))


def _top_vectors(gram: Any, count: int) -> Float[np.ndarray, "M K"]:
    """Return eigenvectors of the largest eigenvalues of a positive semidefinite G (M, M), shape (M, K), K ≥ count.

    Raises:
        SpectrumError: residuals of those that count are too large against the norm.
    """
    start = np.random.default_rng(0).standard_normal((gram.shape[0], 2 * count + 4))
    norm = float(np.linalg.norm(gram @ start, 2) / np.linalg.norm(start, 2)) or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on vectors beyond those that count
        values, vectors = lobpcg(gram, start, tol=_RESIDUAL * norm, maxiter=_ITERATIONS, largest=True)
    counted = np.argsort(-values)[:count]
    residuals = np.linalg.norm(gram @ vectors[:, counted] - values[counted] * vectors[:, counted], axis=0)
    if not (residuals <= 10 * _RESIDUAL * max(norm, float(values.max()))).all():
        raise SpectrumError(f"singular values did not converge: a residual of {residuals.max():.1e}")
    return vectors


def nearest_isometry(matrix: MatrixLike) -> Float[np.ndarray, "N M"]:
    """Return the isometry nearest to a matrix in the Frobenius norm, the orthogonal factor of its polar decomposition.

    A square matrix has a nearest orthogonal one; a tall one has a nearest one with orthonormal columns, a wide one with
    orthonormal rows. It is one of several where the rank is less than min(N, M). The distance is that of
    `SingularSpectrum.mean_square_distance_to_isometry`.

    Args:
        matrix: A, shape (N, M).

    Returns:
        U Vᵀ for A = U Σ Vᵀ, shape (N, M).

    Raises:
        ArgumentError: no matrix of finite real numbers, or one that does not fit into memory when dense.
    """
    left, _, right = np.linalg.svd(read_dense(matrix), full_matrices=False)
    isometry: np.ndarray = left @ right
    return isometry


def structural_rank(matrix: MatrixLike) -> int:
    """Return the structural rank of a matrix, a scalar: the largest rank of any with the same zeros.

    It is the largest number of rows that can each be given a column of its own in which it is not zero.

    Args:
        matrix: A, shape (N, M).

    Raises:
        ArgumentError: no matrix of finite real numbers.
    """
    found = sparse.csr_array(read_sparse(matrix), copy=True)
    found.eliminate_zeros()
    return int(_structural_rank(found))
