import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import SelfWarp2d


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = SelfWarp2d(4, groups=2, scale=0.5).double()
    torch.nn.init.normal_(layer.head.weight, std=0.3)
    return layer


X = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_new_layer_is_the_identity():
    layer = SelfWarp2d(4).double()
    torch.testing.assert_close(layer(X), X, rtol=0, atol=0)
    statistics = layer.statistics(X)
    assert (statistics.forward_gain, statistics.dead_share, statistics.offset_deviation) == (1.0, 0.0, 0.0)


def test_matrix_is_the_layer(layer):
    matrix = layer.operator_matrix(X).to_dense()
    product = torch.einsum("bgnm,bgcm->bgcn", matrix, X.reshape(2, 2, 2, 30)).reshape(X.shape)
    tolerance = rounding(torch.float64, operations=40, magnitude=4 * float(X.abs().max()))
    torch.testing.assert_close(layer(X), product, rtol=tolerance.relative, atol=tolerance.absolute)


def test_statistics_against_the_dense_matrix(layer):
    matrix, statistics = layer.operator_matrix(X).to_dense().detach(), layer.statistics(X)
    assert statistics.forward_gain == pytest.approx(float(matrix.square().sum(3).mean()), rel=1e-12)
    assert statistics.largest_row_sum == pytest.approx(1.0, rel=1e-12)
    assert statistics.largest_column_sum == pytest.approx(float(matrix.sum(2).max()), rel=1e-12)
    assert statistics.dead_share == pytest.approx(float((matrix == 0).all(2).double().mean()), abs=1e-12)
    assert statistics.offset_deviation > 0.1


def test_gradients_reach_input_and_head(layer):
    assert torch.autograd.gradcheck(layer, (X[:1].clone().requires_grad_(),))
    layer(X).square().sum().backward()
    assert layer.head.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 3}, "^groups: expected a divisor of the 4 channels, got 3$"),
        ({"kernel_size": 2}, "^kernel_size: expected an odd"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        SelfWarp2d(4, **arguments)
