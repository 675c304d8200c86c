"""The tools on the library's own operators: warps, and layers by their matrix and by their pattern."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

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
