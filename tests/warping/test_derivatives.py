"""Derivatives of every order and direction, of every kernel."""

import functools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

import warptheory as wt
from tests.warping.cases import make_case
from warptheory import kernels
from warptheory.warping import _options

# sinc reads the whole axis, so its images are periodic.
KERNELS = [*kernels.names(), "bspline3(prefilter=True)"]
BACKENDS = dict.fromkeys(("linear", "keys"), ("cpu", "reference"))


def boundary_for(kernel):
    return "reflect" if kernels.get(kernel).is_compact else "periodic"


def small_case(dim, seed=0):
    """Offsets 0.1 pixel and more from integers and half-integers, where kernels have knots."""
    case = make_case(dim, "white", batch=1, channels=2, size=(4, 3, 3)[:dim], grid=(3, 2, 2)[:dim], seed=seed)
    generator = torch.Generator().manual_seed(seed)
    quarters = torch.randint(0, 2, case.offsets.shape, generator=generator) / 2 + 0.25
    wiggle = 0.3 * (torch.rand(case.offsets.shape, generator=generator, dtype=torch.float64) - 0.5)
    offsets = (case.offsets.double().floor() + quarters + wiggle).requires_grad_()
    return case.x.double().requires_grad_(), offsets, case.g.double().requires_grad_()


def every_case() -> list:
    """All kernels on a plane; on a line, where every entry is compared, those that two backends differentiate."""
    line = [pytest.param(1, name, marks=[] if name in BACKENDS else [pytest.mark.slow]) for name in KERNELS]
    return [*line, *((2, name) for name in KERNELS)]


@pytest.mark.parametrize(("dim", "kernel"), every_case())
def test_first_and_second_derivatives(dim, kernel):
    """Backward, forward, backward over backward, forward over backward, against finite differences."""
    x, offsets, g = small_case(dim)
    for backend in BACKENDS.get(kernel, (None,)):
        rule = {"kernel": kernel, "boundary": boundary_for(kernel), "backend": backend}
        gather = functools.partial(wt.warp, **rule)
        scatter = functools.partial(wt.splat, size=x.shape[2:], **rule)
        # The fast mode compares along random directions; in d = 1 every entry is compared.
        fast = dim > 1
        assert gradcheck(gather, (x, offsets), check_forward_ad=True, fast_mode=fast)
        assert gradcheck(scatter, (g, offsets), check_forward_ad=True, fast_mode=fast)
        assert gradgradcheck(gather, (x, offsets), check_fwd_over_rev=True, fast_mode=fast)


def test_second_derivatives_of_the_adjoint_and_in_three_dimensions():
    x, offsets, g = small_case(2)
    scatter = functools.partial(wt.splat, size=x.shape[2:], boundary="border")
    assert gradgradcheck(scatter, (g, offsets), check_fwd_over_rev=True, fast_mode=True)
    x, offsets, _ = small_case(3)
    assert gradcheck(wt.warp, (x, offsets), check_forward_ad=True, fast_mode=True)


@pytest.mark.parametrize("kernel", ["bspline3", "gauss(0.7)"])
def test_third_derivatives(kernel):
    """A gradient of a gradient of a gradient: the table of derivatives is closed."""
    x, offsets, _ = small_case(1)

    def second(offsets):
        y = wt.warp(x.detach(), offsets, kernel, "border").square().sum()
        (first,) = torch.autograd.grad(y, offsets, create_graph=True)
        return torch.autograd.grad(first.square().sum(), offsets, create_graph=True)[0]

    assert gradcheck(second, (offsets,))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_forward_mode_where_grid_sample_raises(backend):
    """Torch 2.13 has no forward-mode derivative of grid_sample, and so no torch.func.hessian."""
    x, offsets, _ = (tensor.detach() for tensor in small_case(2))
    warp = functools.partial(wt.warp, boundary="border", backend=backend)

    def by_grid_sample(offsets):
        return functional.grid_sample(x, offsets.movedim(1, -1), align_corners=False).square().sum()

    def by_warp(offsets):
        return warp(x, offsets).square().sum()

    with pytest.raises(NotImplementedError, match="forward AD"):
        torch.func.jvp(by_grid_sample, (offsets,), (torch.ones_like(offsets),))
    with pytest.raises(NotImplementedError, match="forward AD"):
        torch.func.hessian(by_grid_sample)(offsets)
    value, slope = torch.func.jvp(by_warp, (offsets,), (torch.ones_like(offsets),))
    step = 1e-6
    difference = (by_warp(offsets + step) - by_warp(offsets - step)) / (2 * step)
    # The loss is piecewise quadratic: the central difference errs by rounding alone, ε·|loss|/step.
    assert slope.item() == pytest.approx(difference.item(), abs=10 * 2**-52 * value.item() / step)
    hessian = torch.func.hessian(by_warp)(offsets)
    expected = torch.autograd.functional.hessian(by_warp, offsets)
    torch.testing.assert_close(hessian, expected, rtol=1e-12, atol=1e-12)
    assert hessian.abs().max() > 0


def test_vmap_over_images_offsets_and_gradients():
    case = make_case(2, batch=3)
    x, offsets, _ = case.x.double(), case.offsets.double(), case.g
    both = torch.func.vmap(lambda a, b: wt.warp(a[None], b[None])[0])(x, offsets)
    assert torch.equal(both, wt.warp(x, offsets))
    many = torch.stack([offsets, 2 * offsets], dim=1)
    over_offsets = torch.func.vmap(lambda b: wt.warp(x, b), in_dims=1, out_dims=1)(many)
    assert torch.equal(over_offsets[:, 1], wt.warp(x, 2 * offsets))

    def loss(b, a):
        return wt.warp(a[None], b[None]).square().sum()

    per_image = torch.func.vmap(torch.func.grad(loss))(offsets, x)
    one_by_one = torch.stack([torch.func.grad(loss)(b, a) for a, b in zip(x, offsets, strict=True)])
    assert torch.equal(per_image, one_by_one)
    splats = torch.func.vmap(lambda a, b: wt.splat(a[None], b[None], size=(6, 5))[0])(
        torch.randn(3, 4, *offsets.shape[3:], generator=torch.Generator().manual_seed(0), dtype=torch.float64), offsets
    )
    assert splats.shape == (3, 4, 6, 5)


def test_jacobians_forward_and_backward_agree():
    x, offsets, _ = (tensor.detach() for tensor in small_case(2))
    for wrt in (0, 1):
        forward = torch.func.jacfwd(wt.warp, argnums=wrt)(x, offsets)
        backward = torch.func.jacrev(wt.warp, argnums=wrt)(x, offsets)
        torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-12)


def test_a_kernel_of_ones_own_needs_no_name():
    """A kernel object that is not in the catalogue works, and its derivatives too."""
    linear = kernels.get("linear")
    own = kernels.PiecewiseKernel(name="own", pieces=linear.pieces, reproduces=1, source="here")
    x, offsets, _ = small_case(2)
    assert torch.equal(wt.warp(x, offsets, own, backend="reference"), wt.warp(x, offsets, backend="reference"))
    torch.testing.assert_close(wt.warp(x, offsets, own), wt.warp(x, offsets), rtol=1e-12, atol=1e-12)
    assert gradcheck(lambda a, b: wt.warp(a, b, own), (x, offsets))
    assert _options.kernel_of(_options.kernel_handle(own)) is own
