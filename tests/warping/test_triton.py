"""What the Triton backend does besides what test_backends compares; interpreted on the CPU where there is no GPU."""

import importlib.util
import math
import mmap

import pytest
import torch

import warptheory as wt
from warptheory.core.tolerances import rounding
from warptheory.warping.engines.triton import engine

pytest.importorskip("triton", reason="not run: triton is not installed (extra warptheory[triton])")
if engine.unavailable() is not None:
    pytest.skip(f"not run: {engine.unavailable()}", allow_module_level=True)

from warptheory.warping.engines.triton import _operator as backend

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BOUNDARIES = ("zeros", "border", "reflect", "mirror", "periodic")
SIZES = {1: (9,), 2: (5, 6)}
GRIDS = {1: (11,), 2: (6, 4)}
LAYOUTS = ("contiguous", "channels-last", "strided", "expanded")


def lay_out(values, layout):
    """The same values (B, C, *S), in another layout."""
    if layout == "channels-last":
        return values.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "strided":
        return values.transpose(1, -1).repeat_interleave(2, 0)[::2].contiguous().transpose(1, -1)
    if layout == "expanded":
        return values[:1, :, ..., :1].expand(values.shape)
    return values.contiguous()


def random_case(dim, *, layout="contiguous", kind="rough", channels=4, groups=2, batch=1, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    size, grid = SIZES[dim], GRIDS[dim]
    x = torch.randn(batch, channels, *size, generator=generator).to(dtype)
    g = torch.randn(batch, channels, *grid, generator=generator).to(dtype)
    offsets = offsets_of_kind(kind, (batch, groups, dim, *grid), generator)
    return lay_out(x, layout).to(DEVICE), offsets.to(DEVICE), lay_out(g, layout).to(DEVICE)


def offsets_of_kind(kind, shape, generator):
    noise = torch.randn(shape, generator=generator)
    if kind == "smooth":
        phase = torch.linspace(0, 2, math.prod(shape[3:])).reshape(shape[3:])
        return 0.7 * torch.sin(phase + noise.flatten(3)[..., :1].reshape(*shape[:3], *[1] * (len(shape) - 3)))
    if kind == "wild":
        wild = torch.tensor([math.nan, math.inf, -math.inf, 2.0**30, -(2.0**30), 1e30, -1e30])
        chosen = torch.randint(0, 14, shape, generator=generator)
        return torch.where(chosen < 7, wild[chosen.clamp(max=6)], 3 * noise)
    return 3 * noise


def truth(x, offsets, g, boundary):
    """W x, Wᵀg and the gradient in the offsets, by the public operator in float64."""
    x, offsets, g = x.cpu().double(), offsets.cpu().double(), g.cpu().double()
    slopes = wt.warp_gradient(x, offsets, boundary=boundary)
    return (
        wt.warp(x, offsets, boundary=boundary),
        wt.splat(g, offsets, x.shape[2:], boundary=boundary),
        sum_over_groups(g.unsqueeze(2) * slopes, offsets.shape[1]),
    )


def sum_over_groups(per_channel, groups):
    return per_channel.unflatten(1, (groups, -1)).sum(2)


def compare(found, expected, magnitude, operations=60, dtype=torch.float32):
    """Rounding in float32 (weights and fractions, d + 2ᵈ products, their sum), and of the result to its dtype."""
    tolerance = rounding(torch.promote_types(found.dtype, torch.float32), operations, float(magnitude))
    # The interpreter truncates to bfloat16, where the device rounds to nearest.
    stored = torch.finfo(dtype).eps / (1 if dtype == torch.bfloat16 and DEVICE == "cpu" else 2)
    torch.testing.assert_close(
        found.cpu().double(), expected, rtol=tolerance.relative + stored, atol=tolerance.absolute
    )


def check_all(x, offsets, g, boundary, **options):
    y, dx, doffsets = truth(x, offsets, g, boundary)
    found_y = backend.gather(x, offsets, boundary)
    found_dx, found_doffsets = backend.gradients(g, x, offsets, boundary, "right", True, True, **options)
    weight = wt.splat(g.cpu().double().abs(), offsets.cpu().double(), x.shape[2:], boundary=boundary).max()
    per_offset = 2 * g.shape[1] * g.abs().max() * x.abs().max()
    compare(found_y, y, x.abs().max(), dtype=x.dtype)
    compare(found_dx, dx, weight, dtype=x.dtype)
    compare(found_doffsets, doffsets, per_offset, operations=60 + x.shape[1], dtype=offsets.dtype)
    return found_y, found_dx, found_doffsets


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides_in_fixed_point(layout):
    """The other sums are compared for any strides in test_backends."""
    x, offsets, g = random_case(2, layout=layout, kind="smooth", groups=1, batch=2)
    check_all(x, lay_out(offsets, "strided"), g, "reflect", deterministic=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_dtypes(deterministic, layout, dtype):
    x, offsets, g = random_case(2, layout=layout, kind="smooth", groups=1, dtype=dtype)
    for own in (torch.float32, dtype):
        y, dx, doffsets = check_all(x, offsets.to(own), g, "border", deterministic=deterministic)
        assert (y.dtype, dx.dtype, doffsets.dtype) == (dtype, dtype, own)


@pytest.mark.parametrize("deterministic", [False, True])
def test_half_precision_is_summed_in_float32(deterministic):
    """A hundred ones on one pixel and then 128 of 2⁻⁷, each of which a bfloat16 sum would lose."""
    g = torch.cat([torch.ones(100), torch.full((128,), 2.0**-7)]).bfloat16()[None, None].to(DEVICE)
    offsets = -torch.arange(228.0, device=DEVICE)[None, None, None]
    found = backend.scatter(g, offsets, (3,), "zeros", deterministic)
    assert found.dtype == torch.bfloat16
    assert found[0, 0].tolist() == [101, 0, 0]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_wild_offsets_read_nothing_or_the_edge(boundary):
    wild = torch.tensor([math.nan, math.inf, -math.inf, 2.0**30, -(2.0**30), 3e38])
    offsets = wild[None, None, None].to(DEVICE)
    x = torch.arange(1.0, 6.0, device=DEVICE)[None, None]
    edges = [0.0] * 6 if boundary == "zeros" else [1.0, 5.0, 1.0, 5.0, 1.0, 5.0]
    assert backend.gather(x, offsets, boundary)[0, 0].tolist() == edges
    for knot in ("right", "central"):
        dx, doffsets = backend.gradients(torch.ones_like(offsets[:, 0]), x, offsets, boundary, knot, True, True)
        assert doffsets.flatten().tolist() == [0.0] * 6
        assert dx[0, 0].tolist() == ([0.0] * 5 if boundary == "zeros" else [3.0, 0, 0, 0, 3.0])


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_scatter_is_the_adjoint_of_gather(boundary):
    for deterministic in (False, True):
        x, offsets, g = random_case(2, kind="rough", dtype=torch.float64)
        gathered = (backend.gather(x, offsets, boundary) * g).sum()
        scattered = (backend.scatter(g, offsets, x.shape[2:], boundary, deterministic) * x).sum()
        scale = float(g.abs().max() * x.abs().max() * g.numel())
        tolerance = rounding(torch.float64, 60 + g.numel(), scale).absolute
        # Fixed point keeps 62 − ⌈log₂ 24⌉ bits of the largest |g|, on four corners of each pixel.
        assert abs(float(gathered - scattered)) <= tolerance + (4 * 2.0**-57 * scale if deterministic else 0)


def test_only_what_is_asked_for():
    x, offsets, g = random_case(2)
    both = backend.gradients(g, x, offsets, "zeros", "right", True, True)
    dx, nothing = backend.gradients(g, x, offsets, "zeros", "right", True, False)
    assert nothing is None
    torch.testing.assert_close(dx, both[0])
    nothing, doffsets = backend.gradients(g, x, offsets, "zeros", "right", False, True)
    assert nothing is None
    torch.testing.assert_close(doffsets, both[1], rtol=0, atol=0)
    assert backend.gradients(g, x, offsets, "zeros", "right", False, False) == (None, None)


def permuted_pixels(offsets, g, generator):
    """The same positions and values, the pixels in another order; exact for dyadic offsets."""
    index = torch.arange(g.shape[-1], device=g.device)
    order = torch.randperm(g.shape[-1], generator=generator).to(g.device)
    positions = index + offsets
    return positions[..., order] - index, g[..., order]


def test_deterministic_sums_do_not_depend_on_the_order():
    generator = torch.Generator().manual_seed(1)
    g = (torch.randn(2, 3, 200, generator=generator) * 10 ** torch.randn(2, 3, 200, generator=generator)).to(DEVICE)
    offsets = (torch.randn(2, 1, 1, 200, generator=generator) * 640).round().to(DEVICE) / 64
    first = backend.scatter(g, offsets, (40,), "border", deterministic=True)
    exact = wt.splat(g.cpu().double(), offsets.cpu().double(), (40,), boundary="border")
    moved = False
    for _ in range(5):
        other_offsets, other_g = permuted_pixels(offsets, g, generator)
        assert torch.equal(backend.scatter(other_g, other_offsets, (40,), "border", deterministic=True), first)
        moved |= not torch.equal(
            backend.scatter(other_g, other_offsets, (40,), "border", deterministic=False),
            backend.scatter(g, offsets, (40,), "border", deterministic=False),
        )
    assert moved, "a control: floating-point sums in another order have other last bits"
    # One rounding of the sum to float32, one of each product, and 2⁻⁵⁴ of the largest |g| per corner.
    magnitude = wt.splat(g.cpu().double().abs(), offsets.cpu().double(), (40,), boundary="border")
    assert ((first.cpu().double() - exact).abs() <= 2.0**-24 * (exact.abs() + 1.01 * magnitude)).all()


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
def test_deterministic_mode_equals_the_fast_one(layout):
    for dim in (1, 2):
        check_all(*random_case(dim, layout=layout, kind="wild"), "periodic", deterministic=True)


def test_torch_decides_the_mode(monkeypatch):
    calls = []
    largest = backend._largest_finite
    monkeypatch.setattr(backend, "_largest_finite", lambda g: calls.append(1) or largest(g))
    x, offsets, g = random_case(1)
    backend.scatter(g, offsets, x.shape[2:], "zeros")
    assert not calls
    torch.use_deterministic_algorithms(True)
    try:
        backend.scatter(g, offsets, x.shape[2:], "zeros")
        backend.gradients(g, x, offsets, "zeros", "right", True, True)
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(calls) == 2


@pytest.mark.parametrize("scale", [2.0**-140, 1e-30, 1.0, 2.0**120])
def test_deterministic_sums_at_any_scale(scale):
    """The unit follows the largest |g| of each channel, also of subnormal and of huge values."""
    x, offsets, g = random_case(1, channels=2, groups=1)
    g = (g * torch.tensor([scale, 1.0], device=DEVICE)[:, None]).float()
    found = backend.scatter(g, offsets, x.shape[2:], "border", deterministic=True)
    expected = wt.splat(g.cpu().double(), offsets.cpu().double(), x.shape[2:], boundary="border")
    for channel in range(2):
        compare(found[:, channel], expected[:, channel], 11 * g[:, channel].abs().max() + 2.0**-149 * 2**20)


def test_deterministic_values_are_rounded_to_the_nearest():
    """Each value errs by at most 2^(−62 + log₂ N) of the largest: here 2⁻⁵⁵, and the small ones are 1.5 times that."""
    g = torch.full((1, 1, 128), 1.5 * 2.0**-55, dtype=torch.float64, device=DEVICE)
    g[..., 0] = 1.0
    offsets = -torch.arange(128.0, device=DEVICE)[None, None, None]
    offsets[..., 1:] += 1
    found = backend.scatter(g, offsets, (2,), "zeros", deterministic=True)[0, 0].tolist()
    assert found[0] == 1.0
    assert abs(found[1] - 127 * 1.5 * 2.0**-55) <= 127 * 2.0**-55


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("deterministic", [False, True])
def test_values_that_are_not_finite_stay_where_they_belong(deterministic):
    g = torch.randn(1, 1, 12, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    g[..., 2], g[..., 5], g[..., 8], g[..., 9] = math.inf, math.nan, math.inf, -math.inf
    offsets = torch.full((1, 1, 1, 12), 0.5, device=DEVICE)
    found = backend.scatter(g, offsets, (13,), "zeros", deterministic)[0, 0].cpu()
    expected = wt.splat(g.cpu(), offsets.cpu(), (13,))[0, 0]
    assert expected.isnan().nonzero().flatten().tolist() == [5, 6, 9]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert backend.scatter(torch.full_like(g, math.nan), offsets, (13,), "zeros", deterministic).isnan().all()


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
def test_results_keep_the_layout(layout):
    for dim in (1, 2):
        x, offsets, g = random_case(dim, layout=layout, groups=1)
        offsets = lay_out(offsets.flatten(1, 2), layout).unflatten(1, offsets.shape[1:3])
        y = backend.gather(x, offsets, "zeros")
        dx, doffsets = backend.gradients(g, x, offsets, "zeros", "right", True, True)
        splatted = backend.scatter(g, offsets, x.shape[2:], "zeros", deterministic=True)
        assert y.stride() == lay_out(y, layout).stride()
        assert dx.stride() == x.stride()
        assert splatted.stride() == x.stride()
        assert doffsets.stride() == offsets.stride()


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize(("channels", "groups"), [(70, 1), (20, 2), (3, 3), (1, 1)])
def test_blocks_of_channels_and_pixels(layout, channels, groups, monkeypatch):
    """More channels than a block, groups that are no power of two; one program, and as many as possible."""
    x, offsets, g = random_case(2 if groups == 2 else 1, layout=layout, channels=channels, groups=groups)
    check_all(x, offsets, g, "zeros")
    monkeypatch.setattr(backend, "_multiprocessors", lambda device: 2)
    check_all(x, offsets, g, "zeros", deterministic=True)


@pytest.mark.parametrize("shape", [(64, 64, 56, 56), (16, 256, 28, 28), (8, 64, 256, 256), (4, 64, 32, 32, 32)])
@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize("split", [False, True])
def test_blocks_fill_a_large_device(split, layout, shape):
    blocks = backend._blocks(
        space=shape[2:],
        channels=shape[1],
        batch=shape[0],
        groups=1,
        last=layout == "channels-last",
        work=1024 if split else 512,
        split=split,
        fill=8 * 132,
    )
    constants = blocks.constants
    pixels = constants["ROWS"] * constants["COLUMNS"]
    chunks = -(-shape[1] // blocks.chunk)
    assert blocks.programs[0] * pixels >= shape[0] * math.prod(shape[2:]) * chunks
    assert blocks.programs[0] * constants["num_warps"] >= 16 * 132
    assert blocks.chunk % constants["CHANNELS"] == 0
    assert blocks.chunk >= shape[1] or split
    # Little is wasted on tiles that overhang.
    assert blocks.programs[0] * pixels <= 1.15 * shape[0] * math.prod(shape[2:]) * chunks


def test_offsets_keep_their_fraction_on_wide_images():
    x = torch.arange(8192.0, dtype=torch.float64, device=DEVICE)[None, None]
    offsets = torch.zeros(1, 1, 1, 8192, device=DEVICE)
    offsets[..., -2] = 1e-4
    assert backend.gather(x, offsets, "zeros")[0, 0, -2].item() - 8190 == pytest.approx(1e-4, rel=1e-6)


def test_strides_beyond_int32():
    """Rows 2³¹ elements apart, in memory that is promised but never touched between them."""
    stride = 2**31 + 64
    if DEVICE == "cuda":
        storage = torch.empty(stride + 8, dtype=torch.float16, device=DEVICE)
    else:
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
            storage = torch.frombuffer(mmap.mmap(-1, 2 * (stride + 8), flags=flags), dtype=torch.float16)
        except OSError:
            pytest.skip("not run: no 4 GB of address space")
    x = storage.as_strided((1, 1, 2, 3), (0, 0, stride, 1))
    x.copy_(torch.arange(6.0).reshape(1, 1, 2, 3))
    offsets = torch.full((1, 1, 2, 2, 3), 0.25, device=DEVICE)
    assert backend._wide(x)
    y = backend.gather(x, offsets, "border")
    expected = wt.warp(x.cpu().contiguous().double(), offsets.cpu().double(), boundary="border")
    compare(y, expected, 6, dtype=torch.float16)
    _, doffsets = backend.gradients(torch.ones_like(y), x, offsets, "border", "right", False, True)
    slopes = wt.warp_gradient(x.cpu().contiguous().double(), offsets.cpu().double(), boundary="border")
    compare(doffsets, slopes, 6)


def test_empty_inputs_give_empty_results():
    offsets = torch.zeros(0, 1, 2, 5, 4, device=DEVICE)
    x, g = torch.zeros(0, 3, 4, 4, device=DEVICE), torch.zeros(0, 3, 5, 4, device=DEVICE)
    assert backend.gather(x, offsets, "zeros").shape == (0, 3, 5, 4)
    assert backend.scatter(g, offsets, (4, 4), "zeros", deterministic=True).shape == (0, 3, 4, 4)
    dx, doffsets = backend.gradients(g, x, offsets, "zeros", "right", True, True)
    assert dx.shape == x.shape
    assert doffsets.shape == offsets.shape
    offsets = torch.ones(2, 1, 2, 5, 4, device=DEVICE)
    x, g = torch.zeros(2, 0, 4, 4, device=DEVICE), torch.zeros(2, 0, 5, 4, device=DEVICE)
    assert backend.gather(x, offsets, "zeros").shape == (2, 0, 5, 4)
    dx, doffsets = backend.gradients(g, x, offsets, "zeros", "right", True, True)
    assert dx.shape == (2, 0, 4, 4)
    assert not doffsets.any()


def test_says_why_it_is_unavailable(monkeypatch):
    assert engine.unavailable() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert "no CUDA device" in engine.unavailable()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "not installed" in engine.unavailable()
