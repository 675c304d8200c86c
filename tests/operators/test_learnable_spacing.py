import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from warptheory import operators
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import construct_kernel

dcls = pytest.importorskip("DCLS.construct.modules", reason="the extra `peers` is not installed")

ORIGINALS = (dcls.Dcls1d, dcls.Dcls2d, dcls.Dcls3d)
OURS = (operators.LearnableSpacingConv1d, operators.LearnableSpacingConv2d, operators.LearnableSpacingConv3d)
COUNTERPARTS = {each.ours: each for each in operators.get("learnable_spacing").counterparts}
LEAST = {"v0": 0, "v1": 0, "max": 1, "gauss": 0.27, "hyper-gauss": 0.27, "lorentz": 0.27, "sinc": 1}
ROUNDING = rounding(torch.float64, operations=100, magnitude=10)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def rows_of(version, dim):
    extra = {"hyper-gauss": 1, "correlated-gauss": math.comb(dim, 2), "rotated-gauss": math.comb(dim, 2)}
    return 0 if version in ("v0", "v1") else dim + extra.get(version, 0)


def drawn(version, size, shape, generator):
    """Return weights, positions inside of the kernel and what the version needs."""
    dim = len(size)
    weight = torch.randn(*shape, generator=generator, dtype=torch.float64)
    share = 0.02 + 0.96 * torch.rand(dim, *shape, generator=generator, dtype=torch.float64)
    positions = torch.stack([row * (n - 1) - n // 2 for row, n in zip(share, reversed(size), strict=True)])
    rows = rows_of(version, dim)
    widths = 0.1 + torch.rand(rows, *shape, generator=generator, dtype=torch.float64) if rows else None
    return weight, positions, widths


# ---- the original, where it is right


def pair(dim, version, seed):
    """Return a layer of dcls with random settings and parameters, and an input."""
    generator = torch.Generator().manual_seed(seed)

    def one_of(*choices):
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    groups, n = one_of(1, 2), one_of(3, 4, 5)
    channels = (2 * one_of(1, 2), 2 * one_of(1, 2))
    settings = {"groups": groups, "bias": one_of(True, False), "version": version}
    settings["padding_mode"] = one_of("zeros", "reflect", "replicate", "circular")
    stride, padding = one_of(1, 2), one_of(0, 1, 2)
    layer = ORIGINALS[dim - 1](*channels, one_of(1, 2, 3), stride, padding, n, **settings).double()
    weight, positions, widths = drawn(version, (n,) * dim, tuple(layer.weight.shape), generator)
    values = {
        "weight": weight,
        "P": positions,
        "SIG": widths,
        "bias": torch.randn(channels[1], generator=generator).double(),
    }
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(values[name])
    x = torch.randn(2, channels[0], *(6, 5, 6)[:dim], generator=generator, dtype=torch.float64)
    return layer, x


def results(layer, x):
    x = x.clone().requires_grad_()
    y = layer(x)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    named = dict(layer.named_parameters())
    return {"y": y, **dict(zip(["x", *named], torch.autograd.grad(y, [x, *named.values()], g), strict=True))}


# The row of dcls' version v0 that each of ours is.
V0_ROWS = {1: [0], 2: [1, 0], 3: [1, 2, 0]}


@pytest.mark.parametrize("version", ["v0", "v1", "max", "gauss"])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_it_is_the_original_on_equal_sizes(dim, version):
    """It adds 1e-7 to each sum of taps, here 0.06 at the least: 2e-6 of values, gradients and their cancellations."""
    for seed in range(50):
        original, x = pair(dim, version, seed)
        ours = COUNTERPARTS[OURS[dim - 1]].to_ours(original)
        found, expected = results(ours, x), results(original, x)
        if version == "v0":
            expected["P"] = expected["P"][V0_ROWS[dim]]
        assert found.keys() == expected.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5, msg=f"{seed} {name}")


@pytest.mark.parametrize("version", ["v1", "max", "gauss"])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_it_starts_as_the_original_and_takes_its_state(dim, version):
    layers = []
    for kind in (ORIGINALS[dim - 1], OURS[dim - 1]):
        torch.manual_seed(dim)
        layers.append(kind(4, 6, 3, dilated_kernel_size=5, groups=2, version=version))
    states = [layer.state_dict() for layer in layers]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    layers[1].load_state_dict(states[0])


# ---- the original, where it is wrong


def original_kernel(size, version, positions):
    """Return a layer of dcls with one weight, 1, and its kernel."""
    layer = ORIGINALS[len(size) - 1](1, 1, 1, dilated_kernel_size=size, version=version, bias=False).double()
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.P.copy_(torch.tensor(positions).reshape(-1, 1, 1, 1))
    return layer, layer.DCK(layer.weight, layer.P, layer.SIG)[0, 0]


def our_kernel(size, version, positions):
    layer = OURS[len(size) - 1](1, 1, 1, dilated_kernel_size=size, version=version, bias=False).double()
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.P.copy_(torch.tensor(positions).reshape(-1, 1, 1, 1))
    return layer, layer.dense_kernel()[0, 0]


def test_v0_is_transposed_in_the_original():
    theirs = {version: original_kernel((5, 5), version, [2.0, 0.0])[1] for version in ("v0", "v1")}
    assert theirs["v0"].argmax() == 4 * 5 + 2  # row 4, column 2
    assert theirs["v1"].argmax() == 2 * 5 + 4
    for version in ("v0", "v1"):
        assert our_kernel((5, 5), version, [2.0, 0.0])[1].argmax() == 2 * 5 + 4
    # In three dimensions its rows are the axes 0, 2, 1.
    assert original_kernel((5, 5, 5), "v0", [2.0, 1.0, 0.0])[1].argmax() == (4 * 5 + 2) * 5 + 3
    assert our_kernel((5, 5, 5), "v0", [2.0, 1.0, 0.0])[1].argmax() == (2 * 5 + 3) * 5 + 4


@pytest.mark.parametrize("version", ["v1", "max", "gauss"])
def test_kernels_of_unequal_sizes_are_empty_in_the_original(version):
    theirs, ours = original_kernel((7, 3), version, [0.0, 0.0])[1], our_kernel((7, 3), version, [0.0, 0.0])[1]
    if version == "gauss":
        # It is not empty, but off the centre by two rows, and against the last column.
        assert theirs.argmax() == 1 * 3 + 2
    else:
        assert theirs.abs().max() == 0
    assert ours.argmax() == 3 * 3 + 1
    assert ours.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("version", ["v1", "max"])
def test_even_sizes_lose_the_weight_at_the_limit_in_the_original(version):
    """clamp_parameters leaves P = 2 as it is, where the last of four taps is at 1."""
    layer, kernel = original_kernel((4,), version, [2.0])
    layer.clamp_parameters()
    assert layer.P.item() == 2
    assert kernel.abs().sum() == 0
    ours, kernel = our_kernel((4,), version, [2.0])
    assert kernel.tolist() == pytest.approx([0, 0, 0, 1], abs=1e-100)
    ours.clamp_parameters()
    assert ours.P.item() == 1
    assert ours.dense_kernel().sum() == 1


def test_widths_of_the_triangle_never_train_in_the_original():
    """The derivative of a tap f = 0.3 off its neighbour, 0.7: (1 − 2·0.7) of the width, per tap."""
    taps = {}
    for name, make in (("theirs", original_kernel), ("ours", our_kernel)):
        layer, kernel = make((5,), "max", [0.3])
        assert layer.SIG.item() == 0
        (taps[name],) = torch.autograd.grad(kernel[2], layer.SIG)
    assert taps["theirs"].item() == 0
    assert taps["ours"].item() == pytest.approx(1 - 2 * 0.7)
    # A step widens it, as far as the derivative says.
    layer, before = our_kernel((5,), "max", [0.3])
    with torch.no_grad():
        layer.SIG.add_(1e-6)
    assert (layer.dense_kernel()[0, 0, 2] - before[2]).item() == pytest.approx(-0.4e-6, rel=1e-4)


@pytest.mark.parametrize("version", ["v1", "max"])
@pytest.mark.parametrize(("position", "inwards"), [(2.0, -1), (-2.0, 1)])
def test_positions_stick_to_the_edge_in_the_original(version, position, inwards):
    """A loss that asks for the tap inside: its derivative is that of the weight that moves there, one a tap."""
    found = {}
    for name, make in (("theirs", original_kernel), ("ours", our_kernel)):
        layer, kernel = make((5,), version, [position])
        (found[name],) = torch.autograd.grad(kernel[2 + int(position) + inwards], layer.P)
    assert found["theirs"].item() == 0
    assert found["ours"].item() == inwards


# ---- what it is


def profile(version, step, width, rest):
    """Return g(i − p), from the words of the versions."""
    if version in ("v0", "v1"):
        return max(0.0, 1 - abs(step))
    if version == "max":
        return max(0.0, width - abs(step))
    if version == "lorentz":
        return 1 / (1 + (step / width) ** 2)
    if version == "sinc":
        ratio = step / width
        return float(np.sinc(ratio) * np.sinc(ratio / 3)) if abs(ratio) < 3 else 0.0
    return math.exp(-0.5 * abs(step / width) ** (1 + rest if version == "hyper-gauss" else 2))


def covariance(version, values, dim):
    """Return the covariance of a Gaussian, in the order of the rows of positions."""
    widths, others = np.array(values[:dim]) + 0.27, values[dim:]
    pairs = list(itertools.combinations(range(dim), 2))
    if version == "correlated-gauss":
        factor = np.diag(widths)
        for (column, row), value in zip(pairs, others, strict=True):
            factor[row, column] = value
        return factor @ factor.T
    rotation = np.eye(dim)
    for (first, second), angle in zip(pairs, others, strict=True):
        turn = np.eye(dim)
        turn[[first, second], [first, second]] = math.cos(angle)
        turn[second, first], turn[first, second] = math.sin(angle), -math.sin(angle)
        rotation = rotation @ turn
    return rotation @ np.diag(widths**2) @ rotation.T


def literal(weight, positions, widths, size, version):
    dim, found = len(size), np.zeros((*weight.shape[:2], *size))
    for o, i, k in np.ndindex(*weight.shape):
        taps = np.zeros(size)
        for tap in np.ndindex(*size):
            # Row r is axis d − 1 − r.
            steps = [tap[dim - 1 - r] - (positions[r, o, i, k] + size[dim - 1 - r] // 2) for r in range(dim)]
            values = [] if widths is None else widths[:, o, i, k]
            if version in LEAST:
                scales = [1.0] * dim if widths is None else [value + LEAST[version] for value in values[:dim]]
                rest = values[-1] if version == "hyper-gauss" else 0.0
                taps[tap] = math.prod(profile(version, *each, rest) for each in zip(steps, scales, strict=True))
            else:
                inverse = np.linalg.inv(covariance(version, values, dim))
                taps[tap] = math.exp(-0.5 * np.array(steps) @ inverse @ np.array(steps))
        found[o, i] += weight[o, i, k] * taps / taps.sum()
    return found


CASES = [
    (version, size)
    for version in (*LEAST, "correlated-gauss", "rotated-gauss")
    for size in ((6,), (5, 3), (2, 5, 3))
    if len(size) > 1 or version in LEAST
]


@pytest.mark.parametrize(("version", "size"), CASES)
def test_the_kernel_is_what_is_said(version, size):
    weight, positions, widths = drawn(version, size, (2, 1, 3), torch.Generator().manual_seed(1))
    found = construct_kernel(weight, positions, widths, size, version)
    expected = literal(weight.numpy(), positions.numpy(), None if widths is None else widths.numpy(), size, version)
    close(found, torch.from_numpy(expected))
    close(found.flatten(2).sum(2), weight.sum(2))


@pytest.mark.parametrize(("version", "size"), [case for case in CASES if len(case[1]) < 3 or case[0] not in LEAST])
def test_kernels_have_derivatives_to_second_order(version, size):
    inputs = drawn(version, size, (1, 1, 2), torch.Generator().manual_seed(2))
    leaves = [each.requires_grad_() for each in inputs if each is not None]

    def kernel(*values):
        return construct_kernel(values[0], values[1], values[2] if len(values) > 2 else None, size, version)

    assert gradcheck(kernel, leaves, fast_mode=True)
    assert gradgradcheck(kernel, leaves, fast_mode=True)


@pytest.mark.parametrize("version", ["sinc", "hyper-gauss", "gauss", "lorentz"])
def test_smooth_kernels_have_derivatives_at_whole_positions_too(version):
    """Where a quotient 0/0 or a power of 0 is to be differentiated."""
    weight, positions, widths = drawn(version, (5,), (1, 1, 2), torch.Generator().manual_seed(2))
    positions = torch.tensor([0.0, 1.0], dtype=torch.float64).reshape(1, 1, 1, 2)
    if version == "hyper-gauss":
        widths[-1] = 2.5  # powers below the third have no second derivative at zero
    leaves = [each.requires_grad_() for each in (weight, positions, widths)]

    def kernel(*values):
        return construct_kernel(*values, 5, version)

    assert gradcheck(kernel, leaves, fast_mode=True)
    assert gradgradcheck(kernel, leaves, fast_mode=True)


@pytest.mark.parametrize("version", ["v0", "v1", "max"])
@pytest.mark.parametrize(("position", "towards"), [(-2.0, 1), (-1.0, 1), (0.0, 1), (1.0, 1), (2.0, -1)])
def test_the_derivative_at_a_whole_position_is_one_sided(version, position, towards):
    """To the right, and at the last tap to the left: that of a position close by."""
    jacobians = []
    for at in (position, position + 1e-9 * towards):
        positions = torch.full((1, 1, 1, 1), at, dtype=torch.float64)
        widths = None if version != "max" else torch.zeros_like(positions)

        def kernel(positions, widths=widths):
            return construct_kernel(positions.new_ones(1, 1, 1), positions, widths, 5, version)

        jacobians.append(torch.autograd.functional.jacobian(kernel, positions))
    torch.testing.assert_close(*jacobians, rtol=0, atol=1e-7)
    assert jacobians[0].abs().max() == 1


@pytest.mark.parametrize("version", ["hyper-gauss", "correlated-gauss", "rotated-gauss"])
def test_other_gaussians_start_as_the_plain_one(version):
    torch.manual_seed(0)
    layer = operators.LearnableSpacingConv2d(2, 3, 4, dilated_kernel_size=(7, 5), version=version).double()
    plain = construct_kernel(layer.weight, layer.P, layer.SIG[:2], (7, 5), "gauss")
    close(layer.dense_kernel(), plain)


def test_sinc_keeps_low_frequencies_and_stops_high_ones():
    """A width of three taps passes frequencies below 1/6 and stops those beyond, within the ripple of the window."""
    positions = torch.full((1, 1, 1, 1), 0.37, dtype=torch.float64)
    kernel = construct_kernel(positions.new_ones(1, 1, 1), positions, torch.full_like(positions, 2.0), 41, "sinc")
    response = torch.fft.rfft(kernel[0, 0], 410).abs()
    frequencies = torch.arange(len(response)) / 410
    assert response[frequencies < 0.08].min() > 0.95
    assert response[frequencies > 0.26].max() < 0.05


def test_many_synapses_are_taken_in_portions():
    weight, positions, widths = drawn("gauss", (31,), (40, 30, 32), torch.Generator().manual_seed(3))
    whole = construct_kernel(weight, positions, widths, 31)
    halves = [
        construct_kernel(weight[part], positions[:, part], widths[:, part], 31) for part in (slice(20), slice(20, None))
    ]
    close(whole, torch.cat(halves))


def test_positions_outside_are_read_at_the_edge_and_come_back():
    layer = operators.LearnableSpacingConv1d(1, 1, 2, dilated_kernel_size=5, version="v1", bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[2.0, 3.0]]]))
        layer.P.copy_(torch.tensor([7.5, -4.0]).reshape(1, 1, 1, 2))
    kernel = layer.dense_kernel()
    assert kernel.flatten().tolist() == [3, 0, 0, 0, 2]
    kernel[0, 0, 3].backward()
    assert layer.P.grad.flatten().tolist() == [-2, 0]
    layer.clamp_parameters()
    assert layer.P.flatten().tolist() == [2, -2]


