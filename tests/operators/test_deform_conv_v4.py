"""DCNv4 against a transcription of what its kernel computes: loops over pixels, groups and taps."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory import operators
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.tolerances import rounding
from warptheory.operators import DCNv4, dcnv4

# Products of up to 12 taps and 4 corners; values up to 40 in all.
ROUNDING = rounding(torch.float64, operations=200, magnitude=40)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


# ---- what the original computes


def literal(x, offset_mask, shape, stride, padding, dilation, group, scale, remove_center):
    """Return what its kernel returns for images (B, H, W, C), tap by tap; pairs are (height, width)."""
    batch, height, width, channels = x.shape
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = shape, stride, padding, dilation
    h, w = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    count, depth = kh * kw - remove_center, channels // group
    images = x.reshape(batch, height, width, group, depth)
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=x.dtype) for n in (h, w)), indexing="ij")
    # Half of the reach is rounded down to a pixel, and scaled with the taps.
    half_h, half_w = dh * (kh - 1) >> 1, dw * (kw - 1) >> 1
    first_h, first_w = half_h - ph + rows * sh - half_h * scale, half_w - pw + columns * sw - half_w * scale
    groups = []
    for g in range(group):
        ours = offset_mask[..., g * count * 3 : (g + 1) * count * 3]
        total, tap = 0, 0
        for i, j in itertools.product(range(kw), range(kh)):
            if remove_center and (i, j) == (kw // 2, kh // 2):
                continue
            places_w = first_w + (i * dw + ours[..., 2 * tap]) * scale
            places_h = first_h + (j * dh + ours[..., 2 * tap + 1]) * scale
            total = total + ours[..., 2 * count + tap, None] * bilinear(images[:, :, :, g], places_h, places_w)
            tap += 1
        groups.append(total)
    return torch.stack(groups, 3).reshape(batch, h, w, channels)


def bilinear(images, places_h, places_w):
    """Return images (B, H, W, D) at places (B, h, w): four corners, zero where one is outside."""
    height, width = images.shape[1:3]
    low_h, low_w = places_h.detach().floor(), places_w.detach().floor()
    batch = torch.arange(len(images)).reshape(-1, 1, 1)
    total = 0
    for up, right in itertools.product((0, 1), (0, 1)):
        row, column = low_h.long() + up, low_w.long() + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        values = images[batch, row.clamp(0, height - 1), column.clamp(0, width - 1)]
        part_h, part_w = (1 - (places_h - low_h - up).abs()), (1 - (places_w - low_w - right).abs())
        total = total + (inside * part_h * part_w)[..., None] * values
    return total


def drawn(seed):
    """Return the tensors of a call and its other arguments."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    remove = bool(rng.integers(2))
    shape = (3, 3) if remove else tuple(map(int, rng.integers(1, 4, 2)))
    stride, dilation = (tuple(map(int, rng.integers(1, 3, 2))) for _ in range(2))
    padding = tuple(map(int, rng.integers(0, 3, 2)))
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(shape, dilation, padding, strict=True)]
    size = [n + int(m) for n, m in zip(least, rng.integers(0, 4, 2), strict=True)]
    axes = zip(size, padding, dilation, shape, stride, strict=True)
    grid = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in axes]
    group, batch = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    width = group * (math.prod(shape) - remove) * 3
    width += int(rng.integers(2)) * (-width % 8)
    x, offset_mask = (
        torch.randn(batch, *each, generator=generator, dtype=torch.float64)
        for each in ((*size, 2 * group), (*grid, width))
    )
    return (x, offset_mask), (shape, stride, padding, dilation), group, float(rng.uniform(0.5, 2)), remove


