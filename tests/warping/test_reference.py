"""The operator, of every kernel, against SciPy, torch and dense truth; backends are compared in test_backends."""

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import warptheory as wt
from warptheory import kernels
from warptheory.core.tolerances import rounding
from warptheory.paper.benchmarks.warp import grid_sample  # torch's, with the grid it needs

BOUNDARIES = ("zeros", "border", "reflect", "mirror", "periodic")
SCIPY_MODES = {
    "zeros": "grid-constant",
    "border": "nearest",
    "reflect": "reflect",
    "mirror": "mirror",
    "periodic": "grid-wrap",
}
PAD_MODES = {"zeros": "constant", "border": "edge", "reflect": "symmetric", "mirror": "reflect", "periodic": "wrap"}
SCIPY_ORDERS = {"nearest": 0, "linear": 1, "bspline3": 3}
KERNELS = [name for name in kernels.names() if kernels.get(name).is_compact]
SIZES = {1: (7,), 2: (7, 5), 3: (7, 5, 6)}


def random_case(dim, *, size=None, grid=None, spread=3.0, batch=2, channels=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    size = SIZES[dim] if size is None else size
    x = torch.randn(batch, channels, *size, generator=generator, dtype=dtype)
    offsets = spread * torch.randn(batch, dim, *(grid or size), generator=generator, dtype=dtype)
    return x, offsets


def interpolation_tolerance(dim, x, dtype=torch.float64):
    """2^d products of d + 1 factors and their sum; SciPy forms n + ε first, an error of |p|·u in each fraction."""
    largest = float(x.abs().max())
    return rounding(dtype, operations=40 * 2**dim, magnitude=2**dim * largest)


@pytest.mark.parametrize("kernel", SCIPY_ORDERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_equals_scipy(dim, boundary, kernel):
    x, offsets = random_case(dim, grid=(4, 6, 3)[:dim])
    ours = wt.warp(x, offsets, kernel, boundary)
    lattice = np.stack(np.meshgrid(*map(np.arange, offsets.shape[2:]), indexing="ij"))
    theirs = [
        [
            ndimage.map_coordinates(
                channel.numpy(),
                lattice + shift.numpy(),
                order=SCIPY_ORDERS[kernel],
                mode=SCIPY_MODES[boundary],
                prefilter=False,
            )
            for channel in image
        ]
        for image, shift in zip(x, offsets, strict=True)
    ]
    tolerance = interpolation_tolerance(dim, x)
    np.testing.assert_allclose(ours.numpy(), np.array(theirs), rtol=tolerance.relative, atol=tolerance.absolute)


@pytest.mark.parametrize(("boundary", "padding"), [("zeros", "zeros"), ("border", "border"), ("reflect", "reflection")])
def test_equals_grid_sample(boundary, padding):
    """grid_sample with align_corners=False, whose reflection is ours."""
    x, offsets = random_case(2)
    theirs = grid_sample(x, offsets, mode="bilinear", padding_mode=padding)
    tolerance = interpolation_tolerance(2, x)
    torch.testing.assert_close(
        wt.warp(x, offsets, "linear", boundary), theirs, rtol=tolerance.relative, atol=tolerance.absolute
    )


PREFILTERED = "bspline3(prefilter=True)"
# The filter's response falls by |√3 − 2| a pixel: what lies 45 pixels away is below 2e-26 of it.
FAR = 45


def continued(image, boundary, pixels=FAR):
    """An image with as many pixels around it as numpy continues it by."""
    return np.pad(image, pixels, mode=PAD_MODES[boundary])


@pytest.mark.parametrize("size", [(1,), (2,), (4,), (70,), (1, 1), (7, 5), (30, 24), (3, 1, 2)])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_prefiltered_spline_is_that_of_the_continued_image(boundary, size):
    """SciPy's spline through pixels that numpy has continued, inside, near the edge and outside; and by the matrix."""
    dim, reach = len(size), 8.0
    x, offsets = random_case(dim, size=size, grid=(4, 6, 3)[:dim], batch=1, channels=1)
    offsets = offsets.clamp(-reach, reach)
    lattice = np.stack(np.meshgrid(*map(np.arange, offsets.shape[2:]), indexing="ij")) + offsets[0].numpy()
    pixels = FAR if dim < 3 else 25  # below 1e-14; volumes grow
    around = ndimage.spline_filter(continued(x[0, 0].numpy(), boundary, pixels), order=3, mode="mirror")
    theirs = ndimage.map_coordinates(around, lattice + pixels, order=3, mode="mirror", prefilter=False)
    # The prefilter enlarges rounding threefold an axis at most; SciPy's recursion passes it on for a few pixels.
    bound = (1e-14 if dim < 3 else 1e-13) * 3**dim * (1 + float(x.abs().max()))
    ours = wt.warp(x, offsets, PREFILTERED, boundary)[0, 0]
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=bound)
    single = wt.warp(x.float(), offsets.float(), PREFILTERED, boundary)[0, 0]
    slope = 8 * 3**dim * (1 + float(x.abs().max()))  # of the spline, for offsets are rounded too
    np.testing.assert_allclose(single.numpy(), theirs, rtol=0, atol=2**-24 * 8 * slope)
    matrix = wt.warp_matrix(offsets, size, PREFILTERED, boundary).to_dense()[0]
    np.testing.assert_allclose((matrix @ x.flatten()).numpy(), theirs.flatten(), rtol=0, atol=bound)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dim", [1, 2])
def test_prefiltered_spline_equals_scipy(dim, boundary):
    """SciPy continues by 12 pixels under nearest and grid-constant, and sums mirror images up to 1e-9 on short axes."""
    x, offsets = random_case(dim, size=(30, 24)[:dim], grid=(4, 6)[:dim], batch=1, channels=1, spread=20.0)
    lattice = np.stack(np.meshgrid(*map(np.arange, offsets.shape[2:]), indexing="ij"))
    theirs = ndimage.map_coordinates(
        x[0, 0].numpy(), lattice + offsets[0].numpy(), order=3, mode=SCIPY_MODES[boundary], prefilter=True
    )
    ours = wt.warp(x, offsets, PREFILTERED, boundary)[0, 0]
    # The inverse of the prefilter has norm 3 per axis; beyond 12 pixels is left 2√3 z¹³/(1 − |z|) of it.
    left_out = 2e-7 if boundary in ("zeros", "border") else 1e-13
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=left_out * 3**dim * float(x.abs().max()))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_prefiltered_spline_interpolates(dim, boundary):
    """At integer positions it returns the pixels and, outside, what the boundary rule continues them by."""
    x, _ = random_case(dim)
    grid = tuple(length + 6 for length in x.shape[2:])
    found = wt.warp(x, torch.full((2, dim, *grid), -3.0, dtype=x.dtype), PREFILTERED, boundary)
    expected = np.pad(x.numpy(), [(0, 0), (0, 0)] + [(3, 3)] * dim, mode=PAD_MODES[boundary])
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-14 * 3**dim * float(x.abs().max()))


