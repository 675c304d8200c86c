"""The compiled loops against torch's convolution in float64, which knows neither blocks of channels nor units."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from warptheory.core.tolerances import rounding
from warptheory.operators import SelfWarp2d, _thin_convolution
from warptheory.operators._thin_convolution import ThinConvolution2d, _ThinConvolution
from warptheory.warping.engines.thin import convolution

LAYOUTS = {"channels-last": torch.channels_last, "planes": torch.contiguous_format}
# Numbers of filters and their sizes; each pair is compiled once.
FILTERS = [(2, 3), (3, 5), (8, 3), (1, 1)]
LARGE = (2, 16, 24, 20)


@pytest.fixture(autouse=True)
def loops_for_any_size(monkeypatch):
    """Let small images take the loops too."""
    monkeypatch.setattr(_thin_convolution, "_FEW_PRODUCTS", 1)


def draw(batch, channels, height, width, outputs, size, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((batch, channels, height, width), (outputs, channels, size, size), (outputs,))
    images = (batch, outputs, height, width), (batch, channels, height, width)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in (*shapes, *images)]


def assert_close(found, exact, magnitude, operations):
    """`exact` is the sum, in float64, whose terms' absolute values add up to `magnitude`."""
    tolerance = rounding(torch.float32, operations)
    assert ((found.double() - exact).abs() <= tolerance.relative * magnitude + 1e-30).all()


def assert_is_the_convolution(x, weight, bias, g, summand):
    """Values and gradients, each within the rounding error of a sum of its terms in any order."""
    batch, channels, height, width = x.shape
    outputs, _, size, _ = weight.shape
    found = (convolution.convolve(x, weight, bias), *convolution.gradients(g, x, weight, (True, True, True), summand))
    both = []
    for wide in ([each.double() for each in (x, weight, bias, g, summand)],) * 2:
        exact = [each.abs() if both else each for each in wide]
        leaves = [each.requires_grad_() for each in exact[:3]]
        y = functional.conv2d(*leaves, padding=size // 2)
        dx, *rest = torch.autograd.grad(y, leaves, exact[3])
        both.append((y.detach(), dx + exact[4], *rest))
    pixels = batch * height * width
    counts = (channels * size**2 + 1, outputs * size**2 + 1, pixels, pixels)
    for values, exact, magnitude, operations in zip(found, *both, counts, strict=True):
        assert_close(values, exact, magnitude, operations)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(
    filters=st.sampled_from(FILTERS),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 35), st.integers(1, 19), st.integers(1, 19)),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25)
def test_values_and_gradients_are_those_of_torch(layout, filters, shape, seed):
    """Images narrower and lower than a filter, and channels that fill no register, among them."""
    x, weight, bias, g, summand = draw(*shape, *filters, seed=seed)
    x, summand = (each.contiguous(memory_format=LAYOUTS[layout]) for each in (x, summand))
    assert_is_the_convolution(x, weight, bias, g, summand)


def test_images_that_are_views():
    """Strides of any kind: every other pixel, exchanged axes, one number for all."""
    x, weight, bias, g, summand = draw(2, 16, 12, 10, 2, 3)
    for view in (lambda t: t[:, :, ::2, ::2], lambda t: t.transpose(2, 3), lambda t: t[:, :, :1, :1].expand(t.shape)):
        last = view(x.contiguous(memory_format=torch.channels_last))
        assert_is_the_convolution(last, weight, bias, view(g), view(summand))
        assert_is_the_convolution(view(x), weight, bias, view(g), view(summand))


def test_bands_of_large_images(monkeypatch):
    """An image cut into bands of rows gives what it gives whole."""
    monkeypatch.setattr(convolution, "_SCRATCH_BYTES", 2**14)
    convolution._plan.cache_clear()
    assert convolution._plan((2, 20, 17, 9), 2, 3, 4).units > 2
    x, weight, bias, g, summand = draw(2, 20, 17, 9, 2, 3)
    for layout in LAYOUTS.values():
        assert_is_the_convolution(x.contiguous(memory_format=layout), weight, bias, g, summand)
    convolution._plan.cache_clear()


@pytest.mark.parametrize("shape", [(1, 16, 5, 3), (2, 3, 1, 1), (1, 33, 2, 17), (2, 32, 3, 16)], ids=str)
def test_nothing_is_written_beside_the_results(shape, monkeypatch):
    """Results that lie inside a larger tensor; what surrounds them stays as it is."""
    x, weight, _, g, _ = draw(*shape, 2, 3)
    (expected, *_) = convolution.gradients(g, x, weight, (True, False, False))
    frame = torch.full((shape[0], shape[2] + 4, shape[3] + 4, shape[1] + 4), 7.0).permute(0, 3, 1, 2)
    inner = frame[:, 2:-2, 2:-2, 2:-2]
    monkeypatch.setattr(convolution, "empty_image", lambda *_: inner)
    (found, *_) = convolution.gradients(g, x, weight, (True, False, False))
    assert torch.equal(found, expected)
    inner.fill_(7.0)
    assert (frame == 7).all()


