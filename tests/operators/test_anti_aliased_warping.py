"""Anti-aliased warping: the plain warp where nothing is compressed, a low-pass filter where something is."""

import math

import numpy as np
import pytest
import torch

from warptheory import warping
from warptheory.core.errors import WarpTheoryError
from warptheory.core.tolerances import rounding
from warptheory.operators import (
    AntiAliasedWarp1d,
    AntiAliasedWarp2d,
    AntiAliasedWarp3d,
    BlurPool1d,
    BlurPool2d,
    anti_aliased_warp,
)

ROUNDING = rounding(torch.float64, operations=100, magnitude=10.0)
LAYERS = (AntiAliasedWarp1d, AntiAliasedWarp2d, AntiAliasedWarp3d)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def images(shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def compression(size, factor):
    """Offsets of the map t ↦ factor·t, for as many pixels as it has inside, shape (1, d, *T)."""
    places = torch.stack(torch.meshgrid(*(torch.arange(-(-n // factor)) for n in size), indexing="ij"))
    return ((factor - 1) * places).double()[None]


# ---- nothing is compressed


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_offsets_are_the_identity(dim, dtype):
    """Bit for bit, and for the gradient too."""
    x = images((2, 3, 7, 6, 5)[: dim + 2], 0, dtype).requires_grad_()
    y = LAYERS[dim - 1]()(x, torch.zeros(2, dim, *x.shape[2:], dtype=dtype))
    assert torch.equal(y, x)
    g = images(y.shape, 1, dtype)
    assert torch.equal(torch.autograd.grad(y, x, g)[0], g)


def test_a_map_that_stretches_is_the_plain_warp():
    """Bit for bit: steps of half a pixel, a translation, and offsets whose slopes are negative."""
    x = images((2, 4, 12, 10), 0)
    places = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(10.0), indexing="ij")).double()
    for offsets in (-0.5 * places, torch.full_like(places, 0.3), -places.sqrt()):
        moved = offsets.expand(2, -1, -1, -1)
        assert torch.equal(anti_aliased_warp(x, moved), warping.warp(x, moved, "linear", "border"))


def test_a_rotation_is_the_plain_warp():
    """To rounding: its steps have length one but for the last digit."""
    x = images((1, 2, 12, 10), 0)
    places = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(10.0), indexing="ij")).double()
    c, s = math.cos(0.4), math.sin(0.4)
    turned = torch.stack([c * places[0] - s * places[1], s * places[0] + c * places[1]])
    offsets = (turned - places)[None]
    close(anti_aliased_warp(x, offsets), warping.warp(x, offsets, "linear", "border"))


def test_one_tap_is_the_plain_warp():
    x, offsets = images((2, 4, 8, 7), 0), 2 * images((2, 2, 2, 8, 7), 1)
    assert torch.equal(anti_aliased_warp(x, offsets, taps=1), warping.warp(x, offsets, "linear", "border"))


# ---- something is


@pytest.mark.parametrize(("boundary", "padding"), [("mirror", "reflect"), ("zeros", "zero"), ("periodic", "circular")])
@pytest.mark.parametrize("shape", [(13,), (12, 9)])
def test_compression_by_two_is_blur_pool(shape, boundary, padding):
    """With three taps: s(2) = 1/√2 puts them on pixels, with weights 1/4, 1/2, 1/4."""
    x = images((1, 2, *shape), 0)
    found = LAYERS[len(shape) - 1]("linear", boundary, taps=3)(x, compression(shape, 2))
    kind = (BlurPool1d, BlurPool2d)[len(shape) - 1]
    close(found, kind(2, padding, 3, 2).double()(x))


def loop(x, offsets, taps):
    """The formula, pixel by pixel, for one image (C, H, W) and border values."""
    channels, *size = x.shape
    grid = offsets.shape[1:]
    slopes = np.stack([np.gradient(offsets, axis=1 + axis) for axis in range(2)], 1)
    found = np.zeros((channels, *grid))
    half = taps // 2
    binomial = [math.comb(taps - 1, k) / 2 ** (taps - 1) for k in range(taps)]
    for n in np.ndindex(*grid):
        columns = (np.eye(2) + slopes[(slice(None), slice(None), *n)]).T
        delta = []
        for column in columns:
            length = float(np.hypot(*column))
            deviation = min((length - 1) / math.sqrt(2), math.sqrt((length**2 - 1) / 6)) if length > 1 else 0.0
            delta.append(2 * deviation / math.sqrt(taps - 1) * column / length if length > 1 else 0 * column)
        for k, m in np.ndindex(taps, taps):
            place = np.array(n) + offsets[(slice(None), *n)] + (k - half) * delta[0] + (m - half) * delta[1]
            low = np.floor(place).astype(int)
            for corner in np.ndindex(2, 2):
                share = np.prod(np.where(corner, place - low, 1 - place + low))
                pixel = np.clip(low + corner, 0, np.array(size) - 1)
                found[(slice(None), *n)] += binomial[k] * binomial[m] * share * x[(slice(None), *pixel)].numpy()
    return found


@pytest.mark.parametrize("seed", range(6))
def test_random_maps_are_the_formula(seed):
    """Against loops over pixels and taps, the slopes from NumPy; maps that compress, stretch and fold."""
    x, offsets = images((1, 2, 6, 5), seed), (0.5 + seed / 3) * images((1, 2, 6, 5), seed + 10)
    taps = (3, 5)[seed % 2]
    close(anti_aliased_warp(x, offsets, taps=taps)[0], torch.from_numpy(loop(x[0], offsets[0].numpy(), taps)))


def grating_energy(layer, frequency, factor=2, size=256):
    """Energy of a grating cos(ωn), whose own is 1/2, after compression, against that of the ideal low-passed one.

    Beyond π/factor the truth is nothing; below it is the grating itself, and the energy that of the difference.
    """
    phase = 0.3
    x = torch.cos(frequency * torch.arange(size).double() + phase)[None, None]
    y = layer(x, compression((size,), factor))
    kept = frequency < math.pi / factor
    truth = torch.cos(frequency * factor * torch.arange(y.shape[2]).double() + phase) if kept else torch.zeros(())
    return float((y - truth)[0, 0, 8:-8].square().mean())


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_gratings_beyond_nyquist_do_not_alias(factor):
    """Against the exact truth, nothing: the plain warp keeps all of 1/2, the anti-aliased one less than a tenth."""
    taps = {2: 5, 3: 9, 4: 13}[factor]
    frequencies = np.linspace(1.4 * math.pi / factor, 0.98 * math.pi, 12)
    plain = [grating_energy(AntiAliasedWarp1d(taps=1), w, factor) for w in frequencies]
    ours = [grating_energy(AntiAliasedWarp1d(taps=taps), w, factor) for w in frequencies]
    assert min(plain) > 0.4
    assert max(ours) < 0.05
    # What the image keeps below Nyquist is worth that: a slow grating errs little.
    assert grating_energy(AntiAliasedWarp1d(taps=taps), 0.1 / factor, factor) < 1e-3


def test_white_noise_aliases_less():
    """Compressed by 2, the energy of white noise that belongs there is 1/2, on its axis; the plain warp leaves 1."""
    x = images((64, 1, 256), 0)
    offsets = compression((256,), 2).expand(64, -1, -1)
    spectrum = torch.fft.rfft(x)
    spectrum[..., 65:] = 0
    truth = torch.fft.irfft(spectrum)[..., ::2]

    def error(layer):
        return float((layer(x, offsets) - truth)[..., 4:-4].square().mean())

    assert error(AntiAliasedWarp1d(taps=1)) == pytest.approx(0.5, rel=0.1)
    assert error(AntiAliasedWarp1d(taps=5)) < 0.35 * error(AntiAliasedWarp1d(taps=1))


def test_statistics_of_a_compression():
    """Compressed by 2, a plain warp reads one pixel in four, with gain 1; ours reads all, and gains (3/8)² or less."""
    x, offsets = images((1, 1, 16, 16), 0), compression((16, 16), 2)
    plain = AntiAliasedWarp2d(boundary="periodic", taps=1).statistics(x, offsets)
    ours = AntiAliasedWarp2d(boundary="periodic", taps=3).statistics(x, offsets)
    assert (plain.dead_share, plain.backward_gain, plain.forward_gain) == (0.75, 0.25, 1.0)
    assert ours.dead_share == 0
    assert ours.forward_gain == pytest.approx((3 / 8) ** 2, rel=1e-12)
    assert ours.backward_gain == pytest.approx((3 / 8) ** 2 / 4, rel=1e-12)
    assert ours.largest_row_sum == pytest.approx(1.0, rel=1e-12)


def test_fewer_inputs_of_a_rough_warp_are_dead():
    """White offsets of 2 pixels: the share of inputs that nothing reads falls several-fold, and so does the gain."""
    x, offsets = images((2, 1, 24, 24), 0), 2 * images((2, 2, 24, 24), 1)
    for kernel in ("nearest", "linear"):
        plain = AntiAliasedWarp2d(kernel, taps=1).statistics(x, offsets)
        ours = AntiAliasedWarp2d(kernel, taps=5).statistics(x, offsets)
        assert ours.dead_share < plain.dead_share / 4
        assert ours.backward_gain < plain.backward_gain / 2
        assert ours.largest_column_sum < plain.largest_column_sum


def test_gradients_are_finite_where_compression_starts():
    """A step of exactly one pixel, and one of none."""
    x = images((1, 1, 8), 0)
    for slope in (0.0, -1.0, 1.0):
        offsets = (slope * torch.arange(8.0)).double()[None, None].requires_grad_()
        (gradient,) = torch.autograd.grad(anti_aliased_warp(x, offsets).sum(), offsets)
        assert gradient.isfinite().all()


def test_groups_have_maps_of_their_own():
    x, offsets = images((2, 4, 6, 5), 0), images((2, 2, 2, 6, 5), 1)
    found = anti_aliased_warp(x, offsets)
    close(found[:, :2], anti_aliased_warp(x[:, :2], offsets[:, 0]))
    close(found[:, 2:], anti_aliased_warp(x[:, 2:], offsets[:, 1]))


@pytest.mark.parametrize(
    ("argument", "build"),
    [
        ("taps", lambda: AntiAliasedWarp2d(taps=4)),
        ("taps", lambda: AntiAliasedWarp2d(taps=0)),
        ("kernel", lambda: AntiAliasedWarp2d("cubical")),
        ("boundary", lambda: AntiAliasedWarp2d(boundary="wall")),
        ("x", lambda: AntiAliasedWarp1d()(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4))),
        ("offsets", lambda: AntiAliasedWarp2d()(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))),
        ("offsets", lambda: anti_aliased_warp(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 2, 4, 4))),
    ],
)
def test_bad_arguments(argument, build):
    with pytest.raises(WarpTheoryError, match=argument):
        build()