@pytest.mark.parametrize(("boundary", "outside"), [("border", (1.0, 7.0)), ("zeros", (0.0, 0.0))])
def test_the_prefiltered_spline_outside_by_hand(boundary, outside):
    x = torch.tensor([[[1.0, 5.0, 2.0, 7.0]]], dtype=torch.float64)
    for shift in (1.0, 2.0, 40.0, 1e9, math.inf):
        offsets = torch.tensor([[[-shift, 2 + shift]]], dtype=torch.float64)
        found = wt.warp(x, offsets, PREFILTERED, boundary)[0, 0]
        assert found.tolist() == pytest.approx(outside, abs=1e-14)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_derivatives_of_the_prefiltered_spline(boundary):
    x, offsets = random_case(1, size=(3,), batch=1, channels=1)
    g, rule = x.flip(2), {"kernel": PREFILTERED, "boundary": boundary}
    for call, values in ((functools.partial(wt.warp, **rule), x), (functools.partial(wt.splat, size=(2,), **rule), g)):
        inputs = (values.requires_grad_(), offsets.requires_grad_())
        assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(call, inputs)


def test_long_lines_have_a_prefilter_of_bounded_size():
    """A matrix of the whole line would hold 8 TB; SciPy's recursion needs none."""
    x = torch.randn(1, 1, 2**20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = wt.warp(x, torch.full((1, 1, 1), 1e6 + 0.25, dtype=torch.float64), PREFILTERED, "mirror").item()
    theirs = ndimage.spline_filter1d(x.flatten().numpy(), order=3, mode="mirror")
    expected = ndimage.map_coordinates(theirs, [[1e6 + 0.25]], order=3, prefilter=False)
    assert found == pytest.approx(expected[0], abs=1e-13)


def test_a_prefilter_of_half_precision_is_computed_in_single():
    """Coefficients are not rounded to the image's dtype: the result errs by its own rounding alone."""
    x, offsets = random_case(2)
    x, offsets = x.half(), offsets.half()
    found = wt.warp(x, offsets, PREFILTERED, "border")
    exact = wt.warp(x.double(), offsets.double(), PREFILTERED, "border")
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.double(), exact, rtol=2**-11 * 1.001, atol=2**-18)
    g = x[:, :, :4]
    splatted = wt.splat(g, offsets[:, :, :4], (7, 5), PREFILTERED, "border")
    truth = wt.splat(g.double(), offsets[:, :, :4].double(), (7, 5), PREFILTERED, "border")
    torch.testing.assert_close(splatted.double(), truth, rtol=2**-11 * 1.001, atol=2**-16)


