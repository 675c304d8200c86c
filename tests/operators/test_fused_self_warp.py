"""Head and warp in one pass, against the two one after the other: the same, to the last bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from warptheory import stability
from warptheory.core.errors import UnknownNameError
from warptheory.operators import SelfWarp2d, _fused_self_warp, _thin_convolution, self_warp
from warptheory.operators._offset_transform import OffsetTransform
from warptheory.operators._thin_convolution import ThinConvolution2d

LAYOUTS = {"channels-last": torch.channels_last, "planes": torch.contiguous_format}


@pytest.fixture(autouse=True)
def loops_for_any_size(monkeypatch):
    """Let small images take the loops too."""
    monkeypatch.setattr(_thin_convolution, "_FEW_PRODUCTS", 1)


@pytest.fixture
def calls(monkeypatch):
    """Whether each call of a layer was fused, in order."""
    found = []

    def fused_self_warp(*arguments):
        y = _fused_self_warp.fused_self_warp(*arguments)
        found.append(y is not None)
        return y

    monkeypatch.setattr(self_warp, "fused_self_warp", fused_self_warp)
    return found


def without_fusion(call, *arguments):
    """Return what a function returns while head and warp run one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(self_warp, "fused_self_warp", lambda *_: None)
        return call(*arguments)


def draw(shape, groups=1, boundary="border", layout="channels-last", seed=0):
    """Return a layer whose offsets are of the size of a pixel, images, and the gradient of what it returns."""
    generator = torch.Generator().manual_seed(seed)
    layer = SelfWarp2d(shape[1], groups, boundary=boundary, head_gain=1.0)
    layer.reset_head(generator)
    layer.head.bias.data.normal_(generator=generator)
    x, g = (
        torch.randn(shape, generator=generator).contiguous(memory_format=LAYOUTS[layout]).requires_grad_(leaf)
        for leaf in (True, False)
    )
    return layer, x, g


def differentiate(layer, x, g):
    """Return the layer's outcome and every gradient."""
    y = layer(x)
    return y, *torch.autograd.grad(y, (x, *layer.head.parameters()), g)


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(
    boundary=st.sampled_from(["zeros", "border", "reflect", "mirror", "periodic"]),
    groups=st.sampled_from([1, 2]),
    shape=st.tuples(st.integers(4, 9), st.sampled_from([2, 6, 16, 40]), st.integers(1, 35), st.integers(1, 35)),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25)
def test_the_same_as_one_after_the_other(layout, boundary, groups, shape, seed):
    layer, x, g = draw(shape, groups, boundary, layout, seed)
    found = differentiate(layer, x, g)
    assert_equal(found, without_fusion(differentiate, layer, x, g))
    with torch.no_grad():
        assert torch.equal(layer(x), found[0])


@pytest.mark.usefixtures("every_call_takes_threads")
def test_any_number_of_threads_gives_the_same(calls):
    layer, x, g = draw((9, 16, 32, 32))
    found = []
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            found.append(differentiate(layer, x, g))
    finally:
        torch.set_num_threads(1)
    assert calls == [True] * 4
    for other in found[1:]:
        assert_equal(found[0], other)


@pytest.mark.parametrize("frozen", ["x", "weight", "bias", "head"])
def test_only_gradients_that_are_needed(calls, frozen):
    layer, x, g = draw((5, 16, 8, 8))
    parameters = dict(layer.head.named_parameters(), x=x)
    _, *expected = without_fusion(differentiate, layer, x, g)
    wanted = dict(zip(("x", "weight", "bias"), expected, strict=True))
    for name in ("weight", "bias") if frozen == "head" else (frozen,):
        parameters[name].requires_grad_(False)
        del wanted[name]
    found = torch.autograd.grad(layer(x), [parameters[name] for name in wanted], g)
    assert calls == [True]
    assert_equal(found, wanted.values())


def test_gradients_of_gradients(calls):
    """Differentiated again, both parts are; what they give agrees to rounding."""
    layer, x, g = draw((4, 6, 7, 8))
    leaves = (x, *layer.head.parameters())

    def twice():
        first = torch.autograd.grad(layer(x), leaves, g, create_graph=True)
        return torch.autograd.grad(sum(each.square().mean() for each in first), leaves)

    found = twice()
    assert calls == [True]
    for one, other in zip(found, without_fusion(twice), strict=True):
        # Sums of some thousand terms in another order, in float32.
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_gradients_of_a_network_of_two_layers(calls):
    """Where the first layer's outcome is the second's input, and is read beside it too."""
    first, x, g = draw((4, 6, 8, 8))
    second, *_ = draw((4, 6, 8, 8), seed=1)

    def gradients():
        y = first(x)
        return torch.autograd.grad(second(y) + y, (x, *first.parameters(), *second.parameters()), g)

    found = gradients()
    assert calls == [True, True]
    assert_equal(found, without_fusion(gradients))


