"""Gathers by hand that are declared, and modules that return positions, against `grid_sample` and autograd."""

import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from warptheory import stability
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.patterns import Lattice
from warptheory.stability import AbsolutePositions, OffsetOutput

SIZE = (6, 5)


def gather(image, coords):
    """Read images (B, C, H, W) at (x, y) in pixels, (B, *T, 2), bilinearly, zeros outside, by indices alone."""
    batch = torch.arange(len(image)).reshape(-1, *[1] * (coords.ndim - 2))
    low, result = coords.floor(), 0
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = low[..., 0] + dx, low[..., 1] + dy
            weight = (1 - (coords[..., 0] - x).abs()) * (1 - (coords[..., 1] - y).abs())
            inside = (x >= 0) & (x < image.shape[3]) & (y >= 0) & (y < image.shape[2])
            rows, columns = y.long().clamp(0, image.shape[2] - 1), x.long().clamp(0, image.shape[3] - 1)
            result = result + (weight * inside)[..., None] * image[batch, :, rows, columns]
    return result.movedim(-1, 1)


read = stability.sampling("coords", image="image", kernel="linear", boundary="zeros")(gather)


def positions(batch=2, grid=SIZE, seed=0):
    """Return positions (x, y) in pixels, about a pixel off a grid, shape (B, *T, 2)."""
    y, x = torch.meshgrid(*[torch.arange(float(n)) for n in grid], indexing="ij")
    noise = torch.randn(batch, *grid, 2, generator=torch.Generator().manual_seed(seed))
    return torch.stack([x, y], -1) + noise


class Reader(nn.Module):
    """Reads at positions that are a parameter, by a function of images and positions."""

    def __init__(self, function, start=None):
        super().__init__()
        self.function = function
        self.coords = nn.Parameter(positions() if start is None else start)

    def forward(self, x):
        return self.function(x, self.coords)


def by_grid_sample(image, coords):
    size = torch.tensor(image.shape[:1:-1], dtype=coords.dtype)
    return functional.grid_sample(image, 2 * coords / (size - 1) - 1, align_corners=True)


def rows_of(function, start=None):
    model, x = Reader(function, start), torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with stability.monitor(model, interval=1) as m:
        model(x.requires_grad_()).square().sum().backward()
    return m.rows()


def test_a_declared_gather_has_the_row_of_grid_sample():
    (ours,), (theirs,) = rows_of(read), rows_of(by_grid_sample)
    assert ours.operator == "gather"
    for name in stability.Monitor.legend().query("unit != ''")["name"]:
        # The gradient in the parameter is per pixel here and through a factor there; both sum in another order.
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-4, abs=1e-9), name
    assert ours.offset_gradient_variance > 0


@pytest.mark.filterwarnings("ignore:the monitor saw no sampling")
def test_the_same_gather_is_not_seen_undeclared():
    assert rows_of(gather) == []


def test_outside_of_watching_it_is_the_function():
    coords, x = positions(), torch.randn(2, 3, *SIZE)
    assert torch.equal(read(x, coords), gather(x, coords))
    assert read.__name__ == "gather"
    assert torch.equal(read(image=x, coords=coords), gather(x, coords))


