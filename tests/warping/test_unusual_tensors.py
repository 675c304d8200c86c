"""Tensors that are not plain numbers in memory, odd strides, modes and other kernels of a known name."""

import pytest
import sympy as sp
import torch

import warptheory as wt
from tests.warping.cases import make_case
from warptheory.core.errors import ArgumentError
from warptheory.kernels import POSITION, Piece, PiecewiseKernel
from warptheory.warping.engines.cpu import linear

PREFILTERED = "bspline3(prefilter=True)"
SMALL = {"size": (6, 7), "grid": (6, 7)}


def agree(call):
    found, expected = call("cpu"), call("reference")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # tens of float32 roundings of numbers near one


@pytest.mark.parametrize("groups", [1, 2])
def test_a_last_axis_of_length_one_may_have_any_stride(groups):
    g = torch.randn(1, 64, 4).permute(0, 2, 1).unsqueeze(-1)
    odd = g.as_strided(g.shape, (256, 1, 4, 10**9))
    offsets = torch.randn(1, groups, 2, 64, 1)
    for values in (g, odd):
        agree(lambda backend, values=values: wt.splat(values, offsets, backend=backend))
        agree(
            lambda backend, values=values: torch.autograd.functional.vjp(
                lambda x: wt.warp(x, offsets, backend=backend).square(), values, torch.ones(g.shape)
            )[1]
        )


def test_numbers_that_torch_negates_when_they_are_read():
    case = make_case(2, channels=4, **SMALL)
    negated = torch._neg_view(case.x)
    agree(lambda backend: wt.warp(negated, case.offsets, backend=backend))
    agree(lambda backend: wt.splat(torch._neg_view(case.g), case.offsets, backend=backend))
    imaginary = torch.randn(2, 1, 2, 6, 7, dtype=torch.complex64).conj().imag
    agree(lambda backend: wt.warp(case.x, imaginary, backend=backend))


def test_gradients_through_complex_numbers():
    case = make_case(2, channels=4, **SMALL)
    weights = torch.randn(case.g.shape, dtype=torch.complex64)

    def gradients(backend):
        x, offsets = case.x.clone().requires_grad_(), case.offsets.clone().requires_grad_()
        y = wt.warp(x, offsets, backend=backend)
        (torch.complex(case.g, y).conj() * weights).real.sum().backward()
        return x.grad, offsets.grad

    agree(gradients)


def test_zeros_without_storage():
    case = make_case(2, channels=4, **SMALL)
    found = wt.warp(torch._efficientzerotensor(case.x.shape), case.offsets, backend="cpu")
    assert torch.equal(found, torch.zeros(case.g.shape))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_batched_gradients(backend):
    case = make_case(2, channels=4, **SMALL)
    x, offsets = case.x.clone().requires_grad_(), case.offsets.clone().requires_grad_()
    y = wt.warp(x, offsets, backend=backend)
    several = torch.randn(3, *y.shape)
    together = torch.autograd.grad(y, (x, offsets), several, is_grads_batched=True, retain_graph=True)
    for number, g in enumerate(several):
        one = torch.autograd.grad(y, (x, offsets), g, retain_graph=True)
        for part, expected in zip(together, one, strict=True):
            torch.testing.assert_close(part[number], expected, rtol=1e-5, atol=1e-5)


