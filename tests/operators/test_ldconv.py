"""LDConv against the original, written out here as it computes, and what it does at borders."""

import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.operators.unfit_images import UNFIT_IMAGES
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import LDConv, ld_conv2d

# Four products of corners, and of C·N ≤ 40 filters; a gradient of the offset's weights adds up all pixels.
ROUNDING = rounding(torch.float64, operations=1000, magnitude=20)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


# ---- what the original computes


def original_places(taps):
    """Return rows and columns (N,) of its taps."""
    width = round(math.sqrt(taps))
    rows, columns = torch.meshgrid(torch.arange(taps // width), torch.arange(width), indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    if taps % width:
        rows = torch.cat([rows, torch.full((taps % width,), taps // width)])
        columns = torch.cat([columns, torch.arange(taps % width)])
    return rows, columns


def original_positions(offset, stride):
    """Return p (B, N, h, w) along both axes, of offsets (B, 2N, h, w)."""
    taps = offset.shape[1] // 2
    rows, columns = original_places(taps)
    y = stride * torch.arange(offset.shape[2]).reshape(1, -1, 1) + rows.reshape(-1, 1, 1)
    x = stride * torch.arange(offset.shape[3]).reshape(1, 1, -1) + columns.reshape(-1, 1, 1)
    return y + offset[:, :taps], x + offset[:, taps:]


def original_samples(x, offset, stride):
    """Return the samples (B, C, N, h, w): corners and position are moved to the border one by one."""
    most_y, most_x = x.shape[2] - 1, x.shape[3] - 1
    p_y, p_x = original_positions(offset, stride)
    low_y, low_x = p_y.detach().floor(), p_x.detach().floor()
    top, bottom = (each.clamp(0, most_y) for each in (low_y, low_y + 1))
    left, right = (each.clamp(0, most_x) for each in (low_x, low_x + 1))
    p_y, p_x = p_y.clamp(0, most_y), p_x.clamp(0, most_x)

    def pixel(row, column):
        index = (row * x.shape[3] + column).long()
        flat = index.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)
        return x.flatten(2).gather(2, flat).unflatten(2, tuple(index.shape[1:]))

    return (
        ((1 + (top - p_y)) * (1 + (left - p_x))).unsqueeze(1) * pixel(top, left)
        + ((1 - (bottom - p_y)) * (1 - (right - p_x))).unsqueeze(1) * pixel(bottom, right)
        + ((1 + (top - p_y)) * (1 - (right - p_x))).unsqueeze(1) * pixel(top, right)
        + ((1 - (bottom - p_y)) * (1 + (left - p_x))).unsqueeze(1) * pixel(bottom, left)
    )


class Original(nn.Module):
    """The original's parameters by their names, with what it computes of them."""

    def __init__(self, inc, outc, num_param, stride=1, bias=None):
        super().__init__()
        self.stride = stride
        column = (num_param, 1)
        convolution = nn.Conv2d(inc, outc, kernel_size=column, stride=column, bias=bias)
        self.conv = nn.Sequential(convolution, nn.BatchNorm2d(outc), nn.SiLU())
        self.p_conv = nn.Conv2d(inc, 2 * num_param, kernel_size=3, padding=1, stride=stride)
        nn.init.constant_(self.p_conv.weight, 0)
        self.register_buffer("p_n", torch.cat(original_places(num_param)).reshape(1, -1, 1, 1))

    def forward(self, x):
        samples = original_samples(x, self.p_conv(x), self.stride)
        return self.conv(samples.transpose(2, 3).flatten(2, 3))  # (B, C, h·N, w)


def original_hook(module, grad_input, grad_output):
    grad_input = (grad_input[i] * 0.1 for i in range(len(grad_input)))
    grad_output = (grad_output[i] * 0.1 for i in range(len(grad_output)))


# ---- equal where it is right


def pair(seed):
    """Return an original and our layer with its parameters, and images."""
    generator = torch.Generator().manual_seed(seed)
    inc, outc, taps, stride, height, width = (
        int(torch.randint(low, high, (1,), generator=generator))
        for low, high in ((1, 5), (1, 4), (1, 11), (1, 4), (9, 14), (9, 14))
    )
    original = Original(inc, outc, taps, stride, bias=bool(seed % 2)).double()
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    ours = LDConv(inc, outc, taps, stride, bool(seed % 2), centred=False).double()
    ours.load_state_dict(original.state_dict())
    x = torch.randn(2, inc, height, width, generator=generator, dtype=torch.float64)
    return original.eval(), ours.eval(), x


@pytest.mark.parametrize("seed", range(56))
def test_equals_the_original_inside(seed):
    """Values and gradients of the pixels whose samples lie all within the image."""
    original, ours, x = pair(seed)
    inside = torch.ones(1, dtype=torch.bool)
    for places, size in zip(original_positions(original.p_conv(x), original.stride), x.shape[2:], strict=True):
        inside = inside & ((places >= 0) & (places < size - 1)).all(1)
    assert inside.any()
    found = {}
    for layer in (original, ours):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        g = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        gradients = torch.autograd.grad((g * inside.unsqueeze(1) * y).sum(), (leaf, *layer.parameters()))
        found[layer] = (y.movedim(1, -1)[inside], *gradients)
    for mine, theirs in zip(found[ours], found[original], strict=True):
        close(mine, theirs)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_new_layer_is_a_plain_convolution(stride):
    """Of 3×3 taps, centred, with the border continued; the original starts displaced by torch's bias."""
    layer = LDConv(3, 4, 9, stride).double()
    x = torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(0)).double()
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    plain = functional.conv2d(padded, layer.conv[0].weight.reshape(4, 3, 3, 3), stride=stride)
    close(layer.pattern(x).apply(x), plain)
    close(layer(x), layer.conv[1:](plain))
    bias = torch.cat([Original(3, 4, 100).p_conv.bias.detach() for _ in range(10)])
    # A uniform law on ±1/√27, by the error of its variance: v·√(0.8/n).
    assert float(bias.square().mean()) == pytest.approx(1 / 81, rel=4 * math.sqrt(0.8 / len(bias)))
    assert layer.p_conv.bias.abs().max() == 0


def test_odd_shapes_of_taps():
    """Rows of round(√N), the last one shorter; the middle, or the one before it, is on the pixel."""
    assert LDConv(1, 1, 5, centred=False).taps == ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))
    assert LDConv(1, 1, 5).taps == ((-1, 0), (-1, 1), (0, 0), (0, 1), (1, 0))
    for taps in range(1, 30):
        rows, columns = original_places(taps)
        expected = tuple(zip(rows.tolist(), columns.tolist(), strict=True))
        assert LDConv(1, 1, taps, centred=False).taps == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("centred", [False, True])
def test_the_function_is_what_the_layer_normalises(stride, centred):
    layer = LDConv(3, 4, 7, stride, bias=True, centred=centred).double()
    nn.init.normal_(layer.p_conv.weight, std=0.3)
    x = torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(0)).double()
    convolution = layer.conv[0]
    found = ld_conv2d(x, layer.p_conv(x), convolution.weight, convolution.bias, stride, centred=centred)
    close(layer.conv[1:](found), layer(x))


