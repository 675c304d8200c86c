"""Whatever the input: a clear error or the documented result; never a crash, never a read out of bounds.

The fast backend is compared with the float64 reference, which reads through torch's checked indexing:
a value from outside an image would differ. A few hundred cases run in `make test`, ten thousand in
`make test-slow`.
"""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import warptheory as wt
from tests.warping.cases import (
    BOUNDARIES,
    Case,
    forward_tolerance,
    image_gradient_tolerance,
    offset_gradient_tolerance,
)
from warptheory.core.errors import ArgumentError

HOSTILE = (math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31, -(2.0**63), 2.0**30, 1e-45, -0.0, 16_777_217.0)
LAYOUTS = ("contiguous", "channels last", "transposed", "strided", "expanded batch", "expanded channels", "offset")


def lay_out(values, layout):
    if layout == "channels last":
        return values.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "transposed":
        return values.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "strided":
        return values.repeat_interleave(3, dim=-1)[..., 1::3]
    if layout == "expanded batch" and len(values):
        return values[:1].expand_as(values)
    if layout == "expanded channels":
        return values[:, :1].expand_as(values)
    if layout == "offset":
        return torch.cat([torch.full((7,), math.nan, dtype=values.dtype), values.flatten()])[7:].view_as(values)
    return values


@st.composite
def hostile_cases(draw):
    dim = draw(st.integers(1, 3))
    axis = st.integers(1, 40 if dim == 1 else 9)
    size, grid = draw(st.tuples(*[axis] * dim)), draw(st.tuples(*[axis] * dim))
    batch, groups = draw(st.integers(0, 3)), draw(st.integers(1, 2))
    channels = groups * draw(st.sampled_from([1, 2, 3, 5, 8, 17]))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(batch, channels, *size, generator=generator).to(dtype)
    g = torch.randn(batch, channels, *grid, generator=generator).to(dtype)
    offsets = draw(st.sampled_from([0.0, 0.5, 4.0, 1e3])) * torch.randn(batch, groups, dim, *grid, generator=generator)
    share = draw(st.sampled_from([0.0, 0.1, 1.0]))
    poison = torch.tensor(HOSTILE)[torch.randint(0, len(HOSTILE), offsets.shape, generator=generator)]
    offsets = torch.where(torch.rand(offsets.shape, generator=generator) < share, poison, offsets).to(dtype)
    layouts = [draw(st.sampled_from(LAYOUTS)) for _ in range(2)]
    x, g = (lay_out(values, layout) for values, layout in zip((x, g), layouts, strict=True))
    if draw(st.booleans()):
        offsets = offsets.movedim(2, -1).contiguous().movedim(-1, 2)
    needs = draw(st.sampled_from([(True, True), (True, False), (False, True), (False, False)]))
    return (
        Case(x, offsets, g),
        draw(st.sampled_from(BOUNDARIES)),
        draw(st.sampled_from(["right", "central"])),
        needs,
    )


def run(case, boundary, knot, needs, backend):
    """Run forward, both backward passes and the splat; what is not needed is None."""
    x, offsets = case.x.detach(), case.offsets.detach()
    x.requires_grad_(needs[0])
    offsets.requires_grad_(needs[1])
    y = wt.warp(x, offsets, boundary=boundary, knot=knot, backend=backend)
    found = torch.autograd.grad(y, [t for t in (x, offsets) if t.requires_grad], case.g) if any(needs) else ()
    return [y.detach(), *found]


def check(case, boundary, knot, needs):
    truth = run(case.to(torch.float64), boundary, knot, needs, "reference")
    found = run(case, boundary, knot, needs, None)
    assert [value.shape for value in found] == [value.shape for value in truth]
    if not case.x.numel():
        return
    dim = case.offsets.shape[2]
    tolerances = [forward_tolerance(case, dim)]
    tolerances += [image_gradient_tolerance(case, dim)] if needs[0] else []
    tolerances += [offset_gradient_tolerance(case, dim)] if needs[1] else []
    for mine, true, tolerance in zip(found, truth, tolerances, strict=True):
        assert torch.isfinite(mine).all()
        assert (mine.double() - true).abs().max() <= tolerance.absolute


@given(hostile_cases())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_some_hundred_hostile_cases(case):
    check(*case)


@pytest.mark.slow
@given(hostile_cases())
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_ten_thousand_hostile_cases(case):
    check(*case)


@pytest.mark.parametrize("value", [math.nan, math.inf, 3e38, -3e38])
@pytest.mark.parametrize("channels_last", [False, True])
def test_images_that_are_not_finite(channels_last, value):
    """A NaN or an infinity reaches what reads it, and nothing else; overflow is the arithmetic's."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 9, 12, 12, generator=generator)
    x[:, :, 5, 5] = value
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    offsets = torch.rand(1, 2, 12, 12, generator=generator) * 2 - 1
    found = wt.warp(x, offsets)
    expected = wt.warp(x, offsets, backend="reference")
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-5, atol=1e-5)
    assert torch.isfinite(found[..., 8:, 8:]).all()


def test_half_precision_on_the_cpu_is_computed_in_single():
    """The documented result: the dtype of x, rounded once from float32 arithmetic."""
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.randn(1, 3, 8, 8, generator=generator).to(dtype)
        offsets = torch.randn(1, 2, 8, 8, generator=generator).to(dtype)
        assert wt.warping.backend(x, offsets).name == "reference"
        found = wt.warp(x, offsets)
        exact = wt.warp(x.double(), offsets.double())
        assert found.dtype == dtype
        unit = torch.finfo(dtype).eps / 2
        torch.testing.assert_close(found.double(), exact, rtol=unit * 1.01, atol=1e-6)


@pytest.mark.usefixtures("as_users_call")
def test_mixed_devices_are_refused():
    x, offsets = torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4, device="meta")
    with pytest.raises(ArgumentError, match=r"^offsets: expected device cpu, as in x, got device meta$"):
        wt.warp(x, offsets)


@pytest.mark.parametrize("channels", [0, 3])
def test_empty_batches_and_channels(channels):
    """Also backward: gradients of empty images are empty, those of offsets zero."""
    for batch in (0, 2):
        x = torch.zeros(batch, channels, 4, 5, requires_grad=True)
        offsets = torch.zeros(batch, 2, 6, 7, requires_grad=True)
        y = wt.warp(x, offsets)
        assert y.shape == (batch, channels, 6, 7)
        y.sum().backward()
        assert x.grad.shape == x.shape
        assert torch.equal(offsets.grad, torch.zeros_like(offsets))
        assert wt.splat(y.detach(), offsets.detach(), (4, 5)).shape == x.shape
        assert wt.warp_gradient(x, offsets).shape == (batch, channels, 2, 6, 7)
