"""HTML of objects: escaped, well formed, in the colours around it; numbers at the right."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.cards import check_html, check_shows_itself, text_of
from warptheory.core import html
from warptheory.core.definition import attributes, definition, identity
from warptheory.core.presented import Presented, brief
from warptheory.core.text import shortened

HOSTILE = "<script>alert('x')</script>\u202e\x1b[31m\" onload=\"x"


def card(*parts):
    return html.card("Title", "", parts)


def test_everything_inserted_is_escaped():
    root = check_html(
        html.card(
            HOSTILE,
            HOSTILE,
            [
                HOSTILE,
                html.element("p", HOSTILE, title=HOSTILE),
                html.table([html.Column(HOSTILE, meaning=HOSTILE)], [[HOSTILE]]),
                html.properties([(HOSTILE, HOSTILE)]),
                html.details(HOSTILE, HOSTILE),
                html.line_plot([0, 1], [0, 1], x_label=HOSTILE, y_label=HOSTILE),
            ],
        )
    )
    assert text_of(root).count("<script>") >= 8
    assert "\x1b" not in text_of(root)
    assert "\u202e" not in text_of(root)


def test_what_is_wrong_is_seen():
    for wrong in (
        '<img src="https://x"/>',
        '<p style="color: #000">x</p>',
        '<a href="x">x</a>',
        '<p onclick="x">x</p>',
    ):
        with pytest.raises(AssertionError):
            check_html(f"<div>{wrong}</div>")


def test_a_table_has_text_at_the_left_and_numbers_at_the_right():
    columns = [html.Column("name", is_text=True), html.Column("value", meaning="what it is")]
    root = check_html(html.table(columns, [["a", 1]]))
    assert [each.get("class") for each in root.iter("th")] == ["text", None]
    assert [each.get("class") for each in root.iter("td")] == ["text", None]
    assert [each.get("title") for each in root.iter("th")] == [None, "what it is"]


def test_properties_without_a_value_are_left_out():
    root = check_html(card(html.properties([("a", 0), ("b", None), ("c", "")])))
    assert [each.text for each in root.iter("th")] == ["a"]


def test_a_formula_is_mathml_and_a_long_one_is_folded():
    short, long = html.formula(r"\frac{a}{b} < c"), html.formula("+".join(["a"] * 1000))
    assert [each.tag.rpartition("}")[2] for each in check_html(short).iter()][:2] == ["math", "mrow"]
    assert check_html(long).tag == "details"


@pytest.mark.parametrize(
    "latex",
    [r"\text{<script>}", r"\text{a & b}", r"\frac{", r"\href{javascript:x}{y}", r"\class{x}{y}", "x\x1b", "<b>"],
)
def test_latex_that_is_no_formula_is_shown_as_text(latex):
    root = check_html(card(html.formula(latex)))
    assert not {each.tag.rpartition("}")[2] for each in root.iter()} & {"script", "b", "a"}


@pytest.mark.parametrize("values", [[np.nan, 1.0, np.inf, 2.0], [0.0] * 4, [np.nan] * 4, [-1.0, 0.0, 1.0, 2.0]])
def test_a_plot_draws_what_is_finite(values):
    root = check_html(html.line_plot(np.arange(4.0), values, x_label="x (pixels)", y_label="y"))
    (path,) = (each.get("d") for each in root.iter("{http://www.w3.org/2000/svg}path") if each.get("fill") == "none")
    assert path.count("M") + path.count("L") == np.isfinite(values).sum()
    assert root.get("aria-label") == "y against x (pixels)"
    assert "nan" not in html.line_plot([0, 1], values[:2], x_label="", y_label="")


@dataclass(frozen=True)
class Base(Presented):
    """A thing.

    Attributes:
        name: its name, which
            goes on.
        parts: its parts.
    """

    name: str
    parts: tuple["Base", ...] = ()
    table: np.ndarray = field(default_factory=lambda: np.zeros(2))


@dataclass(frozen=True)
class Derived(Base):
    """Another.

    Attributes:
        size: its size.
    """

    size: float = 1.0


def test_a_data_class_shows_what_is_not_by_default():
    thing = Derived(HOSTILE, (Base("inner" * 60),), size=2.5)
    root = check_shows_itself(thing)
    assert "its name, which goes on." in text_of(root)
    assert repr(Derived("x")) == "Derived(name='x', table=ndarray of shape (2,))"
    assert repr(Derived("x", size=2.5)).endswith("size=2.5)")
    assert attributes(Derived) == {"name": "its name, which goes on.", "parts": "its parts.", "size": "its size."}


def test_the_definition_of_a_value_is_all_of_it():
    """As data classes write it by themselves, so that what differs anywhere has another text."""
    inner = Base("inner" * 60)
    written = definition(Derived("x", (inner,)))
    assert written.startswith(f"Derived(name='x', parts=(Base(name='{'inner' * 60}', parts=(), table=array(")
    assert definition({"a": [inner]}) == f"{{'a': [{definition(inner)}]}}"
    assert definition((1,)) == "(1,)"
    assert identity(Derived("x")) == definition(Derived("x"))
    assert identity("x") == "x"


def test_short_texts():
    assert shortened("abcdefghij", 7) == "abcd…ij"
    assert shortened("abc", 3) == "abc"
    assert brief(1 / 3) == "0.333333"
    assert brief("x" * 100, 20) == f"'{'x' * 12}…{'x' * 5}'"
