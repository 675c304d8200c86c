"""The nearest convolution against its definition, the mean over all shifts, and known shares of energy."""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from tests.cards import check_shows_itself
from tests.matrices.controls import CONTROLS, all_shifts, circulant, dense, generator, projected, shifted
from warptheory import matrices
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding


def close(found, true, operations=200):
    found, true = np.asarray(found), np.asarray(true)
    tolerance = rounding(torch.float64, operations, float(abs(true).max(initial=1.0)))
    np.testing.assert_allclose(found, true, tolerance.relative, tolerance.absolute)


def as_array(matrix):
    return matrix @ np.eye(matrix.shape[1]) if isinstance(matrix, LinearOperator) else matrix.toarray()


@pytest.mark.parametrize("name", CONTROLS)
def test_it_is_the_mean_over_all_shifts(name):
    matrix, inputs, outputs = CONTROLS[name]
    true = projected(matrix, inputs, outputs)
    found = matrices.nearest_convolution(matrix, inputs, outputs)
    close(found.matrix().toarray(), true)
    close(found.explained_energy, (true**2).sum())
    close(found.energy, (matrix**2).sum())
    close(as_array(found.remainder()), matrix - true)
    # Energies add up, since the rest is orthogonal to every convolution.
    close(matrices.energy(found.remainder()) + found.explained_energy, found.energy)
    rest, lengths = as_array(found.remainder()), (found.filters.shape[0], found.filters.shape[1])
    for step in np.ndindex(*found.filters.shape[2:]):
        one = np.zeros(found.filters.shape)
        for pair in np.ndindex(*lengths):
            one[pair + step] = 1
            if outputs is None or outputs[1:] == inputs[1:]:
                close(np.vdot(rest, circulant(one)), 0)
            one[pair + step] = 0


@pytest.mark.parametrize("name", CONTROLS)
def test_every_form_of_a_matrix_is_read_alike(name):
    matrix, inputs, outputs = CONTROLS[name]
    tensor = torch.from_numpy(matrix)
    forms = (tensor, tensor.to_sparse(), tensor.to_sparse_csr(), sparse.coo_matrix(matrix), aslinearoperator(matrix))
    true = matrices.nearest_convolution(matrix, inputs, outputs)
    for form in forms:
        found = matrices.nearest_convolution(form, inputs, outputs)
        close(found.filters, true.filters)
        close(found.share_of_energy, true.share_of_energy)
        close(matrices.energy(form), true.energy)
        close(as_array(found.remainder()), as_array(true.remainder()))
        commutator = matrices.shift_commutator(form, [1] * (len(inputs) - 1), inputs, outputs)
        close(
            as_array(commutator), as_array(matrices.shift_commutator(matrix, [1] * (len(inputs) - 1), inputs, outputs))
        )


def test_more_columns_than_a_block_of_an_operator():
    matrix = dense(70, 140)
    close(
        matrices.nearest_convolution(aslinearoperator(matrix), (2, 70), (1, 70)).filters,
        matrices.nearest_convolution(matrix, (2, 70), (1, 70)).filters,
    )


@pytest.mark.parametrize(
    "name", ["convolution", "convolution in the plane", "translation", "identity", "zeros", "one by one"]
)
def test_a_convolution_is_its_own_projection_and_commutes(name):
    matrix, inputs, outputs = CONTROLS[name]
    assert matrices.nearest_convolution(matrix, inputs, outputs).share_of_energy == pytest.approx(1, rel=1e-14)
    for shift, _ in all_shifts(outputs or inputs):
        close(as_array(matrices.shift_commutator(matrix, shift, inputs, outputs)), np.zeros(matrix.shape))


def test_filters_are_those_of_the_convolution():
    filters = dense(4, 30).reshape(2, 2, 6, 5)
    close(matrices.nearest_convolution(circulant(filters), (2, 6, 5)).filters, filters)


