"""BlurPool against antialiased-cnns, which is installed for it, and kornia, whose definition is written out."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional

from warptheory import operators
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import BlurPool1d, BlurPool2d, BlurPool3d, blur_pool1d, blur_pool2d, blur_pool3d

ROUNDING = rounding(torch.float64, operations=60, magnitude=6.0)
PADDING = {"reflect": "reflect", "replicate": "edge", "zero": "constant", "circular": "wrap"}
SETTINGS = list(itertools.product(range(1, 8), ["reflect", "replicate", "zero"], range(1, 5)))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def value_and_gradient(layer, x, seed):
    x = x.clone().requires_grad_()
    y = layer(x)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    return y.detach(), torch.autograd.grad(y, x, g)[0]


def check_equal(ours, theirs, x, seed):
    for found, expected in zip(value_and_gradient(ours, x, seed), value_and_gradient(theirs, x, seed), strict=True):
        close(found, expected)


def image(dim, seed):
    """Return images of odd and even sizes, which every padding of `SETTINGS` fits."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.randint(7, 13, (dim,), generator=generator).tolist()
    return torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("ours", "name"), [(BlurPool2d, "BlurPool"), (BlurPool1d, "BlurPool1D")])
def test_equal_to_antialiased_cnns(ours, name):
    """All sizes, paddings and strides, and both numbers of pixels more in turn: 84 settings, values and gradients."""
    blurpool = pytest.importorskip("antialiased_cnns.blurpool", reason="the extra `peers` is not installed")
    for seed, (size, padding, stride) in enumerate(SETTINGS):
        arguments = (3, padding, size, stride, seed % 3)
        theirs = getattr(blurpool, name)(*arguments).double()
        check_equal(ours(*arguments).double(), theirs, image(ours.dim, seed), seed)