def test_batch_of_none_and_other_layouts():
    layer = LDConv(4, 3, 5).eval()
    nn.init.normal_(layer.p_conv.weight)
    x = torch.randn(2, 4, 6, 6)
    assert layer(x[:0]).shape == (0, 3, 6, 6)
    # Sums of 20 filters in float32, whose samples move with offsets that are rounded too.
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), layer(x), rtol=1e-4, atol=1e-4)


# ---- defects of the original


@pytest.mark.parametrize("tap", range(4))
def test_weights_sum_to_one_at_the_border(tap):
    """Ones are read as 2 on the last row and column, and as 4 at the corner, by every tap that lies there."""
    x, offset = torch.ones(1, 1, 6, 5, dtype=torch.float64), torch.zeros(1, 8, 6, 5, dtype=torch.float64)
    original = original_samples(x, offset, 1)[0, 0, tap]
    row, column = divmod(tap, 2)
    expected = torch.ones(6, 5, dtype=torch.float64)
    expected[5 - row :] *= 2
    expected[:, 4 - column :] *= 2
    close(original, expected)
    assert float(original.max()) == 4
    before = original_samples(x, offset - 0.5, 1)[0, 0, 0]
    assert float(before[0, 0]) == 4
    layer = LDConv(1, 1, 4, centred=False).double()
    nn.init.constant_(layer.conv[0].weight, 1.0)
    for moved in (0.0, -0.5, 3.25):
        nn.init.constant_(layer.p_conv.bias, moved)
        close(layer.pattern(x).apply(x), torch.full_like(x, 4))


