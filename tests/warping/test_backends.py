"""Every backend computes what the reference computes, on the same cases; and the dispatch says which it is."""

import functools
import itertools

import pytest
import torch
from torch import Tensor

import warptheory as wt
from tests.warping.cases import (
    BOUNDARIES,
    KINDS,
    TILES,
    Case,
    forward_tolerance,
    image_gradient_tolerance,
    make_case,
    offset_gradient_tolerance,
)
from warptheory.core.errors import ArgumentError
from warptheory.warping import BackendError
from warptheory.warping.engines.triton import engine as triton

TRITON_MISSING = triton.unavailable()
NEEDS_TRITON = [pytest.mark.skipif(TRITON_MISSING is not None, reason=f"not run: {TRITON_MISSING}")]
FAST = ["cpu", pytest.param("triton", marks=NEEDS_TRITON)]
ON_KNOTS = ("zero", "integer", "integer_along_one_axis", "on_the_edge", "wild")
KNOTS = ("right", "central")


def evaluate(case: Case, boundary: str, knot: str, backend: str) -> dict[str, Tensor]:
    """Return the warp, both gradients of ⟨g, Wx⟩, and the splat of g."""
    x, offsets = case.x.detach().requires_grad_(), case.offsets.detach().requires_grad_()
    call = functools.partial(wt.warp, boundary=boundary, knot=knot, backend=backend)
    y = call(x, offsets)
    y.backward(case.g)
    splatted = wt.splat(case.g, offsets.detach(), x.shape[2:], boundary=boundary, backend=backend)
    return {"warp": y.detach(), "image gradient": x.grad, "offset gradient": offsets.grad, "splat": splatted}


def assert_agreement(case: Case, boundary: str, knot: str, backend: str) -> None:
    dim = case.offsets.shape[2]
    truth = evaluate(case.to(torch.float64), boundary, knot, "reference")
    found = evaluate(case, boundary, knot, backend)
    tolerances = {
        "warp": forward_tolerance(case, dim),
        "image gradient": image_gradient_tolerance(case, dim),
        "offset gradient": offset_gradient_tolerance(case, dim),
        "splat": image_gradient_tolerance(case, dim),
    }
    for name, tolerance in tolerances.items():
        difference = (found[name].double() - truth[name]).abs().max().item()
        assert difference <= tolerance.absolute, f"{name}: {difference:.2e} > {tolerance.absolute:.2e}"
        assert found[name].dtype == case.x.dtype


def every_case() -> list:
    """All dimensions, boundaries and kinds of offsets; Triton's interpreter has all kinds in one case, see below."""
    cases = []
    for dim, boundary, kind in itertools.product((1, 2, 3), BOUNDARIES, KINDS):
        cases.append(pytest.param(dim, boundary, kind, "cpu", id=f"{dim}-{boundary}-{kind}-cpu"))
        marks = [*NEEDS_TRITON, pytest.mark.slow]
        cases.append(pytest.param(dim, boundary, kind, "triton", id=f"{dim}-{boundary}-{kind}-triton", marks=marks))
    return cases


@pytest.mark.parametrize(("dim", "boundary", "kind", "backend"), every_case())
def test_equals_the_reference(dim, boundary, kind, backend):
    """In float32 on every kind of offsets; where some sit on knots, with the derivative taken both ways."""
    for knot in KNOTS if kind in ON_KNOTS else KNOTS[:1]:
        assert_agreement(make_case(dim, kind), boundary, knot, backend)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("turn", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_every_kind_of_offsets_in_one_case(turn, dim, boundary, backend):
    """Layouts and derivatives at knots take turns: both with each boundary, and in each dimension."""
    designs = list(zip(KNOTS, (True, False) if dim == 3 else (False, True), strict=True))
    knot, channels_last = designs[(BOUNDARIES.index(boundary) + dim + turn) % 2]
    case = make_case(dim, "every_kind", batch=1, channels_last=channels_last, grid=TILES[dim])
    assert_agreement(case, boundary, knot, backend)


@pytest.mark.parametrize("backend", FAST)
def test_volumes_of_several_tiles_a_layer(backend):
    assert_agreement(make_case(3, batch=1, channels=2, grid=(2, 9, 32)), "zeros", "right", backend)


def every_layout() -> list:
    """All dimensions, channels and layouts; many channels take Triton's interpreter seconds."""
    cases = []
    for channels_last, (channels, groups) in itertools.product(
        [False, True], [(1, 1), (2, 2), (3, 1), (6, 2), (13, 1), (40, 2)]
    ):
        rest = (channels, groups, channels_last)
        cases += [pytest.param(dim, *rest, "cpu", id=f"{dim}-{rest}-cpu") for dim in (1, 2, 3)]
        marks = [*NEEDS_TRITON, *([pytest.mark.slow] if channels > 13 else [])]
        cases.append(pytest.param(2, *rest, "triton", id=f"2-{rest}-triton", marks=marks))
    return cases


@pytest.mark.parametrize(("dim", "channels", "groups", "channels_last", "backend"), every_layout())
def test_layouts_channels_and_groups(dim, channels, groups, channels_last, backend):
    # An interpreted kernel takes its time for each image, and for each tile; channels-last, tiles do not overhang.
    batch, grid = (3, None) if backend == "cpu" else (1, (5, 8) if channels_last else (5, 11))
    case = make_case(
        dim, "white", channels=channels, groups=groups, channels_last=channels_last, batch=batch, grid=grid
    )
    assert_agreement(case, "zeros", "right", backend)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_double_precision(dim):
    for channels_last in (False, True):
        case = make_case(dim, "wild", channels=9, channels_last=channels_last).to(torch.float64)
        assert_agreement(case, "reflect", "central", "cpu")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("batch", "channels"), [(1, 3), (1, 20), (5, 20)])