def test_limits_are_those_of_the_axis_of_a_row():
    layer = operators.LearnableSpacingConv2d(1, 1, 1, dilated_kernel_size=(7, 4))
    for value, limits in ((9.0, [1, 3]), (-9.0, [-2, -3])):
        with torch.no_grad():
            layer.P.fill_(value)
        layer.clamp_parameters()
        assert layer.P.flatten().tolist() == limits


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_it_is_the_convolution_with_its_kernel(mode):
    """Torch's own layer with that kernel, dilation and padding included; in any layout."""
    torch.manual_seed(0)
    options = {"stride": (2, 1), "padding": (2, 3), "groups": 2, "padding_mode": mode}
    layer = operators.LearnableSpacingConv2d(4, 6, 3, dilated_kernel_size=(3, 2), dilation=(1, 2), **options)
    plain = nn.Conv2d(4, 6, (3, 2), dilation=(1, 2), **options)
    plain.load_state_dict({"weight": layer.dense_kernel().detach(), "bias": layer.bias.detach()})
    x = torch.randn(3, 4, 7, 6)
    for each in (x, x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
        torch.testing.assert_close(layer(each), plain(x), rtol=0, atol=1e-6)


# ---- conversion


@pytest.mark.parametrize("version", ["v0", "v1", "max", "gauss"])
@pytest.mark.parametrize("size", [(6,), (7, 3), (4, 5), (3, 5, 4)])
def test_converted_layers_give_the_same(size, version):
    """There and back; on unequal sizes too, where the centre is moved, as long as dcls' kernel is not cut off."""
    dim = len(size)
    torch.manual_seed(0)
    ours = OURS[dim - 1](2, 4, 3, 2, 1, size, 2, True, "replicate", version).double()
    with torch.no_grad():
        ours.P.mul_(0.9)
        ours.clamp_parameters()
    counterpart = COUNTERPARTS[OURS[dim - 1]]
    assert counterpart.original == f"DCLS.construct.modules.Dcls{dim}d"
    original = counterpart.to_original(ours, ORIGINALS[dim - 1])
    again = counterpart.to_ours(original)
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(original(x), ours(x), rtol=1e-5, atol=1e-5)
    close(again(x), ours(x))
    assert again.P.dtype == torch.float64


def test_what_cannot_be_converted():
    counterpart = COUNTERPARTS[operators.LearnableSpacingConv2d]
    empty = dcls.Dcls2d(1, 1, 1, dilated_kernel_size=(7, 3), version="v1")
    with torch.no_grad():
        empty.P.zero_()
    with pytest.raises(ArgumentError, match=r"^model: expected positions inside of the kernel: .* got 1 outside$"):
        counterpart.to_ours(empty)
    for options in ({"version": "sinc"}, {"dilation": 2}):
        layer = operators.LearnableSpacingConv2d(1, 1, 1, **options)
        with pytest.raises(ArgumentError, match=r"^model: expected a version of v0, v1, max, gauss, and no dilation"):
            counterpart.to_original(layer, dcls.Dcls2d)


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "^in_channels: expected a positive integer, got 0$"),
        ({"kernel_count": 0}, "^kernel_count: expected a positive integer, got 0$"),
        ({"groups": 3}, "^groups: expected a divisor of 4 and 6, got 3$"),
        ({"dilated_kernel_size": (3, 0)}, "^kernel_size: expected|^dilated_kernel_size: expected"),
        ({"padding_mode": "mirror"}, "^padding_mode: expected one of "),
        ({"version": "v2"}, "^version: expected one of "),
        ({"bias": "no"}, "^bias: expected True or False"),
    ],
)
def test_bad_settings(arguments, message):
    settings = {"in_channels": 4, "out_channels": 6, "kernel_count": 2, "dilated_kernel_size": 3}
    with pytest.raises(ArgumentError, match=message):
        operators.LearnableSpacingConv2d(**{**settings, **arguments})


