"""DySample is the original's, by its parameters, and bilinear upsampling where nothing moves."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.tolerances import rounding
from warptheory.operators import DySample, get

ROUNDING = rounding(torch.float64, operations=200, magnitude=20)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


class Original(nn.Module):
    """What DySample's release computes."""

    def __init__(self, in_channels, scale=2, style="lp", groups=4, dyscope=False):
        super().__init__()
        self.scale, self.style, self.groups = scale, style, groups
        inner, outputs = in_channels, 2 * groups * scale**2
        if style == "pl":
            inner, outputs = in_channels // scale**2, 2 * groups
        self.offset = nn.Conv2d(inner, outputs, 1)
        if dyscope:
            self.scope = nn.Conv2d(inner, outputs, 1, bias=False)
        h = torch.arange((-scale + 1) / 2, (scale - 1) / 2 + 1) / scale
        grid = torch.stack(torch.meshgrid(h, h, indexing="ij")).transpose(1, 2)
        self.register_buffer("init_pos", grid.repeat(1, groups, 1).reshape(1, -1, 1, 1))

    def forward(self, x):
        seen = functional.pixel_shuffle(x, self.scale) if self.style == "pl" else x
        offset = self.offset(seen)
        if hasattr(self, "scope"):
            offset = offset * self.scope(seen).sigmoid()
        if self.style == "pl":
            offset = functional.pixel_unshuffle(offset, self.scale)
        return self.sample(x, offset * (0.5 if hasattr(self, "scope") else 0.25) + self.init_pos)

    def sample(self, x, offset):
        batch, _, height, width = offset.shape
        scale = self.scale
        offset = offset.view(batch, 2, -1, height, width)
        rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
        centres = torch.stack(torch.meshgrid(columns, rows, indexing="ij")).transpose(1, 2)[None, :, None].to(x.dtype)
        normaliser = torch.tensor([width, height], dtype=x.dtype).view(1, 2, 1, 1, 1)
        places = 2 * (centres + offset) / normaliser - 1
        places = functional.pixel_shuffle(places.view(batch, -1, height, width), scale)
        places = places.view(batch, 2, -1, scale * height, scale * width).permute(0, 2, 3, 4, 1).flatten(0, 1)
        image = x.reshape(batch * self.groups, -1, height, width)
        y = functional.grid_sample(image, places, align_corners=False, padding_mode="border")
        return y.view(batch, -1, scale * height, scale * width)


def call(seed):
    generator = torch.Generator().manual_seed(seed)

    def number(least, most):
        return int(torch.randint(least, most + 1, (), generator=generator))

    scale, groups, style = number(1, 3), number(1, 3), ("lp", "pl")[seed % 2]
    channels = groups * number(1, 2) * (scale**2 if style == "pl" else 1)
    x = torch.randn(number(1, 2), channels, number(1, 5), number(1, 5), generator=generator, dtype=torch.float64)
    return (channels, scale, style, groups, bool(seed // 2 % 2)), x


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_original(seed):
    """By its parameters and buffer, which load: values and gradients."""
    arguments, x = call(seed)
    torch.manual_seed(seed)
    original, layer = Original(*arguments).double(), DySample(*arguments).double()
    for parameter in original.parameters():
        nn.init.normal_(parameter)
    # Its places are made in single precision, where thirds are rounded.
    original.init_pos = (3 * 2 * original.init_pos).round() / 6 if arguments[1] == 3 else original.init_pos
    layer.load_state_dict(original.state_dict())
    x.requires_grad_()
    expected, found = original(x), layer(x)
    close(found.detach(), expected.detach())
    for each, other in zip(
        torch.autograd.grad(found.square().sum(), [x, *layer.parameters()]),
        torch.autograd.grad(expected.square().sum(), [x, *original.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(each, other, rtol=1e-9, atol=ROUNDING.absolute)


@pytest.mark.parametrize("style", ["lp", "pl"])
@pytest.mark.parametrize("scale", [2, 3])
def test_without_offsets_it_is_bilinear_upsampling(style, scale):
    layer = DySample(2 * scale**2, scale, style, 2, dyscope=True).double()
    nn.init.zeros_(layer.offset.weight)
    x = torch.randn(2, 2 * scale**2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
    close(layer(x).detach(), expected)


def test_it_starts_near_bilinear_upsampling():
    """White images of 64 channels: offsets of variance (0.25 · 0.001)² · 64, in pixels; χ² of 50,000 numbers."""
    torch.manual_seed(0)
    layer = DySample(64)
    x = torch.randn(1, 64, 40, 40)
    offsets = layer.pattern(x).offsets.detach()
    assert float(offsets.std()) == pytest.approx(0.002, rel=0.05)
    assert torch.equal(DySample(64, dyscope=True).scope.weight, torch.zeros(32, 64, 1, 1))


def test_its_adjoint_brings_images_back():
    """The transpose of upsampling: each sample goes back where it was read, so that sums are kept."""
    layer = DySample(4, groups=2)
    x = torch.randn(1, 4, 4, 3)
    g = torch.randn(1, 4, 8, 6)
    back = layer.pattern(x).adjoint(g)
    assert back.shape == x.shape
    torch.testing.assert_close(back.sum(), g.sum())


@pytest.mark.parametrize("style", ["lp", "pl"])
def test_an_empty_batch_has_gradients(style):
    """Empty ones, where the original's `pixel_shuffle` raises."""
    layer = DySample(4, style=style)
    x = torch.zeros(0, 4, 3, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="PixelShuffle"):
        functional.pixel_shuffle(x, 2).sum().backward()
    layer(x).sum().backward()
    assert x.grad.shape == x.shape
    assert layer.offset.weight.grad.eq(0).all()


def test_conversion_there_and_back():
    (counterpart,) = get("dysample").counterparts
    for seed in range(4):
        arguments, x = call(seed)
        original = Original(*arguments).double()
        ours = counterpart.to_ours(original).double()
        assert (ours.in_channels, ours.scale, ours.style, ours.groups, ours.dyscope) == arguments
        torch.testing.assert_close(ours(x), original(x), rtol=1e-5, atol=1e-6)  # its places are in single precision
        torch.testing.assert_close(counterpart.to_original(ours, Original).double()(x), original(x))
    for options in ({"kernel": "keys"}, {"boundary": "zeros"}):
        with pytest.raises(ArgumentError, match="model: expected"):
            counterpart.to_original(DySample(4, **options), Original)


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ((0,), "in_channels"),
        ((6,), "groups"),
        ((4, 0), "scale"),
        ((6, 2, "pl", 2), "in_channels"),
        ((4, 2, "lp", 0), "groups"),
        ((4, 2, "other"), "style"),
        ((4, 2, "lp", 4, 1), "dyscope"),
    ],
)
def test_errors_name_the_argument(arguments, argument):
    with pytest.raises(WarpTheoryError, match=argument):
        DySample(*arguments)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 4, 4)])
def test_other_images_are_refused(shape):
    with pytest.raises(ArgumentError, match="^input: expected shape"):
        DySample(4)(torch.zeros(shape))
    for wrong in (torch.zeros(1, 4, 4, 4, dtype=torch.float64), [1.0]):
        with pytest.raises(ArgumentError, match="^input"):
            DySample(4)(wrong)
