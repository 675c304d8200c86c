"""Numbers are computed tap by tap: as the definition says, in every layout, holding the samples of one tap alone."""

import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.patterns.settings import close, convolution, images, samplings, with_leaves
from warptheory.patterns import Lattice, SamplingPattern, _blocks, _definition, _tap_by_tap, sample


def check_is_the_definition(pattern, x, g):
    """Values, first gradients, and the layout of the images."""
    dtype = x.dtype
    pattern, leaves = with_leaves(pattern, dtype)
    x = x.requires_grad_()
    found, expected = sample(x, pattern), _definition.sampled(x, pattern)
    assert found.dtype == dtype
    close(found, expected, dtype)
    if _tap_by_tap.applies(x, pattern):
        # An image of one pixel, or of one channel, lies both ways.
        ways = [found.is_contiguous()] * x.is_contiguous()
        ways += [found.movedim(1, -1).is_contiguous()] * x.movedim(1, -1).is_contiguous()
        assert any(ways)
    gradients = [torch.autograd.grad(y, (x, *leaves), g) for y in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        # A gradient of filters adds up the pixels; one of offsets, the channels and outcomes.
        close(one, other, dtype)


def channels_last(x):
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


@given(samplings(), st.booleans())
@settings(max_examples=40)
def test_it_is_the_definition(pattern, is_channels_last):
    x, g = images(pattern)
    check_is_the_definition(pattern, channels_last(x) if is_channels_last else x, g)


@pytest.mark.parametrize("layout", [torch.clone, channels_last])
@pytest.mark.parametrize("left_out", [(), ("weights",), ("filters",), ("weights", "filters")])
def test_it_is_the_definition_in_single_precision(layout, left_out):
    pattern = replace(convolution(), **dict.fromkeys(left_out))
    x, g = (each.float() for each in images(pattern))
    check_is_the_definition(pattern, layout(x), g)


@given(samplings())
@settings(max_examples=12)
def test_second_derivatives_are_those_of_the_definition(pattern):
    pattern, leaves = with_leaves(pattern)
    x, g = (each.requires_grad_() for each in images(pattern))
    found = []
    for y in (sample(x, pattern), _definition.sampled(x, pattern)):
        gradients = torch.autograd.grad(y, (x, *leaves), g, create_graph=True)
        total = sum(each.square().sum() for each in gradients)
        found.append(torch.autograd.grad(total, (x, g, *leaves), allow_unused=True, materialize_grads=True))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("needs", [(0,), (1,), (2,), (3,), (0, 3), (1, 2)])
def test_only_what_is_asked_for_is_differentiated(needs):
    """Each alone has the gradient that it has among all."""
    pattern = convolution(dtype=torch.float64)
    x, g = images(pattern)
    parts = [x, pattern.offsets, pattern.weights, pattern.filters]

    def gradients(chosen):
        leaves = [each.clone().requires_grad_(n in chosen) for n, each in enumerate(parts)]
        y = replace(pattern, offsets=leaves[1], weights=leaves[2], filters=leaves[3]).apply(leaves[0])
        y.backward(g)
        return [each.grad for each in leaves]

    found, everything = gradients(needs), gradients(range(4))
    assert [n for n, each in enumerate(found) if each is not None] == list(needs)
    for n in needs:
        close(found[n], everything[n])


def test_strided_images_offsets_and_gradients():
    pattern = convolution(dtype=torch.float64)
    x, g = images(pattern)
    wide = torch.stack([x, x + 1], -1)[..., 0]
    spread = replace(pattern, offsets=torch.stack([pattern.offsets, pattern.offsets + 1], -1)[..., 0])
    assert not wide.is_contiguous()
    assert not spread.offsets.is_contiguous()
    close(spread.apply(wide), pattern.apply(x))
    one, other = (each.clone().requires_grad_() for each in (x, x))
    pattern.apply(one).backward(g)
    pattern.apply(other).backward(torch.stack([g, g + 1], -1)[..., 0])
    close(one.grad, other.grad)
    third = x.clone().requires_grad_()
    pattern.apply(third).sum().backward()
    assert torch.isfinite(third.grad).all()


def test_groups_stand_by_themselves():
    """Two groups of filters are two patterns of half the channels."""
    whole = convolution(dtype=torch.float64)
    halved = replace(whole, filters=whole.filters[:, :2].contiguous())
    x, _ = images(whole)
    parts = [
        SamplingPattern(
            whole.size, 2, whole.offsets[:, fields], Lattice(whole.lattice.spacing, whole.lattice.origins[:9]), 9,
            whole.weights[:, fields], halved.filters[rows],
        ).apply(x[:, columns])
        for fields, rows, columns in (
            (slice(0, 9), slice(0, 3), slice(0, 2)), (slice(9, 18), slice(3, 6), slice(2, 4)),
        )
    ]  # fmt: skip
    close(halved.apply(x), torch.cat(parts, 1))


# ---- memory


def held(pattern, x):
    """Return what a call holds on to for its backward pass, in bytes, by storage."""
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.update(size(each)) or each, lambda each: each):
        y = pattern.apply(x)
    return y, kept


