"""The Triton kernels on a CUDA device: what the interpreter cannot show, races and memory above all."""

import pytest
import torch

import warptheory as wt
from tests.warping.cases import make_case
from tests.warping.test_backends import KNOTS, assert_agreement
from warptheory.core.tolerances import rounding

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: needs a CUDA device"),
]
BOUNDARIES = ("zeros", "border", "reflect", "mirror", "periodic")
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(scope="module")
def backend():
    pytest.importorskip("triton", reason="not run: triton is not installed (extra warptheory[triton])")
    from warptheory.warping.engines.triton import _operator as operator

    return operator


def random_case(size, *, channels=32, groups=2, batch=2, spread=3.0, dtype=torch.float32, channels_last=False):
    """Images, offsets and output gradients of one grid on the device; offsets in float32 or wider."""
    generator = torch.Generator("cuda").manual_seed(0)
    draw = {"generator": generator, "device": "cuda"}
    order = (0, *range(2, len(size) + 2), 1) if channels_last else tuple(range(len(size) + 2))
    x, g = (torch.empty_permuted((batch, channels, *size), order, dtype=dtype, device="cuda") for _ in range(2))
    x.copy_(torch.randn(x.shape, **draw))
    g.copy_(torch.randn(g.shape, **draw))
    offsets = spread * torch.randn(batch, groups, len(size), *size, **draw)
    return x, offsets.to(torch.promote_types(dtype, torch.float32)), g


def close(found, expected, magnitude, operations=100):
    """Rounding in float32 or wider, and of the result to its dtype."""
    compute = rounding(torch.promote_types(found.dtype, torch.float32), operations, float(magnitude))
    torch.testing.assert_close(
        found.double(), expected, rtol=compute.relative + torch.finfo(found.dtype).eps / 2, atol=compute.absolute
    )


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", [(301,), (33, 40), (9, 16, 11)])
def test_all_backends_agree(backend, size, boundary, dtype, channels_last):
    x, offsets, g = random_case(size, dtype=dtype, channels_last=channels_last)
    wide = x.double(), offsets.double(), g.double()
    y = wt.warp(wide[0], wide[1], boundary=boundary)
    slopes = wt.warp_gradient(wide[0], wide[1], boundary=boundary)
    doffsets = (wide[2].unsqueeze(2) * slopes).unflatten(1, (offsets.shape[1], -1)).sum(2)
    dx = wt.splat(wide[2], wide[1], size, boundary=boundary)
    reached = wt.splat(wide[2].abs(), wide[1], size, boundary=boundary).max()
    close(backend.gather(x, offsets, boundary), y, x.abs().max())
    for deterministic in (False, True):
        found = backend.gradients(g, x, offsets, boundary, "right", True, True, deterministic)
        # The fixed point's 2⁻⁵⁰ of the largest |g| is a rounding of float64 more for each corner.
        close(found[0], dx, reached, operations=400)
        close(found[1], doffsets, 2 * x.shape[1] * g.abs().max() * x.abs().max(), operations=200)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("knot", KNOTS)
@pytest.mark.parametrize("kind", ["every_kind", "integer", "smooth"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_kind_of_offsets(dim, boundary, kind, knot):
    """Where neighbours move alike, as by whole pixels or smoothly, their atomic additions are merged."""
    assert_agreement(make_case(dim, kind).to("cuda"), boundary, knot, "triton")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_deterministic_mode_gives_the_same_bits(backend, dtype, channels_last):
    """Twenty runs of a scatter in which many pixels meet."""
    x, offsets, g = random_case((64, 64), spread=40.0, dtype=dtype, channels_last=channels_last)
    first = backend.gradients(g, x, offsets, "border", "right", True, True, deterministic=True)
    for _ in range(20):
        again = backend.gradients(g, x, offsets, "border", "right", True, True, deterministic=True)
        assert torch.equal(again[0], first[0])
        assert torch.equal(again[1], first[1])


@pytest.mark.parametrize("deterministic", [False, True])
def test_captured_in_a_cuda_graph(backend, deterministic):
    x, offsets, g = random_case((33, 40), channels_last=True)

    def step():
        y = backend.gather(x, offsets, "zeros")
        return y, *backend.gradients(g, x, offsets, "zeros", "central", True, True, deterministic)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()  # compiles
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    # New values in the captured memory: a replay has to follow them, the scale of the fixed point too.
    for factor in (1.0, 1e-3, 1e5):
        x.mul_(factor)
        g.mul_(factor)
        offsets.add_(0.3)
        graph.replay()
        for found, expected in zip(captured, step(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("channels_last", [False, True])
def test_no_hidden_copies(backend, channels_last):
    """Nothing is allocated but the results, which keep the layout."""
    x, offsets, g = random_case((128, 128), channels=64, groups=1, channels_last=channels_last)
    backend.gradients(g, x, offsets, "zeros", "right", True, True)  # compiles
    backend.gather(x, offsets, "zeros")

    def allocated(function):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        results = function()
        torch.cuda.synchronize()
        return results, torch.cuda.max_memory_allocated() - before

    y, memory = allocated(lambda: backend.gather(x, offsets, "zeros"))
    assert y.stride() == x.stride()
    assert memory <= y.nbytes + 1024
    (dx, doffsets), memory = allocated(lambda: backend.gradients(g, x, offsets, "zeros", "right", True, True))
    assert dx.stride() == x.stride()
    assert memory <= dx.nbytes + doffsets.nbytes + 2048


def test_more_than_two_billion_elements(backend):
    """A batch of 2³¹ elements and more: element offsets need 64 bits."""
    x = torch.zeros(33, 64, 1024, 1024, dtype=torch.float16, device="cuda")
    x[-1, -1, -1] = torch.arange(1024, device="cuda") / 512
    offsets = torch.full((1, 1, 1, 1, 1), 0.5, device="cuda").expand(33, 1, 2, 1024, 1024)
    y = backend.gather(x, offsets, "border")
    row = x[-1:, -1:, -1:].double()
    half = torch.full((1, 1, 2, 1, 1024), 0.5, dtype=torch.float64, device="cuda")
    close(y[-1:, -1:, -1:], wt.warp(row, half, boundary="border"), 2.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_float32(backend, dtype):
    """A pixel that receives 2¹⁴ values: sums in half precision would stop growing at 2⁸ or 2¹¹."""
    g = torch.ones(1, 1, 1 << 14, dtype=dtype, device="cuda")
    offsets = -torch.arange(float(1 << 14), device="cuda")[None, None, None]
    for deterministic in (False, True):
        assert backend.scatter(g, offsets, (4,), "zeros", deterministic)[0, 0].tolist() == [1 << 14, 0, 0, 0]
