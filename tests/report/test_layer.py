"""Pictures of what `stability` returns, and of a layer of any model: points, offsets, names and units."""

import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.stability import stand_ins
from warptheory import operators, report, stability, warping
from warptheory.core.errors import ArgumentError, UnknownNameError

torch.manual_seed(0)
IMAGE = torch.rand(1, 3, 20, 24)


class Rotation(nn.Module):
    """Rotates images by `grid_sample`, as spatial transformers do."""

    def __init__(self):
        super().__init__()
        self.angle = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        cosine, sine = self.angle.cos(), self.angle.sin()
        matrix = torch.stack([cosine, -sine, 0 * sine, sine, cosine, 0 * sine]).reshape(1, 2, 3).expand(len(x), -1, -1)
        grid = functional.affine_grid(matrix, x.shape, align_corners=False)
        return functional.grid_sample(x, grid, align_corners=False)


def self_warp(**options):
    return operators.SelfWarp2d(3, head_gain=1.0, scale=2.0, **options)


def two_layers():
    return nn.Sequential(self_warp(), nn.Conv2d(3, 3, 3, padding=1), self_warp(groups=3))


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_a_layer_of_a_model_is_drawn():
    model = two_layers()
    figure = report.plot_layer(model, IMAGE, "2", pixel=(5, 7))
    assert figure.get_suptitle().startswith("layer 2: warp, field ")
    assert titles(figure)[0] == "sampled by output pixel (5, 7)"
    points = stability.sampling_points(model, IMAGE, (5, 7), "2")
    for axes in figure.axes[:2]:
        (marks,) = axes.collections
        drawn = np.asarray(marks.get_offsets())[:, ::-1]
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(points.positions, axis=0), rtol=1e-6)
    close = figure.axes[1]
    assert close.get_xlim()[0] < points.positions[:, 1].min() < points.positions[:, 1].max() < close.get_xlim()[1]
    labels = {axes.get_xlabel() for axes in figure.axes[:5]}
    assert labels == {"column (pixels)", "output column (pixels)", "columns (pixels)"}
    figure.draw_without_rendering()


def test_the_last_layer_and_a_typical_pixel_are_the_default():
    model = two_layers()
    figure = report.plot_layer(model, IMAGE)
    assert figure.get_suptitle().startswith("layer 2: warp")
    layer = stability.offset_fields(model, IMAGE)[-1]
    lengths = np.linalg.norm(layer.offsets, axis=1).mean(0)
    middle = lengths[5:15, 6:18]
    row, column = eval_pixel(titles(figure)[0])
    assert 5 <= row < 15
    assert 6 <= column < 18
    assert abs(lengths[row, column] - np.median(middle)) == pytest.approx(np.abs(middle - np.median(middle)).min())


def eval_pixel(title):
    return tuple(int(part) for part in title.partition("(")[2].rstrip(")").split(","))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_grid_sample_inside_a_module(channels):
    figure = report.plot_layer(Rotation(), torch.rand(1, channels, 16, 16))
    assert figure.get_suptitle() == "the model itself: grid_sample"


@pytest.mark.skipif("torchvision" in sys.modules, reason="the library itself is loaded")
def test_a_deformable_convolution():
    with stand_ins.torchvision():
        model = stand_ins.DeformableLayer("torchvision", channels=3)
        figure = report.plot_layer(model, IMAGE, field=4)
    assert figure.get_suptitle() == "the model itself: deform_conv2d, field 4 of 0 … 8"
    assert "weight (share)" in {axes.get_ylabel() for axes in figure.axes}
    assert len(figure.axes[1].collections[0].get_offsets()) == 9


