"""Spectra against NumPy and SciPy, and matrices whose ranks and distances are known."""

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from tests.matrices.controls import CONTROLS, deficient, dense, generator, orthogonal
from warptheory import matrices, warp_matrix
from warptheory.core.errors import ArgumentError

# LAPACK's backward error is a modest multiple of the roundoff times the norm; twelve rows and columns.
EXACT = 1e-13


@pytest.mark.parametrize("name", CONTROLS)
def test_spectrum_rank_and_condition(name):
    matrix = CONTROLS[name][0]
    for form in (matrix, torch.from_numpy(matrix).to_sparse(), aslinearoperator(matrix)):
        found = matrices.singular_spectrum(form)
        true = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(found.values, true, atol=EXACT * max(true[0], 1))
        assert found.rank == np.linalg.matrix_rank(matrix)
        assert found.nullity == matrix.shape[1] - found.rank
        if found.rank == min(matrix.shape):
            assert found.condition_number == pytest.approx(np.linalg.cond(matrix), rel=1e-9)
        else:
            assert found.condition_number == np.inf


@pytest.mark.parametrize("name", CONTROLS)
def test_nearest_isometry_and_its_distance(name):
    """Against SciPy's orthogonal Procrustes (square) and polar decomposition."""
    matrix = CONTROLS[name][0]
    found = matrices.nearest_isometry(matrix)
    least = min(matrix.shape)
    gram = found.T @ found if matrix.shape[0] >= matrix.shape[1] else found @ found.T
    np.testing.assert_allclose(gram, np.eye(least), atol=EXACT)
    distance = matrices.singular_spectrum(matrix).mean_square_distance_to_isometry
    assert distance == pytest.approx(((matrix - found) ** 2).sum() / least, rel=1e-11, abs=1e-26)
    if matrix.shape[0] == matrix.shape[1]:
        procrustes = scipy.linalg.orthogonal_procrustes(np.eye(len(matrix)), matrix)[0]
        assert distance == pytest.approx(((matrix - procrustes) ** 2).sum() / least, rel=1e-11, abs=1e-26)
    if np.linalg.matrix_rank(matrix) == least:
        np.testing.assert_allclose(found, scipy.linalg.polar(matrix)[0], atol=1e-11)


def test_no_isometry_is_nearer():
    matrix = dense(5, 5)
    least = matrices.singular_spectrum(matrix).mean_square_distance_to_isometry
    draws = (np.linalg.qr(generator().standard_normal((50, 5, 5)))[0] - matrix) ** 2
    assert (draws.sum((1, 2)) / 5 > least).all()


def test_orthogonal_matrices_have_none_to_go():
    for matrix in (orthogonal(7), CONTROLS["permutation"][0], CONTROLS["translation"][0], np.eye(3)):
        found = matrices.singular_spectrum(matrix)
        assert found.mean_square_distance_to_isometry < EXACT**2
        assert found.condition_number == pytest.approx(1, abs=EXACT)
    assert matrices.singular_spectrum(np.zeros((4, 4))).mean_square_distance_to_isometry == 1
    assert matrices.singular_spectrum(2 * np.eye(3)).mean_square_distance_to_isometry == 1


def test_a_convolution_is_unitary_iff_its_transfer_function_has_modulus_one():
    frequencies = np.exp(2j * np.pi * generator().random(9))
    frequencies[0], frequencies[5:] = 1, frequencies[4:0:-1].conj()
    for gains, unitary in (
        (frequencies, True),
        (frequencies * (1 + 0.1 * np.cos(2 * np.pi * np.arange(9) / 9)), False),
    ):
        filters = np.fft.ifft(gains)
        assert abs(filters.imag).max() < EXACT
        matrix = scipy.linalg.circulant(filters.real)
        assert matrices.nearest_convolution(matrix, (1, 9)).share_of_energy == pytest.approx(1)
        found = matrices.singular_spectrum(matrix)
        np.testing.assert_allclose(np.sort(found.values), np.sort(abs(gains)), atol=EXACT)
        assert (found.mean_square_distance_to_isometry < EXACT**2) == unitary


ENDS = {
    "dense": dense(30, 50),
    "rank deficient": deficient(40, 40, 36),
    "orthogonal": orthogonal(25),
    "zeros": np.zeros((9, 9)),
}


@pytest.mark.parametrize("end", ["largest", "smallest"])
@pytest.mark.parametrize("name", ENDS)
def test_ends_of_the_spectrum_of_small_matrices(name, end):
    true = np.linalg.svd(ENDS[name], compute_uv=False)
    for form in (ENDS[name], ENDS[name].T, aslinearoperator(ENDS[name])):
        found = matrices.extreme_singular_values(form, 5, end)
        np.testing.assert_allclose(found, true[:5] if end == "largest" else true[::-1][:5], atol=EXACT * 100)


def large(name):
    """Matrices of 300 rows: four zero singular values of a block, a warp, a permutation, all zeros."""
    if name == "null space":
        return sparse.block_diag([sparse.random_array((260, 296), density=0.05, rng=generator()), np.zeros((40, 4))])
    if name == "warp":
        return matrices.samples(warp_matrix(torch.linspace(-1, 3, 300, dtype=torch.float64)[None, None]))[0]
    return sparse.csr_array(np.eye(300)[generator().permutation(300)] if name == "permutation" else (300, 300))