def test_who_asks_for_the_offsets_gets_them(calls):
    """A hook on the field or the head, or options of the field, and nothing is fused; the outcome is the same."""
    layer, x, g = draw((4, 6, 8, 8))
    expected = differentiate(layer, x, g)
    assert calls == [True]
    for module in (layer.field, layer.head):
        seen = []
        handle = module.register_forward_hook(lambda *arguments, seen=seen: seen.append(arguments[2]))
        assert_equal(differentiate(layer, x, g), expected)
        handle.remove()
        assert torch.equal(seen[0].flatten(), layer.offsets(x).flatten())
    assert calls == [True, False, False]
    for option in ({"scale": 0.5}, {"smoothing": 1.0}, {"lipschitz": 0.5}, {"gradient_scale": 0.5}):
        SelfWarp2d(6, **option)(x)
    assert calls == [True] + [False] * 6


def test_other_calls_are_not_fused(calls, monkeypatch):
    """Other kernels, dtypes, few images, views with gaps, a forced backend, a trace, forward mode."""
    layer, x, _ = draw((4, 6, 8, 8))
    wide = SelfWarp2d(6).double()
    SelfWarp2d(6, kernel="keys")(x)
    wide(x.double())
    layer(x[:1])
    layer(x[:, :, ::2])
    with torch.autocast("cpu", torch.bfloat16):
        layer(x)
    with torch.autograd.forward_ad.dual_level():
        layer(x)
    monkeypatch.setenv("WARPTHEORY_BACKEND", "reference")
    layer(x)
    assert not any(calls)
    monkeypatch.delenv("WARPTHEORY_BACKEND")
    layer(x)
    assert calls[-1]


def test_checkpoints_under_a_monitor():
    """The second forward pass runs while nobody listens; it saves what the first saved."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.warp = draw((4, 6, 8, 8))[0]

        def forward(self, x):
            return checkpoint(self.warp, x, use_reentrant=False)

    block, (_, x, g) = Block(), draw((4, 6, 8, 8))
    with stability.monitor(block, interval=1):
        watched = torch.autograd.grad(block(x), x, g)
    assert_equal(watched, torch.autograd.grad(block.warp(x), x, g))


def test_weights_that_are_no_parameters(calls):
    layer, x, g = draw((4, 6, 8, 8))
    leaf = layer.head.weight.detach().clone().requires_grad_()
    del layer.head.weight
    layer.head.weight = 1 * leaf
    layer.head.bias.requires_grad_(False)
    assert torch.autograd.grad(layer(x.detach()), leaf, g)[0].any()
    assert calls == [True]


def test_positions_do_not_move_when_gradients_are_differentiated():
    """Offsets of a whole pixel up to rounding: the slopes on its two sides differ."""
    layer, x, g = draw((4, 16, 8, 8))
    signs = torch.tensor([1.0, -1.0] * 8)[:, None, None]
    x = (0.1 + 0.05 * signs * torch.rand(4, 1, 8, 8)).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.no_grad():
        layer.head.weight.fill_(1 / 14.4)
        layer.head.bias.zero_()
    leaves = (x, *layer.head.parameters())
    once, again = (torch.autograd.grad(layer(x), leaves, g, create_graph=create) for create in (False, True))
    for one, other in zip(again, once, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


def test_what_a_subclass_does_is_done(calls):
    class Still(SelfWarp2d):
        def offsets(self, x):
            return torch.zeros(len(x), 1, 2, *x.shape[2:])

    class NoField(OffsetTransform):
        def forward(self, found):
            return torch.zeros_like(super().forward(found))

    _, x, _ = draw((4, 6, 8, 8))
    still, layer = Still(6, head_gain=1.0), SelfWarp2d(6, head_gain=1.0)
    layer.field = NoField(2)
    for one in (still, layer):
        torch.testing.assert_close(one(x), x, rtol=0, atol=0)
    layer.head, layer.field = ThinConvolution2d(6, 3, 3), OffsetTransform(2)
    with pytest.raises(RuntimeError):
        layer(x)
    assert not any(calls)


def test_an_unknown_boundary_is_still_named():
    layer, x, _ = draw((4, 6, 8, 8))
    layer.boundary = "wrap"
    with pytest.raises(UnknownNameError, match="wrap"):
        layer(x)
