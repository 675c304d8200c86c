import pytest
import torch
from torch.nn import functional

from warptheory.core.tolerances import rounding
from warptheory.operators._thin_convolution import ThinConvolution2d, _rows_together, _ThinConvolution

SHAPES = [(2, 3, 8, 5, 2, 3), (1, 4, 12, 4, 4, 3), (2, 1, 7, 3, 2, 5), (3, 2, 1, 6, 6, 3), (1, 2, 9, 1, 8, 3)]


def draw(batch, channels, height, width, outputs, size, dtype=torch.float64):
    generator = torch.Generator().manual_seed(height)
    shapes = ((batch, channels, height, width), (outputs, channels, size, size), (outputs,))
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels-last", "planes"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_torch(shape, layout):
    """Sums over the filter, over output channels and filter, and over all pixels, in another order."""
    x, weight, bias = draw(*shape, dtype=torch.float32)
    layer = ThinConvolution2d(shape[1], shape[4], shape[5])
    layer.load_state_dict({"weight": weight, "bias": bias})
    x = x.contiguous(memory_format=layout).requires_grad_()
    y, wanted = layer(x), functional.conv2d(x, layer.weight, layer.bias, padding=shape[5] // 2)
    assert "ThinConvolution" in type(y.grad_fn).__name__
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    tensors = (x, *layer.parameters())
    pairs = zip(
        (y, *torch.autograd.grad(y, tensors, g)), (wanted, *torch.autograd.grad(wanted, tensors, g)), strict=True
    )
    area = shape[5] ** 2
    operations = (shape[1] * area + 1, shape[4] * area, g[:, 0].numel(), g[:, 0].numel())
    largest = float(max(map(torch.max, map(torch.abs, (g, x, weight, bias)))))
    for (found, expected), count in zip(pairs, operations, strict=True):
        tolerance = rounding(torch.float32, count, magnitude=count * largest**2)
        torch.testing.assert_close(found, expected, rtol=tolerance.relative, atol=tolerance.absolute)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels-last", "planes"])
@pytest.mark.parametrize("height", [6, 8, 32])
def test_the_layout_of_the_image_is_kept(height, layout):
    x = torch.zeros(2, 4, height, 8).contiguous(memory_format=layout).requires_grad_()
    y = ThinConvolution2d(4, 2, 3)(x)
    assert y.is_contiguous(memory_format=layout)
    assert torch.autograd.grad(y, x, torch.zeros_like(y))[0].is_contiguous(memory_format=layout)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_derivatives(shape):
    """Backward, forward mode, both of them of the gradients, and under vmap, against finite differences."""
    tensors = tuple(each.requires_grad_() for each in draw(*shape))
    options = {"check_forward_ad": True, "check_batched_grad": True}
    assert torch.autograd.gradcheck(_ThinConvolution.apply, tensors, **options)
    assert torch.autograd.gradgradcheck(_ThinConvolution.apply, tensors)


def test_gradients_of_single_images():
    x, weight, bias = draw(3, 2, 4, 4, 2, 3, torch.float32)

    def loss(weight, image):
        return _ThinConvolution.apply(image[None], weight, bias).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, x)
    wanted = torch.stack([torch.func.grad(loss)(weight, image) for image in x])
    # Sums over 16 pixels and 18 taps, whose values are below 100.
    tolerance = rounding(torch.float32, 16 * 18, magnitude=100.0)
    torch.testing.assert_close(each, wanted, rtol=tolerance.relative, atol=tolerance.absolute)


@pytest.mark.parametrize(
    ("height", "outputs", "rows"), [(32, 2, 8), (32, 4, 4), (6, 2, 6), (7, 2, 7), (11, 2, 1), (9, 8, 1)]
)
def test_rows_of_a_block_divide_the_height(height, outputs, rows):
    assert _rows_together(height, outputs) == rows


def test_other_dtypes_and_wide_heads_take_the_ordinary_convolution():
    for layer, x in (
        (ThinConvolution2d(2, 2, 3).double(), torch.zeros(1, 2, 4, 4, dtype=torch.float64)),
        (ThinConvolution2d(2, 10, 3), torch.zeros(1, 2, 4, 4)),
        (ThinConvolution2d(2, 2, 1), torch.zeros(1, 2, 4, 4)),
    ):
        assert "ThinConvolution" not in type(layer(x).grad_fn).__name__
    with torch.autocast("cpu", torch.bfloat16):
        assert ThinConvolution2d(2, 2, 3)(torch.zeros(1, 2, 4, 4)).dtype == torch.bfloat16
