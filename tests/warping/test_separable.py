"""The CPU backend's loop for every compact kernel: what the reference computes, for any derivative, rule and layout."""

import itertools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import warptheory as wt
from tests.warping.cases import BOUNDARIES, TILES, Case, make_case
from tests.warping.test_derivatives import small_case
from tests.warping.test_hostile import hostile_cases
from warptheory import kernels
from warptheory.core.tolerances import rounding
from warptheory.warping import boundaries, reference
from warptheory.warping.engines.cpu import engine, separable
from warptheory.warping.interpolation import Interpolation

KERNELS = ["nearest", "linear", "keys", "bspline3", "lanczos3", "gauss(0.5)", "triangle(1.5)"]
KNOTS = ("right", "central")
DTYPES = (torch.float32, torch.float64)


def derivatives(dim: int) -> list[tuple[int, ...]]:
    """No derivative, every first one, a second one along an axis, and a mixed one."""
    first = [tuple(int(axis == raised) for axis in range(dim)) for raised in range(dim)]
    mixed = [(1,) * 2 + (0,) * (dim - 2)] if dim > 1 else []
    return [(0,) * dim, *first, (0,) * (dim - 1) + (2,), *mixed]


def tolerances(case: Case, size, rule) -> tuple[float, float]:
    """Bound gather and scatter: sums over all taps of products of a value and d weights."""
    interpolation, orders = rule
    taps, weight = 1, 1.0
    for axis, order in enumerate(orders):
        field = case.offsets[:, :, axis]
        along = reference.axis_taps(field, axis, size[axis], interpolation, order)
        found = torch.stack([tap.weight.abs() for tap in along])
        taps *= len(found)
        weight *= float(found.sum(0).max())
    positions = math.prod(case.g.shape[2:])
    operations = taps + 4 * len(orders)
    gathered = rounding(case.x.dtype, operations, weight * float(case.x.abs().max()))
    scattered = rounding(case.x.dtype, operations * positions, weight * float(case.g.abs().flatten(2).sum(2).max()))
    return gathered.absolute, scattered.absolute


