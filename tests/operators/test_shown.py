"""Layers show themselves in a notebook: what they do, their settings with meanings, and their size."""

import inspect
from functools import partial

import pytest
from torch import nn

from tests.cards import check_html, text_of
from warptheory import operators

EXAMPLES = {
    type(layer).__name__: layer
    for name in operators.names()
    for layer in (example.build() for example in operators.get(name).examples.values())
}
LAYERS = [*sorted(EXAMPLES), "RandomFieldWarp"]


def made(name):
    """Return a layer: an example of its operator's."""
    return EXAMPLES.get(name) or operators.RandomFieldWarp()


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_shows_every_setting(name):
    """With its value and what it means."""
    layer = made(name)
    card = check_html(layer._repr_html_())
    kind = getattr(operators, name)
    assert card.find(".//strong").text == name
    assert kind.__doc__.splitlines()[0] in text_of(card)
    rows = {row[0].text: row for row in card.iter("tr") if len(row.findall("td")) == 3}
    assert list(rows) == list(inspect.signature(kind).parameters)
    assert all(row[2].text for row in rows.values())
    size = sum(each.numel() for each in layer.parameters())
    assert f"parameters {size:,}" in " ".join(text_of(card).split())


@pytest.mark.parametrize("name", LAYERS)
def test_its_line_is_that_of_torch(name):
    layer = made(name)
    assert repr(layer) == nn.Module.__repr__(layer)


@pytest.mark.parametrize(
    ("build", "option"),
    [
        (partial(operators.AdaptiveDilatedConv, 4, 4), {"dilation": 2}),
        (partial(operators.AdaptiveDilatedConv, 4, 4), {"use_zero_dilation": True}),
        (partial(operators.LDConv, 4, 4, 3), {"centred": False}),
        (partial(operators.DCNv3, 4), {"offset_scale": 2.0}),
        (partial(operators.DCNv4, 4), {"mask_start": 0.0}),
        (partial(operators.SnakeConv2d, 4, 4), {"boundary": "border"}),
        (partial(operators.SnakeConv2d, 4, 4), {"extend_scope": 2.0}),
        (partial(operators.DeformConvPack2d, 4, 4, 3), {"offset_groups": 2}),
        (partial(operators.DynamicFilterAtomConv2d, 4, 4, 3), {"initial_gain": 2.0}),
        (partial(operators.LearnableSpacingConv2d, 4, 4, 3), {"dilation": (2, 2)}),
        (partial(operators.SelfWarp2d, 4), {"boundary": "zeros"}),
    ],
)
def test_its_line_tells_a_setting(build, option):
    """By name and value, where a layer with its default prints another line."""
    ((name, value),) = option.items()
    assert f"{name}={value!r}" in repr(build(**option))
    assert f"{name}={value!r}" not in repr(build())


def test_settings_are_those_that_were_given():
    card = check_html(operators.SelfWarp2d(6, "channels", 5, 0.5, "keys", smoothing=1.5)._repr_html_())
    values = {row[0].text: row[1].text for row in card.iter("tr") if len(row.findall("td")) == 3}
    assert values["channels"] == "6"
    assert values["groups"] == "6"
    assert values["kernel_size"] == "5"
    assert values["scale"] == "0.5"
    assert values["kernel"] == "'keys'"
    assert values["smoothing"] == "1.5"
    assert values["lipschitz"] == "None"


def test_a_layer_of_ones_own_shows_itself():
    """Also where it says nothing of its arguments."""

    class Shifted(operators.SelfWarp1d):
        def __init__(self, size):
            super().__init__(size)

    assert "Self-warp of signals" in text_of(check_html(Shifted(2)._repr_html_()))


TOLD = (
    *("ActiveConv", "AliasFree", "AntiAliasedAvg", "AntiAliasedMax", "AntiAliasedWarp", "BlurPool", "DySample"),
    *("Polyphase", "RandomFieldWarp", "Shift", "Softmax", "SparseShift", "SpatialTransformer"),
)


@pytest.mark.parametrize("name", [each for each in LAYERS if each.startswith(TOLD)])
def test_its_line_tells_every_setting(name):
    """By name; those that come first may have none, and a layer that it holds may tell its own."""
    layer = made(name)
    written = repr(layer)
    for argument, value in layer._settings():
        is_first = argument in ("channels", "in_channels", "out_channels", "spread", "correlation", "localisation")
        assert is_first or f"{argument}={value!r}" in written


def test_a_convolution_that_a_layer_holds_tells_its_settings():
    """As torch does, without the usual ones."""
    written = repr(operators.AntiAliasedConv2d(4, 6, 3, padding=1, relu=True))
    assert all(each in written for each in ("relu=True", "stride=2", "padding=(1, 1)", "kernel_size=(3, 3)"))
