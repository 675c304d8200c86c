"""The derivative at knots, on every backend: right-hand, or the mean of both sides.

Offsets at zero and at integers are where networks start (result A10), and where random test offsets
never are.
"""

import functools
import itertools

import pytest
import torch

import warptheory as wt
from tests.warping.cases import TILES, make_case
from tests.warping.test_backends import FAST, NEEDS_TRITON
from warptheory import kernels
from warptheory.core.tolerances import rounding

SPLINE = "bspline3(prefilter=True)"
BACKENDS = ["reference", *FAST]
# One-sided differences of a piecewise linear function are exact but for rounding, ε·|y|/step.
STEP = 2.0**-6


def offset_gradient(case, knot, backend, boundary="zeros"):
    offsets = case.offsets.clone().requires_grad_()
    wt.warp(case.x, offsets, boundary=boundary, knot=knot, backend=backend).backward(case.g)
    return offsets.grad


def one_sided(case, axis, step, boundary):
    """Difference quotient of ⟨g, Wx⟩ per pixel of offset along an axis, in float64."""
    case = case.to(torch.float64)
    moved = case.offsets.clone()
    moved[:, :, axis] += step
    pair = [wt.warp(case.x, offsets, boundary=boundary, backend="reference") for offsets in (moved, case.offsets)]
    per_channel = case.g * (pair[0] - pair[1]) / step
    return per_channel.unflatten(1, (case.offsets.shape[1], -1)).sum(2)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dim", [1, 2])
def test_both_rules_against_one_sided_differences(dim, backend):
    """At zero, at whole pixels and on the edge."""
    for boundary in ("zeros", "reflect", "mirror"):
        case = make_case(dim, "on_knots", batch=1, channels=6, groups=2, grid=TILES[dim])
        tolerance = rounding(torch.float32, operations=60, magnitude=float(6 * case.g.abs().max() * case.x.abs().max()))
        right, central = (offset_gradient(case, knot, backend, boundary) for knot in ("right", "central"))
        for axis in range(dim):
            above, below = (one_sided(case, axis, step, boundary) for step in (STEP, -STEP))
            torch.testing.assert_close(right[:, :, axis].double(), above, rtol=0, atol=tolerance.absolute)
            torch.testing.assert_close(
                central[:, :, axis].double(), (above + below) / 2, rtol=0, atol=tolerance.absolute
            )


@pytest.mark.parametrize("backend", BACKENDS)
def test_off_the_knots_both_rules_agree(backend):
    case = make_case(2, "smooth")
    right, central = offset_gradient(case, "right", backend), offset_gradient(case, "central", backend)
    tolerance = rounding(torch.float32, operations=40, magnitude=float(4 * case.g.abs().max() * case.x.abs().max()))
    torch.testing.assert_close(right, central, rtol=0, atol=tolerance.absolute)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_knot_along_one_axis_only(channels_last, backend):
    """The other axis keeps its weights, and its own derivative."""
    case = make_case(2, "white", batch=1, channels=20, channels_last=channels_last, grid=TILES[2])
    case.offsets[:, :, 0] = case.offsets[:, :, 0].round()
    right, central = (offset_gradient(case, knot, backend) for knot in ("right", "central"))
    expected = (one_sided(case, 0, STEP, "zeros") + one_sided(case, 0, -STEP, "zeros")) / 2
    tolerance = rounding(torch.float32, operations=120, magnitude=float(20 * case.g.abs().max() * case.x.abs().max()))
    torch.testing.assert_close(central[:, :, 0].double(), expected, rtol=0, atol=tolerance.absolute)
    torch.testing.assert_close(central[:, :, 1], right[:, :, 1], rtol=0, atol=tolerance.absolute)


def test_the_values_by_hand():
    x = torch.tensor([[[0.0, 3.0, 8.0]]])
    zero = torch.zeros(1, 1, 3)
    assert wt.warp_gradient(x, zero, knot="right")[0, 0, 0].tolist() == [3.0, 5.0, -8.0]
    assert wt.warp_gradient(x, zero, knot="central")[0, 0, 0].tolist() == [1.5, 4.0, -1.5]