def test_a_mode_sees_the_very_tensor_and_may_replace_it():
    coords, x, seen = positions(), torch.randn(2, 3, *SIZE), []

    class Replacing(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if any(each is coords for each in args):
                seen.append(func)
                args = tuple(each.detach() if each is coords else each for each in args)
            return func(*args, **(kwargs or {}))

    coords.requires_grad_()
    with Replacing():
        outcome = read(x, coords)
    assert len(seen) == 1
    assert not outcome.requires_grad


def test_points_and_offset_fields_see_it():
    start = positions(1)
    model, x = Reader(read, start), torch.randn(1, 3, *SIZE)
    (layer,) = stability.offset_fields(model, x)
    assert layer.positions[0] == pytest.approx(start[0].flip(-1).movedim(-1, 0).numpy(), abs=1e-6)
    points = stability.sampling_points(model, x, (2, 3))
    assert points.positions[0] == pytest.approx(start[0, 2, 3].flip(-1).numpy(), abs=1e-6)


def test_what_is_not_said_is_not_known():
    (row,) = rows_of(stability.sampling("coords", name="look-up")(gather))
    assert row.operator == "look-up"
    assert math.isnan(row.dead_fraction)
    assert math.isnan(row.variance_in)
    assert row.variance_out > 0
    assert row.slope_deviation > 0


def test_methods_and_several_outcomes():
    class Method(nn.Module):
        @stability.sampling("where", image="x")
        def look(self, x, where=None):
            return gather(x, where), None

        def forward(self, x):
            return self.look(x, where=positions(len(x)))[0]

    model = Method()
    with stability.monitor(model, interval=1) as m:
        model(torch.randn(2, 3, *SIZE))
    (row,) = m.rows()
    assert (row.operator, row.layer) == ("look", "")
    assert row.variance_out > 0
    assert row.variance_in > 0


def test_a_list_of_positions_has_no_slopes():
    start = positions().flatten(1, 2)[:, :7]
    (row,) = rows_of(read, start)
    assert math.isnan(row.slope_deviation)
    assert row.offset_deviation == pytest.approx(float(start.std(correction=0)), rel=1e-5)
    outside = (start < -0.5) | (start > torch.tensor([SIZE[1] - 0.5, SIZE[0] - 0.5]))
    assert row.outside_fraction == pytest.approx(float(outside.any(-1).double().mean()), rel=1e-12)


# ---- layouts


@pytest.mark.parametrize(
    ("layout", "arrange"),
    [
        (AbsolutePositions(), lambda xy: xy),
        (AbsolutePositions(last_axis_first=False), lambda xy: xy.flip(-1)),
        (AbsolutePositions(channels_first=True), lambda xy: xy.movedim(-1, 1)),
        (AbsolutePositions(units="normalised"), lambda xy: 2 * xy / torch.tensor([4.0, 5.0]) - 1),
        (
            AbsolutePositions(units="normalised", align_corners=False),
            lambda xy: (2 * xy + 1) / torch.tensor([5.0, 6.0]) - 1,
        ),
        (AbsolutePositions(item=1), lambda xy: xy),
        (AbsolutePositions(item="coords"), lambda xy: xy),
    ],
    ids=["x y", "y x", "channels first", "normalised", "outer edges", "of a tuple", "of a mapping"],
)
def test_modules_that_return_positions(layout, arrange):
    xy = positions().double().requires_grad_()

    class Head(nn.Module):
        def forward(self, x):
            raw = arrange(xy) * x
            return {None: raw, 1: (x, raw), "coords": {"coords": raw}}[layout.item]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = Head()

        def forward(self, x):
            found = self.head(x)
            raw = found if layout.item is None else found[layout.item]
            # In pixels again, so that ∂L/∂position = 2·position, whatever the layout.
            fields = layout.offsets(raw) + Lattice.unit(2).identity(raw.new_zeros(1, 2, *SIZE))
            return fields.square().sum()

    with stability.monitor(Model(), interval=1, modules={"head": layout}) as m:
        m.model(torch.ones(())).backward()
    (row,) = m.rows()
    still = Lattice.unit(2).identity(torch.zeros(1, 2, *SIZE, dtype=torch.float64))
    offsets = xy.detach().flip(-1).movedim(-1, 1) - still
    assert row.offset_deviation == pytest.approx(float(offsets.std(correction=0)), rel=1e-12)
    assert row.fold_fraction == float(stability.fold_fraction(offsets))
    assert row.offset_gradient_variance == pytest.approx(float((2 * xy).var(correction=0)), rel=1e-12)


def test_positions_on_a_grid_of_another_size():
    """Those of torch's identity grid are no offsets, with corners aligned and without."""
    for corners in (True, False):
        grid = functional.affine_grid(torch.eye(2, 3)[None], [1, 1, 3, 4], align_corners=corners)
        layout = AbsolutePositions(units="normalised", align_corners=corners).of_image(SIZE)
        assert layout.offsets(grid).abs().max() < 1e-5  # rounding of float32, in pixels


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AbsolutePositions(units="metres"), "^units: expected 'pixels' or 'normalised'"),
        (lambda: AbsolutePositions(size=(3,)), "^size: expected 2 lengths"),
        (lambda: AbsolutePositions(dim=0), "^dim: expected"),
        (lambda: AbsolutePositions().offsets(torch.zeros(1, 4, 4, 3)), "^positions: expected positions of shape"),
        (lambda: AbsolutePositions(units="normalised").offsets(torch.zeros(1, 4, 2)), "^positions: expected the size"),
        (lambda: stability.sampling("coords", layout=3), "^layout: expected an AbsolutePositions or OffsetOutput"),
    ],
)
def test_bad_input(call, message, as_users_call):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_unknown_names():
    for options in ({"positions": "coordinates"}, {"positions": "coords", "image": "picture"}):
        with pytest.raises(UnknownNameError):
            stability.sampling(**options)(gather)
    for options in ({"kernel": "linaer"}, {"boundary": "zero"}):
        with pytest.raises(UnknownNameError):
            stability.sampling("coords", **options)


def test_an_output_that_is_no_tensor_is_an_error():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    model = nn.Sequential(Pair())
    for layout, message in (
        (OffsetOutput(), "^modules: expected a tensor from '0', or item= in its layout, got tuple"),
        (OffsetOutput(item=2), "^modules: expected outputs of '0' of which one is 2"),
    ):
        with stability.monitor(model, interval=1, modules={"0": layout}), pytest.raises(ArgumentError, match=message):
            model(torch.zeros(1, 2, 4, 4))


def test_positions_of_a_wrong_shape_are_an_error():
    model = Reader(read, torch.zeros(2, 4, 4, 3))
    with stability.monitor(model, interval=1), pytest.raises(ArgumentError, match="^positions: expected positions of"):
        model(torch.randn(2, 3, *SIZE))


def test_compiled_it_runs_as_it_is():
    coords, x = positions(), torch.randn(2, 3, *SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(read, backend="eager", fullgraph=True)
        assert torch.equal(compiled(x, coords), gather(x, coords))