@pytest.mark.parametrize(("boundary", "padding"), [("zeros", "zeros"), ("border", "border"), ("reflect", "reflection")])
def test_keys_equals_bicubic_grid_sample(boundary, padding):
    """Torch's bicubic is Keys' kernel with a = −3/4."""
    x, offsets = random_case(2)
    theirs = grid_sample(x, offsets, mode="bicubic", padding_mode=padding)
    tolerance = rounding(torch.float64, operations=2000, magnitude=4 * float(x.abs().max()))
    torch.testing.assert_close(wt.warp(x, offsets, "keys(-0.75)", boundary), theirs, rtol=0, atol=tolerance.absolute)


@pytest.mark.parametrize("length", [8, 9])
def test_sinc_is_the_fourier_shift(length):
    """A constant offset multiplies the spectrum by a phase; the Nyquist component of even lengths by its real part."""
    x = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = 1.37
    frequency = 2 * torch.pi * torch.fft.rfftfreq(length, dtype=torch.float64)
    phase = torch.exp(1j * frequency * shift)
    if length % 2 == 0:
        phase[-1] = phase[-1].real.clone()
    expected = torch.fft.irfft(torch.fft.rfft(x) * phase, n=length)
    found = wt.warp(x, torch.full((2, 1, length), shift, dtype=torch.float64), "sinc", "periodic")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


def test_lanczos_by_direct_summation():
    x, offsets = random_case(1, batch=1, channels=1)
    positions = np.arange(offsets.shape[2]) + offsets[0, 0].numpy()
    distance = positions[:, None] - np.arange(x.shape[2])
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)
    found = wt.warp(x, offsets, "lanczos3")[0, 0].numpy()
    np.testing.assert_allclose(found, weights @ x[0, 0].numpy(), rtol=0, atol=1e-14 * 6 * float(x.abs().max()))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("boundary", ["zeros", "border", "reflect", "mirror"])
def test_sinc_needs_a_periodic_image(boundary):
    x, offsets = random_case(1)
    with pytest.raises(wt.core.errors.ArgumentError, match=r"^boundary: expected 'periodic': kernel 'sinc' reads"):
        wt.warp(x, offsets, "sinc", boundary)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_integer_offsets_shift_exactly(dim, boundary):
    x, _ = random_case(dim)
    offsets = torch.ones(2, dim, *SIZES[dim], dtype=x.dtype)
    padded = np.pad(x.numpy(), [(0, 0), (0, 0)] + [(0, 1)] * dim, mode=PAD_MODES[boundary])
    shifted = padded[(..., *[slice(1, None)] * dim)]
    for kernel in ("nearest", "linear", "keys"):
        np.testing.assert_array_equal(wt.warp(x, offsets, kernel, boundary).numpy(), shifted)