@pytest.mark.parametrize("kind", ["smooth", "white", "wild"])
def test_images_that_are_cut_into_stripes(kind, batch, channels, channels_last):
    """Large enough for several units and stripes; white and wild offsets make stripes overlap."""
    case = make_case(
        2, kind, batch=batch, channels=channels, channels_last=channels_last, size=(150, 70), grid=(150, 70)
    )
    assert_agreement(case, "border", "right", "cpu")


def test_long_lines_and_many_planes():
    assert_agreement(make_case(1, "white", channels=3, size=(9001,), grid=(20_011,)), "zeros", "right", "cpu")
    assert_agreement(
        make_case(3, "smooth", batch=1, channels=9, size=(9, 40, 33), grid=(9, 40, 33)), "zeros", "right", "cpu"
    )


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("channels_last", [False, True])
def test_results_keep_the_layout(channels_last, backend):
    case = make_case(2, channels=8, channels_last=channels_last, grid=(5, 8))
    found = evaluate(case, "zeros", "right", backend)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    for name in ("warp", "image gradient", "splat"):
        assert found[name].is_contiguous(memory_format=memory_format), name


VIEWS = {
    "every second channel": lambda x: x.repeat_interleave(2, dim=1)[:, ::2],
    "every second column": lambda x: x.repeat_interleave(2, dim=3)[..., ::2],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "batch last": lambda x: x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
    "cut out": lambda x: torch.nn.functional.pad(x, (2, 3, 1, 4))[..., 1:-4, 2:-3],
    "cut out of channels-last": lambda x: torch.nn.functional.pad(x, (2, 3, 1, 4)).contiguous(
        memory_format=torch.channels_last
    )[:, :, 1:-4, 2:-3],
    "expanded batch": lambda x: x[:1].expand_as(x),
    "expanded channels": lambda x: x[:, :1].expand_as(x),
    "expanded everywhere": lambda x: x[:1, :1, :1, :1].expand_as(x),
}


@pytest.mark.parametrize(
    ("channels", "backend"),
    [
        (2, "cpu"),
        (12, "cpu"),
        pytest.param(2, "triton", marks=NEEDS_TRITON),
        pytest.param(12, "triton", marks=[*NEEDS_TRITON, pytest.mark.slow]),
    ],
)
@pytest.mark.parametrize("view", VIEWS)
def test_views_are_read_as_they_are(channels, view, backend):
    case = make_case(2, channels=channels, grid=(5, 8))
    x, g = VIEWS[view](case.x), VIEWS[view](case.g)
    offsets = VIEWS[view](case.offsets[:, 0]).unsqueeze(1) if "channel" not in view else case.offsets
    assert_agreement(Case(x, offsets, g), "zeros", "right", backend)