@pytest.mark.usefixtures("every_call_takes_threads")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_number_of_threads_gives_the_same(layout):
    """Bit for bit."""
    tensors = draw(9, 18, 40, 40, 2, 3)
    x, weight, bias, g, _ = (
        each.contiguous(memory_format=LAYOUTS[layout]) if each.ndim == 4 else each for each in tensors
    )
    found = []
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            found.append((convolution.convolve(x, weight, bias), *convolution.gradients(g, x, weight, (True,) * 3)))
    finally:
        torch.set_num_threads(1)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pixel_that_is_not_finite_stays_in_its_window(layout, value):
    x, weight, bias, *_ = draw(2, 20, 9, 11, 2, 3)
    x = x.contiguous(memory_format=LAYOUTS[layout])
    x[1, 7, 4, 10] = value
    reached = torch.zeros(2, 2, 9, 11, dtype=torch.bool)
    reached[1, :, 3:6, 9:] = True
    assert torch.equal(~convolution.convolve(x, weight, bias).isfinite(), reached)


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, False, True)], ids=str)
def test_only_gradients_that_are_needed(needs):
    x, weight, _, g, _ = draw(2, 20, 5, 6, 2, 3)
    every = convolution.gradients(g, x, weight, (True, True, True))
    for found, wanted, need in zip(convolution.gradients(g, x, weight, needs), every, needs, strict=True):
        assert (found is not None) == need
        assert not need or torch.equal(found, wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_the_image_is_kept(layout):
    x = torch.zeros(2, 4, 6, 8).contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    y = ThinConvolution2d(4, 2, 3)(x)
    assert y.is_contiguous(memory_format=LAYOUTS[layout])
    assert torch.autograd.grad(y, x, torch.zeros_like(y))[0].is_contiguous(memory_format=LAYOUTS[layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_derivatives(layout):
    """Backward and of second order, of both results, and under batched cotangents, against finite differences."""
    x, weight, bias, *_ = draw(2, 3, 5, 4, 2, 3, torch.float64)
    x = x.contiguous(memory_format=LAYOUTS[layout])
    tensors = tuple(each.requires_grad_() for each in (x, weight, bias))
    assert torch.autograd.gradcheck(_ThinConvolution.apply, tensors, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(_ThinConvolution.apply, tensors)
    assert torch.autograd.gradcheck(lambda *each: _ThinConvolution.apply(*each)[1], tensors)


def layer_of(x, weight, bias):
    layer = ThinConvolution2d(x.shape[1], len(weight), weight.shape[2])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def test_transformations_are_those_of_torch():
    """Forward mode, Hessian-vector products and gradients of single images: torch's rules and ours in turn."""
    x, weight, bias, *_ = draw(3, 4, 6, 5, 2, 3)
    layer = layer_of(x, weight, bias)
    tangent = torch.ones_like(x)

    def by_torch(images):
        return functional.conv2d(images, weight, bias, padding=1).square().sum()

    def by_us(images):
        return layer(images).square().sum()

    for transform in (
        lambda loss: torch.func.jvp(loss, (x,), (tangent,))[1],
        lambda loss: torch.func.vmap(lambda image: torch.func.grad(loss)(image[None])[0])(x),
        lambda loss: torch.func.jvp(torch.func.grad(loss), (x,), (tangent,))[1],
        lambda loss: torch.autograd.functional.hvp(loss, x, tangent)[1],
    ):
        found, wanted = transform(by_us), transform(by_torch)
        # Sums over 36 + 18 taps, twice, of products below 50.
        tolerance = rounding(torch.float32, 2 * 54, magnitude=54 * 50.0 * (x.numel() if wanted.ndim == 0 else 1))
        torch.testing.assert_close(found, wanted, rtol=tolerance.relative, atol=tolerance.absolute)


def test_who_takes_a_call():
    """The loops take plain float32 calls on the CPU; every other call is torch's."""
    plain = ThinConvolution2d(2, 2, 3), torch.zeros(1, 2, 4, 4)
    calls = []
    for layer, x, is_fast in (
        (*plain, True),
        (copy.deepcopy(plain[0]).double(), plain[1].double(), False),
        (ThinConvolution2d(2, 10, 3), plain[1], False),
        (plain[0], torch.zeros(0, 2, 4, 4), False),
    ):
        y = torch.nn.Conv2d.forward(layer, x)
        with pytest.MonkeyPatch.context() as patch:
            calls.clear()
            patch.setattr(convolution, "convolve", lambda *_, y=y: (calls.append(1), y.detach())[1])
            assert layer(x).shape == y.shape
        assert bool(calls) == is_fast
    with torch.autocast("cpu", torch.bfloat16):
        assert plain[0](plain[1]).dtype == torch.bfloat16


def test_small_images_are_not_compiled_for(monkeypatch):
    monkeypatch.undo()
    assert not _thin_convolution._is_thin(torch.zeros(1, 4, 8, 8), torch.zeros(2, 4, 3, 3))
    assert _thin_convolution._is_thin(torch.zeros(8, 16, 32, 32), torch.zeros(2, 16, 3, 3))


def test_empty_batches_have_gradients():
    layer, x = ThinConvolution2d(3, 2, 3), torch.zeros(0, 3, 4, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.shape == x.shape
    assert (layer.weight.grad == 0).all()


def test_a_self_warp_adds_up_both_ways_to_its_input():
    """The gradient of x through the warp and through the head, with the sum taken in the loops, or by torch."""
    torch.manual_seed(0)
    layer = SelfWarp2d(16, head_gain=0.5)
    x, _, _, _, g = draw(*LARGE, 2, 3)
    gradients, seen = [], []
    for calls in (0, 1):
        leaf = x.clone().requires_grad_()
        gradients.append(torch.autograd.grad(layer(leaf), (leaf, *layer.parameters()), g))
        assert len(seen) == calls
        layer.head.register_forward_hook(lambda *arguments: seen.append(arguments[2].shape))
    # One addition in another order: the rest is the same arithmetic.
    tolerance = rounding(torch.float32, 20, magnitude=float(gradients[0][0].abs().max()) + 10)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance.relative, atol=tolerance.absolute)
