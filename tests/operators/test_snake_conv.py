"""Snake convolution against its released versions, written out here as they compute, and against its law."""

import inspect
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.nn import functional

from tests.operators.unfit_images import UNFIT_IMAGES
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import SnakeConv2d, SnakeConv3d, snake_conv2d, snake_conv3d, snake_offsets

ROUNDING = rounding(torch.float64, operations=200, magnitude=20)
# E tanh² of a standard normal number: the variance of a step at initialisation.
STEP_VARIANCE = integrate.quad(lambda t: math.tanh(t) ** 2 * stats.norm.pdf(t), -12, 12)[0]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


# ---- what the originals compute


def original_walk(steps, last):
    """Add steps (B, K, H, W) up from the centre in place, as far as tap c ± last; others keep a detached copy."""
    steps = steps.transpose(0, 1)
    walk = steps.detach().clone()
    centre = len(steps) // 2
    walk[centre] = 0
    for index in range(1, last + 1):
        walk[centre + index] = walk[centre + index - 1] + steps[centre + index]
        walk[centre - index] = walk[centre - index + 1] + steps[centre - index]
    return walk.transpose(0, 1)


def original_positions(offset, morph, is_pro, scope=1.0):
    """Return the positions y, x (B, K, H, W) of the released code, for its tanh'd offsets (B, 2K, H, W)."""
    taps, (height, width) = offset.shape[1] // 2, offset.shape[2:]
    centre = taps // 2
    walk = scope * original_walk(torch.split(offset, taps, 1)[morph], centre if is_pro else centre - 1)
    line = torch.linspace(-centre, centre, taps, dtype=offset.dtype).reshape(-1, 1, 1)
    y = torch.arange(height, dtype=offset.dtype).reshape(-1, 1)
    x = torch.arange(width, dtype=offset.dtype)
    along = (x if morph == 0 else y) + line + torch.zeros_like(walk)
    across = (y if morph == 0 else x) + walk
    return (across, along) if morph == 0 else (along, across)


def stacked(maps, morph):
    """Lay taps (B, K, H, W) side by side, as the originals do: (B, H·K, W) for morph 0, else (B, H, W·K)."""
    return maps.transpose(1, 2).flatten(1, 2) if morph == 0 else maps.movedim(1, 3).flatten(2, 3)


def pro_feature(x, y_map, x_map):
    """Return the samples of DSConv_pro at maps (B, h, w): positions moved to the border, then `grid_sample`."""
    scaled = []
    for positions, most in ((x_map, x.shape[3] - 1), (y_map, x.shape[2] - 1)):
        scaled.append(-1 + 2 / most * torch.clamp(positions, 0, most))
    return functional.grid_sample(x, torch.stack(scaled, -1), "bilinear", "zeros", align_corners=True)


def released_feature(x, y_map, x_map):
    """Return the samples of DSConv at maps (B, h, w), with the index that it computes."""
    batch, channels, height, width = x.shape
    y, x_ = y_map.flatten(), x_map.flatten()
    rows = x.movedim(1, 3).reshape(-1, channels)
    base = (torch.arange(batch) * height * width).repeat_interleave(y_map[0].numel())

    def corner(row, column):
        row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
        return rows[(base + row * width) - base + column]

    def limits(place, most):
        low = place.detach().floor().long()
        return low.clamp(0, most), (low + 1).clamp(0, most)

    (y0, y1), (x0, x1) = limits(y, height), limits(x_, width)
    low_y, low_x = y.detach().floor().long(), x_.detach().floor().long()
    total = (
        ((y1 - y) * (x1 - x_)).unsqueeze(1) * corner(low_y, low_x)
        + ((y1 - y) * (x_ - x0)).unsqueeze(1) * corner(low_y, low_x + 1)
        + ((y - y0) * (x1 - x_)).unsqueeze(1) * corner(low_y + 1, low_x)
        + ((y - y0) * (x_ - x0)).unsqueeze(1) * corner(low_y + 1, low_x + 1)
    )
    return total.reshape(batch, *y_map.shape[1:], channels).movedim(3, 1)


def line_convolution(feature, weight, morph):
    """Convolve samples that lie side by side, each tap once: what dsc_conv_x and dsc_conv_y do."""
    taps = max(weight.shape[2:])
    kernel = (taps, 1) if morph == 0 else (1, taps)
    return functional.conv2d(feature, weight.reshape(*weight.shape[:2], *kernel), stride=kernel)


