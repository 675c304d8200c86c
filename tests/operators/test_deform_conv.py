"""Deformable convolution against seven loops, torch's convolution, `grid_sample`, and its one-sided derivatives.

What torchvision's own code returns is looked at in tests/peers/test_torchvision_deform_conv.py.
"""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.operators.deform_conv_definitions import Call, seven_loops, tap_by_tap, with_gradients
from tests.peers.torchvision_deform_conv import RECORD, of_offset, tangent_call
from warptheory import operators
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.tolerances import rounding

FUNCTIONS = [operators.deform_conv1d, operators.deform_conv2d, operators.deform_conv3d]
LAYERS = [operators.DeformConv1d, operators.DeformConv2d, operators.DeformConv3d]
PLAIN = [functional.conv1d, functional.conv2d, functional.conv3d]
# Sums of up to 4·27·8 products, values up to 60 in all; `grid_sample` takes positions by way of [−1, 1].
ROUNDING = rounding(torch.float64, operations=900, magnitude=60)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


# ---- torchvision's definition

GEOMETRY = {"stride": (2, 1), "padding": (1, 0), "dilation": (2, 1)}


def inputs(batch=33, seed=0):
    """Return tensors of the shapes that torchvision's own suite has: 3 offset groups, 2 weight groups, kernel 3×2."""
    rng = np.random.default_rng(seed)
    shapes = {
        "input": (batch, 6, 5, 4),
        "offset": (batch, 2 * 3 * 6, 2, 3),
        "weight": (2, 3, 3, 2),
        "bias": (2,),
        "mask": (batch, 3 * 6, 2, 3),
    }
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def looped(arrays):
    return seven_loops(
        arrays["input"], arrays["offset"], arrays["weight"], arrays["bias"], *GEOMETRY.values(), arrays.get("mask")
    )


@pytest.mark.parametrize("batch", [0, 33])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("contiguous", [True, False])
def test_seven_loops(batch, masked, contiguous):
    arrays = inputs(batch)
    if not masked:
        del arrays["mask"]
    tensors = {name: torch.from_numpy(each) for name, each in arrays.items()}
    if not contiguous:
        for name in ("input", "offset", "mask", "weight"):
            if name in tensors:
                tensors[name] = tensors[name].permute(1, 3, 2, 0).contiguous().permute(3, 0, 2, 1)
                assert batch == 0 or not tensors[name].is_contiguous()
    found = operators.deform_conv2d(**tensors, **GEOMETRY)
    assert found.shape == (batch, 2, 2, 3)
    close(found, torch.from_numpy(looped(arrays)))
    layer = operators.DeformConv2d(6, 2, (3, 2), groups=2, **GEOMETRY).double()
    layer.load_state_dict({"weight": tensors["weight"], "bias": tensors["bias"]})
    close(layer(tensors["input"], tensors["offset"], tensors.get("mask")).detach(), found)


@pytest.mark.parametrize("offsets", ["whole", "zero"])
def test_seven_loops_on_pixels(offsets):
    """Where their suite does not look: positions are pixels, some of them at the edge and beyond it."""
    arrays = inputs(5, seed=1)
    arrays["offset"] = np.zeros_like(arrays["offset"]) if offsets == "zero" else np.round(2 * arrays["offset"])
    found = operators.deform_conv2d(**{name: torch.from_numpy(each) for name, each in arrays.items()}, **GEOMETRY)
    close(found, torch.from_numpy(looped(arrays)))


def test_the_two_definitions_agree():
    """The loops and `grid_sample`, on which the following relies."""
    arrays = inputs(3, seed=2)
    tensors = {name: torch.from_numpy(each) for name, each in arrays.items()}
    close(tap_by_tap(**tensors, **GEOMETRY), torch.from_numpy(looped(arrays)))