def test_empty_batches_under_vmap():
    found = torch.func.vmap(lambda x: wt.warp(x, torch.zeros(0, 2, 5, 4)))(torch.zeros(3, 0, 2, 5, 4))
    assert found.shape == (3, 0, 2, 5, 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.usefixtures("as_users_call")  # sizes are tensors while torch traces
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_jit_trace_holds_the_operator(backend):
    case = make_case(2, channels=4, **SMALL)
    traced = torch.jit.trace(lambda x, offsets: wt.warp(x, offsets, backend=backend), (case.x, case.offsets))
    torch.testing.assert_close(traced(2 * case.x, case.offsets), 2 * wt.warp(case.x, case.offsets))


def test_images_too_large_for_the_kernels_are_left_to_the_reference():
    g, offsets = torch.ones(1, 3, 4, 4), torch.zeros(1, 1, 2, 4, 4)
    assert linear.unsupported(g, offsets, (4, 4)) is None
    assert "too large" in linear.unsupported(g, offsets, (27_000, 10_000))
    spread_out = torch.ones(1, 1, 1, 1).expand(1, 3, 27_000, 10_000)
    assert "too large" in linear.unsupported(spread_out, offsets)


def own(name, factor):
    piece = Piece(sp.Integer(0), sp.Integer(1), factor * POSITION)
    return PiecewiseKernel(name=name, pieces=(piece,), reproduces=-1, source="this test")


def test_kernels_with_the_same_hash_are_told_apart():
    first, second = own("own", sp.Integer(-1)), own("own", sp.Integer(-2))
    assert hash(first) == hash(second)  # sympy's Integer(-1) and Integer(-2), as Python's
    x, offsets = torch.arange(5.0).reshape(1, 1, 5), torch.full((1, 1, 5), 0.25)
    torch.testing.assert_close(wt.warp(x, offsets, second), 2 * wt.warp(x, offsets, first))


def test_another_kernel_named_linear_is_not_the_linear_kernel():
    x, offsets, kernel = torch.arange(5.0).reshape(1, 1, 5), torch.full((1, 1, 5), 0.25), own("linear", sp.Integer(1))
    assert torch.equal(wt.warp(x, offsets, kernel), wt.warp(x, offsets, kernel, backend="reference"))
    assert not torch.allclose(wt.warp(x, offsets, kernel), wt.warp(x, offsets))
    assert "any compact kernel" in wt.warping.backend(x, offsets, kernel).reason


def test_a_prefilter_first_met_in_inference_mode_can_be_trained_with_later():
    size = (13, 17)
    x, offsets = torch.rand(1, 1, *size, dtype=torch.float64), torch.zeros(1, 2, *size, dtype=torch.float64)
    with torch.inference_mode():
        wt.warp(x, offsets, PREFILTERED)
    wt.warp(x.requires_grad_(), offsets, PREFILTERED).sum().backward()
    assert x.grad is not None


def test_a_prefilter_first_met_with_another_default_device():
    size = (11, 19)
    with torch.device("meta"):
        wt.warp(torch.rand(1, 1, *size), torch.rand(1, 2, *size), PREFILTERED)
    x = torch.rand(1, 1, *size)
    torch.testing.assert_close(wt.warp(x, torch.zeros(1, 2, *size), PREFILTERED), x, rtol=1e-5, atol=1e-5)


def test_a_prefilter_keeps_precision_under_autocast_and_channels_last():
    x = torch.rand(2, 3, 14, 14).contiguous(memory_format=torch.channels_last)
    offsets = torch.rand(2, 2, 14, 14)
    expected = wt.warp(x, offsets, PREFILTERED)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = wt.warp(x, offsets, PREFILTERED)
    assert torch.equal(found, expected)
    assert expected.is_contiguous(memory_format=torch.channels_last)
    assert wt.splat(x, offsets, kernel=PREFILTERED).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("as_users_call")
def test_a_size_that_is_a_number_is_a_clear_error():
    offsets = torch.zeros(1, 1, 4)
    for call in (wt.warping.hit_counts, wt.warping.warp_matrix):
        with pytest.raises(ArgumentError, match=r"^size: expected 1 positive integers, got 4"):
            call(offsets, size=4)


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (1, 3, 4, 5, 6), (1, 4, 2, 5, 5)])
def test_backend_of_offsets_alone(shape):
    assert wt.warping.backend(offsets=torch.zeros(shape)).name == "cpu"


def test_volumes_whose_lines_do_not_fit_the_scratch():
    """A line of a volume is a plane; a large one is not staged, and costs no plan of its own."""
    case = make_case(3, "smooth", batch=1, channels=5, size=(3, 200, 210), grid=(3, 200, 210))
    agree(lambda backend: wt.warp(case.x, case.offsets, backend=backend))


def test_function_modes_see_a_warp_as_they_see_functions_of_torch():
    class Mode(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    case, seen = make_case(2, channels=4, **SMALL), []
    expected = wt.warp(case.x, case.offsets, "keys", "border", knot="central")
    with Mode():
        found = wt.warp(case.x, case.offsets, "keys", "border", knot="central")
    assert seen.count(wt.warp) == 1
    assert torch.equal(found, expected)