def test_rotated_kernels_need_two_axes():
    with pytest.raises(ArgumentError, match=r"^version: expected one for 1 axes, got 'rotated-gauss'$"):
        operators.LearnableSpacingConv1d(1, 1, 1, version="rotated-gauss")


def test_bad_inputs(as_users_call):
    layer = operators.LearnableSpacingConv2d(4, 6, 2, 1, 3, 3, padding_mode="reflect")
    for shape in ((2, 3, 5, 5), (2, 4, 5)):
        with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, 4, \*S\) with 2 axes S"):
            layer(torch.randn(shape))
    with pytest.raises(ArgumentError, match=r"^input: expected more than \(3, 3\) pixels along the axes, for padding"):
        layer(torch.randn(1, 4, 3, 5))
    weight, positions, widths = drawn("gauss", (3,), (1, 1, 2), torch.Generator().manual_seed(0))
    with pytest.raises(ArgumentError, match=r"^P: expected shape"):
        construct_kernel(weight, positions[..., :1], widths, 3)
    with pytest.raises(ArgumentError, match=r"^SIG: expected shape \(1, 1, 1, 2\) for version 'gauss', got None$"):
        construct_kernel(weight, positions, None, 3)
    with pytest.raises(ArgumentError, match=r"^SIG: expected None for version 'v1'"):
        construct_kernel(weight, positions, widths, 3, "v1")
    with pytest.raises(ArgumentError, match=r"^dilated_kernel_size: expected"):
        construct_kernel(weight, positions, widths, 0)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(1, 4, 5, 5).double(),
            r"^input: expected dtype torch.float32, as the layer's parameters have",
        ),
        (torch.zeros(1, 4, 0, 5), r"^input: expected no empty spatial axis, got"),
        ([1.0], r"^input: expected a tensor \(B, C, \*S\), got list$"),
    ],
)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        operators.LearnableSpacingConv2d(4, 6, 2, dilated_kernel_size=3)(x)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": None}, r"^P: expected a tensor .*, got NoneType$"),
        ({"weight": torch.zeros(4, 4)}, r"^weight: expected shape \(O, I, K\), got \(4, 4\)$"),
        ({"SIG": [1.0]}, r"^SIG: expected a tensor, got list$"),
    ],
)
def test_arguments_that_are_no_tensors_of_the_dtype(change, message):
    good = {
        "weight": torch.zeros(4, 4, 2),
        "P": torch.zeros(2, 4, 4, 2),
        "SIG": None,
        "dilated_kernel_size": 3,
        "version": "v1",
    }
    with pytest.raises(ArgumentError, match=message):
        construct_kernel(**good | change)


def test_the_original_s_choice_of_a_convolution_is_taken():
    """It chooses among convolutions that dcls has, and is the eleventh argument there."""
    arguments = (4, 4, 2, 1, 0, 3, 4, True, "zeros", "gauss")
    layers = []
    for choice in (True, False):
        torch.manual_seed(0)
        layers.append(operators.LearnableSpacingConv2d(*arguments, choice))
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(*(layer(x) for layer in layers))
    with pytest.raises(ArgumentError, match="^use_implicit_gemm: expected True or False"):
        operators.LearnableSpacingConv2d(*arguments, "no")
