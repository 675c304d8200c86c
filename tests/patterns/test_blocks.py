"""The compiled loops against the definition, tap by tap, and what they promise besides values."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

import warptheory as wt
from tests.warping.cases import half, integer, integer_along_one_axis, mixture, on_the_edge, smooth, white, zero
from warptheory.core.tolerances import rounding
from warptheory.patterns import Lattice, SamplingPattern, _blocks, _definition
from warptheory.warping import boundaries

SIZES = {1: ((19,), (33,)), 2: ((7, 9), (6, 13)), 3: ((4, 5, 3), (3, 2, 7))}


def wild(shape, size, generator):
    """Return NaN, infinities and numbers beyond the integers, among ordinary offsets.

    None is so near the limit of 2³⁰ that it is beyond it by itself, and is not with the place that the definition adds.
    """
    values = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -1e30, -(2.0**31), 2.0**30 - 64, 1e-40])
    chosen = values[torch.randint(0, len(values), shape, generator=generator)]
    return torch.where(torch.rand(shape, generator=generator) < 0.4, chosen, white(shape, size, generator))


# float32 has no digits left for a fraction beside 2³⁰, and the definition none for a whole pixel.
OF_SINGLES = (zero, integer, half, smooth, white)
EVERY_KIND = (*OF_SINGLES, integer_along_one_axis, on_the_edge, wild)


@dataclass(frozen=True)
class Case:
    """A pattern, an image for it, and a gradient of its outcome."""

    x: torch.Tensor
    pattern: SamplingPattern
    g: torch.Tensor

    def inputs(self):
        found = (self.x, self.pattern.offsets, self.pattern.weights, self.pattern.filters)
        return [each for each in found if each is not None]

    def absolute(self):
        """Return the case whose results are the sums of the absolute values of the terms."""
        weights, filters = (
            None if each is None else each.abs() for each in (self.pattern.weights, self.pattern.filters)
        )
        return Case(self.x.abs(), replace(self.pattern, weights=weights, filters=filters), self.g.abs())


def draw(seed, dtype=torch.float64):
    """Draw a pattern of any dimension, lattice, boundary and layout, with and without weights and filters."""
    generator = torch.Generator().manual_seed(seed)

    def below(n):
        return int(torch.randint(n, (), generator=generator))

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    dim = 2 if dtype == torch.float32 else 1 + seed % 3
    size, grid = SIZES[dim]
    batch, offset_groups, taps = 1 + below(3), 1 + below(3), 1 + below(5)
    groups = (None, 1, 2)[below(3)]
    channels = offset_groups * (16 if groups == 2 else 1 + below(6))
    fields = offset_groups * taps
    pace = [(0.0,) * dim, (1.0,) * dim, (2.0,) * dim, (1.5,) * dim][below(4)]
    origins = torch.randint(-8, 9, (fields, dim), generator=generator) / (4 if pace[0] == 1.5 else 1)
    shape = (batch, fields, dim, *grid)
    offsets = mixture(EVERY_KIND if dtype == torch.float64 else OF_SINGLES, shape, size, generator).to(dtype)
    x, outputs = normal(batch, channels, *size), 16 * groups if groups == 2 else 1 + below(18)
    if below(2):
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    if below(2):  # no stride leads through all pixels
        offsets = offsets.repeat_interleave(2, -1)[..., ::2]
    pattern = SamplingPattern(
        size,
        channels,
        offsets,
        Lattice(pace, tuple(map(tuple, origins.tolist()))),
        taps,
        normal(batch, fields, *grid) if below(2) else None,
        None if groups is None else normal(outputs, channels // groups, taps),
        boundary=boundaries.names()[below(len(boundaries.names()))],
    )
    g = normal(batch, *pattern.output_shape)
    return Case(x, pattern, g if below(2) else g.movedim(1, -1).contiguous().movedim(-1, 1))


def derived(case, sampled):
    inputs = [each.detach().requires_grad_() for each in case.inputs()]
    rest = iter(inputs[2:])
    weights, filters = (None if each is None else next(rest) for each in (case.pattern.weights, case.pattern.filters))
    pattern = replace(case.pattern, offsets=inputs[1], weights=weights, filters=filters)
    y = sampled(inputs[0], pattern)
    return [y.detach(), *torch.autograd.grad(y, inputs, case.g)]


def check(case):
    """Compare values and gradients with the definition's.

    A sum has as many terms as what is sampled, mixed or hit, and the sum of their absolute values is the definition's
    outcome for absolute values. In the offset, slopes of one take the place of weights: the two pixels of an axis
    differ by at most 2 max|x|. Positions count tens of pixels, whose rounding is that many more operations.
    """
    assert _blocks.applies(case.x, case.pattern)
    found, expected = derived(case, wt.patterns.sample), derived(case, _definition.sampled)
    magnitudes = derived(case.absolute(), _definition.sampled)
    ones = replace(case.absolute(), x=torch.full_like(case.x, 2 * float(case.x.abs().max())))
    fields = torch.ones_like(case.pattern.offsets[:, :, 0])
    of_ones = replace(ones, pattern=replace(ones.pattern, weights=fields, boundary="border"))
    largest = 1.0 if case.pattern.weights is None else float(case.pattern.weights.abs().max())
    magnitudes[2] = derived(of_ones, _definition.sampled)[3].unsqueeze(2) * largest
    terms = case.g.numel() + case.x.numel() + case.pattern.taps * math.prod(case.pattern.grid) + 100
    for computed, true, magnitude in zip(found, expected, magnitudes, strict=True):
        tolerance = rounding(case.x.dtype, terms, float(magnitude.abs().max()))
        assert (computed - true).abs().max() <= tolerance.absolute
        assert computed.shape == true.shape


@pytest.mark.parametrize("seed", range(60))
def test_equal_to_the_definition(seed):
    check(draw(seed))


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_the_definition_in_single_precision(seed):
    check(draw(seed, torch.float32))


def test_several_chunks_of_taps_and_blocks_of_pixels():
    """Many channels: fewer than all taps go into one product of matrices; many pixels: an image is cut into shares."""
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randn(1, 9, 2, 30, 35, generator=generator, dtype=torch.float64)
    lattice = Lattice.of_convolution((3, 3), ((1, 1), (1, 1), (1, 1)), 1)
    filters = torch.randn(11, 40, 9, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 40, 30, 35, generator=generator, dtype=torch.float64)
    pattern = SamplingPattern((30, 35), 40, offsets, lattice, 9, filters=filters)
    check(Case(x, pattern, torch.randn(1, 11, 30, 35, generator=generator, dtype=torch.float64)))


def test_offsets_and_weights_that_all_pixels_share():
    """Expanded tensors, whose strides are zero: their gradients are tensors in their own right."""
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randn(1, 4, 2, 1, 1, generator=generator, dtype=torch.float64).expand(3, 4, 2, 5, 6)
    weights = torch.randn(1, 4, 1, 1, generator=generator, dtype=torch.float64).expand(3, 4, 5, 6)
    x = torch.randn(3, 1, 5, 6, generator=generator, dtype=torch.float64)
    for filters in (None, torch.randn(2, 1, 4, generator=generator, dtype=torch.float64)):
        pattern = SamplingPattern((5, 6), 1, offsets, Lattice.unit(2), 4, weights, filters)
        check(Case(x, pattern, torch.randn(3, *pattern.output_shape, generator=generator, dtype=torch.float64)))


@pytest.mark.usefixtures("every_call_takes_threads")
@pytest.mark.parametrize("has_filters", [False, True])
def test_bit_for_bit_the_same_for_any_number_of_threads(has_filters):
    """With images fewer than threads, and with more than there are sums of the filters' gradient."""
    before = torch.get_num_threads()
    for batch in (1, 11):
        generator = torch.Generator().manual_seed(batch)
        offsets = 3 * torch.randn(batch, 4, 2, 40, 31, generator=generator, dtype=torch.float64)
        filters = torch.randn(5, 6, 4, generator=generator, dtype=torch.float64) if has_filters else None
        x = torch.randn(batch, 6, 20, 20, generator=generator, dtype=torch.float64)
        pattern = SamplingPattern((20, 20), 6, offsets, Lattice.unit(2), 4, filters=filters)
        case = Case(x, pattern, torch.randn(batch, *pattern.output_shape, generator=generator, dtype=torch.float64))
        results = []
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(derived(case, wt.patterns.sample))
        finally:
            torch.set_num_threads(before)
        for other in results[1:]:
            assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (3,), (0, 3), (1, 2)])
