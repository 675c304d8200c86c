"""Deformable convolution that predicts its offsets: against what mmcv's layers compute, written down here."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.operators.deform_conv_definitions import tap_by_tap
from tests.operators.unfit_images import UNFIT_IMAGES
from warptheory import operators
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.tolerances import rounding

LAYERS = [getattr(operators, f"DeformConvPack{dim}d") for dim in (1, 2, 3)]
PLAIN = [functional.conv1d, functional.conv2d, functional.conv3d]
# The head sums up to 3·8 products, the convolution as many; positions pass on the head's rounding.
ROUNDING = rounding(torch.float64, operations=1500, magnitude=60)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def drawn(seed, **chosen):
    """Return a layer with a head away from zero, and an input."""
    rng = np.random.default_rng(seed)
    dim = seed % 3 + 1

    def numbers(least, most):
        return tuple(map(int, rng.integers(least, most + 1, dim)))

    kernel, stride, padding, dilation = numbers(1, 3), numbers(1, 2), numbers(0, 1), numbers(1, 2)
    groups, moved, bias, modulated = map(int, rng.integers(1, 3, 4))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "offset_groups": moved}
    options |= {"bias": bias == 1, "modulated": modulated == 1} | chosen
    torch.manual_seed(seed)
    layer = LAYERS[dim - 1](groups * moved, 2 * groups, kernel, **options).double()
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + int(rng.integers(3))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    x = torch.randn(2, groups * moved, *size, dtype=torch.float64)
    return layer, x


def literal(layer, x):
    """Return what mmcv computes: the head's channels in three parts, the last of masks, or all of offsets."""
    conv = layer.conv
    geometry = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    found = PLAIN[layer.dim - 1](x, layer.conv_offset.weight, layer.conv_offset.bias, **geometry)
    mask = None
    if layer.modulated:
        *offsets, mask = torch.chunk(found, layer.dim + 1, dim=1)
        found, mask = torch.cat(offsets, 1), torch.sigmoid(mask)
    return tap_by_tap(x, found, conv.weight, conv.bias, mask=mask, **geometry)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_it_is_the_original(first):
    """Values, and gradients of the input and of all parameters, on sixty random configurations."""
    for seed in range(first, first + 20):
        layer, x = drawn(seed)
        for parameter in layer.conv_offset.parameters():
            nn.init.normal_(parameter, std=0.3)
        found = []
        for function in (layer, lambda each, layer=layer: literal(layer, each)):
            leaf = x.clone().requires_grad_()
            y = function(leaf)
            g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
            found.append((y.detach(), *torch.autograd.grad(y, [leaf, *layer.parameters()], g)))
        for ours, theirs in zip(*found, strict=True):
            close(ours, theirs)


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("seed", range(9))
def test_a_new_layer_is_the_plain_convolution(seed, modulated):
    """Or half of it, as masks start at ½."""
    layer, x = drawn(seed, modulated=modulated)
    conv = layer.conv
    geometry = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation, "groups": conv.groups}
    factor = 0.5 if modulated else 1.0
    bias = None if conv.bias is None else conv.bias.detach()
    close(layer(x).detach(), PLAIN[layer.dim - 1](x, factor * conv.weight.detach(), bias, **geometry))


def test_a_new_layer_trains():
    """From its start, where the head is zero, every parameter has a gradient."""
    torch.manual_seed(0)
    layer = operators.DeformConvPack2d(4, 6, 3, padding=1, modulated=True, offset_groups=2)
    y = layer(torch.randn(2, 4, 6, 6))
    for gradient in torch.autograd.grad(y.square().sum(), list(layer.parameters())):
        assert (gradient != 0).all()