def test_share_of_a_permutation():
    """A permutation π has the share Σⱼ (#{n: π(n) − n = j}/N)², which is known from counting: not a convolution."""
    order = np.array([1, 0, 2, 3, 5, 4])
    share = matrices.nearest_convolution(np.eye(6)[order], (1, 6)).share_of_energy
    assert share == pytest.approx((2**2 + 2**2 + 2**2) / 6**2)  # displacements 1, −1, 0, 0, 1, −1
    assert matrices.energy(matrices.shift_commutator(np.eye(6)[order], (1,), (1, 6))) > 1


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("step", [1, -2])
def test_commutator_by_its_definition(name, step):
    matrix, inputs, outputs = CONTROLS[name]
    outputs = outputs or inputs
    shift = [step] * (len(inputs) - 1)
    stride = [m // n for m, n in zip(inputs[1:], outputs[1:], strict=True)]
    true = matrix @ shifted(inputs, [step * each for each in stride]) - shifted(outputs, shift) @ matrix
    close(as_array(matrices.shift_commutator(matrix, shift, inputs, outputs)), true)


def test_shift_matrix_rolls_images():
    x = generator().standard_normal((2, 4, 5))
    moved = matrices.shift_matrix(x.shape, (1, -2)) @ x.ravel()
    assert np.array_equal(moved.reshape(x.shape), np.roll(x, (-1, 2), (1, 2)))


def test_convolution_of_torch_on_a_periodic_image():
    """Filters are those of a plain convolution as torch computes it, stride included."""
    layer = torch.nn.Conv2d(3, 2, 3, stride=2, padding=1, padding_mode="circular", bias=False, dtype=torch.float64)
    columns = layer(torch.eye(3 * 64, dtype=torch.float64).reshape(-1, 3, 8, 8)).flatten(1).T
    found = matrices.nearest_convolution(columns.detach(), (3, 8, 8), (2, 4, 4))
    assert found.share_of_energy == pytest.approx(1, rel=1e-14)
    window = np.roll(found.filters, (1, 1), (2, 3))[:, :, :3, :3]
    close(window, layer.weight.detach().numpy())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((np.ones((6, 6)), (1, 5)), "input_shape.*6 pixels.*columns"),
        ((np.ones((6, 6)), (1, 6), (1, 3)), "output_shape.*6 pixels.*rows"),
        ((np.ones((4, 6)), (1, 6), (1, 4)), "output_shape.*divide"),
        ((np.ones((12, 6)), (1, 6), (1, 12)), "output_shape.*transpose"),
        ((np.ones((6, 6)), (1, 6), (1, 2, 3)), "output_shape.*1 axes"),
        ((np.ones((6, 6)), (6,)), "input_shape.*spatial axis"),
        ((np.ones((6, 6)), (1, -6)), "input_shape.*positive"),
        ((np.ones(6), (1, 6)), "matrix.*one sample"),
        ((np.ones((2, 6, 6)), (1, 6)), "matrix.*one sample"),
        ((torch.ones(2, 6, 6).to_sparse(), (1, 6)), "matrix.*one sample"),
        ((np.ones((0, 6)), (1, 6)), "matrix.*rows and columns"),
        ((np.full((6, 6), np.nan), (1, 6)), "matrix.*finite.*NaN"),
        ((torch.full((6, 6), torch.inf), (1, 6)), "matrix.*finite"),
        ((aslinearoperator(np.full((6, 6), np.nan)), (1, 6)), "matrix.*finite"),
        ((np.ones((6, 6), complex), (1, 6)), "matrix.*real"),
        ((aslinearoperator(np.ones((6, 6), complex)), (1, 6)), "matrix.*real"),
        (([[1.0]], (1, 1)), "matrix.*list"),
    ],
)
def test_what_is_refused(arguments, named, as_users_call):
    with pytest.raises(ArgumentError, match=named):
        matrices.nearest_convolution(*arguments)


@pytest.mark.parametrize("shift", [1, (1, 2), (0.5,)])
def test_shifts_that_are_refused(shift, as_users_call):
    with pytest.raises(ArgumentError, match="shift"):
        matrices.shift_commutator(np.eye(4), shift, (1, 4))


def test_batches_that_are_refused(as_users_call):
    for batch in (torch.ones(2, 3, 3), torch.eye(3).to_sparse(), np.ones((2, 3, 3))):
        with pytest.raises(ArgumentError, match="matrices.*sparse tensor"):
            matrices.samples(batch)


