"""Transposed deformable convolution against torch's plain one, and against loops of what tvdcn's code does."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory import operators
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.tolerances import rounding

FUNCTIONS = [getattr(operators, f"deform_conv_transpose{dim}d") for dim in (1, 2, 3)]
LAYERS = [getattr(operators, f"DeformConvTranspose{dim}d") for dim in (1, 2, 3)]
PLAIN = [functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d]
PLAIN_LAYERS = [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
# Sums of up to 4·27·8 products; values up to 60 in all.
ROUNDING = rounding(torch.float64, operations=900, magnitude=60)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


@dataclass
class Call:
    """A call, drawn by a seed: tensors by name, and numbers."""

    dim: int
    tensors: dict
    geometry: dict
    groups: int

    @classmethod
    def drawn(cls, seed, zero=False):
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        dim = seed % 3 + 1

        def numbers(least, most):
            return tuple(map(int, rng.integers(least, most + 1, dim)))

        groups, moved, masked = (int(rng.integers(1, 3)) for _ in range(3))
        width, kernel = moved * masked * int(rng.integers(1, 3)), numbers(1, 3)
        size = numbers(1, 4 if dim < 3 else 3)
        geometry = {"stride": numbers(1, 3), "dilation": numbers(1, 2)}
        most = [max(pair) - 1 for pair in zip(geometry["stride"], geometry["dilation"], strict=True)]
        geometry["output_padding"] = tuple(int(rng.integers(n + 1)) for n in most)
        least = [
            (n - 1) * s + d * (k - 1) + p
            for n, s, d, k, p in zip(
                size, geometry["stride"], geometry["dilation"], kernel, geometry["output_padding"], strict=True
            )
        ]
        geometry["padding"] = tuple(int(rng.integers(min(2, n // 2) + 1)) for n in least)
        taps, batch = math.prod(kernel), int(rng.integers(1, 3))
        shapes = {
            "input": (batch, 2 * groups, *size),
            "weight": (2 * groups, width, *kernel),
            "offset": (batch, dim * moved * taps, *size),
            "mask": (batch, masked * taps, *size),
            "bias": (width * groups,),
        }
        tensors = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
        if zero:
            tensors["offset"].zero_()
        for name, kept in (("mask", rng.random() < 0.7), ("bias", rng.random() < 0.7)):
            if not kept or (zero and name == "mask"):
                tensors.pop(name)
        return cls(dim, tensors, geometry, groups)

    def ours(self, **tensors):
        return FUNCTIONS[self.dim - 1](**tensors, **self.geometry, groups=self.groups)


def with_gradients(function, tensors):
    leaves = {name: each.clone().requires_grad_() for name, each in tensors.items()}
    y = function(**leaves)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return {"y": y.detach(), **dict(zip(leaves, torch.autograd.grad(y, list(leaves.values()), g), strict=True))}


def literal(call, input, weight, offset, mask=None, bias=None):  # noqa: A002
    """Return the outcome as tvdcn's loops: columns of products, inserted tap by tap at 2^d pixels around a place."""
    batch, size, kernel, geometry = len(input), input.shape[2:], weight.shape[2:], call.geometry
    axes = zip(
        size, kernel, *(geometry[name] for name in ("stride", "padding", "dilation", "output_padding")), strict=True
    )
    shape = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + more for n, k, s, p, d, more in axes)
    inputs = torch.unflatten(input, 1, (call.groups, -1))
    filters = torch.unflatten(weight, 0, (call.groups, -1))
    columns = torch.einsum("bgi...,gio...k->bgo...k", inputs.flatten(3), filters.flatten(3).unsqueeze(3))
    columns = columns.flatten(1, 2)  # (B, D, pixels, taps)
    channels, taps = columns.shape[1], columns.shape[3]
    offsets = offset.reshape(batch, -1, taps, call.dim, math.prod(size))
    masks = None if mask is None else mask.reshape(batch, -1, taps, math.prod(size))
    result = torch.zeros(batch, channels, math.prod(shape), dtype=input.dtype)
    pixels = torch.tensor(list(np.ndindex(*size)), dtype=input.dtype).T  # (d, pixels)
    for channel, (tap, place) in itertools.product(range(channels), enumerate(np.ndindex(*kernel))):
        values = columns[:, channel, :, tap]
        if masks is not None:
            values = values * masks[:, channel // (channels // masks.shape[1]), tap]
        moves = offsets[:, channel // (channels // offsets.shape[1]), tap]
        first = [n * d - p for n, d, p in zip(place, geometry["dilation"], geometry["padding"], strict=True)]
        columns_of = input.new_tensor
        reached = pixels * columns_of(geometry["stride"])[:, None] + columns_of(first)[:, None] + moves
        low = reached.detach().floor()
        for corner in itertools.product((0, 1), repeat=call.dim):
            node = low + columns_of(corner)[:, None]
            part = (1 - (reached - node).abs()).prod(1)
            inside = torch.stack([(node[:, a] >= 0) & (node[:, a] < n) for a, n in enumerate(shape)]).all(0)
            index = torch.zeros_like(node[:, 0])
            for axis, n in enumerate(shape):
                index = index * n + node[:, axis].clamp(0, n - 1)
            addend = torch.zeros_like(result[:, channel]).scatter_add(1, index.long(), inside * part * values)
            result = result.clone()
            result[:, channel] = result[:, channel] + addend
    result = result.reshape(batch, channels, *shape)
    return result if bias is None else result + bias.reshape(-1, *[1] * call.dim)


@pytest.mark.parametrize("first", range(0, 51, 17))
def test_it_is_the_original(first):
    """Values and gradients of all tensors, on 51 random configurations in one, two and three dimensions."""
    for seed in range(first, first + 17):
        call = Call.drawn(seed)
        found = with_gradients(call.ours, call.tensors)
        expected = with_gradients(lambda call=call, **each: literal(call, **each), call.tensors)
        for name in found:
            close(found[name], expected[name])


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_without_offsets_it_is_the_plain_one(first):
    """Values and gradients are torch's, with zero offsets and with none."""
    for seed in range(first, first + 20):
        call = Call.drawn(seed, zero=True)
        tensors = {name: each for name, each in call.tensors.items() if name != "offset"}

        def plain(call=call, **each):
            return PLAIN[call.dim - 1](**each, **call.geometry, groups=call.groups)

        expected = with_gradients(plain, tensors)
        moved, still = with_gradients(call.ours, call.tensors), with_gradients(call.ours, tensors)
        for name in expected:
            close(moved[name], expected[name])
            close(still[name], expected[name])


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_new_layer_is_torchs(dim):
    """By shapes of parameters and by their law: the same random numbers give the same parameters."""
    options = {"stride": 2, "padding": 1, "dilation": 2, "output_padding": 1, "groups": 2}
    layers = []
    for kind in (LAYERS[dim - 1], PLAIN_LAYERS[dim - 1]):
        torch.manual_seed(0)
        layers.append(kind(4, 6, 3, **options).double())
    ours, plain = layers
    assert all(map(torch.equal, ours.state_dict().values(), plain.state_dict().values()))
    x = torch.randn(2, 4, *[3] * dim, dtype=torch.float64)
    close(ours(x), plain(x))


def test_whole_offsets_shift():
    """A pixel is spread where its offsets say: (1, −2) further than without."""
    x = torch.zeros(1, 1, 4, 5, dtype=torch.float64)
    x[0, 0, 1, 3] = 2
    weight = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    offset = torch.tensor([1.0, -2.0], dtype=torch.float64).reshape(1, 2, 1, 1).expand(1, 2, 4, 5)
    expected = torch.zeros_like(x)
    expected[0, 0, 2, 1] = 2
    close(operators.deform_conv_transpose2d(x, weight, offset), expected)


def test_it_is_the_adjoint():
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩ with deformable convolution by the same filters, offsets and masks."""
    generator = torch.Generator().manual_seed(0)
    weight, offset, mask = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((6, 2, 3, 2), (2, 24, 2, 3), (2, 12, 2, 3))
    )
    image, g = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((2, 4, 5, 4), (2, 6, 2, 3)))
    geometry = {"stride": (2, 1), "padding": (1, 0), "dilation": (2, 1)}
    y = operators.deform_conv2d(image, offset, weight, mask=mask, **geometry)
    back = operators.deform_conv_transpose2d(g, weight, offset, mask, groups=2, **geometry)
    assert back.shape == image.shape
    close((y * g).sum(), (image * back).sum())


def test_a_size_takes_the_place_of_output_padding():
    """Given with batch and channels or without, as torch's layers take it."""
    torch.manual_seed(0)
    layer = operators.DeformConvTranspose2d(2, 3, 3, stride=(2, 3)).double()
    plain = nn.ConvTranspose2d(2, 3, 3, stride=(2, 3)).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 2, 3, 2, dtype=torch.float64)
    for size in ([8, 8], (1, 3, 7, 6)):
        close(layer(x, None, None, size), plain(x, list(size)))
    for size in ((6, 6), (7, 9), (7,), (7, 6, 6)):
        with pytest.raises(ArgumentError, match=r"^output_size: expected from \(7, 6\) to \(8, 8\), got"):
            layer(x, None, None, size)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_conversion(dim):
    """By class of tvdcn's name: ours of theirs and back, in double precision to the last bit."""
    counterpart = operators.get("deform_conv_transpose").counterparts[dim - 1]
    assert counterpart.original == f"tvdcn.ops.deform_conv_transpose.DeformConvTranspose{dim}d"
    # Its layers are made as torch's are, and have the same attributes.
    theirs = PLAIN_LAYERS[dim - 1](4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=dim != 2).double()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours = counterpart.to_ours(theirs)
    x = torch.randn(2, 4, *[3] * dim, dtype=torch.float64)
    close(ours(x), theirs(x))
    back = counterpart.to_original(ours, PLAIN_LAYERS[dim - 1])
    assert torch.equal(back(x), theirs(x))
    with pytest.raises(ArgumentError, match="^model: expected a layer with kernel='linear'"):
        counterpart.to_original(LAYERS[dim - 1](4, 6, 3, kernel="keys"), PLAIN_LAYERS[dim - 1])


# ---- where the original is wrong


def test_groups_are_those_of_the_outcome():
    """Four channels become three, in two offset groups: the original checks 4 % 2, and reads a third group."""
    inputs, outcome, groups = 4, 3, 2
    assert inputs % groups == 0
    assert [channel // (outcome // groups) for channel in range(outcome)] == [0, 1, 2]
    x, weight = torch.zeros(1, inputs, 3), torch.zeros(inputs, outcome, 1)
    with pytest.raises(ArgumentError, match=r"^offset: .* divides the 3 channels of the outcome, got \(1, 2, 3\)$"):
        operators.deform_conv_transpose1d(x, weight, torch.zeros(1, groups, 3))
    # The other way round it is refused there, and has a meaning: three groups of one channel each.
    assert operators.deform_conv_transpose1d(x, weight, torch.zeros(1, 3, 3)).shape == (1, 3, 3)


# ---- errors


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(3, 2, 3, 3)}, r"^weight: expected shape \(4, D/groups, \*K\) with 2 axes K"),
        ({"weight": torch.zeros(4, 2, 3, 3).double()}, r"^weight: expected dtype torch.float32"),
        ({"groups": 3}, r"^groups: expected a divisor of 4 channels, got 3$"),
        ({"groups": 0}, r"^groups: expected a positive integer"),
        ({"offset": torch.zeros(1, 17, 5, 5)}, r"^offset: expected shape \(1, '18·G', 5, 5\)"),
        ({"offset": torch.zeros(1, 54, 5, 5)}, r"^offset: .* divides the 4 channels of the outcome"),
        ({"mask": torch.zeros(1, 10, 5, 5)}, r"^mask: expected shape \(1, '9·G', 5, 5\)"),
        ({"bias": torch.zeros(3)}, r"^bias: expected shape \(4,\)"),
        ({"stride": 0}, r"^stride: expected a number or 2 numbers ≥ 1"),
        ({"padding": (1, -1)}, r"^padding: expected a number or 2 numbers ≥ 0"),
        ({"padding": 4}, r"^padding: expected an outcome of at least one pixel, got size \(-1, -1\)$"),
        ({"dilation": (1, 1, 1)}, r"^dilation: expected a number or 2 numbers ≥ 1"),
        ({"output_padding": 1}, r"^output_padding: expected numbers below stride or dilation, \(1, 1\), got 1$"),
    ],
)
def test_bad_calls(change, message):
    good = {"weight": torch.zeros(4, 2, 3, 3), "groups": 2}
    with pytest.raises(ArgumentError, match=message):
        operators.deform_conv_transpose2d(torch.zeros(1, 4, 5, 5), **good | change)


