"""Adaptive dilation against what FADC's layer computes, without its frequency parts, written down here."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.operators.deform_conv_definitions import tap_by_tap
from tests.operators.unfit_images import UNFIT_IMAGES
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.tolerances import rounding
from warptheory.operators import AdaptiveDilatedConv

# Heads of up to 4·25 products, and a convolution of as many; positions pass on the heads' rounding.
ROUNDING = rounding(torch.float64, operations=2000, magnitude=60)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def literal(layer, x):
    """Return what the original computes: the image in its frame, a deformable convolution without padding."""
    half = layer.kernel_size // 2
    framed = nn.ReplicationPad2d(half)(x) if layer.padding_mode == "repeat" else nn.ZeroPad2d(half)(x)
    a = functional.conv2d(framed, layer.conv_offset.weight, layer.conv_offset.bias, layer.stride)
    a = (functional.relu(a + 1) - 1 if layer.use_zero_dilation else a.abs()) * layer.dilation
    batch, groups, height, width = a.shape
    steps = [(i, j) for i in range(-half, half + 1) for j in range(-half, half + 1)]
    places = torch.tensor(steps, dtype=x.dtype).reshape(1, 1, -1, 1, 1)
    offset = (a.reshape(batch, groups, -1, height, width) * places).reshape(batch, -1, height, width)
    mask = functional.conv2d(framed, layer.conv_mask.weight, layer.conv_mask.bias, layer.stride).sigmoid()
    return tap_by_tap(framed, offset, layer.weight, layer.bias, stride=layer.stride, mask=mask)


def drawn(seed):
    """Return a layer with heads away from their start, and an input."""
    rng = np.random.default_rng(seed)
    stride, dilation, groups, moved, bias, mode, zero = map(int, rng.integers(1, 3, 7))
    torch.manual_seed(seed)
    layer = AdaptiveDilatedConv(
        groups * moved,
        2 * groups,
        kernel_size=3 if seed % 4 else 5,
        stride=stride,
        dilation=dilation,
        groups=groups,
        deform_groups=moved,
        bias=bias == 1,
        padding_mode=("repeat", "zero")[mode - 1],
        use_zero_dilation=zero == 1,
    ).double()
    for head in (layer.conv_offset, layer.conv_mask):
        nn.init.normal_(head.weight, std=0.3)
    return layer, torch.randn(2, groups * moved, *map(int, rng.integers(1, 6, 2)), dtype=torch.float64)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_it_is_the_original(first):
    """Values, and gradients of the input and of all parameters, on sixty random configurations."""
    for seed in range(first, first + 20):
        layer, x = drawn(seed)
        found = []
        for function in (layer, lambda each, layer=layer: literal(layer, each)):
            leaf = x.clone().requires_grad_()
            y = function(leaf)
            g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
            found.append((y.detach(), *torch.autograd.grad(y, [leaf, *layer.parameters()], g)))
        for ours, theirs in zip(*found, strict=True):
            close(ours, theirs)


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_a_new_layer_is_half_a_dilated_convolution(dilation):
    """With epsilon = 0, inside of the frame: where it ends there are zeros, as in the original."""
    torch.manual_seed(0)
    layer = AdaptiveDilatedConv(3, 2, dilation=dilation, epsilon=0.0).double()
    assert (layer.bias == 0).all()
    x = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    inner = slice(dilation, 12 - dilation)
    found = layer(x).detach()[..., inner, inner]
    # (d − 1)/d was rounded to float32 in the bias, which moves taps by d·2⁻²⁵ pixels.
    torch.testing.assert_close(
        found, functional.conv2d(x, layer.weight.detach() / 2, dilation=dilation), rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(
        layer.dilations(x).detach(), torch.full((1, 1, 12, 12), float(dilation), dtype=torch.float64), rtol=1e-7, atol=0
    )


def test_it_starts_as_published():
    """Weights of the heads 0, biases (d − 1)/d + 10⁻⁴ and 0; filters uniform up to 1/√(9 C)."""
    torch.manual_seed(0)
    layer = AdaptiveDilatedConv(8, 16, dilation=4)
    assert float(layer.conv_offset.bias.detach()) == pytest.approx(0.75 + 1e-4)
    for parameter in (layer.conv_offset.weight, layer.conv_mask.weight, layer.conv_mask.bias, layer.bias):
        assert (parameter == 0).all()
    bound = 1 / 72**0.5
    weight = layer.weight.detach()
    assert float(weight.abs().max()) == pytest.approx(bound, rel=0.01)
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.08)  # 1152 weights, four standard errors


def test_the_kink():
    """At a = 0 the dilation is least; its derivative there is 0, and ±d beside it."""
    slopes = []
    for start in (-0.1, 0.0, 0.1):
        layer = AdaptiveDilatedConv(1, 1, dilation=2).double()
        nn.init.constant_(layer.conv_offset.bias, start)
        spread = layer.dilations(torch.zeros(1, 1, 1, 1, dtype=torch.float64)).sum()
        slopes.append(float(torch.autograd.grad(spread, layer.conv_offset.bias)[0]))
    assert slopes == [-2.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 3}, "^groups: expected a divisor of 4 and 6, got 3$"),
        ({"deform_groups": 3}, "^deform_groups: expected a divisor of 4, got 3$"),
        ({"kernel_size": 2}, "^kernel_size: expected an odd number, got 2$"),
        ({"kernel_size": (3, 3)}, "^kernel_size: expected a positive integer"),
        ({"stride": 0}, "^stride: expected a number or 2 numbers ≥ 1"),
        ({"dilation": 0}, "^dilation: expected a positive integer"),
        ({"epsilon": float("nan")}, "^epsilon: expected a finite number"),
        ({"use_zero_dilation": 1}, "^use_zero_dilation: expected True or False"),
    ],
)
def test_bad_layers(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        AdaptiveDilatedConv(**{"in_channels": 4, "out_channels": 6} | arguments)


@pytest.mark.usefixtures("as_users_call")
def test_bad_names_and_inputs():
    for option in ("padding_mode", "kernel", "boundary"):
        with pytest.raises(UnknownNameError, match="nothing"):
            AdaptiveDilatedConv(4, 6, **{option: "nothing"})
    for shape in ((1, 3, 5, 5), (1, 4, 5)):
        with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, 4, \*S\) with 2 axes S"):
            AdaptiveDilatedConv(4, 6)(torch.zeros(shape))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(("x", "message"), UNFIT_IMAGES)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        AdaptiveDilatedConv(4, 6)(x)


@pytest.mark.parametrize("zero", [False, True])
def test_dilations_are_those_that_are_documented(zero):
    layer = AdaptiveDilatedConv(2, 2, dilation=2, use_zero_dilation=zero)
    torch.nn.init.constant_(layer.conv_offset.bias, -0.25)
    found = layer.dilations(torch.randn(1, 2, 3, 3))
    assert (found == (0.5 if zero else 1.5)).all()