TWICE = {
    "csr": sparse.csr_array(([1.0, 1.0], [0, 0], [0, 2, 2]), shape=(2, 2)),
    "csc": sparse.csc_array(([1.0, 1.0], [0, 0], [0, 2, 2]), shape=(2, 2)),
    "coo": sparse.coo_array(([1.0, 1.0], ([0, 0], [0, 0])), shape=(2, 2)),
    "torch": torch.sparse_coo_tensor([[0, 0], [0, 0]], [1.0, 1.0], (2, 2), check_invariants=True),
}


@pytest.mark.parametrize("form", TWICE)
def test_entries_that_are_stored_twice_are_summed(form):
    matrix, true = TWICE[form], np.array([[2.0, 0], [0, 0]])
    found = matrices.nearest_convolution(matrix, (1, 2))
    assert matrices.energy(matrix) == found.energy == 4
    assert found.share_of_energy == pytest.approx(0.5)
    close(found.remainder().toarray(), true - projected(true, (1, 2)))
    if form == "csr":
        assert matrix.nnz == 2  # left as it was


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_shares_of_entries_whose_squares_are_no_doubles(scale):
    matrix, inputs, outputs = CONTROLS["sparse"]
    share = matrices.nearest_convolution(matrix, inputs, outputs).share_of_energy
    for form in (matrix * scale, aslinearoperator(matrix * scale)):
        found = matrices.nearest_convolution(form, inputs, outputs)
        assert found.share_of_energy == pytest.approx(share, rel=1e-13)
        assert matrices.energy(form) == (np.inf if scale > 1 else 0)


def test_shapes_and_shifts_of_arrays_are_taken():
    found = matrices.nearest_convolution(np.eye(6), np.array([1, 2, 3]), torch.ones(1, 2, 3).shape)
    assert found.share_of_energy == pytest.approx(1)
    assert (matrices.shift_matrix(np.array([1, 4]), np.array([1])) != matrices.shift_matrix((1, 4), (1,))).nnz == 0


def test_it_shows_itself():
    found = matrices.nearest_convolution(np.eye(6), (1, 6))
    assert (
        repr(found)
        == "NearestConvolution(filters=ndarray of shape (1, 1, 6), energy=6, operator=csr_array of shape (6, 6))"
    )
    check_shows_itself(found)
    check_shows_itself(matrices.singular_spectrum(np.eye(60)))


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        (((1, 2, -3),), r"input_shape\[2\]: expected a positive integer, got -3"),
        (((1, 6), (1, 2.5)), r"output_shape\[1\]: expected a positive integer, got 2.5"),
        (((1, 3, 2), (3, 2, 1)), r"output_shape\[1\]: expected a length that divides that of the input, 3"),
        (("16",), "input_shape: expected channels"),
        ((np.ones((2, 2)),), r"input_shape\[0\]: expected a positive integer"),
        ((6,), "input_shape: expected channels"),
    ],
)
def test_messages_name_the_length(shapes, named, as_users_call):
    with pytest.raises(ArgumentError, match=named):
        matrices.nearest_convolution(np.eye(6), *shapes)


def test_a_shape_that_stands_for_both_is_told(as_users_call):
    with pytest.raises(ArgumentError, match=r"output_shape: expected 3 pixels .* as the matrix has rows \(None takes"):
        matrices.nearest_convolution(np.ones((3, 6)), (1, 6))


COMPLEX = {
    "array": np.ones((2, 2), complex),
    "sparse": sparse.csr_array(np.ones((2, 2), complex)),
    "torch": torch.ones(2, 2, dtype=torch.complex64),
    "sparse torch": torch.ones(2, 2, dtype=torch.complex64).to_sparse(),
    "operator": aslinearoperator(np.ones((2, 2), complex)),
    "operator that says it were real": LinearOperator((2, 2), matvec=lambda x: 1j * x.ravel(), dtype=np.float64),
}


@pytest.mark.parametrize("form", COMPLEX)
def test_complex_matrices_are_refused(form, as_users_call):
    for function in (matrices.energy, matrices.singular_spectrum, matrices.extreme_singular_values):
        with pytest.raises(ArgumentError, match="matrix: expected .*real"):
            function(COMPLEX[form])


def test_masked_arrays_are_refused(as_users_call):
    with pytest.raises(ArgumentError, match="matrix: expected an array without a mask"):
        matrices.energy(np.ma.masked_array([[1.0, 2.0]], [[0, 1]]))