def test_taps_are_centred():
    ramp = torch.arange(12.0, dtype=torch.float64).expand(1, 1, 12, 12)
    original = original_samples(ramp, torch.zeros(1, 18, 12, 12, dtype=torch.float64), 1)[0, 0, :, 5, 5]
    assert original.tolist() == [5, 6, 7] * 3
    layer = LDConv(1, 9, 9).double()
    with torch.no_grad():
        layer.conv[0].weight.copy_(torch.eye(9).reshape(9, 1, 9, 1))
    assert layer.pattern(ramp).apply(ramp)[0, :, 5, 5].tolist() == [4, 5, 6] * 3


def test_gradient_of_the_offsets_is_scaled():
    """By the factor that is asked for; the original's hook scales by 1, and would if it returned what it computes."""

    def gradients(layer):
        leaf = torch.randn(1, 2, 9, 9, generator=torch.Generator().manual_seed(3)).double().requires_grad_()
        value = layer.eval()(leaf)[:, :, 2:5, 2:5].square().sum()
        return torch.autograd.grad(value, (layer.p_conv.weight, layer.conv[0].weight))

    torch.manual_seed(0)
    plain = Original(2, 3, 5).double()
    for hook in (original_hook, lambda module, grad_input, grad_output: tuple(0.1 * each for each in grad_input)):
        hooked = Original(2, 3, 5).double()
        hooked.load_state_dict(plain.state_dict())
        hooked.p_conv.register_full_backward_hook(hook)
        close(gradients(hooked)[0], gradients(plain)[0])
    for factor in (0.1, 0.0, 3.0):
        ours = LDConv(2, 3, 5, centred=False, offset_gradient_scale=factor).double()
        ours.load_state_dict(plain.state_dict())
        scaled, unscaled = gradients(ours)
        close(scaled, factor * gradients(plain)[0])
        close(unscaled, gradients(plain)[1])


# ---- what is refused

IMAGE, OFFSET, WEIGHT = torch.zeros(1, 2, 5, 5), torch.zeros(1, 6, 5, 5), torch.zeros(4, 2, 3, 1)
# Past the checks of shapes that tests run with.
unchecked = inspect.unwrap(ld_conv2d)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("inc", lambda: LDConv(0, 1, 3)),
        ("outc", lambda: LDConv(1, 1.5, 3)),
        ("num_param", lambda: LDConv(1, 1, 0)),
        ("stride", lambda: LDConv(1, 1, 3, 0)),
        ("bias", lambda: LDConv(1, 1, 3, bias="no")),
        ("centred", lambda: LDConv(1, 1, 3, centred=1)),
        ("offset_gradient_scale", lambda: LDConv(1, 1, 3, offset_gradient_scale=-0.1)),
        ("kernel", lambda: LDConv(1, 1, 3, kernel="bicubic?")),
        ("input", lambda: LDConv(2, 1, 3)(torch.zeros(1, 3, 5, 5))),
        ("input", lambda: unchecked(IMAGE[0], OFFSET, WEIGHT)),
        ("weight", lambda: unchecked(IMAGE, OFFSET, WEIGHT[:, :1])),
        ("weight", lambda: unchecked(IMAGE, OFFSET, WEIGHT.squeeze(3))),
        ("offset", lambda: unchecked(IMAGE, OFFSET[:, :5], WEIGHT)),
        ("offset", lambda: unchecked(IMAGE, OFFSET, WEIGHT, stride=2)),
        ("stride", lambda: unchecked(IMAGE, OFFSET, WEIGHT, stride=0)),
        ("input", lambda: inspect.unwrap(LDConv.pattern)(LDConv(2, 1, 3), torch.zeros(1, 2, 5))),
    ],
)
def test_errors_name_the_argument(name, call):
    with pytest.raises(ArgumentError) as raised:
        call()
    assert raised.value.argument == name


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(("x", "message"), UNFIT_IMAGES)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        LDConv(4, 6, 5)(x)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": [1.0]}, r"^input: expected a tensor.*, got list$"),
        ({"offset": [1.0]}, r"^offset: expected a tensor.*, got list$"),
        ({"weight": [1.0]}, r"^weight: expected a tensor.*, got list$"),
        ({"bias": [1.0]}, r"^bias: expected a tensor.*, got list$"),
        (
            {"weight": torch.zeros(4, 4, 4, 1).double()},
            r"^weight: expected dtype torch.float32, as input has",
        ),
    ],
)
def test_arguments_that_are_no_tensors_of_the_dtype(change, message):
    good = {"input": torch.zeros(1, 4, 5, 5), "offset": torch.zeros(1, 8, 5, 5), "weight": torch.zeros(4, 4, 4, 1)}
    with pytest.raises(ArgumentError, match=message):
        ld_conv2d(**good | change)
