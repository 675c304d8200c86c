import pytest
import torch
from torch import nn

from tests.operators.interpolated import interpolated
from warptheory import operators
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding

KINDS = (operators.ActiveConv1d, operators.ActiveConv2d, operators.ActiveConv3d)
PLAIN = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
ROUNDING = rounding(torch.float64, operations=300, magnitude=20)


def close(found, expected, message=None):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute, msg=message)


def literal(layer, x, weight, positions, bias):
    """Return what the Caffe layer computes: for each synapse the image at its position, and a 1×1 convolution."""
    stride, padding = layer.stride[0], layer.padding[0]
    grid = [(size + 2 * padding - n) // stride + 1 for size, n in zip(x.shape[2:], layer.kernel_size, strict=True)]
    first = torch.tensor([n // 2 - padding for n in layer.kernel_size])
    outcomes = []
    for group, filters in enumerate(torch.chunk(weight, layer.position_groups)):
        centre = torch.zeros(1, layer.dim, dtype=x.dtype)
        total = 0
        for k, position in enumerate(torch.cat([centre, positions[group]])):
            samples = interpolated(x, position + first, stride, grid)
            total = total + torch.einsum("oc,bc...->bo...", filters[:, :, k], samples)
        outcomes.append(total)
    return torch.cat(outcomes, 1) + bias.reshape(-1, *[1] * layer.dim)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_it_is_the_original(dim):
    """Values and gradients, at positions anywhere and at whole ones, where the derivative is the right-hand one."""
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        stride, padding, groups, channels = ([1, 2][n] for n in torch.randint(2, (4,), generator=generator))
        layer = KINDS[dim - 1](
            channels, 2, ((3,), (3, 3), (3, 1, 1))[dim - 1], stride, padding - 1, position_groups=groups
        ).double()
        moved = 1.5 * torch.randn(layer.positions.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            layer.positions.add_(moved.round() if seed % 5 == 0 else moved)
        x = torch.randn(1, channels, *(5, 4, 3)[:dim], generator=generator, dtype=torch.float64, requires_grad=True)
        leaves = (x, layer.weight, layer.positions, layer.bias)
        found, expected = layer(x), literal(layer, *leaves)
        close(found, expected, f"{seed}")
        g = torch.randn(found.shape, generator=generator, dtype=torch.float64)
        gradients = zip(torch.autograd.grad(found, leaves, g), torch.autograd.grad(expected, leaves, g), strict=True)
        for name, (one, other) in zip(("x", "weight", "positions", "bias"), gradients, strict=True):
            close(one, other, f"{seed} {name}")


@pytest.mark.parametrize(("dim", "size", "dilation"), [(1, 5, 2), (2, (3, 5), (2, 1)), (3, 3, 1)])
def test_a_new_layer_is_the_plain_convolution(dim, size, dilation):
    torch.manual_seed(0)
    layer = KINDS[dim - 1](3, 4, size, 2, 2, dilation, position_groups=2).double()
    plain = PLAIN[dim - 1](3, 4, size, 2, 2, dilation).double()
    with torch.no_grad():
        plain.bias.copy_(layer.bias)
        for k, tap in enumerate(layer.taps):
            place = [t // d + n // 2 for t, d, n in zip(tap, layer.dilation, layer.kernel_size, strict=True)]
            plain.weight[(slice(None), slice(None), *place)] = layer.weight[:, :, k]
    x = torch.randn(2, 3, *(7, 8, 6)[:dim], dtype=torch.float64)
    close(layer(x), plain(x))
    assert layer.statistics(x).offset_deviation == 0


def test_synapses_begin_as_those_of_the_original():
    """The centre, then eight steps around it, as a circle of radius 1 rounds to: x is the last axis."""
    angles = torch.arange(8) * torch.pi / 4
    circle = torch.stack([angles.sin().round(), angles.cos().round()], 1)
    layer = operators.ActiveConv2d(1, 1)
    assert layer.taps[0] == (0, 0)
    assert torch.equal(layer.positions[0], circle)


def gradient(layer, x):
    return torch.autograd.grad(layer(x).square().sum(), layer.positions)[0]


def test_normalised_gradients_have_length_one():
    torch.manual_seed(0)
    plain, layer = (operators.ActiveConv2d(2, 4, position_groups=2, normalize=flag).double() for flag in (False, True))
    layer.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for each in (plain, layer):
            each.weight[:2, :, 3] = 0  # a synapse without effect
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64)
    close(layer(x), plain(x))
    raw, found = gradient(plain, x), gradient(layer, x)
    assert found[0, 2].tolist() == raw[0, 2].tolist() == [0, 0]
    rest = raw.norm(dim=-1) > 0
    close(found[rest], raw[rest] / raw[rest].norm(dim=-1, keepdim=True))
    # A step of gradient descent has the length of the learning rate.
    before = layer.positions.detach().clone()
    optimizer = torch.optim.SGD([layer.positions], lr=0.01)
    layer(x).square().sum().backward()
    optimizer.step()
    steps = (layer.positions.detach() - before).norm(dim=-1)
    close(steps[rest], torch.full_like(steps[rest], 0.01))


def test_normalised_layers_have_second_derivatives():
    torch.manual_seed(0)
    layer = operators.ActiveConv1d(1, 1, normalize=True).double()
    x = torch.randn(1, 1, 6, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    plain = operators.ActiveConv1d(1, 1).double()
    plain.load_state_dict(layer.state_dict())
    (first,) = torch.autograd.grad(plain(x).square().sum(), x, create_graph=True)
    close(second, torch.autograd.grad(first.square().sum(), x)[0])


def test_gradients_of_single_images():
    """By `vmap` of `grad`, as by a loop; each of length one."""
    torch.manual_seed(0)
    layer = operators.ActiveConv2d(1, 2, normalize=True).double()
    x = torch.randn(3, 1, 1, 5, 5, dtype=torch.float64)

    def loss(positions, image):
        return torch.func.functional_call(layer, {"positions": positions}, (image,)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(layer.positions.detach(), x)
    for image, each in zip(x, found, strict=True):
        close(each, gradient(layer, image))
        close(each.norm(dim=-1), torch.ones(1, 8, dtype=torch.float64))


@pytest.mark.parametrize("normalize", [False, True])
def test_positions_wait_until_it_is_warm(normalize):
    torch.manual_seed(0)
    layer = operators.ActiveConv2d(1, 1, normalize=normalize, warm_up=2)
    x = torch.randn(1, 1, 5, 5)
    layer.eval()
    assert gradient(layer, x).abs().max() == 0
    layer.train()
    with torch.no_grad():
        layer(x)
    assert [bool(gradient(layer, x).abs().max() > 0) for _ in range(4)] == [False, False, True, True]
    again = operators.ActiveConv2d(1, 1, warm_up=2)
    again.load_state_dict(layer.state_dict())
    assert gradient(again, x).abs().max() > 0


def test_groups_have_positions_of_their_own():
    torch.manual_seed(0)
    layer = operators.ActiveConv1d(2, 4, position_groups=2, padding=1).double()
    x = torch.randn(1, 2, 7, dtype=torch.float64)
    before = layer(x)
    with torch.no_grad():
        layer.positions[1] += 0.3
    after = layer(x)
    assert torch.equal(before[:, :2], after[:, :2])
    assert (before[:, 2:] - after[:, 2:]).abs().min() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "^in_channels: expected a positive integer, got 0$"),
        ({"kernel_size": 2}, "^kernel_size: expected odd numbers, with a tap at the centre, got 2$"),
        ({"kernel_size": (3, 3, 3)}, "^kernel_size: expected a number or 2 numbers"),
        ({"position_groups": 3}, "^position_groups: expected a divisor of 4, got 3$"),
        ({"normalize": 1}, "^normalize: expected True or False"),
        ({"warm_up": -1}, "^warm_up: expected an integer ≥ 0"),
        ({"kernel": "foo"}, "^kernel: expected "),
        ({"boundary": "foo"}, "^boundary: expected one of "),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        operators.ActiveConv2d(**{"in_channels": 2, "out_channels": 4, **arguments})


@pytest.mark.parametrize("groups", [1, 2])
def test_bad_inputs(as_users_call, groups):
    layer = operators.ActiveConv2d(2, 4, position_groups=groups)
    for shape in ((1, 3, 5, 5), (1, 2, 5), (1, 2, 5, 5, 5), (1, 2)):
        with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, "):
            layer(torch.randn(shape))
    with pytest.raises(ArgumentError, match="^input: expected dtype torch.float32"):
        layer(torch.randn(1, 2, 5, 5, dtype=torch.float64))
    with pytest.raises(ArgumentError, match="^input: expected a tensor"):
        layer([1.0])