def test_bad_layers():
    for options, message in (
        ({"groups": 3}, "^groups: expected a divisor of 4 and 6"),
        ({"kernel_size": 0}, "^kernel_size: expected"),
        ({"output_padding": 2}, "^output_padding: expected numbers below stride or dilation"),
        ({"bias": 1}, "^bias: expected True or False"),
    ):
        with pytest.raises(ArgumentError, match=message):
            operators.DeformConvTranspose2d(4, 6, **{"kernel_size": 3} | options)
    for option in ("kernel", "boundary"):
        with pytest.raises(UnknownNameError, match="nothing"):
            operators.DeformConvTranspose2d(4, 6, 3, **{option: "nothing"})
    with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, 4, \*S\) with 2 axes S"):
        operators.DeformConvTranspose2d(4, 6, 3)(torch.zeros(1, 3, 5, 5))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(1, 4, 5, 5).double(),
            r"^input: expected dtype torch.float32, as the layer's parameters have",
        ),
        ([1.0], r"^input: expected a tensor \(B, C, \*S\), got list$"),
    ],
)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        operators.DeformConvTranspose2d(4, 6, 3)(x, torch.zeros(1, 18, 5, 5))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": [1.0]}, r"^input: expected a tensor.*, got list$"),
        ({"offset": [1.0]}, r"^offset: expected a tensor.*, got list$"),
        ({"weight": [1.0]}, r"^weight: expected a tensor.*, got list$"),
        ({"mask": [1.0]}, r"^mask: expected a tensor.*, got list$"),
        ({"bias": [1.0]}, r"^bias: expected a tensor.*, got list$"),
    ],
)
def test_arguments_that_are_no_tensors_of_the_dtype(change, message):
    good = {"input": torch.zeros(1, 4, 5, 5), "weight": torch.zeros(4, 4, 3, 3)}
    with pytest.raises(ArgumentError, match=message):
        operators.deform_conv_transpose2d(**good | change)