# ---- one, two and three dimensions


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_it_is_the_definition(first):
    """Values and gradients of all tensors are those of `grid_sample` tap by tap, on sixty random configurations."""
    for seed in range(first, first + 20):
        call = Call.drawn(seed)
        found, expected = (
            with_gradients(lambda each=each, call=call, **tensors: each(**tensors, **call.geometry), call.tensors)
            for each in (FUNCTIONS[call.dim - 1], tap_by_tap)
        )
        for name in found:
            close(found[name], expected[name])


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_at_zero_offsets_it_is_the_plain_convolution(first):
    """Values and gradients are torch's, to rounding, on sixty random configurations."""
    for seed in range(first, first + 20):
        call = Call.drawn(seed)
        offset = torch.zeros_like(call.tensors.pop("offset"))
        call.tensors.pop("mask", None)

        def ours(call=call, offset=offset, **tensors):
            return FUNCTIONS[call.dim - 1](offset=offset, **tensors, **call.geometry)

        def plain(call=call, **tensors):
            return PLAIN[call.dim - 1](**tensors, **call.geometry, groups=call.groups)

        found, expected = (with_gradients(each, call.tensors) for each in (ours, plain))
        for name in expected:
            close(found[name], expected[name])


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_new_layer_has_torchs_parameters(dim):
    """The same random numbers give the same filters and bias."""
    plain = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dim - 1]
    states = []
    for kind in (LAYERS[dim - 1], plain):
        torch.manual_seed(0)
        states.append(kind(4, 6, 3, stride=2, padding=1, dilation=2, groups=2).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(map(torch.equal, states[0].values(), states[1].values()))


# ---- derivatives


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_at_zero_offsets_the_derivative_is_the_right_hand_one(dim):
    """The outcome is linear in an offset between 0 and 1: the derivative is the difference to the right, exactly."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, *[4] * dim, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 2, *[2] * dim, generator=generator, dtype=torch.float64)
    offset = torch.zeros(1, dim * 2**dim, *[3] * dim, dtype=torch.float64)
    g = torch.randn(1, 3, *[3] * dim, generator=generator, dtype=torch.float64)

    def value(moved):
        return (FUNCTIONS[dim - 1](x, moved, weight) * g).sum()

    leaf = offset.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    middle, differ = (0, *[1] * dim), 0
    for channel in range(dim * 2**dim):
        step = torch.zeros_like(offset)
        step[(0, channel, *middle[1:])] = 0.5
        right, left = (value(step) - value(offset)) / 0.5, (value(offset) - value(-step)) / 0.5
        close(gradient[(0, channel, *middle[1:])], right)
        differ += int((right - left).abs() > 0.1)
    assert differ > dim * 2**dim / 2


@pytest.mark.parametrize("seed", range(3))
def test_second_derivatives(seed):
    """They exist, for all tensors, and are those of finite differences; torchvision raises."""
    call = Call.drawn(seed)
    names = list(call.tensors)

    def function(*values):
        return FUNCTIONS[call.dim - 1](**dict(zip(names, values, strict=True)), **call.geometry)

    leaves = tuple(each.clone().requires_grad_() for each in call.tensors.values())
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_positions_on_a_long_axis_keep_their_digits(dtype):
    """Offsets of half precision, as under autocast: pixel 700 has too many digits for it, and is read nonetheless."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(1, 2, 800, generator=generator), torch.randn(2, 2, 3, generator=generator)
    offset = torch.rand(1, 3, 399, generator=generator).to(dtype).requires_grad_()
    wide = offset.detach().float().requires_grad_()
    found, expected = (operators.deform_conv1d(x, each, weight, stride=2) for each in (offset, wide))
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(y.square().sum(), each)[0] for y, each in ((found, offset), (expected, wide))]
    torch.testing.assert_close(gradients[0], gradients[1].to(dtype))


# ---- where torchvision is wrong, as recorded

THEIRS = json.loads(RECORD.read_text(encoding="utf-8"))


def of_call(call):
    return lambda **tensors: operators.deform_conv2d(**tensors, **call.geometry)


