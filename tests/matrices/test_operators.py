"""The tools on the library's own operators: warps, and layers by their matrix and by their pattern."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy import sparse

from tests.patterns.settings import patterns
from warptheory import matrices, operators, warp, warp_matrix
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


LAYERS = {
    "DeformConv2d": (lambda: operators.DeformConv2d(1, 2, 3, padding=1), (1, 4, 3)),
    "SelfWarp2d": (lambda: operators.SelfWarp2d(2), (2, 4, 3)),
    "BlurPool2d": (lambda: operators.BlurPool2d(1), (1, 4, 6)),
    "Shift2d": (lambda: operators.Shift2d(9), (9, 2, 2)),
    "SpatialTransformer": (lambda: operators.SpatialTransformer(1), (1, 4, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_by_its_matrix_and_by_its_pattern(name):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    layer, x = make().double(), normal(1, *shape)
    with torch.no_grad():
        arguments = (x, normal(1, 18, *shape[1:])) if name == "DeformConv2d" else (x,)
        pattern, matrix = layer.pattern(*arguments), layer.operator_matrix(*arguments)
    operator = matrices.linear_operator(pattern)
    one = matrices.samples(matrix)[0]
    assert operator.shape == one.shape
    np.testing.assert_allclose(operator @ np.eye(operator.shape[1]), one.toarray(), atol=1e-13)
    np.testing.assert_allclose(operator.T @ np.eye(operator.shape[0]), one.toarray().T, atol=1e-13)
    true = np.linalg.svd(matrix[0].to_dense().numpy(), compute_uv=False)
    for form in (matrix[0], one, operator):
        np.testing.assert_allclose(matrices.singular_spectrum(form).values, true, atol=1e-13 * true[0])
    if all(m % n == 0 for m, n in zip(pattern.input_shape, pattern.output_shape, strict=True)):
        share = matrices.nearest_convolution(one, pattern.input_shape, pattern.output_shape).share_of_energy
        found = matrices.nearest_convolution(operator, pattern.input_shape, pattern.output_shape).share_of_energy
        assert found == pytest.approx(share, rel=1e-13)


def test_a_blur_with_a_stride_is_a_convolution():
    layer, x = operators.BlurPool2d(2, pad_type="circular").double(), normal(1, 2, 6, 6)
    pattern = layer.pattern(x)
    found = matrices.nearest_convolution(pattern.matrix()[0], pattern.input_shape, pattern.output_shape)
    assert found.share_of_energy == pytest.approx(1, rel=1e-13)


@given(patterns().filter(lambda pattern: pattern.batch == 1))
@settings(max_examples=5)
def test_any_pattern_of_one_image_is_a_linear_operator(pattern):
    true = pattern.matrix()[0].to_dense().numpy()
    operator = matrices.linear_operator(pattern)
    tolerance = rounding(torch.float64, 1000, float(abs(true).max(initial=1.0)))
    np.testing.assert_allclose(operator @ np.eye(pattern.inputs), true, tolerance.relative, tolerance.absolute)
    np.testing.assert_allclose(operator.T @ np.eye(pattern.outputs), true.T, tolerance.relative, tolerance.absolute)


@pytest.mark.parametrize("boundary", ["zeros", "periodic"])
@pytest.mark.parametrize(("grid", "size"), [((7,), (9,)), ((4, 5), (3, 6)), ((2, 3, 2), (3, 2, 2))])
def test_a_warp_without_its_matrix(grid, size, boundary):
    offsets = normal(1, len(grid), *grid)
    operator = matrices.warp_operator(offsets, size, "keys", boundary)
    true = matrices.samples(warp_matrix(offsets, size, "keys", boundary))[0].toarray()
    tolerance = rounding(torch.float64, 100)
    np.testing.assert_allclose(operator @ np.eye(true.shape[1]), true, tolerance.relative, tolerance.absolute)
    np.testing.assert_allclose(operator.T @ np.eye(true.shape[0]), true.T, tolerance.relative, tolerance.absolute)
    x = np.random.default_rng(1).standard_normal(true.shape[1])
    np.testing.assert_allclose(operator @ x, true @ x, 1e-12, 1e-12)
    np.testing.assert_allclose(
        operator.matvec(x), warp(torch.from_numpy(x).reshape(1, 1, *size), offsets, "keys", boundary).flatten()
    )
    composed = operator.T @ operator
    np.testing.assert_allclose(composed @ x, true.T @ (true @ x), 1e-12, 1e-12)


def test_whole_constant_offsets_are_a_translation():
    matrix = warp_matrix(torch.full((1, 2, 5, 4), 2.0, dtype=torch.float64), boundary="periodic")[0]
    assert abs(matrices.samples(matrix[None])[0] - matrices.shift_matrix((1, 5, 4), (2, 2))).max() == 0
    assert matrices.singular_spectrum(matrix).mean_square_distance_to_isometry < 1e-28


def test_samples_of_a_batch():
    batch = warp_matrix(normal(3, 1, 6).to(torch.float32))
    for one, each in zip(matrices.samples(batch), batch, strict=True):
        assert one.dtype == np.float64
        assert np.array_equal(one.toarray(), each.to_dense().to(torch.float64).numpy())


def test_half_precision_and_whole_numbers_are_read():
    assert matrices.energy(torch.full((2, 2), 0.5, dtype=torch.bfloat16)) == 1
    assert matrices.energy(torch.full((2, 2), 2)) == 16
    assert matrices.energy(np.full((2, 2), 2)) == 16


def test_a_map_of_several_images_is_refused(as_users_call):
    with pytest.raises(ArgumentError, match="of: expected the map of one image"):
        matrices.linear_operator(operators.SelfWarp2d(2).pattern(torch.zeros(2, 2, 4, 4)))


@pytest.mark.parametrize("offsets", [torch.zeros(2, 1, 5), torch.zeros(1, 1, 1, 5), torch.zeros(5), None])
def test_offsets_that_are_refused(offsets, as_users_call):
    with pytest.raises(ArgumentError, match="offsets"):
        matrices.warp_operator(offsets)


@pytest.mark.parametrize("boundary", ["zeros", "border", "periodic"])
def test_offsets_that_are_nan_are_those_of_warp(boundary):
    offsets = torch.tensor([[[1.0, float("nan"), -1.0, 0.5]]], dtype=torch.float64)
    operator, x = matrices.warp_operator(offsets, boundary=boundary), np.array([2.0, 3.0, 5.0, 7.0])
    true = warp(torch.from_numpy(x)[None, None], offsets, boundary=boundary).flatten().numpy()
    assert np.array_equal(operator @ x, true)
    assert true[1] == (0 if boundary == "zeros" else x[0])
    assert np.array_equal((operator.T @ np.eye(4)).T, operator @ np.eye(4))


def test_sizes_of_an_array_are_taken():
    assert matrices.warp_operator(torch.zeros(1, 1, 4), np.array([5])).shape == (4, 5)


@pytest.mark.parametrize("size", [16, "16", "1", (-1,), (1.5,), (0,), (True,), (3, 4), b"1", np.array([1.5])])
def test_sizes_that_are_refused(size, as_users_call):
    with pytest.raises(ArgumentError, match=r"size: expected 1 positive integers"):
        matrices.warp_operator(torch.zeros(1, 1, 4), size)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_offsets_of_another_dtype_are_refused(dtype, as_users_call):
    with pytest.raises(ArgumentError, match="offsets: expected a floating dtype"):
        matrices.warp_operator(torch.zeros(1, 1, 4, dtype=dtype))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"of": None}, "of: expected a linear map"),
        ({"of": torch.ones(2, 2)}, "of: expected a linear map"),
        ({"dtype": "float32"}, "dtype: expected a floating dtype"),
        ({"dtype": torch.complex64}, "dtype: expected a floating dtype"),
        ({"dtype": torch.int64}, "dtype: expected a floating dtype"),
        ({"device": "nowhere"}, "device: expected a device.*nowhere"),
        ({"device": "cuda:99"}, "device: expected a device.*99"),
        ({"device": None}, "device: expected a device"),
    ],
)
def test_linear_operators_that_are_refused(options, named, as_users_call):
    pattern = operators.SelfWarp2d(2).pattern(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ArgumentError, match=named):
        matrices.linear_operator(**{"of": pattern, **options})


def test_complex_columns_are_refused(as_users_call):
    pattern = operators.SelfWarp2d(2).double().pattern(torch.zeros(1, 2, 2, 2, dtype=torch.float64))
    for operator in (matrices.warp_operator(torch.zeros(1, 1, 8)), matrices.linear_operator(pattern)):
        for product in (operator, operator.T):
            with pytest.raises(ArgumentError, match="x: expected real columns"):
                product @ np.ones(8, complex)


def test_complex_samples_are_refused(as_users_call):
    with pytest.raises(ArgumentError, match="matrices: expected real"):
        matrices.samples(torch.ones(1, 2, 2, dtype=torch.complex64).to_sparse())


def test_a_matrix_of_true_and_false_counts_ones():
    pattern = np.array([[True, False], [True, True]])
    for form in (pattern, torch.from_numpy(pattern), torch.from_numpy(pattern).to_sparse(), sparse.csr_array(pattern)):
        assert matrices.energy(form) == 3
    assert matrices.samples(torch.from_numpy(pattern)[None].to_sparse())[0].sum() == 3
