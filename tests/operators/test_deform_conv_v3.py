"""DCNv3 against a transcription of InternImage's own definition by `grid_sample`."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory import operators
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.tolerances import rounding
from warptheory.operators import DCNv3, dcnv3

# Products of up to 12 taps and 4 corners, positions by way of [−1, 1]; values up to 40 in all.
ROUNDING = rounding(torch.float64, operations=300, magnitude=40)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


# ---- what the original computes: dcnv3_core_pytorch, step by step, in double precision


def literal(x, offset, mask, shape, stride, padding, dilation, group, scale, remove_center, frame=None):
    """Return Σ_k m_k x(p_k) by `grid_sample`, on a padded image as the original's; pairs are (height, width).

    The frame is the padding of height and width; the original has them the wrong way round.
    """
    rows, columns = padding if frame is None else frame
    x = functional.pad(x, (0, 0, columns, columns, rows, rows))
    batch, height, width, channels = x.shape
    (kh, kw), (sh, sw), (dh, dw) = shape, stride, dilation
    h, w = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    # Middles of the kernel, in units of the padded image, x before y.
    middle_y = (dh * (kh - 1) // 2 + 0.5 + sh * torch.arange(h, dtype=x.dtype)) / height
    middle_x = (dw * (kw - 1) // 2 + 0.5 + sw * torch.arange(w, dtype=x.dtype)) / width
    middles = torch.stack(torch.meshgrid(middle_y, middle_x, indexing="ij")[::-1], -1)
    # Places of the taps from there; x is the slow index.
    steps_x = (dw * torch.arange(kw, dtype=x.dtype) - dw * (kw - 1) // 2) / width
    steps_y = (dh * torch.arange(kh, dtype=x.dtype) - dh * (kh - 1) // 2) / height
    taps = torch.stack(torch.meshgrid(steps_x, steps_y, indexing="ij"), -1).reshape(-1, 2)
    if remove_center:
        taps = torch.cat([taps[: len(taps) // 2], taps[len(taps) // 2 + 1 :]])
    norm = torch.tensor([width, height], dtype=x.dtype)
    locations = middles[None, :, :, None, None] + taps * scale
    locations = locations + offset.reshape(batch, h, w, group, -1, 2) * scale / norm
    grids = (2 * locations - 1).reshape(batch, h * w, group, -1, 2).transpose(1, 2).flatten(0, 1)
    images = x.reshape(batch, height * width, channels).transpose(1, 2).reshape(batch * group, -1, height, width)
    samples = functional.grid_sample(images, grids, "bilinear", "zeros", align_corners=False)
    weights = mask.reshape(batch, h * w, group, -1).transpose(1, 2).reshape(batch * group, 1, h * w, -1)
    return (samples * weights).sum(-1).reshape(batch, channels, h * w).transpose(1, 2).reshape(batch, h, w, channels)


@dataclass
class Call:
    """Arguments of `dcnv3`, drawn by a seed."""

    x: torch.Tensor
    offset: torch.Tensor
    mask: torch.Tensor
    shape: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    group: int
    scale: float
    remove_center: bool

    @classmethod
    def drawn(cls, seed):
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        remove = bool(rng.integers(2))
        shape = (3, 3) if remove else tuple(map(int, rng.integers(1, 4, 2)))
        stride, dilation = (tuple(map(int, rng.integers(1, 3, 2))) for _ in range(2))
        padding = tuple(map(int, rng.integers(0, 3, 2)))
        least = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(shape, dilation, padding, strict=True)]
        size = [n + int(m) for n, m in zip(least, rng.integers(0, 4, 2), strict=True)]
        group = int(rng.integers(1, 4))
        grid = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(size, padding, dilation, shape, stride, strict=True)
        ]
        batch, taps = int(rng.integers(1, 3)), shape[0] * shape[1] - remove
        tensors = [
            torch.randn(batch, *each, generator=generator, dtype=torch.float64)
            for each in ((*size, 2 * group), (*grid, group * taps * 2), (*grid, group * taps))
        ]
        return cls(*tensors, shape, stride, padding, dilation, group, float(rng.uniform(0.5, 2)), remove)

    def ours(self, x, offset, mask):
        pairs = (*self.shape, *self.stride, *self.padding, *self.dilation)
        width = x.shape[-1] // self.group
        return dcnv3(x, offset, mask, *pairs, self.group, width, self.scale, self.remove_center)

    def theirs(self, x, offset, mask):
        pairs = (self.shape, self.stride, self.padding, self.dilation)
        return literal(x, offset, mask, *pairs, self.group, self.scale, self.remove_center)


def with_gradients(function, tensors):
    leaves = [each.clone().requires_grad_() for each in tensors]
    y = function(*leaves)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return y.detach(), *torch.autograd.grad(y, leaves, g)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_it_is_the_original(first):
    """Values and three gradients, on sixty random configurations."""
    for seed in range(first, first + 20):
        call = Call.drawn(seed)
        tensors = (call.x, call.offset, call.mask)
        for found, expected in zip(
            with_gradients(call.ours, tensors), with_gradients(call.theirs, tensors), strict=True
        ):
            close(found, expected)


# ---- the layer


class Twin(nn.Module):
    """InternImage's module with the definition above: names of parameters and order of steps are its."""

    def __init__(self, channels, group, center, remove, norm, scale=1.0, kernel_size=3, dw=5, activation="GELU"):
        super().__init__()
        self.channels, self.group, self.kernel_size, self.dw_kernel_size = channels, group, kernel_size, dw
        self.stride, self.pad, self.dilation, self.offset_scale = 1, kernel_size // 2, 1, scale
        self.center_feature_scale, self.remove_center = center, int(remove)
        taps = group * (kernel_size**2 - remove)
        last, first = Moved(0, 2, 3, 1), nn.BatchNorm2d(channels)
        norm = nn.Sequential(first, last) if norm == "BN" else nn.Sequential(last, nn.LayerNorm(channels, eps=1e-6))
        convolution = nn.Conv2d(channels, channels, dw, padding=(dw - 1) // 2, groups=channels)
        self.dw_conv = nn.Sequential(convolution, norm, getattr(nn, activation)())
        self.offset, self.mask = nn.Linear(channels, taps * 2), nn.Linear(channels, taps)
        self.input_proj, self.output_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)
        if center:
            self.center_feature_scale_proj_weight = nn.Parameter(torch.zeros(group, channels))
            self.center_feature_scale_proj_bias = nn.Parameter(torch.zeros(group))
        for parameter in self.double().parameters():
            nn.init.normal_(parameter, std=0.3)

    def forward(self, x):
        batch, height, width, _ = x.shape
        projected = self.input_proj(x)
        features = self.dw_conv(x.permute(0, 3, 1, 2))
        mask = self.mask(features).reshape(batch, height, width, self.group, -1).softmax(-1).flatten(-2)
        size, pad = (self.kernel_size,) * 2, (self.pad,) * 2
        options = (size, (1, 1), pad, (1, 1), self.group, self.offset_scale, self.remove_center)
        y = literal(projected, self.offset(features), mask, *options)
        if self.center_feature_scale:
            weight, bias = self.center_feature_scale_proj_weight, self.center_feature_scale_proj_bias
            share = functional.linear(features, weight, bias).sigmoid()
            share = share.repeat_interleave(self.channels // self.group, -1)
            y = y * (1 - share) + projected * share
        return self.output_proj(y)


class Moved(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order)


VARIANTS = {
    "plain": (6, 3, False, False, "LN"),
    "center": (4, 2, True, False, "LN", 1.5),
    "no-middle": (4, 1, True, True, "BN", 0.7, 5, 3, "SiLU"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_state_dictionaries_of_the_original(variant):
    """Loaded unchanged, by the converter; the outcome and every gradient are the original's."""
    torch.manual_seed(0)
    theirs = Twin(*VARIANTS[variant]).eval()
    (counterpart, _) = operators.get("deform_conv_v3").counterparts
    ours = counterpart.to_ours(theirs).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(2, 5, 6, theirs.channels, dtype=torch.float64)
    close(ours(x), theirs(x))
    gradients = [torch.autograd.grad(each(x).square().sum(), list(each.parameters())) for each in (ours, theirs)]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_the_way_back():
    """The original's class is called with its arguments, and gets the parameters."""
    made = []

    class Original(Twin):
        def __init__(self, act_layer, norm_layer, **options):
            made.append(options)
            center, remove = options["center_feature_scale"], options["remove_center"]
            size = (options["offset_scale"], options["kernel_size"], options["dw_kernel_size"], act_layer)
            super().__init__(options["channels"], options["group"], center, remove, norm_layer, *size)

    ours = DCNv3(4, group=2, center_feature_scale=True, norm_layer="BN", act_layer="ReLU").eval()
    counterpart = operators.get("deform_conv_v3").counterparts[0]
    theirs = counterpart.to_original(ours, Original).eval()
    assert made[0]["stride"] == made[0]["pad"] == 1
    x = torch.randn(1, 4, 4, 4)
    torch.testing.assert_close(theirs(x), ours(x))
    with pytest.raises(ArgumentError, match=r"^model: expected a layer with mask_gain=1, as the original, got 3"):
        counterpart.to_original(DCNv3(4, group=2, mask_gain=3.0), Original)


def test_a_stride():
    """Offsets and masks are those of every second pixel: the layer of stride 1, of which every second pixel is kept."""
    torch.manual_seed(0)
    whole, strided = (DCNv3(4, group=2, stride=stride, center_feature_scale=True).double() for stride in (1, 2))
    for parameter in whole.parameters():
        nn.init.normal_(parameter, std=0.3)
    strided.load_state_dict(whole.state_dict())
    x = torch.randn(1, 5, 6, 4, dtype=torch.float64)
    close(strided(x), whole(x)[:, ::2, ::2])


@pytest.mark.parametrize("dim", [1, 3])
def test_other_numbers_of_axes(dim):
    """A new layer averages 3^d pixels, and mixes each average with its pixel, half and half."""
    torch.manual_seed(0)
    layer = DCNv3(4, group=2, dim=dim, center_feature_scale=True).double()
    x = torch.randn(2, *[4] * dim, 4, dtype=torch.float64)
    projected = layer.output_proj(_average(layer.input_proj(x).movedim(-1, 1), dim).movedim(1, -1))
    close(layer(x), (projected + layer.output_proj(layer.input_proj(x))) / 2)


def _average(x, dim):
    """Return the average of 3^d pixels, zeros outside: what a new layer samples."""
    return {1: functional.avg_pool1d, 3: functional.avg_pool3d}[dim](x, 3, stride=1, padding=1)


def test_it_starts_as_published():
    """Heads at zero, biases too; projections uniform up to √(6/(2 C)), Xavier's law."""
    torch.manual_seed(0)
    layer = DCNv3(64)
    for head in (layer.offset, layer.mask, layer.input_proj, layer.output_proj):
        assert (head.bias == 0).all()
    assert (layer.offset.weight == 0).all()
    assert (layer.mask.weight == 0).all()
    bound = (3 / 64) ** 0.5
    for projection in (layer.input_proj, layer.output_proj):
        weight = projection.weight.detach()
        assert bound * 0.99 < float(weight.abs().max()) <= bound
        # 4096 weights: a standard error of the deviation is 0.7 %, for a uniform law.
        assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.03)


def test_derivatives_in_three_dimensions():
    """First and second, away from the start, against finite differences."""
    torch.manual_seed(0)
    layer = DCNv3(2, group=1, dim=3, remove_center=True, center_feature_scale=True).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(1, 2, 1, 2, 2, dtype=torch.float64, requires_grad=True)

    def function(x, *_):
        return layer(x)

    assert torch.autograd.gradcheck(function, (x, *layer.parameters()), fast_mode=True, atol=1e-6)
    assert torch.autograd.gradgradcheck(function, (x,), fast_mode=True, atol=1e-6)


# ---- where the original is wrong


def test_shrinking_softmax():
    """A new layer's masks are 1/P: white input loses a factor P of its variance, published; with √P none (J2)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 64, 64, 16, generator=generator)
    gains = {}
    for name, gain in (("published", 1.0), ("kept", 3.0)):
        layer = DCNv3(16, group=4, mask_gain=gain)
        image = layer.image(x)
        y = layer.pattern(x).apply(image)[..., 1:-1, 1:-1]
        gains[name] = float(y.detach().var() / image.detach().var())
    # The transcription, at its initialisation: masks 1/9 and offsets 0.
    mask, offset = torch.full((1, 64, 64, 4 * 9), 1 / 9), torch.zeros(1, 64, 64, 4 * 9 * 2)
    rows = image.movedim(1, -1)
    theirs = literal(rows, offset, mask, (3, 3), (1, 1), (1, 1), (1, 1), 4, 1.0, False)[:, 1:-1, 1:-1]
    # 62²·16 values, each of which is an average of 9: about 6800 of them are independent, so that a standard error
    # is √(2/6800) = 1.7 %; four of them.
    assert float((theirs.var() / rows.var()).detach()) == pytest.approx(1 / 9, rel=0.07)
    assert gains == pytest.approx({"published": 1 / 9, "kept": 1.0}, rel=0.07)


def test_padding_of_the_twin():
    """Padding (1, 0): the original's definition pads the width; its kernels, and we, the height."""
    x = torch.randn(1, 4, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options = ((3, 3), (1, 1), (1, 0), (1, 1), 1, 1.0, False)
    ones = torch.ones(1, 4, 2, 9, dtype=torch.float64)
    ours = dcnv3(x, 0 * ones.repeat(1, 1, 1, 2), ones, 3, 3, 1, 1, 1, 0, 1, 1, 1, 2, 1.0)
    padded = functional.pad(x.movedim(-1, 1), (0, 0, 1, 1))
    close(ours, 9 * functional.avg_pool2d(padded, 3, stride=1).movedim(1, -1))
    turned = torch.ones(1, 2, 4, 9, dtype=torch.float64)
    theirs = literal(x, 0 * turned.repeat(1, 1, 1, 2), turned, *options, frame=(0, 1))
    assert theirs.shape == (1, 2, 4, 2)
    assert ours.shape == (1, 4, 2, 2)


# ---- errors


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": torch.zeros(1, 4, 4, 9)}, r"^offset: expected shape \(1, 4, 4, 18\): dx and dy of 9 taps of 1 "),
        ({"mask": torch.zeros(1, 4, 4, 8)}, r"^mask: expected shape \(1, 4, 4, 9\): a factor for each of 9 taps"),
        ({"group_channels": 3}, r"^group_channels: expected 2 channels / 1 groups, got 3$"),
        ({"group": 0}, r"^group: expected a positive integer, got 0$"),
        ({"kernel_h": 0}, r"^kernel_size: expected a number or 2 numbers ≥ 1"),
        ({"kernel_h": 7}, r"^input: expected a padded image of at least \(7, 3\) pixels"),
        ({"offset_scale": float("nan")}, r"^offset_scale: expected a finite number"),
        ({"kernel_h": 2, "remove_center": True}, r"^remove_center: expected False for a kernel of size \(2, 3\)"),
    ],
)
def test_bad_calls(change, message):
    pairs = {f"{name}_{axis}": 1 for name in ("stride", "pad", "dilation") for axis in "hw"}
    good = {"offset": torch.zeros(1, 4, 4, 18), "mask": torch.zeros(1, 4, 4, 9), "kernel_h": 3, "kernel_w": 3, **pairs}
    good |= {"group": 1, "group_channels": 2, "offset_scale": 1.0}
    with pytest.raises(ArgumentError, match=message):
        dcnv3(torch.zeros(1, 4, 4, 2), **good | change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": 3}, r"^group: expected a divisor of the 4 channels, got 3$"),
        ({"kernel_size": 0}, r"^kernel_size: expected a positive integer"),
        ({"dw_kernel_size": 4}, r"^dw_kernel_size: expected an odd number, got 4$"),
        ({"pad": -1}, r"^pad: expected an integer ≥ 0"),
        ({"mask_gain": 0.0}, r"^mask_gain: expected a finite number > 0"),
        ({"kernel_size": 4, "remove_center": True, "dw_kernel_size": 3}, r"^remove_center: expected False"),
    ],
)
def test_bad_layers(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        DCNv3(4, **{"group": 2} | arguments)


def test_unknown_names():
    for option in ("act_layer", "norm_layer", "kernel", "boundary"):
        with pytest.raises(UnknownNameError, match="nothing"):
            DCNv3(4, group=2, **{option: "nothing"})


def test_bad_inputs():
    layer = DCNv3(4, group=2)
    with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, \*S, 4\) with 2 axes S, got \(1, 5, 5, 3\)$"):
        layer(torch.zeros(1, 5, 5, 3))
    with pytest.raises(ArgumentError, match=r"^pad: expected a padding with which every pixel of \(5, 5\)"):
        DCNv3(4, group=2, pad=0)(torch.zeros(1, 5, 5, 4))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(1, 5, 5, 4).double(),
            r"^input: expected dtype torch.float32, as the layer's parameters have",
        ),
        (torch.zeros(5, 5, 4), r"^input: expected shape \(B, \*S, 4\) with 2 axes S"),
        (torch.zeros(1, 0, 5, 4), r"^input: expected no empty spatial axis, got"),
        ([1.0], r"^input: expected a tensor, got list$"),
        (torch.zeros(1, 5, 5, 4).long(), r"^input: expected a floating dtype"),
    ],
)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        DCNv3(4, group=2)(x)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": torch.zeros(4, 4, 2)}, r"^input: expected shape \(B, \*S, C\) with 2 axes S, got \(4, 4, 2\)$"),
        ({"input": torch.zeros(1, 0, 4, 2)}, r"^input: expected no empty spatial axis"),
        ({"offset": None}, r"^offset: expected a tensor, got NoneType$"),
        ({"mask": None}, r"^mask: expected a tensor, got NoneType$"),
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
        "offset": torch.zeros(1, 4, 4, 18),
        "mask": torch.zeros(1, 4, 4, 9),
    }
    with pytest.raises(ArgumentError, match=message):
        dcnv3(**good | change)


def test_a_padding_that_does_not_fit_the_stride():
    with pytest.raises(ArgumentError, match=r"^pad: expected a padding with which one pixel in 2 along each axis of"):
        DCNv3(4, group=2, pad=0, stride=2)(torch.zeros(1, 6, 6, 4))