def test_gradients_that_nobody_asks_for_change_no_other(wanted):
    case = draw(4)
    assert len(case.inputs()) == 4
    every = derived(case, wt.patterns.sample)[1:]
    inputs = [each.detach().requires_grad_(number in wanted) for number, each in enumerate(case.inputs())]
    pattern = replace(case.pattern, offsets=inputs[1], weights=inputs[2], filters=inputs[3])
    y = pattern.apply(inputs[0])
    found = torch.autograd.grad(y, [inputs[number] for number in wanted], case.g)
    tolerance = rounding(torch.float64, 1000, float(torch.stack([each.abs().max() for each in every]).max()))
    for number, gradient in zip(wanted, found, strict=True):
        assert (gradient - every[number]).abs().max() <= tolerance.absolute


def test_results_lie_as_the_image_does():
    offsets, filters = torch.zeros(2, 4, 2, 5, 6), torch.ones(7, 3, 4)
    for channels_last in (False, True):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        x = torch.randn(2, 3, 5, 6).to(memory_format=layout).requires_grad_()
        y = SamplingPattern((5, 6), 3, offsets, Lattice.unit(2), 4, filters=filters).apply(x)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert y.is_contiguous(memory_format=layout)
        assert gradient.is_contiguous(memory_format=layout)