def test_double_backward_of_torchvision():
    """Theirs raise; ours are those of the first derivative."""
    assert THEIRS["double_backward"].startswith("RuntimeError: double backwards on deform_conv2d not supported")
    call, tangent = tangent_call()
    loss = of_offset(call, of_call(call))
    leaf = call.tensors["offset"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    (second,) = torch.autograd.grad((gradient * tangent).sum(), leaf)

    def derivative(offset):
        at = offset.requires_grad_()
        return (torch.autograd.grad(loss(at), at)[0] * tangent).sum()

    step = 1e-5
    along = (derivative(leaf.detach() + step * tangent) - derivative(leaf.detach() - step * tangent)) / (2 * step)
    # Central differences of a function that is quadratic between the knots: rounding over the step.
    assert float((second * tangent).sum()) == pytest.approx(float(along), rel=1e-8)


def test_forward_mode_of_torchvision():
    """The derivative along a tangent: theirs is zero, without a word; ours is that of finite differences."""
    call, tangent = tangent_call()
    _, found = torch.func.jvp(of_offset(call, of_call(call)), (call.tensors["offset"],), (tangent,))
    assert THEIRS["forward_mode"] == 0.0
    assert float(found) == pytest.approx(THEIRS["finite_difference"], rel=1e-7)
    assert abs(float(found)) > 1


# ---- errors


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": torch.zeros(1, 4, 5)}, r"^input: expected 2 spatial axes, got \(1, 4, 5\)$"),
        ({"input": torch.zeros(1, 4, 5, 5).long()}, r"^input: expected a floating dtype"),
        ({"input": torch.zeros(1, 4, 2, 5)}, r"^input: expected a padded image of at least \(3, 3\) pixels"),
        ({"input": torch.zeros(1, 3, 5, 5)}, r"^weight: .* where groups divides C = 3 and D, got \(4, 2, 3, 3\)$"),
        ({"weight": torch.zeros(4, 2, 3)}, r"^weight: expected shape \(D, C/groups, \*K\) with 2 axes K"),
        ({"weight": torch.zeros(3, 2, 3, 3)}, r"^weight: expected shape"),
        ({"weight": torch.zeros(4, 0, 3, 3)}, r"^weight: expected shape"),
        ({"weight": torch.zeros(4, 2, 3, 3).double()}, r"^weight: expected dtype torch.float32, as input has"),
        ({"offset": torch.zeros(1, 17, 3, 3)}, r"^offset: expected shape \(1, '2·9·G', 3, 3\)"),
        ({"offset": torch.zeros(1, 54, 3, 3)}, r"^offset: .* the number G of offset groups divides 4"),
        ({"offset": torch.zeros(1, 18, 3, 4)}, r"^offset: expected shape"),
        ({"offset": torch.zeros(2, 18, 3, 3)}, r"^offset: expected shape"),
        ({"offset": None}, r"^offset: expected a tensor, got NoneType$"),
        (
            {"mask": torch.zeros(1, 18, 3, 3)},
            r"^mask: expected shape \(1, 9, 3, 3\): a factor for each tap of 1 offset",
        ),
        ({"bias": torch.zeros(3)}, r"^bias: expected shape \(4,\), got \(3,\)$"),
        ({"stride": 0}, r"^stride: expected a number or 2 numbers ≥ 1, got 0$"),
        ({"stride": (1, 1, 1)}, r"^stride: expected a number or 2 numbers"),
        ({"padding": -1}, r"^padding: expected a number or 2 numbers ≥ 0"),
        ({"dilation": 1.5}, r"^dilation: expected a number or 2 numbers ≥ 1"),
        ({"boundary": "periodic", "kernel": "nothing"}, "nothing"),
    ],
)
def test_wrong_sizes(change, message):
    """Each error names its argument."""
    good = {"input": torch.zeros(1, 4, 5, 5), "offset": torch.zeros(1, 18, 3, 3), "weight": torch.zeros(4, 2, 3, 3)}
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        operators.deform_conv2d(**good | change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "^in_channels: expected a positive integer"),
        ({"out_channels": 2.0}, "^out_channels: expected a positive integer"),
        ({"groups": 3}, "^groups: expected a divisor of 4 and 6, got 3$"),
        ({"kernel_size": (3, 3, 3)}, "^kernel_size: expected a number or 2 numbers ≥ 1"),
        ({"bias": "no"}, "^bias: expected True or False"),
        ({"kernel": "sinc"}, "^boundary: expected 'periodic'"),
    ],
)
def test_wrong_layers(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        operators.DeformConv2d(**{"in_channels": 4, "out_channels": 6, "kernel_size": 3} | arguments)


def test_wrong_inputs_of_a_layer():
    layer = operators.DeformConv2d(4, 6, 3)
    with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, 4, \*S\) with 2 axes S, got \(1, 3, 5, 5\)$"):
        layer(torch.zeros(1, 3, 5, 5), torch.zeros(1, 18, 3, 3))


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
        operators.DeformConv2d(4, 6, 3)(x, torch.zeros(1, 18, 3, 3))


def test_a_tap_whose_offset_is_not_finite_reads_zero():
    """As the conventions say: it is not told, and gets no gradient."""
    x, weight = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1)
    offset = torch.zeros(1, 2, 3, 3)
    offset[0, 0, 0, 0], offset[0, 1, 1, 1], offset[0, 1, 2, 2] = torch.nan, torch.inf, -torch.inf
    offset.requires_grad_()
    y = operators.deform_conv2d(x, offset, weight)
    assert (y == 1 - torch.eye(3)).all()
    y.sum().backward()
    assert (offset.grad[0, :, range(3), range(3)] == 0).all()


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
    good = {"input": torch.zeros(1, 4, 5, 5), "offset": torch.zeros(1, 18, 3, 3), "weight": torch.zeros(4, 4, 3, 3)}
    with pytest.raises(ArgumentError, match=message):
        operators.deform_conv2d(**good | change)