def kornia_blur_pool(x, size, stride):
    """What kornia's blur_pool2d of 0.9 computes: Pascal's triangle, and zeros, one more after than before."""
    row = x.new_tensor([math.comb(size - 1, k) for k in range(size)]) / 2 ** (size - 1)
    kernel = (row[:, None] * row).expand(x.shape[1], 1, -1, -1)
    padded = functional.pad(x, ((size - 1) // 2, size // 2) * 2)
    return functional.conv2d(padded, kernel, stride=stride, groups=x.shape[1])


def test_equal_to_kornia():
    """Written out here; kornia's own layer, 0.9.0, was compared with this in an environment of its own."""
    for seed, (size, stride) in enumerate(itertools.product(range(1, 10), range(1, 7))):
        x = image(2, seed)
        check_equal(BlurPool2d(3, "zero", size, stride), lambda x, k=size, s=stride: kornia_blur_pool(x, k, s), x, seed)


def test_equal_to_kornias_own():
    kornia = pytest.importorskip("kornia.filters", reason="kornia is not installed")
    for seed, (size, stride) in enumerate(itertools.product(range(1, 10), range(1, 7))):
        check_equal(BlurPool2d(3, "zero", size, stride), kornia.BlurPool2D(size, stride), image(2, seed), seed)


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("shape", [(5,), (6, 3), (4, 3, 5)])
def test_equal_to_a_loop_over_padded_pixels(shape, padding):
    """Also where an image is smaller than what lies around it, and in 3-d: the truth is NumPy's padding and a sum."""
    x = torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    dim, size, stride, more = len(shape), 6, 2, 1
    kind, function = ((BlurPool1d, blur_pool1d), (BlurPool2d, blur_pool2d), (BlurPool3d, blur_pool3d))[dim - 1]
    before, after = 2 + more, 3 + more
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), *[(before, after)] * dim], mode=PADDING[padding])
    row = [math.comb(size - 1, k) / 2 ** (size - 1) for k in range(size)]
    grid = [(n + before + after - size) // stride + 1 for n in shape]
    expected = np.zeros((2, 2, *grid))
    for tap in itertools.product(range(size), repeat=dim):
        window = tuple(slice(k, k + stride * (t - 1) + 1, stride) for k, t in zip(tap, grid, strict=True))
        expected += math.prod(row[k] for k in tap) * padded[(..., *window)]
    layer = kind(2, padding, size, stride, more)
    close(layer(x), torch.from_numpy(expected))
    g = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    close(value_and_gradient(layer, x, 1)[1], layer.pattern(x).adjoint(g))
    close(function(x, size, stride, padding, more), torch.from_numpy(expected))


@pytest.mark.parametrize("size", range(1, 8))
def test_white_noise_gain(size):
    """Σ b² = C(2f − 2, f − 1)/4^(f − 1) along each axis, away from the border."""
    layer = BlurPool2d(1, "circular", size, 1).double()
    gain = layer.statistics(torch.zeros(1, 1, 8, 8, dtype=torch.float64)).forward_gain
    assert gain == pytest.approx((math.comb(2 * size - 2, size - 1) / 4 ** (size - 1)) ** 2, rel=1e-12)


def test_defaults_are_those_of_the_originals():
    assert (BlurPool2d(3).filt_size, BlurPool1d(3).filt_size) == (4, 3)
    x = image(2, 0)
    close(BlurPool2d(3)(x), blur_pool2d(x))
    close(BlurPool1d(3)(x[:, :, 0]), blur_pool1d(x[:, :, 0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dtypes_and_layouts(dtype):
    """The numbers of a filter of four pixels are exact in every dtype, so that a constant stays one."""
    x = torch.ones(2, 3, 9, 8, dtype=dtype).to(memory_format=torch.channels_last)
    y = BlurPool2d(3)(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y, torch.ones_like(y), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [
        (torch.float64, (28, 15, 12)),
        (torch.float32, (28, 15, 12)),
        (torch.float16, (14, 9, 6)),
        (torch.bfloat16, (12, 7, 6)),
    ],
)
def test_up_to_which_size_filters_are_exact(dtype, largest):
    """Against products of fractions."""

    def is_exact(kind, size):
        row = [Fraction(math.comb(size - 1, k), 2 ** (size - 1)) for k in range(size)]
        exact = [math.prod(each) for each in itertools.product(row, repeat=kind.dim)]
        found = kind(1, filt_size=size).filt.to(dtype).flatten().tolist()
        return all(Fraction(one) == other for one, other in zip(found, exact, strict=True))

    for kind, size in zip((BlurPool1d, BlurPool2d, BlurPool3d), largest, strict=True):
        assert is_exact(kind, size)
        assert not is_exact(kind, size + 1)


@pytest.mark.parametrize(("size", "pad_type"), [(3, "reflect"), (4, "replicate"), (4, "zero"), (7, "reflect")])
def test_a_negative_pad_off_is_the_originals(size, pad_type):
    blurpool = pytest.importorskip("antialiased_cnns.blurpool", reason="the extra `peers` is not installed")
    x = image(2, 0)
    expected = blurpool.BlurPool(x.shape[1], pad_type, size, 2, -1).double()(x)
    ours = BlurPool2d(x.shape[1], pad_type, size, 2, -1).double()
    close(ours(x), expected)
    close(ours.pattern(x).apply(x), expected)
    with pytest.raises(ArgumentError, match="^input: expected at least"):
        BlurPool2d(1, pad_type, size, 2, -1)(torch.zeros(1, 1, 1, 5))


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
@pytest.mark.parametrize(("name", "kind"), [("BlurPool", BlurPool2d), ("BlurPool1D", BlurPool1d)])
def test_counterparts(name, kind, padding):
    blurpool = pytest.importorskip("antialiased_cnns.blurpool", reason="the extra `peers` is not installed")
    theirs = getattr(blurpool, name)(3, padding, 5, 3, 1).double()
    entry = operators.get("blur_pool")
    (pair,) = [each for each in entry.counterparts if each.original == f"antialiased_cnns.blurpool.{name}"]
    ours = pair.to_ours(theirs)
    assert type(ours) is kind
    assert list(ours.state_dict()) == ["filt"]
    back = pair.to_original(ours, type(theirs))
    x = image(kind.dim, 0)
    close(ours(x), theirs(x))
    close(back(x), theirs(x))
    with pytest.raises(ArgumentError, match="circular"):
        pair.to_original(kind(3, "circular"), type(theirs))


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("channels", {"channels": 0}),
        ("filt_size", {"filt_size": 0}),
        ("filt_size", {"filt_size": 2.5}),
        ("stride", {"stride": 0}),
        ("pad_off", {"pad_off": -2}),
        ("pad_type", {"pad_type": "mirror"}),
    ],
)
def test_bad_arguments(argument, values):
    with pytest.raises(ArgumentError, match=argument):
        BlurPool2d(**{"channels": 3} | values)


def test_bad_images():
    with pytest.raises(ArgumentError, match="input"):
        BlurPool2d(3)(torch.zeros(1, 2, 5, 5))
    with pytest.raises(ArgumentError, match="input"):
        BlurPool2d(3)(torch.zeros(1, 3, 5))
    with pytest.raises(ArgumentError, match="input"):
        BlurPool2d(3)(torch.zeros(1, 3, 5, 0))
