"""The alias-free activation against what the original computes, written out here, and its equivariance to shifts."""

import numpy as np
import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import AliasFreeActivation1d, AliasFreeActivation2d

PARABOLA = (0.0169394634313126, 0.5, 0.3078363963999393)
# Sums over axes of 30 pixels, three times along two axes.
ROUNDING = rounding(torch.float64, operations=300, magnitude=10.0)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def images(shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- what the original computes


def band(finer, edge):
    """Their mask along an axis of the finer grid: ones, and `edge` at the coarse Nyquist frequency of even sizes."""
    low = finer // 4
    mask = torch.ones(finer, dtype=torch.float64)
    mask[low + 1 : finer - low] = 0
    if finer % 4 == 0:
        mask[low] = mask[finer - low] = edge
    return mask


class OriginalFilter:
    """LPF_RFFT and LPF_RECON_RFFT: a square mask for the width of the first image that comes."""

    def __init__(self, edge):
        self.edge, self.mask = edge, None

    def __call__(self, u):
        if self.mask is None:
            row = band(u.shape[-1], self.edge)
            self.mask = (row[:, None] * row)[:, : u.shape[-1] // 2 + 1]
        return torch.fft.irfft2(torch.fft.rfft2(u) * self.mask, s=u.shape[-2:])


class Original:
    """UpPolyActPerChannel: zeros between the pixels, one filter, a polynomial, the other filter, every second pixel."""

    def __init__(self, polynomial):
        self.recover, self.limit, self.polynomial = OriginalFilter(0.5), OriginalFilter(0.0), polynomial

    def __call__(self, x):
        spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        spread[:, :, ::2, ::2] = x
        return self.limit(self.polynomial(self.recover(spread) * 4))[:, :, ::2, ::2]


def original_scalar_polynomial(coefficients, u):
    """PolyAct.calc_polynomial: the sum ends before the degree."""
    found = coefficients[0] + coefficients[1] * u
    for i in range(2, len(coefficients) - 1):
        found = found + coefficients[i] * u**i
    return found


def original_channel_polynomial(coefficients, u):
    """PolyActPerChannel.calc_polynomial: degree 2 has a line of its own, which is complete."""
    if len(coefficients) == 3:
        return coefficients[0] + coefficients[1] * u + coefficients[2] * u**2
    return original_scalar_polynomial(coefficients, u)


def shifted(x, part):
    """Return images shifted by a part of a pixel along both axes, by NumPy's Fourier transform."""
    found = np.fft.fft2(x.detach().numpy())
    for axis in (-2, -1):
        n = x.shape[axis]
        phase = np.exp(-2j * np.pi * part * np.fft.fftfreq(n))
        if n % 2 == 0:
            phase[n // 2] = np.cos(np.pi * part)
        found = found * phase.reshape(-1, *[1] * (-1 - axis))
    return torch.from_numpy(np.fft.ifft2(found).real)


def layer_of(coefficients):
    """Return a layer for two channels whose coefficients are not rounded to single precision."""
    layer = AliasFreeActivation2d(2).double()
    layer.coef.data.copy_(torch.tensor(coefficients, dtype=torch.float64))
    return layer


def equivariance_error(layer, x, part=0.5):
    first, second = layer(shifted(x, part)), shifted(layer(x), part)
    return float((first - second).detach().square().mean().sqrt() / second.detach().std())


# ---- equal to it where it is right


def test_equal_to_the_original():
    """60 settings on odd squares, where the original is right: values and gradients, with both scales."""
    for seed in range(60):
        size = 3 + 2 * (seed % 7)
        x = images((2, 3, size, size), seed).requires_grad_()
        coefficients = images((3, 3), seed + 100)
        inner, outer = 0.5 + 0.02 * seed, 2 - 0.02 * seed
        layer = AliasFreeActivation2d(3, in_scale=inner, out_scale=outer).double()
        with torch.no_grad():
            layer.coef.copy_(coefficients)
            layer.input_factor.fill_(inner)
            layer.output_factor.fill_(outer)
        terms = coefficients.T[..., None, None]
        expected = Original(lambda u, c=terms, a=inner, b=outer: b * original_channel_polynomial(c, a * u))(x)
        found = layer(x)
        close(found, expected)
        g = images(x.shape, seed + 200)
        close(torch.autograd.grad(found, x, g)[0], torch.autograd.grad(expected, x, g)[0])


def test_equal_to_the_original_on_even_sizes_without_the_nyquist_frequency():
    for size in (4, 6, 8, 10):
        x = shifted(images((2, 2, size, size), size), 0.5)
        expected = Original(lambda u: original_channel_polynomial(PARABOLA, u))(x)
        close(layer_of(PARABOLA)(x), expected)


# ---- where it is wrong


@pytest.mark.parametrize(("size", "original"), [(7, 0.0), (15, 0.0), (8, 0.23), (14, 0.19), (16, 0.17)])
def test_half_a_pixel_is_kept_on_even_sizes_too(size, original):
    """The original errs by 0.23, 0.19, 0.17 of the deviation on even sizes; otherwise both err by rounding."""
    x = images((4, 3, size, size), 0)
    theirs = equivariance_error(Original(lambda u: original_channel_polynomial(PARABOLA, u)), x)
    assert equivariance_error(AliasFreeActivation2d(3).double(), x) < ROUNDING.absolute
    assert theirs == pytest.approx(original, abs=0.01 if original else ROUNDING.absolute)


def test_no_coefficient_is_dropped():
    """At u = 2: the original makes c₀ + 2c₁ of three coefficients, ours c₀ + 2c₁ + 4c₂."""
    constant = torch.full((1, 1, 5), 2.0, dtype=torch.float64)
    c = (0.25, 0.5, 1.0)
    assert original_scalar_polynomial(c, 2.0) == 1.25
    found = AliasFreeActivation1d(1, init_coef=c).double()(constant)
    close(found, torch.full_like(found, 5.25))


def test_no_coefficient_of_a_channel_is_dropped():
    """At u = 2: the original makes a parabola of a cubic polynomial."""
    constant = torch.full((1, 1, 5), 2.0, dtype=torch.float64)
    c = (0.25, 0.5, 1.0, 2.0)
    assert original_channel_polynomial(c, 2.0) == 5.25
    found = AliasFreeActivation1d(1, init_coef=c).double()(constant)
    close(found, torch.full_like(found, 21.25))


def original_channels_first(x, data_format="channels_first"):
    """The head of UpPolyAct.forward: only the other format names what is read next."""
    if data_format == "channels_last":
        inp = x.permute(0, 3, 1, 2)
    return inp


def test_channels_come_first():
    x = images((2, 3, 5, 5), 0)
    with pytest.raises(UnboundLocalError):
        original_channels_first(x)
    assert AliasFreeActivation2d(3).double()(x).shape == x.shape


def test_rectangles_and_second_sizes():
    """The original raises; ours is the same map along each axis: the shifts of a rectangle are kept too."""
    theirs = Original(lambda u: original_channel_polynomial(PARABOLA, u))
    with pytest.raises(RuntimeError, match="size"):
        theirs(images((1, 2, 5, 7), 0))
    theirs = Original(lambda u: original_channel_polynomial(PARABOLA, u))
    theirs(images((1, 2, 5, 5), 0))
    with pytest.raises(RuntimeError, match="size"):
        theirs(images((1, 2, 7, 7), 0))
    layer = AliasFreeActivation2d(2).double()
    for size in ((5, 7), (7, 4), (6, 8), (1, 5), (2, 3)):
        assert equivariance_error(layer, images((3, 2, *size), 1)) < ROUNDING.absolute


# ---- what it promises


@pytest.mark.parametrize("part", [0.25, 1 / 3, 0.8, 1.0])
@pytest.mark.parametrize(("up", "degree"), [(2, 3), (3, 5)])
def test_every_part_of_a_pixel_is_kept(up, degree, part):
    """Up to the degree 2·up − 1 nothing aliases."""
    layer = AliasFreeActivation2d(2, up, [1 / (1 + i) for i in range(degree + 1)]).double()
    for size in ((7, 7), (8, 6)):
        assert equivariance_error(layer, images((2, 2, *size), 2), part) < 10 * ROUNDING.absolute


def test_without_a_finer_grid_shifts_are_lost():
    """The same parabola on the pixels themselves, and GELU, err by about half of the outcome's deviation and more."""
    x = images((8, 3, 15, 15), 3)
    assert 0.6 < equivariance_error(lambda u: original_channel_polynomial(PARABOLA, u), x) < 0.9
    assert 0.4 < equivariance_error(torch.nn.functional.gelu, x) < 0.7


def test_half_precision():
    """Sums in the image's dtype: to its digits."""
    x = images((2, 3, 6, 5), 0)
    expected = AliasFreeActivation2d(3).double()(x)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        found = AliasFreeActivation2d(3)(x.to(dtype))
        assert found.dtype == dtype
        assert (found.double() - expected).abs().max() < 20 * torch.finfo(dtype).eps * expected.abs().max()


@pytest.mark.parametrize(
    ("argument", "build"),
    [
        ("channels", lambda: AliasFreeActivation2d(0)),
        ("up", lambda: AliasFreeActivation2d(2, 0)),
        ("init_coef", lambda: AliasFreeActivation2d(2, 2, [1.0])),
        ("init_coef", lambda: AliasFreeActivation2d(2, 2, [1.0] * 5)),
        ("init_coef", lambda: AliasFreeActivation2d(4, init_coef="ab")),
        ("init_coef", lambda: AliasFreeActivation2d(4, init_coef=["a", "b"])),
        ("init_coef", lambda: AliasFreeActivation2d(4, init_coef=[1.0, float("nan")])),
        ("init_coef", lambda: AliasFreeActivation2d(4, init_coef=1.0)),
        ("input", lambda: AliasFreeActivation2d(2)([1.0])),
        ("in_scale", lambda: AliasFreeActivation2d(2, in_scale=float("nan"))),
        ("train_scale", lambda: AliasFreeActivation2d(2, train_scale=1)),
        ("input", lambda: AliasFreeActivation2d(2)(torch.zeros(1, 3, 4, 4))),
        ("input", lambda: AliasFreeActivation2d(2)(torch.zeros(1, 2, 4))),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_bad_arguments(argument, build):
    with pytest.raises(ArgumentError, match=f"^{argument}"):
        build()