class Modulated(nn.Module):
    """mmcv's ModulatedDeformConv2dPack, by constructor, attributes and parameters."""

    fields = 3

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, deform_groups, bias):
        super().__init__()
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.deform_groups = deform_groups
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels // groups, *kernel_size))
        self.bias = nn.Parameter(torch.randn(out_channels)) if bias else None
        outputs = self.fields * deform_groups * kernel_size[0] * kernel_size[1]
        self.conv_offset = nn.Conv2d(in_channels, outputs, kernel_size, stride, padding, dilation)

    def forward(self, x):
        geometry = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        *offsets, mask = torch.chunk(self.conv_offset(x), 3, dim=1)
        return tap_by_tap(x, torch.cat(offsets, 1), self.weight, self.bias, mask=mask.sigmoid(), **geometry)


class Plain(Modulated):
    """mmcv's DeformConv2dPack, which has neither masks nor a bias."""

    fields = 2

    def __init__(self, *args, bias=False, **kwargs):
        assert not bias
        super().__init__(*args, **kwargs, bias=False)

    def forward(self, x):
        geometry = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return tap_by_tap(x, self.conv_offset(x), self.weight, **geometry)


@pytest.mark.parametrize(("kind", "number"), [(Plain, 0), (Modulated, 1)])
def test_conversion(kind, number):
    """Ours of theirs and back, in double precision to the last bit; what is not trained stays so."""
    torch.manual_seed(0)
    there, other = (operators.get("predicted_deform_conv").counterparts[each] for each in (number, 1 - number))
    assert there.original.endswith(kind.__doc__.split(",")[0].removeprefix("mmcv's ").split()[0])
    theirs = kind(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, 2, bias=number == 1).double()
    theirs.weight.requires_grad_(False)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours = there.to_ours(theirs)
    assert not ours.conv.weight.requires_grad
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    close(ours(x), theirs(x))
    back = there.to_original(ours, kind)
    assert torch.equal(back(x), theirs(x))
    assert not back.weight.requires_grad
    assert back.weight.dtype == torch.float64
    # They are copies: training one of them leaves the others as they are.
    nn.init.zeros_(ours.conv.weight)
    assert torch.equal(back.weight, theirs.weight)
    with pytest.raises(ArgumentError, match=r"^model: expected a layer with modulated="):
        other.to_original(ours, kind)


def test_what_mmcv_has_not():
    for number, options, message in (
        (0, {}, "a layer without bias, as the original"),
        (1, {"modulated": True, "kernel": "keys"}, "a layer with kernel='linear', as the original"),
    ):
        layer = operators.DeformConvPack2d(4, 6, 3, **options)
        with pytest.raises(ArgumentError, match=f"^model: expected {message}"):
            operators.get("predicted_deform_conv").counterparts[number].to_original(layer, Plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 3}, "^groups: expected a divisor of 4 and 6"),
        ({"offset_groups": 3}, "^offset_groups: expected a divisor of 4 channels, got 3$"),
        ({"offset_groups": 0}, "^offset_groups: expected a positive integer"),
        ({"modulated": 1}, "^modulated: expected True or False"),
        ({"kernel_size": 0}, "^kernel_size: expected a number or 2 numbers ≥ 1"),
        ({"stride": (1,)}, "^stride: expected"),
        ({"kernel": "sinc"}, "^boundary: expected 'periodic'"),
    ],
)
def test_bad_layers(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        operators.DeformConvPack2d(**{"in_channels": 4, "out_channels": 6, "kernel_size": 3} | arguments)


def test_bad_inputs():
    layer = operators.DeformConvPack2d(4, 6, 3)
    with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, 4, \*S\) with 2 axes S, got \(1, 3, 5, 5\)$"):
        layer(torch.zeros(1, 3, 5, 5))
    with pytest.raises(ArgumentError, match=r"^input: expected a padded image of at least \(3, 3\) pixels"):
        layer(torch.zeros(1, 4, 2, 5))
    with pytest.raises(UnknownNameError, match="nothing"):
        operators.DeformConvPack2d(4, 6, 3, boundary="nothing")


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(("x", "message"), UNFIT_IMAGES)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        operators.DeformConvPack2d(4, 6, 3)(x)