def test_variances_of_result_a10():
    """White input at zero offsets: 2σ² from the right, σ²/2 in the centre; standard error of a variance σ²√(2/n)."""
    n = 2**16
    x = torch.randn(1, 1, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    zero = torch.zeros(1, 1, n, dtype=torch.float64)
    for knot, variance in (("right", 2.0), ("central", 0.5)):
        found = wt.warp_gradient(x, zero, boundary="periodic", knot=knot)
        # Neighbouring differences correlate by −1/2 at most, which raises the error by less than √2.
        assert found.var().item() == pytest.approx(variance, abs=4 * variance * (4 / n) ** 0.5)


@pytest.mark.parametrize("kernel", ["triangle(1.5)", "keys", "gauss"])
def test_knots_of_other_kernels(kernel):
    """triangle(1.5) has knots at half-integers too; smooth kernels have the same derivative on both sides."""
    x = make_case(1).x.double()
    for fraction in (0.0, 0.5):
        offsets = torch.full((2, 1, x.shape[2]), fraction, dtype=torch.float64)
        values = {shift: wt.warp(x, offsets + shift, kernel, "periodic") for shift in (-1e-6, 0.0, 1e-6)}
        above, below = (values[1e-6] - values[0.0]) / 1e-6, (values[0.0] - values[-1e-6]) / 1e-6
        right = wt.warp_gradient(x, offsets, kernel, "periodic", knot="right")[:, :, 0]
        central = wt.warp_gradient(x, offsets, kernel, "periodic", knot="central")[:, :, 0]
        # One-sided differences: curvature·step/2 and rounding/step, both below 1e-4 of these slopes.
        torch.testing.assert_close(right, above, rtol=0, atol=1e-4)
        torch.testing.assert_close(central, (above + below) / 2, rtol=0, atol=1e-4)


FAR = [sign * (2**power + step) for power in (24, 25, 27, 29) for step in (0, 2 ** (power - 23)) for sign in (1, -1)]
BOTH = [(kernel, backend) for kernel in (*kernels.names(), SPLINE) for backend in ("reference", "cpu")]


def central_derivatives(x, offsets, kernel, backend):
    """First, second and forward-mode derivatives, and those of the splat, all central at knots."""
    call = functools.partial(wt.warp, kernel=kernel, boundary="periodic", knot="central", backend=backend)
    offsets = offsets.requires_grad_()
    y, tangent = torch.func.jvp(functools.partial(call, x), (offsets,), (torch.ones_like(offsets),))
    (first,) = torch.autograd.grad(call(x, offsets).square().sum(), offsets, create_graph=True)
    second = torch.autograd.grad(first.sum(), offsets)[0]
    rule = {"kernel": kernel, "boundary": "periodic", "knot": "central", "backend": backend}
    splatted = wt.splat(x[..., : offsets.shape[2]], offsets, (x.shape[2],), **rule)
    (scattered,) = torch.autograd.grad((splatted * x).sum(), offsets)
    return [y, tangent, first.detach(), second, scattered, wt.warp_gradient(x, offsets.detach(), **rule)]


@pytest.mark.parametrize(("kernel", "backend"), [*BOTH, pytest.param("linear", "triton", marks=NEEDS_TRITON)])
def test_whole_offsets_beyond_the_odd_numbers_of_float32(kernel, backend):
    """Beyond 2²⁴ an offset less one is no float32. Whole periods further, everything is the same, to the last bit."""
    if backend == "cpu" and not kernels.get(kernel).is_compact:
        return
    length = 19
    x = torch.randn(1, 2, length, generator=torch.Generator().manual_seed(0))
    far = torch.tensor([FAR], dtype=torch.float32)[None]
    assert far.flatten().tolist() == FAR  # float32 holds them
    near = torch.tensor([[[offset % length for offset in FAR]]], dtype=torch.float32)
    found, expected = (central_derivatives(x, offsets, kernel, backend) for offsets in (far, near))
    for one, other in zip(found, expected, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    if kernel == "linear":
        after, before = ([x[0, :, (n + offset + step) % length] for n, offset in enumerate(FAR)] for step in (1, -1))
        by_hand = torch.stack([(a - b) / 2 for a, b in zip(after, before, strict=True)], 1)
        torch.testing.assert_close(found[-1][0, :, 0], by_hand)


@pytest.mark.usefixtures("as_users_call")
def test_unknown_rules_are_refused():
    x, zero = torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)
    for operator, knot in itertools.product((wt.warp, wt.warp_gradient, wt.splat), ("left", None)):
        with pytest.raises(wt.core.errors.ArgumentError, match=r"^knot: expected 'right' or 'central', got"):
            operator(x, zero, knot=knot)