def assert_equals_the_reference(case: Case, kernel: str, boundary: str, orders, knot: str) -> None:
    size = case.x.shape[2:]
    rule = (Interpolation(kernels.get(kernel), boundaries.get(boundary), knot), orders)
    close_gather, close_scatter = tolerances(case, size, rule)
    mine, true = (module.gather(case.x, case.offsets, *rule) for module in (separable, reference))
    assert mine.dtype == true.dtype
    torch.testing.assert_close(mine, true, rtol=0, atol=close_gather)
    mine, true = (module.scatter(case.g, case.offsets, size, *rule) for module in (separable, reference))
    torch.testing.assert_close(mine, true, rtol=0, atol=close_scatter)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("turn", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_equals_the_reference(turn, dim, kernel, boundary):
    """Every derivative, on every kind of offsets; sides of knots take turns from rule to rule, precisions by kernel."""
    case = make_case(dim, "every_kind", batch=1, groups=2, grid=TILES[dim])
    for number, orders in enumerate(derivatives(dim)):
        knot = KNOTS[(number + BOUNDARIES.index(boundary) + turn) % 2]
        dtype = DTYPES[(number + KERNELS.index(kernel)) % 2]
        assert_equals_the_reference(case.to(dtype), kernel, boundary, orders, knot)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kernel", ["keys", "triangle(1.5)"])
def test_equals_the_reference_in_three_dimensions(kernel, boundary):
    for orders, knot in (((0, 0, 0), "right"), ((0, 1, 0), "central"), ((1, 0, 1), "right"), ((0, 0, 2), "right")):
        for dtype in DTYPES:
            case = make_case(3, "wild", groups=2).to(dtype)
            assert_equals_the_reference(case, kernel, boundary, orders, knot)


@given(hostile_cases())
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_hundred_hostile_cases(drawn):
    """Any shape, number of groups and channels, layout; axes of one pixel, empty batches, offsets beyond numbers."""
    case, boundary, knot, needs = drawn
    found, expected = [], []
    for backend, results in (("cpu", found), ("reference", expected)):
        x, offsets = case.x.detach().requires_grad_(needs[0]), case.offsets.detach().requires_grad_(needs[1])
        y = wt.warp(x, offsets, "keys", boundary, knot=knot, backend=backend)
        wanted = [tensor for tensor in (x, offsets) if tensor.requires_grad]
        results += [y.detach(), *(torch.autograd.grad(y, wanted, case.g) if wanted else ())]
    # Weights of keys and of its derivative sum to less than three in absolute value.
    largest = 3.0 ** case.offsets.shape[2] * max([1.0, *(float(t.abs().max()) for t in (case.x, case.g) if t.numel())])
    sums = 4 ** case.offsets.shape[2] * (math.prod(case.g.shape[2:]) + case.x.shape[1])
    close = rounding(case.x.dtype, sums, largest**2 * sums).absolute
    for mine, true in zip(found, expected, strict=True):
        assert mine.stride() == true.stride()
        torch.testing.assert_close(mine, true, rtol=0, atol=close)


@pytest.mark.parametrize("knot", KNOTS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_scatter_is_the_adjoint_of_gather(kernel, boundary, knot):
    case = make_case(2, "white", channels=6, groups=3).to(torch.float64)
    for orders in derivatives(2):
        rule = (Interpolation(kernels.get(kernel), boundaries.get(boundary), knot), orders)
        forward = (case.g * separable.gather(case.x, case.offsets, *rule)).sum()
        backward = (case.x * separable.scatter(case.g, case.offsets, case.x.shape[2:], *rule)).sum()
        close = tolerances(case, case.x.shape[2:], rule)[1] * float(case.x.abs().max()) * case.g.shape[:2].numel()
        assert abs(forward - backward) <= close


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_derivatives_of_both_orders_by_differences(dim):
    x, offsets, g = small_case(dim)

    def warp(x, offsets):
        return wt.warp(x, offsets, "keys", "zeros", knot="central", backend="cpu")

    def splat(g, offsets):
        return wt.splat(g, offsets, x.shape[2:], "keys", "zeros", backend="cpu")

    assert gradcheck(warp, (x, offsets), check_forward_ad=True, fast_mode=True)
    assert gradcheck(splat, (g, offsets), check_forward_ad=True, fast_mode=True)
    assert gradgradcheck(warp, (x, offsets), check_fwd_over_rev=True, fast_mode=True)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_pixels_that_are_not_finite(value, boundary):
    """They reach what reads them, and nothing else; what does not exist is not read at all."""
    case = make_case(2, "white", size=(12, 12), grid=(12, 12))
    case.x[:, :, 0, 5] = value
    for offsets in (case.offsets, torch.zeros_like(case.offsets)):
        found, expected = (wt.warp(case.x, offsets, "keys", boundary, backend=name) for name in ("cpu", "reference"))
        torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-5, atol=1e-5)


def results(case: Case) -> list[Tensor]:
    rule = (Interpolation(kernels.get("gauss(0.5)"), boundaries.get("zeros"), "central"), (1, 0))
    return [
        separable.gather(case.x, case.offsets, *rule),
        separable.scatter(case.g, case.offsets, case.x.shape[2:], *rule),
    ]


@pytest.mark.usefixtures("every_call_takes_threads")
def test_bit_for_bit_the_same_for_any_number_of_threads_and_pieces(monkeypatch):
    case = make_case(2, "white", batch=5, groups=2, size=(30, 20), grid=(20, 30))
    expected = results(case)
    before = torch.get_num_threads()
    try:
        for threads, values in itertools.product((1, 2, 3), (1, 40_000)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(separable, "_PIECE_VALUES", values)
            assert all(torch.equal(mine, first) for mine, first in zip(results(case), expected, strict=True))
    finally:
        torch.set_num_threads(before)


def test_the_choice_can_be_forced(monkeypatch):
    case = make_case(2)
    calls = []
    for name, module in (("cpu", separable), ("reference", reference)):
        found = torch.zeros_like(case.g)
        monkeypatch.setattr(module, "gather", lambda *_, name=name, found=found: calls.append(name) or found)
    for backend in ("cpu", "reference", None):
        wt.warp(case.x, case.offsets, "keys", backend=backend)
    # A derivative that the linear kernels lack.
    engine.gather(case.x, case.offsets, Interpolation(kernels.get("linear"), boundaries.get("zeros")), (2, 0))
    wt.warp(case.x.half(), case.offsets.half(), "keys")
    assert calls == ["cpu", "reference", "cpu", "cpu", "reference"]


@pytest.mark.parametrize("channels_last", [False, True])
def test_results_keep_the_layout(channels_last):
    case = make_case(2, channels=8, channels_last=channels_last)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    for found in (wt.warp(case.x, case.offsets, "keys"), wt.splat(case.g, case.offsets, kernel="keys")):
        assert found.is_contiguous(memory_format=memory_format)


def test_a_prefilter_comes_before_the_loop():
    case = make_case(2, "white").to(torch.float64)
    name = "bspline3(prefilter=True)"
    assert wt.warping.backend(case.x, case.offsets, name).name == "cpu"
    found, expected = (wt.warp(case.x, case.offsets, name, "reflect", backend=b) for b in ("cpu", "reference"))
    # The prefilter's inverse enlarges values at most threefold along an axis; the loop sums 16 taps.
    close = rounding(torch.float64, 16 + 8, 9 * float(case.x.abs().max())).absolute
    torch.testing.assert_close(found, expected, rtol=0, atol=close)