@pytest.mark.parametrize("end", ["largest", "smallest"])
@pytest.mark.parametrize("name", ["null space", "warp", "permutation", "zeros"])
def test_ends_of_the_spectrum_of_large_matrices(name, end):
    """Values that coincide are all found."""
    matrix = large(name)
    true = np.linalg.svd(matrix.toarray(), compute_uv=False)
    expected = true[:5] if end == "largest" else true[::-1][:5]
    np.testing.assert_allclose(matrices.extreme_singular_values(matrix, 5, end), expected, atol=1e-8 * max(true[0], 1))
    operator = aslinearoperator(matrix)
    if end == "largest":
        np.testing.assert_allclose(matrices.extreme_singular_values(operator, 5), expected, atol=1e-8 * max(true[0], 1))
    else:
        with pytest.raises(ArgumentError, match="matrix: expected a sparse matrix"):
            matrices.extreme_singular_values(operator, 5, end)


def test_a_large_spectrum_by_multiplications_alone():
    """A warp of 48 × 48 pixels, by its matrix and by warping and splatting."""
    offsets = torch.randn(1, 2, 48, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = matrices.samples(warp_matrix(offsets, boundary="periodic"))[0]
    for each in (matrix, matrices.warp_operator(offsets, boundary="periodic")):
        largest = matrices.extreme_singular_values(each, 3)
        true = sparse.linalg.svds(matrix, 3, return_singular_vectors=False)[::-1]
        np.testing.assert_allclose(largest, true, rtol=1e-9)


def test_an_iteration_that_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr("warptheory.matrices._singular_values._ITERATIONS", 2)
    with pytest.raises(matrices.SpectrumError, match="residual"):
        matrices.extreme_singular_values(sparse.diags_array(np.linspace(0, 1, 3000)), 2)


def test_structural_rank():
    """The largest matching of rows and columns: here rows 0 and 1 share one column."""
    matrix = np.array([[1.0, 0, 0], [2, 0, 0], [0, 3, 4]])
    for form in (matrix, sparse.csr_array(matrix), torch.from_numpy(matrix), aslinearoperator(matrix)):
        assert matrices.structural_rank(form) == 2
    assert matrices.structural_rank(np.ones((3, 3))) == 3  # whatever the numbers are
    assert matrices.singular_spectrum(np.ones((3, 3))).rank == 1
    stored = sparse.csr_array((np.array([0.0, 1.0]), ([0, 1], [0, 0])), shape=(2, 2))
    assert matrices.structural_rank(stored) == 1
    assert len(stored.data) == 2  # left as it was
    assert matrices.structural_rank(np.zeros((4, 5))) == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((np.eye(4), 4), "count.*1 … 3"),
        ((np.eye(4), 0), "count"),
        ((np.eye(4), 1, "middle"), "end.*middle"),
        ((np.full((3, 3), np.nan),), "matrix.*finite"),
    ],
)
def test_what_is_refused(arguments, named, as_users_call):
    with pytest.raises(ArgumentError, match=named):
        matrices.extreme_singular_values(*arguments)
    for function in (matrices.singular_spectrum, matrices.nearest_isometry, matrices.structural_rank):
        with pytest.raises(ArgumentError, match="matrix"):
            function(np.full((3, 3), np.inf))


def test_a_matrix_that_does_not_fit_is_refused():
    huge = sparse.csr_array((10**7, 10**7))
    with pytest.raises(ArgumentError, match="matrix.*GiB"):
        matrices.singular_spectrum(huge)


def test_structural_rank_of_entries_that_cancel():
    assert matrices.structural_rank(sparse.csr_array(([1.0, -1.0], [0, 0], [0, 2, 2]), shape=(2, 2))) == 0


@pytest.mark.parametrize(("shape", "count"), [((1, 1), 1), ((1, 5), 1), ((2, 2), 1), ((4, 9), 3), ((20, 20), 6)])
def test_number_of_values_where_none_is_asked_for(shape, count):
    matrix = dense(*shape)
    true = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(matrices.extreme_singular_values(matrix), true[:count], rtol=1e-12)
    smallest = matrices.extreme_singular_values(matrix, end="smallest")
    np.testing.assert_allclose(smallest, true[::-1][:count], rtol=1e-11)


@pytest.mark.parametrize("exponent", [-1060, -332, 332, 532, 1020])
def test_ends_of_the_spectrum_do_not_depend_on_scale(exponent):
    """Diagonal matrices of 300 rows, whose squares are no doubles: 10⁻³²⁰ to 10³⁰⁷."""
    values = np.linspace(1, 2, 300)
    matrix = sparse.csr_array(sparse.diags_array(np.ldexp(values, exponent)))
    forms = [(matrix, "largest"), (matrix, "smallest")]
    if exponent > -1022:  # products with an operator of subnormal numbers are rounded
        forms.append((aslinearoperator(matrix), "largest"))
    for form, end in forms:
        found = np.ldexp(matrices.extreme_singular_values(form, 2, end), -exponent)
        # Subnormal numbers have a spacing of 2⁻¹⁰⁷⁴.
        np.testing.assert_allclose(
            found, values[::-1][:2] if end == "largest" else values[:2], atol=4e-8 + 2.0 ** (-1074 - exponent)
        )


def test_a_large_operator_that_returns_complex_numbers_is_refused(as_users_call):
    operator = LinearOperator((300, 300), matvec=lambda x: 1j * x.ravel(), rmatvec=lambda x: x, dtype=np.float64)
    with pytest.raises(ArgumentError, match="matrix: expected real"):
        matrices.extreme_singular_values(operator)