def test_no_sample_of_all_taps_is_ever_held():
    """All that torch allocates in forward and backward pass together is less than the samples of all taps."""
    x = torch.randn(2, 16, 48, 48, requires_grad=True)
    offsets = torch.randn(2, 9, 2, 48, 48, requires_grad=True)
    filters = torch.randn(16, 16, 9, requires_grad=True)
    pattern = SamplingPattern((48, 48), 16, offsets, Lattice.unit(2), 9, filters=filters)
    pattern.apply(x).sum().backward()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        pattern.apply(x).sum().backward()
    allocated = sum(max(event.self_cpu_memory_usage, 0) for event in profile.events())
    assert 0 < allocated < 9 * x.numel() * x.element_size()


REFUSED = {
    "another kernel": ({"kernel": "keys"}, {}),
    "the other derivative at knots": ({"knot": "central"}, {}),
    "places far away": ({"lattice": Lattice((1.0, 1.0), ((2.0**30, 0.0),))}, {}),
    "a place that is none": ({"lattice": Lattice((1.0, 1.0), ((math.nan, 0.0),))}, {}),
    "few channels of many groups": ({"filters": torch.ones(6, 2, 4, dtype=torch.float64)}, {}),
    "another backend": ({}, {"WARPTHEORY_BACKEND": "reference"}),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_the_loops_cannot_take_goes_tap_by_tap(reason, monkeypatch):
    changes, environment = REFUSED[reason]
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randn(1, 4, 2, 5, 6, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 6, 5, 6, generator=generator, dtype=torch.float64)
    plain = SamplingPattern((5, 6), 6, offsets, Lattice.unit(2), 4, filters=torch.ones(6, 6, 4, dtype=torch.float64))
    assert _blocks.applies(x, plain)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pattern = replace(plain, **changes)
    assert not _blocks.applies(x, pattern)
    case = Case(x, pattern, torch.ones(1, *pattern.output_shape, dtype=torch.float64))
    for found, expected in zip(derived(case, wt.patterns.sample), derived(case, _definition.sampled), strict=True):
        torch.testing.assert_close(found, expected, equal_nan=True)


def test_free_places_of_another_kernel_have_the_gradient_of_their_own_grid():
    """Without loops, pixels without places of their own are warped on a folded grid; the gradient is unfolded."""
    generator = torch.Generator().manual_seed(0)
    offsets = 6 * torch.rand(2, 2, 2, 1, 23, generator=generator, dtype=torch.float64)
    x = torch.randn(2, 3, 7, 8, generator=generator, dtype=torch.float64)
    pattern = SamplingPattern((7, 8), 3, offsets, Lattice.free(2), 2, kernel="keys")
    case = Case(x, pattern, torch.randn(2, 3, 1, 23, generator=generator, dtype=torch.float64))
    for found, expected in zip(derived(case, wt.patterns.sample), derived(case, _definition.sampled), strict=True):
        torch.testing.assert_close(found, expected)


def test_second_derivatives_are_those_of_the_definition():
    generator = torch.Generator().manual_seed(0)
    lattice = Lattice.of_convolution((2, 1), ((1, 1), (0, 0), (1, 1)), 1)
    x = torch.randn(1, 2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    offsets = torch.rand(1, 2, 2, 3, 4, generator=generator, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_()
    weights = torch.rand(1, 2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(3, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)

    def function(x, offsets, weights, filters):
        return SamplingPattern((3, 4), 2, offsets, lattice, 2, weights, filters).apply(x)

    assert torch.autograd.gradcheck(function, (x, offsets, weights, filters))
    assert torch.autograd.gradgradcheck(function, (x, offsets, weights, filters))