def without_centre(offset, morph):
    """Return the steps that are of use, (B, K − 1, H, W), of the originals' (B, 2K, H, W)."""
    steps = torch.split(offset, offset.shape[1] // 2, 1)[morph]
    centre = steps.shape[1] // 2
    return torch.cat([steps[:, :centre], steps[:, centre + 1 :]], 1)


# ---- equal where the originals are right


def configuration(seed):
    generator = torch.Generator().manual_seed(seed)
    taps, morph = (3, 5, 7, 9)[seed % 4], seed // 4 % 2
    batch, channels, outputs, height, width = (
        int(torch.randint(low, high, (1,), generator=generator))
        for low, high in ((1, 4), (1, 4), (1, 4), (2, 9), (2, 9))
    )
    line = (1, taps) if morph == 0 else (taps, 1)
    shapes = (batch, channels, height, width), (batch, 2 * taps, height, width), (outputs, channels, *line)
    x, offset, weight = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return x.requires_grad_(), torch.tanh(offset).requires_grad_(), weight.requires_grad_(), morph


@pytest.mark.parametrize("seed", range(56))
def test_equals_the_pro_version(seed):
    """Positions, samples, outcome and gradients; at the border it reads as boundary='border' does."""
    x, offset, weight, morph = configuration(seed)
    scope = 0.5 + seed % 3 / 2
    y_map, x_map = original_positions(offset, morph, is_pro=True, scope=scope)
    across = snake_offsets(scope * without_centre(offset, morph))
    identity = torch.arange(x.shape[2 + morph]).reshape(-1, *[1] * (1 - morph))
    close(across + identity, (y_map, x_map)[morph])
    expected = line_convolution(pro_feature(x, stacked(y_map, morph), stacked(x_map, morph)), weight, morph)
    found = snake_conv2d(x, scope * without_centre(offset, morph), weight, boundary="border")
    close(found, expected)
    g = torch.randn(found.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for ours, theirs in zip(*(torch.autograd.grad(y, (x, offset, weight), g) for y in (found, expected)), strict=True):
        # Scaling to [−1, 1] and back moves positions by rounding, which offsets amplify by the slope of the image.
        close(ours, theirs)


@pytest.mark.parametrize("morph", [0, 1])
def test_equals_the_released_version_between_its_end_taps(morph):
    """The middle taps walk alike; samples of one image whose positions lie within it are alike too."""
    generator = torch.Generator().manual_seed(1)
    offset = torch.rand(1, 18, 30, 30, generator=generator, dtype=torch.float64) * 2 - 1
    found = snake_offsets(without_centre(offset, morph))[:, 1:-1]
    walk = original_walk(torch.split(offset, 9, 1)[morph], 3)[:, 1:-1]
    close(found, walk)
    x = torch.randn(1, 2, 30, 30, generator=generator, dtype=torch.float64)
    maps = [stacked(each[:, 1:-1, 8:-8, 8:-8], morph) for each in original_positions(offset, morph, is_pro=False)]
    close(released_feature(x, *maps), pro_feature(x, *maps))


@pytest.mark.parametrize("kind", [SnakeConv2d, SnakeConv3d])
@pytest.mark.parametrize("morph", [0, 1])
@pytest.mark.parametrize("is_still", [False, True])
def test_without_steps_it_is_the_plain_convolution(kind, morph, is_still):
    layer = kind(3, 4, 5, morph=morph, if_offset=not is_still, extend_scope=float(is_still)).double()
    x = torch.randn(2, 3, *[6] * kind.dim, generator=torch.Generator().manual_seed(0)).double()
    convolve = functional.conv2d if kind.dim == 2 else functional.conv3d
    padding = [n // 2 for n in layer.conv.weight.shape[2:]]
    assert padding[kind.dim - 1 - morph] == 2
    close(layer(x), convolve(x, layer.conv.weight, layer.conv.bias, padding=padding))


def test_lines_of_three_dimensions_sway_along_both_axes_across():
    """Against the walk itself: a volume that counts its pixels along an axis returns the positions there."""
    generator = torch.Generator().manual_seed(0)
    increments = 0.3 * torch.randn(1, 4, 9, 9, 9, generator=generator, dtype=torch.float64)
    for line, across in ((2, (0, 1)), (1, (0, 2)), (0, (1, 2))):
        for number, axis in enumerate(across):
            ramp = torch.arange(9.0, dtype=torch.float64).reshape(-1, *[1] * (2 - axis)).expand(1, 1, 9, 9, 9)
            shape = [3 if each == line else 1 for each in range(3)]
            last = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).reshape(1, 1, *shape)
            found = (snake_conv3d(ramp, increments, last) - ramp)[..., 3:-3, 3:-3, 3:-3]
            close(found, increments[:, [2 * number + 1], 3:-3, 3:-3, 3:-3])


# ---- its law


def test_offsets_grow_as_a_random_walk():
    """Var ε_j = j·E tanh² Z, within four standard errors over layers drawn anew; the released ends do not."""
    taps, layers, generator = 9, 48, torch.Generator().manual_seed(5)
    x = torch.randn(1, 16, 24, 24, generator=generator)
    ours, released = [], []
    with torch.no_grad(), torch.random.fork_rng():
        for seed in range(layers):
            torch.manual_seed(seed)
            layer = SnakeConv2d(16, 1, taps, norm="batch")
            steps = layer.increments(x)
            ours.append(snake_offsets(steps).square().mean((0, 2, 3)).numpy())
            padded = torch.cat([steps[:, :4], steps[:, :1], steps[:, 4:]], 1)
            released.append(original_walk(padded, 3).square().mean((0, 2, 3)).numpy())
    distance = np.abs(np.arange(taps) - taps // 2)
    for found, expected in (
        (ours, distance * STEP_VARIANCE),
        (released, np.where(distance == 4, 1, distance) * STEP_VARIANCE),
    ):
        mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / math.sqrt(layers)
        moving = distance > 0
        assert (np.abs(mean - expected)[moving] < 4 * error[moving]).all()
        # The ends: a deviation of 1.26 here, of 0.63 there.
        assert (4 * error < 0.2).all()
        assert mean[taps // 2] == 0
    assert math.sqrt(STEP_VARIANCE) == pytest.approx(0.628, abs=5e-4)


# ---- defects of the originals


@pytest.mark.parametrize(("taps", "learned"), [(3, 0), (5, 2), (9, 6)])
def test_end_taps_are_learned(taps, learned):
    """Channels of the head that a gradient reaches: so many of 2K there, all K − 1 here; and the longest step."""
    generator = torch.Generator().manual_seed(taps)
    offset = torch.tanh(3 * torch.randn(1, 2 * taps, 12, 12, generator=generator)).double()
    x = torch.randn(1, 2, 12, 12, generator=generator).double()
    longest = {}
    for is_pro, expected in ((False, learned), (True, taps - 1)):
        leaf = offset.clone().requires_grad_()
        y_map, x_map = original_positions(leaf, 0, is_pro=is_pro)
        value = pro_feature(x, stacked(y_map, 0), stacked(x_map, 0)).square().sum()
        (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True) if y_map.requires_grad else (None,)
        reached = 0 if gradient is None else int((gradient.abs().sum((0, 2, 3)) > 0).sum())
        assert reached == expected
        longest[is_pro] = float(torch.diff(y_map.detach(), dim=1).abs().max())
    assert longest[True] <= 1
    if taps == 9:
        assert 3.5 < longest[False] <= 4
    layer = SnakeConv2d(2, 3, taps).double()
    layer(x).square().sum().backward()
    weight = layer.offset_conv.weight
    assert len(weight) == taps - 1
    assert (weight.grad.abs().flatten(1).sum(1) > 0).all()
    assert torch.diff(snake_offsets(layer.increments(x)), dim=1).abs().max() <= 1


def test_every_image_is_sampled_itself():
    x = torch.stack([torch.full((1, 6, 6), 1.0), torch.full((1, 6, 6), 2.0)]).double()
    offset = torch.zeros(2, 6, 6, 6, dtype=torch.float64)
    maps = [stacked(each, 0) for each in original_positions(offset, 0, is_pro=False)]
    original = released_feature(x, *maps)[:, 0, :, 2:-2].mean((1, 2))
    assert original.tolist() == [1, 1]
    pick = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).reshape(1, 1, 1, 3)
    assert snake_conv2d(x, torch.zeros(2, 2, 6, 6).double(), pick).mean((1, 2, 3)).tolist() == [1, 2]


@pytest.mark.parametrize(("place", "original", "zeros"), [(-0.01, 0, 0.99), (0.0, 1, 1), (5.99, 1, 0.01), (6.0, 0, 0)])
def test_reading_has_no_jumps(place, original, zeros):
    """An image of ones, of six rows, read at a place across its border."""
    x = torch.ones(1, 1, 6, 6, dtype=torch.float64)
    there = torch.full((1, 1, 1), place, dtype=torch.float64)
    assert float(released_feature(x, there, torch.full_like(there, 2))) == pytest.approx(original, abs=1e-12)
    increments = torch.zeros(1, 2, 6, 6, dtype=torch.float64)
    row = 0 if place < 1 else 5
    increments[:, 1] = place - row
    last = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).reshape(1, 1, 1, 3)
    assert float(snake_conv2d(x, increments, last)[0, 0, row, 1]) == pytest.approx(zeros, abs=1e-12)
    assert float(snake_conv2d(x, increments, last, boundary="border")[0, 0, row, 1]) == pytest.approx(1, abs=1e-12)


def test_pro_version_without_offsets_and_on_one_row():
    """The original looks at if_offset nowhere, so that its positions move; on one row it divides by zero."""
    x = torch.ones(1, 2, 1, 6, dtype=torch.float64)
    y_map, x_map = original_positions(torch.zeros(1, 6, 1, 6, dtype=torch.float64), 0, is_pro=True)
    with pytest.raises(ZeroDivisionError):
        pro_feature(x, stacked(y_map, 0), stacked(x_map, 0))
    layer = SnakeConv2d(2, 1, 3, if_offset=False).double()
    close(layer(x), functional.conv2d(x, layer.conv.weight, layer.conv.bias, padding=(0, 1)))
    assert not hasattr(layer, "offset_conv")
    assert torch.isfinite(SnakeConv2d(2, 1, 3).double()(x)).all()


def test_centre_stays_in_three_dimensions():
    """The original clears the walk along x twice, and that along y never: its centre stays where a step put it."""
    steps = torch.randn(1, 2, 5, 3, 3, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    walks = {}
    for axis, cleared in enumerate(("x", "x")):
        walk = steps[:, axis].detach().clone()
        if "yx"[axis] == cleared:
            walk[:, 2] = 0
        for index in (1, 2):
            walk[:, 2 + index] = walk[:, 1 + index] + steps[:, axis, 2 + index]
            walk[:, 2 - index] = walk[:, 3 - index] + steps[:, axis, 2 - index]
        walks["yx"[axis]] = walk
    assert float(walks["x"][:, 2].detach().abs().max()) == 0
    close(walks["y"][:, 2], steps[:, 0, 2].detach())
    layer = SnakeConv3d(2, 1, 5, morph=2).double()
    x = torch.randn(1, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    offsets = layer.pattern(x).offsets.detach()
    assert float(offsets[:, 2].abs().max()) == 0
    assert float(offsets[:, :, 0].abs().max()) == 0
    assert float(offsets[:, 3, 1:].abs().min()) > 0


# ---- what is refused

IMAGE = torch.zeros(2, 3, 5, 5)
# Past the checks of shapes that tests run with.
unchecked = inspect.unwrap


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("kernel_size", lambda: SnakeConv2d(3, 4, 4)),
        ("kernel_size", lambda: SnakeConv2d(3, 4, 1)),
        ("morph", lambda: SnakeConv2d(3, 4, morph=2)),
        ("extend_scope", lambda: SnakeConv2d(3, 4, extend_scope=-1.0)),
        ("norm", lambda: SnakeConv2d(3, 4, norm="layer")),
        ("if_offset", lambda: SnakeConv2d(3, 4, if_offset=1)),
        ("in_channels", lambda: SnakeConv2d(0, 4)),
        ("input", lambda: SnakeConv2d(4, 4)(IMAGE)),
        ("input", lambda: unchecked(snake_conv3d)(IMAGE, IMAGE, IMAGE)),
        ("increments", lambda: snake_offsets(torch.zeros(2, 3, 4))),
        ("increments", lambda: unchecked(snake_conv2d)(IMAGE, torch.zeros(2, 4, 5, 5), torch.zeros(4, 3, 1, 3))),
        ("weight", lambda: unchecked(snake_conv2d)(IMAGE, torch.zeros(2, 2, 5, 5), torch.zeros(4, 3, 3, 3))),
        ("weight", lambda: unchecked(snake_conv2d)(IMAGE, torch.zeros(2, 2, 5, 5), torch.zeros(4, 2, 1, 3))),
        ("weight", lambda: snake_conv2d(IMAGE, torch.zeros(2, 2, 5, 5), torch.zeros(4, 3, 1, 3).double())),
        ("weight", lambda: unchecked(snake_conv2d)(IMAGE, torch.zeros(2, 3, 5, 5), torch.zeros(4, 3, 1, 4))),
        ("increments", lambda: unchecked(snake_conv2d)(IMAGE, torch.zeros(2, 2, 4, 5), torch.zeros(4, 3, 1, 3))),
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
        SnakeConv2d(4, 6, 5)(x)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": [1.0]}, r"^input: expected a tensor.*, got list$"),
        ({"increments": [1.0]}, r"^increments: expected a tensor.*, got list$"),
        ({"weight": [1.0]}, r"^weight: expected a tensor.*, got list$"),
        ({"bias": [1.0]}, r"^bias: expected a tensor.*, got list$"),
    ],
)
def test_arguments_that_are_no_tensors_of_the_dtype(change, message):
    good = {"input": torch.zeros(1, 4, 5, 5), "increments": torch.zeros(1, 2, 5, 5), "weight": torch.zeros(4, 4, 1, 3)}
    with pytest.raises(ArgumentError, match=message):
        snake_conv2d(**good | change)
