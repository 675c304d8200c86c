"""What is drawn is what the records say: points at their pixels, arrows to scale, colours that tell directions."""

import io

import numpy as np
import pandas as pd
import pytest
from skimage.color import rgb2lab

from warptheory import report
from warptheory.core.errors import ArgumentError


def points(weights=(0.25, 0.75), **columns):
    table = {
        "layer": "blocks.1.warp",
        "layers": 2,
        "kept": 1.0,
        "position0": [1.5, 6.0],
        "position1": [3.0, -2.0],
        "weight": weights,
        "start0": 4.0,
        "start1": 5.0,
    }
    return pd.DataFrame({**table, **columns})


IMAGE = np.linspace(0, 1, 80).reshape(8, 10)


def test_points_lie_at_their_columns_and_rows():
    figure = report.plot_sampling_points(IMAGE, points(), np.eye(8, 10))
    axes, bar = figure.axes
    (marks,) = axes.collections
    assert marks.get_offsets().tolist() == [[3.0, 1.5], [-2.0, 6.0]]
    assert marks.get_sizes()[1] > marks.get_sizes()[0]
    assert bar.get_ylabel() == "weight (share of the output pixel)"
    crosses = [line.get_xydata().tolist() for line in axes.get_lines()]
    assert crosses == [[[5.0, 4.0]]] * 2
    # Rows grow downwards; the point outside the image is inside the panel.
    assert axes.get_ylim() == (7.5, -0.5)
    assert axes.get_xlim()[0] < -2
    assert axes.get_title() == "Sampled through layer blocks.1.warp and 1 sampling layer below"


def test_points_of_one_weight_need_no_scale():
    figure = report.plot_sampling_points(np.stack([IMAGE] * 3), points(weights=[1.0, 1.0]))
    assert len(figure.axes) == 1


def test_points_that_are_not_finite_do_not_hide_the_others():
    figure = report.plot_sampling_points(IMAGE, points(position0=[np.nan, 6.0], position1=[np.inf, -2.0]))
    figure.draw_without_rendering()
    assert figure.axes[0].get_xlim() == (-3.0, 9.5)


@pytest.mark.parametrize(("length", "factor"), [(0.02, 50.0), (0.4, 2.0), (1.0, 1.0), (30.0, 0.02)])
def test_arrows_point_to_what_is_sampled(length, factor):
    """Every arrow starts at its pixel and, divided by the stated factor, is the offset."""
    offsets = np.zeros((2, 8, 10))
    offsets[0], offsets[1] = 0.6 * length, -0.8 * length
    figure = report.plot_offset_field(offsets, "field")
    (arrows,) = figure.axes[0].collections
    assert (arrows.U / factor).ravel() == pytest.approx(np.full(80, -0.8 * length))
    assert (arrows.V / factor).ravel() == pytest.approx(np.full(80, 0.6 * length))
    assert sorted(map(tuple, arrows.get_offsets().tolist())) == [(x, y) for x in range(10) for y in range(8)]
    assert (figure.axes[0].get_title() == "to scale") == (factor == 1)


def test_large_fields_have_few_arrows():
    axes = report.plot_offset_field(np.ones((2, 200, 400))).axes[0]
    assert 100 <= len(axes.collections[0].U) <= 400


def test_colours_are_a_plane_and_grey_is_none():
    """Equal steps of the offset are equal steps in CIELAB, to the rounding and clipping of sRGB."""
    steps = np.linspace(-0.9, 0.9, 7)
    for offsets in (np.stack([steps, 0 * steps]), np.stack([0 * steps, steps])):
        lab = rgb2lab(report.offset_colours(offsets))
        moved = np.linalg.norm(np.diff(lab, axis=0), axis=1)
        assert moved == pytest.approx(np.full(6, moved.mean()), rel=0.15)
        assert moved.mean() > 10
    assert np.ptp(report.offset_colours(np.zeros((2, 1)))) < 0.01


def test_offsets_beyond_the_rim_have_its_colour():
    np.testing.assert_allclose(
        report.offset_colours(np.array([[3.0], [4.0]])), report.offset_colours(np.array([[0.6], [0.8]]))
    )


@pytest.mark.parametrize("field", [np.zeros((2, 5, 6)), np.full((2, 5, 6), np.nan)], ids=["zero", "not finite"])
def test_fields_without_a_length(field):
    report.plot_offset_field(field).draw_without_rendering()


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: report.plot_offset_field(np.zeros((3, 4, 4))), "^offsets: expected shape"),
        (lambda: report.plot_sampling_points(np.zeros((2, 4, 4)), points()), "^image: expected shape"),
        (lambda: report.plot_sampling_points(IMAGE, points().drop(columns="position1")), "^points: expected positions"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize("name", ["a$b$c", "$\\frac$", "\x1b[31m", "\x00", "</title><script>"])
def test_names_are_drawn_as_they_are(name):
    """Nothing in the name of a layer, or in a title, is taken for mathematics or for a control character."""
    table = points(layer=name)
    for figure in (report.plot_sampling_points(IMAGE, table), report.plot_offset_field(np.ones((2, 4, 5)), name)):
        figure.savefig(content := io.BytesIO(), format="svg")
        assert b"<script" not in content.getvalue()