@pytest.mark.parametrize("backend", ["reference", *FAST])
@pytest.mark.parametrize("boundary", [name for name in BOUNDARIES if name != "zeros"])
def test_an_axis_of_one_pixel_is_constant(boundary, backend):
    """However an image of one pixel is continued, unless by zeros; offsets there have no effect."""
    for kernel in ("linear", "keys") if backend != "triton" else ("linear",):
        x, offsets = torch.full((1, 2, 3, 1), 5.0), torch.tensor([-7.25, -1, 0, 0.5, 1e6]).reshape(1, 1, 1, 5)
        offsets = torch.cat([torch.zeros_like(offsets), offsets], 1).expand(1, 2, 3, 5).clone().requires_grad_()
        y = wt.warp(x, offsets, kernel, boundary, backend=backend)
        torch.testing.assert_close(y, torch.full_like(y, 5.0))
        (found,) = torch.autograd.grad(y.sum(), offsets)
        torch.testing.assert_close(found[:, 1], torch.zeros_like(found[:, 1]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("needs", ["x", "offsets"])
def test_one_gradient_alone(needs, backend):
    case = make_case(2, channels=6, batch=1)
    x, offsets = case.x.requires_grad_(needs == "x"), case.offsets.requires_grad_(needs == "offsets")
    wt.warp(x, offsets, backend=backend).backward(case.g)
    both = evaluate(case, "zeros", "right", backend)
    found, expected = (x.grad, both["image gradient"]) if needs == "x" else (offsets.grad, both["offset gradient"])
    tolerance = image_gradient_tolerance(case, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance.absolute)


@pytest.mark.parametrize("backend", FAST)
def test_an_outside_pixel_is_zero_even_next_to_nan(backend):
    """Zero weight times NaN would be NaN: pixels that do not exist must not be read at all."""
    x = torch.full((1, 3, 4, 4), torch.nan)
    x[:, :, 1:, 1:] = 1
    offsets = torch.full((1, 2, 1, 2), 50.0)
    offsets[..., 1] = 2.5  # from (0, 1) to (2.5, 3.5): half of it outside
    expected = torch.tensor([0.0, 0.5]).expand(1, 3, 1, 2)
    assert torch.equal(wt.warp(x, offsets, backend=backend), expected)
    assert torch.equal(wt.warp(x, offsets, backend="reference"), expected)


# ---- dispatch -----------------------------------------------------------------------------------------


def test_the_dispatch_says_which_backend_and_why(monkeypatch):
    monkeypatch.delenv("WARPTHEORY_BACKEND", raising=False)
    case = make_case(2)
    assert wt.warping.backend(case.x, case.offsets).name == "cpu"
    assert str(wt.warping.backend(case.x, case.offsets)) == "cpu: the fast kernels for cpu tensors"
    assert str(wt.warping.backend(kernel="keys")) == "cpu: its compiled loop over the taps of any compact kernel"
    assert str(wt.warping.backend(kernel="sinc")).startswith("reference: not cpu: its loop is for compact kernels")
    assert "float16" in wt.warping.backend(case.x.half(), case.offsets.half()).reason
    assert "differ in dtype" in wt.warping.backend(case.x.double(), case.offsets).reason
    assert wt.warping.backend(case.x, case.offsets, backend="reference").reason == "asked for by the argument"
    monkeypatch.setenv("WARPTHEORY_BACKEND", "reference")
    found = wt.warping.backend(case.x, case.offsets)
    assert (found.name, found.reason) == ("reference", "asked for by the environment variable WARPTHEORY_BACKEND")
    assert wt.warping.backend(case.x, case.offsets, backend="cpu").name == "cpu"


def test_the_backend_named_is_the_one_that_runs(monkeypatch):
    """Not only what is returned: which module was called."""
    from warptheory.warping import reference
    from warptheory.warping.engines.cpu import linear

    case = make_case(2)
    calls = []
    monkeypatch.setattr(linear, "gather", lambda *arguments: calls.append("cpu") or torch.zeros_like(case.g))
    monkeypatch.setattr(reference, "gather", lambda *arguments: calls.append("reference") or torch.zeros_like(case.g))
    for name in ("cpu", "reference"):
        wt.warp(case.x, case.offsets, backend=name)
    monkeypatch.setenv("WARPTHEORY_BACKEND", "reference")
    wt.warp(case.x, case.offsets)
    assert calls == ["cpu", "reference", "reference"]


@pytest.mark.usefixtures("as_users_call")
def test_a_backend_that_cannot_is_an_error(monkeypatch):
    case = make_case(2)
    with pytest.raises(BackendError, match=r"^backend 'cpu', asked for by the argument, cannot run this call: .*'sinc"):
        wt.warp(case.x, case.offsets, "sinc", "periodic", backend="cpu")
    with pytest.raises(ArgumentError, match=r"^backend: expected one of reference, cpu, triton, got 'gpu'$"):
        wt.warp(case.x, case.offsets, backend="gpu")
    monkeypatch.setenv("WARPTHEORY_BACKEND", "cuda")
    with pytest.raises(ArgumentError, match=r"^WARPTHEORY_BACKEND: expected one of .*, got 'cuda'$"):
        wt.warp(case.x, case.offsets)


def test_a_huge_image_goes_to_the_reference():
    """Beyond 32-bit indices; strides of zero keep the memory small."""
    huge = torch.zeros(1).expand(1, 1, 2**16, 2**16)
    assert "32-bit" in wt.warping.backend(huge, torch.zeros(1).expand(1, 2, 4, 4)).reason
    g, offsets = torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4)
    assert wt.warping.backend(g, offsets, size=(8, 8)).name == "cpu"
    assert "32-bit" in wt.warping.backend(g, offsets, size=(2**16, 2**16)).reason
