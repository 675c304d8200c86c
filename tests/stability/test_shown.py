"""The monitor shows its last step with units and meanings, and its alarms; so do offsets, points and operators."""

import warnings
from dataclasses import fields

import pytest
import torch
from torch import nn

from tests.cards import check_html, check_line, check_shows_itself, text_of
from warptheory import operators, stability
from warptheory.core.definition import attributes
from warptheory.stability import LayerStatistics

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def watched():
    """Return a monitor of three steps of a model whose layer has a hostile name, and of one that alarms."""
    model = nn.Sequential()
    model.add_module(HOSTILE, operators.SelfWarp2d(2, head_gain=0.5))
    with stability.monitor(model, interval=1) as found, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for factor in (1.0, 1.0, 1e6):
            model(factor * torch.randn(2, 2, 6, 6)).sum().backward()
    return found


def test_units_and_meanings_are_kept_where_the_columns_are(watched):
    legend = watched.legend().set_index("name")
    assert list(legend.index) == [each.name for each in fields(LayerStatistics)] == list(watched.table().columns)
    assert legend["meaning"].map(bool).all()
    assert dict(legend["meaning"]) == attributes(LayerStatistics)
    numbers = legend.index[[each.type is float for each in fields(LayerStatistics)]]
    assert legend.loc[numbers, "unit"].map(bool).all()
    assert legend.loc["offset_deviation", "unit"] == "pixels"
    assert legend.loc["slope_deviation", "unit"] == "per pixel"


def test_the_monitor_shows_its_last_step_and_its_alarms(watched):
    card = check_html(watched._repr_html_())
    shown = text_of(card)
    assert "step 2 in training, the last of 3 recorded" in shown
    assert "offset deviation (pixels)" in shown
    assert "fold fraction (share of pixels)" in shown
    last = watched.table().iloc[-1]
    assert f"{last['offset_deviation']:.3g}" in shown
    titles = {each.get("title") for each in card.iter("span")}
    assert attributes(LayerStatistics)["slope_deviation"] in titles
    assert watched.alarms
    assert all(told in shown for told in watched.alarms)
    assert HOSTILE in shown


def test_the_monitor_as_text(watched):
    check_line(watched)
    assert repr(watched) == f"Monitor(Sequential, interval=1, rows=3, alarms={len(watched.alarms)})"
    lines = str(watched).splitlines()
    assert lines[0] == "of Sequential: step 2 in training, the last of 3 recorded"
    assert max(map(len, lines[: -len(watched.alarms)])) <= 100
    (deviation,) = (line for line in lines if line.startswith("offset deviation (pixels)"))
    assert deviation.split()[-1] == f"{watched.table().iloc[-1]['offset_deviation']:.3g}"
    assert [line[2:] for line in lines if line.startswith("! ")] == list(watched.alarms)


def test_many_operations_have_a_line_each():
    model = nn.Sequential(*(operators.SelfWarp2d(2) for _ in range(6)))
    with stability.monitor(model, interval=1) as monitor:
        model(torch.randn(1, 2, 6, 6)).sum().backward()
    card = check_shows_itself(monitor)
    first = next(card.iter("tbody"))
    assert [line.find("td").text for line in first] == ["0", "1", "2", "3", "4", "5"]
    titles = {head.text: head.get("title") for head in card.iter("th")}
    assert titles["fold fraction (share of pixels)"] == attributes(LayerStatistics)["fold_fraction"]


def test_a_monitor_without_records_says_so():
    monitor = stability.monitor(operators.SelfWarp2d(2))
    assert "nothing recorded yet" in text_of(check_shows_itself(monitor))
    assert str(monitor).strip() == "of SelfWarp2d: nothing recorded yet"


def test_evaluation_is_shown_where_nothing_trained():
    model = operators.SelfWarp2d(2).eval()
    with stability.monitor(model, interval=1) as monitor, torch.no_grad():
        model(torch.randn(1, 2, 6, 6))
    assert "step 0 in evaluation" in str(monitor)
    assert "–" in str(monitor)  # gradients, of which there were none


def test_rows_offsets_points_and_operators_show_themselves(watched):
    model, image = operators.SelfWarp2d(2, head_gain=0.5), torch.randn(1, 2, 6, 6)
    (layer,) = stability.offset_fields(model, image)
    points = stability.sampling_points(model, image, (2, 3))
    for thing in (*watched.rows(), layer, points, model.statistics(image)):
        check_shows_itself(thing)
    assert "6 × 6" in text_of(check_shows_itself(layer))
    assert f"{points.positions[0, 1]:.2f}" in text_of(check_shows_itself(points))
    assert repr(points) == "SamplingPoints('', pixel=(2, 3), points=1, size=(6, 6))"


def test_many_points_are_cut_in_a_notebook():
    points = stability.sampling_points(operators.SelfWarp2d(16, groups="channels"), torch.randn(1, 16, 6, 6), (2, 3))
    card = check_shows_itself(points)
    assert "The 10 heaviest of 16 points" in text_of(card)