def with_gradients(function, tensors):
    leaves = [each.clone().requires_grad_() for each in tensors]
    y = function(*leaves)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return y.detach(), *torch.autograd.grad(y, leaves, g)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_it_is_the_original(first):
    """Values and both gradients, on sixty random configurations."""
    for seed in range(first, first + 20):
        tensors, pairs, group, scale, remove = drawn(seed)

        def ours(x, offset_mask, pairs=pairs, group=group, scale=scale, remove=remove):
            numbers = [n for pair in pairs for n in pair]
            return dcnv4(x, offset_mask, *numbers, group, x.shape[-1] // group, scale, remove)

        def theirs(x, offset_mask, pairs=pairs, group=group, scale=scale, remove=remove):
            return literal(x, offset_mask, *pairs, group, scale, remove)

        for found, expected in zip(with_gradients(ours, tensors), with_gradients(theirs, tensors), strict=True):
            close(found, expected)


# ---- the layer


class Twin(nn.Module):
    """The original's module, with the definition above in place of its kernel."""

    def __init__(
        self,
        channels=64,
        kernel_size=3,
        stride=1,
        pad=1,
        dilation=1,
        group=4,
        offset_scale=1.0,
        dw_kernel_size=None,
        center_feature_scale=False,
        remove_center=False,
        output_bias=True,
        without_pointwise=False,
    ):
        super().__init__()
        assert channels // group % 16 == 0
        self.channels, self.kernel_size, self.stride, self.pad, self.dilation = (
            channels,
            kernel_size,
            stride,
            pad,
            dilation,
        )
        self.group, self.offset_scale, self.dw_kernel_size = group, offset_scale, dw_kernel_size
        self.center_feature_scale, self.remove_center = center_feature_scale, int(remove_center)
        self.without_pointwise = without_pointwise
        taps = group * (kernel_size**2 - remove_center)
        if dw_kernel_size is not None:
            self.offset_mask_dw = nn.Conv2d(
                channels, channels, dw_kernel_size, padding=dw_kernel_size // 2, groups=channels
            )
        self.offset_mask = nn.Linear(channels, math.ceil(taps * 3 / 8) * 8)
        if not without_pointwise:
            self.value_proj = nn.Linear(channels, channels)
            self.output_proj = nn.Linear(channels, channels, bias=output_bias)
        if center_feature_scale:
            self.center_feature_scale_proj_weight = nn.Parameter(torch.zeros(group, channels))
            self.center_feature_scale_proj_bias = nn.Parameter(torch.zeros(group))
        self.publish()

    @torch.no_grad()
    def publish(self):
        """Set the parameters that decide how it starts as published: all zero."""
        self.offset_mask.weight.zero_()
        self.offset_mask.bias.zero_()

    @torch.no_grad()
    def draw(self):
        for parameter in self.parameters():
            parameter.normal_(std=0.3)
        return self

    def forward(self, x, shape=None):
        batch, length, channels = x.shape
        height, width = (int(length**0.5),) * 2 if shape is None else shape
        values = x if self.without_pointwise else self.value_proj(x)
        values = values.reshape(batch, height, width, -1)
        if self.dw_kernel_size is not None:
            x = self.offset_mask_dw(x.view(batch, height, width, channels).permute(0, 3, 1, 2))
            x = x.permute(0, 2, 3, 1).reshape(batch, length, channels)
        offset_mask = self.offset_mask(x).reshape(batch, height, width, -1)
        pairs = [(each, each) for each in (self.kernel_size, self.stride, self.pad, self.dilation)]
        y = literal(values, offset_mask, *pairs, self.group, self.offset_scale, self.remove_center)
        if self.center_feature_scale:
            weight, bias = self.center_feature_scale_proj_weight, self.center_feature_scale_proj_bias
            share = functional.linear(y, weight, bias).sigmoid().repeat_interleave(channels // self.group, -1)
            y = y * (1 - share) + values * share
        y = y.reshape(batch, length, -1)
        return y if self.without_pointwise else self.output_proj(y)


VARIANTS = {
    "plain": {"channels": 48, "group": 3, "offset_scale": 1.5},
    "center": {"channels": 32, "group": 2, "center_feature_scale": True, "dw_kernel_size": 3, "output_bias": False},
    "no-middle": {"channels": 32, "group": 2, "remove_center": True, "without_pointwise": True, "kernel_size": 5},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_state_dictionaries_of_the_original(variant):
    """Loaded unchanged, by the converter; the outcome and every gradient are the original's, and so is the way back."""
    torch.manual_seed(0)
    options = {"pad": VARIANTS[variant].get("kernel_size", 3) // 2} | VARIANTS[variant]
    theirs = Twin(**options).double().draw()
    (counterpart,) = operators.get("deform_conv_v4").counterparts
    ours = counterpart.to_ours(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(2, 30, options["channels"], dtype=torch.float64)
    close(ours(x, (5, 6)), theirs(x, (5, 6)))
    gradients = [
        torch.autograd.grad(each(x, (5, 6)).square().sum(), list(each.parameters())) for each in (ours, theirs)
    ]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    back = counterpart.to_original(ours, Twin)
    close(back(x[:, :25]), ours(x[:, :25]))


def test_what_the_original_has_not():
    (counterpart,) = operators.get("deform_conv_v4").counterparts
    for options, message in (
        ({"dim": 1}, "a layer with dim=2"),
        ({"kernel": "keys"}, "a layer with kernel='linear'"),
        ({"group": 4}, "groups of a multiple of 16 channels"),
    ):
        with pytest.raises(ArgumentError, match=rf"^model: expected {message}, as the original"):
            counterpart.to_original(DCNv4(32, **{"group": 2} | options), Twin)


def test_a_stride():
    """Offsets and masks are those of every second pixel: the layer of stride 1, of which every second pixel is kept."""
    torch.manual_seed(0)
    whole, strided = (DCNv4(4, group=2, stride=stride).double() for stride in (1, 2))
    for parameter in whole.parameters():
        nn.init.normal_(parameter, std=0.3)
    strided.load_state_dict(whole.state_dict())
    x = torch.randn(1, 30, 4, dtype=torch.float64)
    close(strided(x, (5, 6)), torch.unflatten(whole(x, (5, 6)), 1, (5, 6))[:, ::2, ::2].flatten(1, 2))


@pytest.mark.parametrize("dim", [1, 3])
def test_other_numbers_of_axes(dim):
    """A new layer's masks are all equal: it returns √P times the average of P = 3^d pixels, zeros outside."""
    torch.manual_seed(0)
    layer = DCNv4(4, group=2, dim=dim, without_pointwise=True).double()
    x = torch.randn(2, 4**dim, 4, dtype=torch.float64)
    images = torch.unflatten(x.transpose(1, 2), 2, (4,) * dim)
    average = {1: functional.avg_pool1d, 3: functional.avg_pool3d}[dim](images, 3, stride=1, padding=1)
    torch.testing.assert_close(
        layer(x), 3 ** (dim / 2) * average.flatten(2).transpose(1, 2), rtol=1e-6, atol=1e-6
    )  # 1/√P was rounded to float32 in the bias


# ---- where the original is wrong


def gradients_at_the_start(layer, x):
    """Return outcome and gradients of the first step, by the first name of the parameter."""
    y = layer(x)
    parameters = dict(layer.named_parameters())
    found = torch.autograd.grad(y.square().sum() + y.sum(), list(parameters.values()))
    return y.detach(), dict(zip(parameters, found, strict=True))


def test_dead_first_step():
    """Published: the outcome is 0, and so is the gradient of offsets and of projections; ours lives (J2)."""
    torch.manual_seed(0)
    channels, group, count = 32, 2, 9
    theirs = Twin(channels, group=group)
    x = torch.randn(4, 64, channels)
    published = DCNv4(channels, group=group, mask_start=0.0)
    for layer in (theirs, published):
        with torch.no_grad():
            layer.output_proj.bias.zero_()
        y, gradients = gradients_at_the_start(layer, x)
        assert (y == 0).all()
        by_group = gradients["offset_mask.bias"][: group * count * 3].reshape(group, -1)
        assert (by_group[:, : 2 * count] == 0).all()
        assert (by_group[:, 2 * count :] != 0).all()
        assert (gradients["value_proj.weight"] == 0).all()
        assert (gradients["output_proj.weight"] == 0).all()
    y, gradients = gradients_at_the_start(DCNv4(channels, group=group), x)
    assert (gradients["offset_mask.bias"][: group * count * 3] != 0).all()
    assert (gradients["value_proj.weight"] != 0).all()


def test_white_input_keeps_its_variance():
    """Masks of 1/√P: P independent samples add up to the variance of one."""
    generator = torch.Generator().manual_seed(0)
    layer = DCNv4(16, group=4, without_pointwise=True)
    y = torch.unflatten(layer(torch.randn(1, 64 * 64, 16, generator=generator)).detach(), 1, (64, 64))[:, 1:-1, 1:-1]
    # About 62²·16/9 = 6800 independent values: four standard errors of the variance are 7 %.
    assert float(y.var()) == pytest.approx(1, rel=0.07)


# ---- errors


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset_mask": torch.zeros(1, 4, 4, 26)}, r"^offset_mask: expected shape \(1, 4, 4, 27\): 9 taps, 1 groups"),
        ({"offset_mask": torch.zeros(1, 4, 4, 33)}, r"^offset_mask: expected shape"),
        ({"offset_mask": torch.zeros(1, 3, 4, 27)}, r"^offset_mask: expected shape"),
        ({"group_channels": 3}, r"^group_channels: expected 2 channels / 1 groups, got 3$"),
        ({"stride_h": 0}, r"^stride: expected a number or 2 numbers ≥ 1"),
        ({"pad_w": -1}, r"^padding: expected a number or 2 numbers ≥ 0"),
        ({"kernel_h": 7}, r"^input: expected a padded image of at least \(7, 3\) pixels"),
        ({"kernel_h": 4, "kernel_w": 4, "remove_center": True}, r"^remove_center: expected False for a kernel"),
    ],
)
def test_bad_calls(change, message):
    pairs = {f"{name}_{axis}": 1 for name in ("stride", "pad", "dilation") for axis in "hw"}
    good = {"offset_mask": torch.zeros(1, 4, 4, 27), "kernel_h": 3, "kernel_w": 3, **pairs}
    good |= {"group": 1, "group_channels": 2, "offset_scale": 1.0}
    with pytest.raises(ArgumentError, match=message):
        dcnv4(torch.zeros(1, 4, 4, 2), **good | change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": 3}, r"^group: expected a divisor of the 4 channels, got 3$"),
        ({"stride": 0}, r"^stride: expected a positive integer"),
        ({"dw_kernel_size": 2}, r"^dw_kernel_size: expected an odd number, got 2$"),
        ({"mask_start": float("inf")}, r"^mask_start: expected a finite number"),
        ({"dim": 4}, r"^dim: expected an integer in 1 … 3"),
        ({"center_feature_scale": "yes"}, r"^center_feature_scale: expected True or False"),
    ],
)
def test_bad_layers(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        DCNv4(4, **{"group": 2} | arguments)


def test_unknown_names():
    for option in ("kernel", "boundary"):
        with pytest.raises(UnknownNameError, match="nothing"):
            DCNv4(4, group=2, **{option: "nothing"})


def test_bad_inputs():
    layer = DCNv4(4, group=2)
    with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, L, 4\), got \(1, 25, 3\)$"):
        layer(torch.zeros(1, 25, 3))
    for shape in (None, (3, 9), (2, 3, 5)):
        with pytest.raises(
            ArgumentError, match=r"^shape: expected 2 numbers whose product is the 30 rows of the input"
        ):
            layer(torch.zeros(1, 30, 4), shape)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(1, 25, 4).double(),
            r"^input: expected dtype torch.float32, as the layer's parameters have",
        ),
        (torch.zeros(1, 0, 4), r"^input: expected at least one pixel"),
        ([1.0], r"^input: expected a tensor, got list$"),
    ],
)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        DCNv4(4, group=2)(x)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": torch.zeros(4, 4, 2)}, r"^input: expected shape \(B, \*S, C\) with 2 axes S, got \(4, 4, 2\)$"),
        ({"offset_mask": None}, r"^offset_mask: expected a tensor, got NoneType$"),
    ],
)
def test_arguments_that_are_no_tensors_of_the_dtype(change, message):
    good = {
        "kernel_h": 3,
        "kernel_w": 3,
        "stride_h": 1,
        "stride_w": 1,
        "pad_h": 1,
        "pad_w": 1,
        "dilation_h": 1,
        "dilation_w": 1,
        "group": 1,
        "group_channels": 2,
        "offset_scale": 1.0,
        "input": torch.zeros(1, 4, 4, 2),
        "offset_mask": torch.zeros(1, 4, 4, 27),
    }
    with pytest.raises(ArgumentError, match=message):
        dcnv4(**good | change)


def test_the_middle_of_one_tap_stays():
    with pytest.raises(ArgumentError, match=r"^remove_center: expected False for a kernel of one tap, got True$"):
        DCNv4(16, kernel_size=1, pad=0, remove_center=True)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("shape", [25, (5.0, 5.0), (-5, -5), (5, 4)])
def test_shapes_that_are_none(shape):
    with pytest.raises(ArgumentError, match=r"^shape: expected 2 numbers whose product is the 25 rows"):
        DCNv4(4, group=2)(torch.zeros(1, 25, 4), shape)