@pytest.mark.parametrize("kernel", ["keys", "bspline3(prefilter=True)"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_matrix_of_other_kernels(boundary, kernel):
    """With a prefilter the matrix is full, and its transpose is still the splat."""
    x, offsets = random_case(2, channels=1, grid=(4, 6))
    matrix = wt.warp_matrix(offsets, x.shape[2:], kernel, boundary).to_dense()
    product = torch.einsum("bnm,bm->bn", matrix, x.flatten(1))
    torch.testing.assert_close(wt.warp(x, offsets, kernel, boundary).flatten(1), product, rtol=0, atol=1e-13)
    g = torch.randn(2, 1, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    transposed = torch.einsum("bnm,bn->bm", matrix, g.flatten(1))
    splatted = wt.splat(g, offsets, x.shape[2:], kernel, boundary).flatten(1)
    torch.testing.assert_close(splatted, transposed, rtol=0, atol=1e-13)


def test_hit_counts_are_the_column_sums():
    _, offsets = random_case(2, grid=(4, 6))
    counts = wt.warping.hit_counts(offsets, size=(7, 5))
    matrix = wt.warp_matrix(offsets, size=(7, 5)).to_dense()
    assert counts.shape == (2, 1, 7, 5)
    torch.testing.assert_close(counts.flatten(1), matrix.sum(1), rtol=0, atol=1e-14)
    assert (wt.warping.hit_counts(torch.zeros(1, 2, 3, 3)) == 1).all()
    assert wt.warping.hit_counts(offsets.unsqueeze(1).expand(-1, 3, -1, -1, -1), size=(4, 6)).shape == (2, 3, 4, 6)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_matrix_is_the_operator(dim, boundary, grouped):
    x, offsets = random_case(dim, channels=1, grid=(4, 6, 3)[:dim])
    matrix = wt.warp_matrix(offsets.unsqueeze(1) if grouped else offsets, x.shape[2:], "linear", boundary)
    dense = matrix.to_dense()[:, 0] if grouped else matrix.to_dense()
    product = torch.einsum("bnm,bm->bn", dense, x.flatten(1))
    tolerance = interpolation_tolerance(dim, x)
    torch.testing.assert_close(
        wt.warp(x, offsets, "linear", boundary).flatten(1), product, rtol=tolerance.relative, atol=tolerance.absolute
    )


@st.composite
def operator_cases(draw):
    dim = draw(st.integers(1, 3))
    size = draw(st.tuples(*[st.integers(1, 6)] * dim))
    grid = draw(st.tuples(*[st.integers(1, 6)] * dim))
    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 2))
    seed = draw(st.integers(0, 2**31))
    spread = draw(st.sampled_from([0.0, 0.3, 2.0, 50.0]))
    kernel = draw(st.sampled_from(KERNELS))
    boundary = draw(st.sampled_from(BOUNDARIES))
    return dim, size, grid, groups, channels, seed, spread, kernel, boundary


@given(operator_cases())
def test_splat_is_the_adjoint(case):
    """⟨Wx, g⟩ = ⟨x, Wᵀg⟩: both sides are the same sum of products, in another order."""
    dim, size, grid, groups, channels, seed, spread, kernel, boundary = case
    x, _ = random_case(dim, size=size, channels=channels, seed=seed)
    g, _ = random_case(dim, size=grid, channels=channels, seed=seed + 1)
    offsets = spread * torch.randn(
        2, groups, dim, *grid, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    gathered = (wt.warp(x, offsets, kernel, boundary) * g).sum()
    scattered = (x * wt.splat(g, offsets, size, kernel, boundary)).sum()
    taps = g.numel() * len(kernels.get(kernel).taps) ** dim
    # Cell weights are computed from at most 40 operations; those of the Gaussian are largest.
    tolerance = rounding(
        torch.float64, operations=taps + 40 * dim, magnitude=float(g.abs().sum() * x.abs().max()) * 2**dim
    )
    assert abs(gathered - scattered) <= tolerance.absolute


@pytest.mark.parametrize("boundary", ["border", "reflect", "mirror", "periodic"])
def test_constants_are_reproduced(boundary):
    """Rows of W sum to one, so W1 = 1; and Wᵀ keeps the total, Σ Wᵀg = Σ g."""
    x, offsets = random_case(2)
    tolerance = interpolation_tolerance(2, torch.ones(1))
    torch.testing.assert_close(
        wt.warp(torch.ones_like(x), offsets, "linear", boundary), torch.ones_like(x), rtol=0, atol=tolerance.absolute
    )
    total = rounding(torch.float64, operations=4 * x.numel(), magnitude=float(x.abs().sum()))
    assert abs(wt.splat(x, offsets, boundary=boundary).sum() - x.sum()) <= total.absolute


def test_groups_are_independent_warps():
    x, _ = random_case(2, channels=4)
    _, first = random_case(2, seed=1)
    _, second = random_case(2, seed=2)
    together = wt.warp(x, torch.stack([first, second], dim=1))
    torch.testing.assert_close(
        together, torch.cat([wt.warp(x[:, :2], first), wt.warp(x[:, 2:], second)], 1), rtol=0, atol=0
    )


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dim", [1, 2])
def test_gradients_match_finite_differences(dim, boundary):
    """Gradcheck and gradgradcheck, with offsets kept 0.1 pixel or more from the knots."""
    x, offsets = random_case(dim, size=(4, 3)[:dim], batch=1, channels=2)
    offsets = (
        offsets.floor()
        + 0.1
        + 0.8 * torch.rand(offsets.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    )
    x.requires_grad_()
    offsets.requires_grad_()
    # The fast mode compares along random directions; in d = 1 every entry is compared.
    fast = dim > 1
    assert torch.autograd.gradcheck(lambda a, b: wt.warp(a, b, "linear", boundary), (x, offsets), fast_mode=fast)
    assert torch.autograd.gradgradcheck(lambda a, b: wt.warp(a, b, "linear", boundary), (x, offsets), fast_mode=fast)
    assert torch.autograd.gradcheck(lambda a, b: wt.splat(a, b, boundary=boundary), (x, offsets), fast_mode=fast)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("at_knots", [False, True])
def test_warp_gradient_is_what_autograd_returns(at_knots, boundary, kernel):
    """Also at knots, where both have to take the right-hand derivative."""
    x, offsets = random_case(2)
    offsets = (offsets.round() if at_knots else offsets).requires_grad_()
    y = wt.warp(x, offsets, kernel, boundary)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(4), dtype=y.dtype)
    expected = (g.unsqueeze(2) * wt.warp_gradient(x, offsets, kernel, boundary)).sum(1).detach()
    found = torch.autograd.grad(y, offsets, g)[0] if y.requires_grad else torch.zeros_like(expected)
    tolerance = rounding(torch.float64, operations=400, magnitude=float(3 * 8 * x.abs().max() * g.abs().max()))
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance.absolute)


def test_right_hand_derivative_at_a_knot():
    x = torch.tensor([[[0.0, 3.0, 8.0]]])
    zero = torch.zeros(1, 1, 3)
    assert wt.warp_gradient(x, zero)[0, 0, 0].tolist() == [3.0, 5.0, -8.0]


@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_wild_offsets_read_nothing_or_the_edge(boundary, wild):
    x = torch.arange(1.0, 6.0)[None, None]
    offsets = torch.full((1, 1, 1), wild, requires_grad=True)
    y = wt.warp(x, offsets, "linear", boundary)
    edge = 5.0 if wild > 0 else 1.0
    assert y.item() == (0.0 if boundary == "zeros" else edge)
    assert torch.autograd.grad(y.sum(), offsets)[0].item() == 0.0
    assert wt.warp_gradient(x, offsets, "linear", boundary).item() == 0.0
    assert wt.splat(torch.ones(1, 1, 1), offsets, (5,), "linear", boundary).sum().item() == (
        0.0 if boundary == "zeros" else 1.0
    )


def test_offsets_keep_their_fraction_on_wide_images():
    """At column 8191 float32 positions are 2⁻¹⁰ apart; the fraction comes from the offset and loses nothing."""
    x = torch.arange(8192.0)[None, None]
    offsets = torch.zeros(1, 1, 8192)
    offsets[..., -2] = 1e-4
    moved = wt.warp(x.double(), offsets)[0, 0, -2].item() - 8190
    assert moved == pytest.approx(1e-4, rel=1e-6)


def test_half_image_with_float_offsets():
    """The image keeps its dtype, the fraction the precision of the offsets (pytorch issue 94733)."""
    x, offsets = random_case(2)
    y = wt.warp(x.half(), offsets.float())
    assert y.dtype == torch.float16
    exact = wt.warp(x.half().double(), offsets)
    # Half an ulp of half precision from storing y; the float32 arithmetic in between is far finer.
    torch.testing.assert_close(y.double(), exact, rtol=2**-10, atol=2**-12)


def test_empty_batch_gives_an_empty_result():
    x, offsets = torch.zeros(0, 3, 4, 4), torch.zeros(0, 2, 5, 4)
    assert wt.warp(x, offsets).shape == (0, 3, 5, 4)
    assert wt.warp_gradient(x, offsets).shape == (0, 3, 2, 5, 4)
    assert wt.splat(torch.zeros(0, 3, 5, 4), offsets, (4, 4)).shape == (0, 3, 4, 4)


def test_matrix_shape_reading_is_decided_by_size():
    """(B, 2, 1, T) is offsets of a 1×T grid in d = 2, or two groups in d = 1."""
    offsets = torch.zeros(1, 2, 1, 7)
    assert wt.warp_matrix(offsets).shape == (1, 7, 7)
    assert wt.warp_matrix(offsets, size=(7,)).shape == (1, 2, 7, 7)