def size(tensor):
    storage = tensor.untyped_storage()
    return {storage.data_ptr(): storage.nbytes()}


@pytest.mark.parametrize("taps", [4, 9, 16])
def test_training_holds_on_to_the_inputs_alone(taps):
    """Not to samples, of which there are as many for each tap as the image has values."""
    pattern, _ = with_leaves(convolution(taps=taps), torch.float32)
    x = images(pattern)[0].float().requires_grad_()
    y, kept = held(pattern, x)
    steps = pattern.steps()
    inputs = sum(each.numel() * 4 for each in (x, steps, pattern.weights, pattern.filters))
    assert sum(kept.values()) <= inputs
    y.sum().backward()
    plain = _definition.sampled
    with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.update(size(each)) or each, lambda each: each):
        plain(x, pattern)
    # The definition holds on to the samples of all taps: what is asked above can be told.
    assert sum(kept.values()) > inputs + taps * 4 * x.numel()


@pytest.mark.parametrize("taps", [1, 4, 25])
def test_samples_of_one_tap_are_held_at_a_time(taps, monkeypatch):
    """When those of the next are taken, forward and backward; and none between the two."""
    made, alive, read = [], [], _definition.read

    def counted(*arguments):
        alive.append(living())
        found = read(*arguments)
        made.append(weakref.ref(found))
        return found

    def living():
        return sum(each() is not None for each in made)

    monkeypatch.setattr(_definition, "read", counted)
    monkeypatch.setattr(_blocks, "applies", lambda *_: False)  # whose loops hold a block of pixels
    pattern, _ = with_leaves(convolution(taps=taps), torch.float32)
    x = images(pattern)[0].float().requires_grad_()
    y = pattern.apply(x)
    assert living() == 0
    y.sum().backward()
    assert living() == 0
    assert len(alive) == 2 * taps
    assert max(alive) <= 1


# ---- edges


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    """Rounded to the dtype's digits of the largest value, and float32 gradients of float32 tensors."""
    pattern, leaves = with_leaves(convolution(), torch.float32)
    x = images(pattern)[0].float().requires_grad_()
    with torch.autocast("cpu", dtype):
        found = pattern.apply(x)
    expected = pattern.apply(x).detach()
    assert float((found.detach() - expected).abs().max() / expected.abs().max()) < 20 * torch.finfo(dtype).eps
    found.float().square().sum().backward()
    assert all(each.grad.dtype == torch.float32 for each in (x, *leaves))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_images(dtype):
    """The outcome is empty, and still hangs on everything."""
    pattern, leaves = with_leaves(convolution(batch=0, dtype=dtype), dtype)
    x = torch.zeros(0, *pattern.input_shape, dtype=dtype, requires_grad=True)
    y = pattern.apply(x)
    assert y.shape == (0, 6, 8, 8)
    assert y.dtype == dtype
    y.sum().backward()
    assert all(each.grad.shape == each.shape and not each.grad.any() for each in (x, *leaves))
    assert pattern.adjoint(y.detach()).shape == x.shape
    assert pattern.matrix().shape == (0, pattern.outputs, pattern.inputs)