def test_of_a_named_output_the_offsets_are_drawn():
    """What a module's output moves is not known."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1))
    figure = report.plot_layer(model, IMAGE, modules={"0": stability.OffsetOutput()})
    assert titles(figure)[0] == "what is sampled is not known"
    figure.draw_without_rendering()


class Broken(nn.Module):
    """Moves by offsets of which a share is not a number, and one is infinite."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, x):
        generator = torch.Generator().manual_seed(1)
        offsets = torch.rand(1, 2, *x.shape[2:], generator=generator)
        offsets[0, :, torch.rand(x.shape[2:], generator=generator) < self.share] = torch.nan
        if self.share < 1:
            offsets[0, 0, 9, 9] = torch.inf
        return warping.warp(x, offsets)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_offsets_that_are_not_finite_do_not_count(share):
    """Nor do they warn; where none is finite the picture says that."""
    model = Broken(share)
    figure = report.plot_layer(model, IMAGE)
    row, column = eval_pixel(titles(figure)[0])
    (layer,) = stability.offset_fields(model, IMAGE)
    lengths = np.linalg.norm(layer.offsets, axis=1).mean(0)
    assert ("no offset is finite" in titles(figure)) == (share == 1)
    if share == 1:
        assert (row, column) == (10, 12)
        return
    middle = lengths[5:15, 6:18]
    median = np.median(middle[np.isfinite(middle)])
    assert abs(lengths[row, column] - median) == np.nanmin(np.abs(middle - median))


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: report.plot_layer(nn.Conv2d(3, 1, 3), IMAGE), "^model: expected a model that samples"),
        (lambda: report.plot_layer(two_layers(), IMAGE, "1"), "^layer: expected one of 0, 2, got '1'"),
        (
            lambda: report.plot_layer(Rotation(), IMAGE, "lok"),
            r"^layer: expected one of '' \(the model itself\), got 'lok'",
        ),
        (lambda: report.plot_layer(two_layers(), IMAGE, "0", call=1), "^call: expected a call of '0', 0 … 0, got 1"),
        (lambda: report.plot_layer(two_layers(), IMAGE, field=3), "^field: "),
        (lambda: report.plot_layer(two_layers(), IMAGE, pixel=(99, 0)), "^pixel: "),
        (lambda: report.plot_layer(two_layers(), torch.rand(2, 3, 8, 8)), "^image: "),
        (
            lambda: report.plot_layer(operators.SelfWarp1d(2), torch.rand(1, 2, 16)),
            "^offsets: expected a layer that moves along two axes, rows and columns, got 1 axis",
        ),
    ],
    ids=["nothing", "layer", "model itself", "call", "field", "pixel", "batch", "signal"],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        draw()


def test_pictures_take_what_stability_returns():
    model = two_layers()
    several = [stability.sampling_points(model, IMAGE, pixel) for pixel in ((5, 7), (9, 9))]
    as_table = report.plot_sampling_points(IMAGE[0].numpy(), several[0].table())
    as_object = report.plot_sampling_points(IMAGE, several[0])
    for figure in (as_table, as_object):
        figure.draw_without_rendering()
    places = [figure.axes[0].collections[0].get_offsets().tolist() for figure in (as_table, as_object)]
    assert places[0] == places[1]
    both = report.plot_sampling_points(IMAGE, several)
    assert len(both.axes[0].collections[0].get_offsets()) == sum(len(each.positions) for each in several)


@pytest.mark.parametrize("field", [None, 0, 2])
def test_of_many_fields_one_is_drawn(field):
    layer = stability.offset_fields(two_layers(), IMAGE)[-1]
    figure = report.plot_offset_field(layer, field=field)
    energies = np.square(layer.offsets).sum((1, 2, 3))
    number = int(np.argmax(energies)) if field is None else field
    assert figure.get_suptitle() == f"layer 2: warp, field {number} of 0 … 2"
    same = report.plot_offset_field(layer.offsets[number], figure.get_suptitle())
    assert np.array_equal(figure.axes[1].images[0].get_array(), same.axes[1].images[0].get_array())


class Moved(nn.Module):
    """Moves what has any number of axes by a third of a pixel along each."""

    def forward(self, x):
        offsets = torch.full((len(x), x.ndim - 2, *x.shape[2:]), 1 / 3)
        return warping.warp(x, offsets)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(("dim", "axes"), [(1, "1 axis"), (3, "3 axes")])
def test_what_stability_returns_for_signals_and_volumes_is_refused(dim, axes):
    model, image = Moved(), torch.rand(1, 1, *[6] * dim)
    points, (layer,) = stability.sampling_points(model, image, (2,) * dim), stability.offset_fields(model, image)
    with pytest.raises(ArgumentError, match=f"^points: expected positions on two axes, which an image has, got {axes}"):
        report.plot_sampling_points(np.zeros((4, 4)), points)
    with pytest.raises(ArgumentError, match=f"^offsets: expected a layer that moves along two axes, .*, got {axes}"):
        report.plot_offset_field(layer)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("points", [[], None, [3], "x"], ids=repr)
def test_what_are_no_points_is_refused(points):
    with pytest.raises(ArgumentError, match="^points: expected results of stability.sampling_points"):
        report.plot_sampling_points(np.zeros((4, 4)), points)


@pytest.mark.usefixtures("as_users_call")
def test_a_list_of_layers_is_refused_with_what_to_do():
    layers = stability.offset_fields(two_layers(), IMAGE)
    with pytest.raises(ArgumentError, match=r"one result of stability.offset_fields, .* got list"):
        report.plot_offset_field(layers)
    with pytest.raises(ArgumentError, match="^field: expected None for an array"):
        report.plot_offset_field(layers[0].offsets[0], field=1)
