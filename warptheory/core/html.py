"""HTML that an object shows of itself, in a notebook or on a page.

It is escaped, well-formed XML, and holds all that it shows: nothing is fetched. Colours are those of the page around
it, so that it can be read in the light and in the dark.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

from jaxtyping import Float
from markupsafe import Markup, escape
from numpy import ndarray

from warptheory.core.text import printable

Numbers = Sequence[SupportsFloat] | Float[ndarray, "N"]

_WIDTH, _HEIGHT, _LEFT, _BELOW, _ABOVE = 260, 160, 46, 30, 22  # of a plot, in CSS pixels, with its margins
_LINE = 12  # height of a line of text
_LONGEST_FORMULA = 1500  # characters of LaTeX; longer ones are folded away

_STYLE = Markup("""<style>
.warptheory { line-height: 1.45; overflow-x: auto; }
.warptheory .title { margin: 0 0 .3em; }
.warptheory .title span { opacity: .75; }
.warptheory p { margin: .3em 0; }
.warptheory table { border-collapse: collapse; margin: .3em 0; color: inherit; background: none; }
.warptheory th, .warptheory td { padding: .15em .7em; text-align: right; color: inherit; background: none; }
.warptheory th { border-bottom: 1px solid currentColor; vertical-align: bottom; }
.warptheory tbody th { border-bottom: none; font-weight: normal; opacity: .75; vertical-align: top; }
.warptheory .text { text-align: left; }
.warptheory math { font-size: 1.1em; }
.warptheory math[display="block"] { margin: .5em 1em; text-align: left; width: max-content; }
.warptheory svg { margin: .3em 1em .3em 0; max-width: 100%; height: auto; color: inherit; }
.warptheory details { margin: .3em 0; }
.warptheory summary { cursor: pointer; }
</style>""")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        head: its heading.
        is_text: whether it holds text, which stands at the left, and not numbers.
        meaning: what it says, shown where one points at the heading; empty for nothing.
    """

    head: str
    is_text: bool = False
    meaning: str = ""


def text(value: object) -> Markup:
    """Return HTML of what is shown of a value: markup as it is, of all else the text, escaped, where nothing hides."""
    return value if isinstance(value, Markup) else escape(printable(str(value)))


def element(tag: str, content: object, **attributes: str) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        content: what it holds; markup as it is, all else escaped.
        **attributes: its attributes, `_class` for class; empty ones are left out.
    """
    written = (f' {name.lstrip("_")}="{text(value)}"' for name, value in attributes.items() if value)
    return Markup(f"<{tag}{''.join(written)}>{text(content)}</{tag}>")


def joined(parts: Iterable[object]) -> Markup:
    """Return parts of HTML one after the other."""
    return Markup("").join(map(text, parts))


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> Markup:
    """Return a table; numbers stand at the right of their cells.

    Args:
        columns: its columns.
        rows: by rows, what each column shows: markup as it is, all else escaped.
    """
    kinds = ["text" if column.is_text else "" for column in columns]
    heads = [
        element("th", column.head, _class=kind, title=column.meaning)
        for kind, column in zip(kinds, columns, strict=True)
    ]
    lines = [
        element("tr", joined(element("td", cell, _class=kind) for kind, cell in zip(kinds, row, strict=True)))
        for row in rows
    ]
    head = element("thead", element("tr", joined(heads)))
    body = element("tbody", Markup("\n").join(lines))
    return element("div", element("table", Markup("\n").join([head, body])), _class="scroll", tabindex="0")


def properties(pairs: Iterable[tuple[str, object]]) -> Markup:
    """Return a table of names and values.

    Args:
        pairs: names with what is shown of each; those whose value is None or empty are left out.
    """
    lines = [
        element("tr", joined([element("th", name, _class="text", scope="row"), element("td", value, _class="text")]))
        for name, value in pairs
        if value is not None and value != ""
    ]
    return element("table", element("tbody", joined(lines))) if lines else Markup("")


def details(summary: object, content: object) -> Markup:
    """Return content that is folded away until one asks for it."""
    return element("details", joined([element("summary", summary), text(content)]))


def formula(latex: str, summary: str = "formula") -> Markup:
    """Return a formula as MathML on a line of its own.

    Args:
        latex: the formula in LaTeX.
        summary: what stands in its place where it is very long, and folded away.
    """
    from warptheory.core.formulas import mathml  # which loads SymPy

    found = Markup(mathml(printable(latex)))
    return found if len(latex) <= _LONGEST_FORMULA else details(f"{summary} ({len(latex)} characters)", found)


def card(title: str, subtitle: str, parts: Iterable[object]) -> str:
    """Return what an object shows of itself in a notebook.

    Args:
        title: its kind, or name.
        subtitle: more of the same, less marked.
        parts: what follows: markup as it is, all else escaped.
    """
    line = [element("strong", title), Markup(" "), element("span", subtitle)]
    return element("div", joined([_STYLE, element("p", joined(line), _class="title"), *parts]), _class="warptheory")


def line_plot(x: Numbers, y: Numbers, *, x_label: str, y_label: str) -> Markup:
    """Return a small plot of a line as SVG, in the colour of the text around it.

    Args:
        x: where the line has values, in ascending order, shape (N,).
        y: its values, shape (N,); those that are not finite interrupt it.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit.
    """
    places, values = [float(place) for place in x], [float(value) for value in y]
    finite = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    high = high if high > low else low + 1.0
    first, last = places[0], places[-1]
    right, bottom = _WIDTH - 8, _HEIGHT - _BELOW

    def across(value: float) -> float:
        return _LEFT + (right - _LEFT) * (value - first) / ((last - first) or 1.0)

    def down(value: float) -> float:
        return bottom - (bottom - _ABOVE) * (value - low) / (high - low)

    middle = 0.0 if first < 0 < last else (first + last) / 2
    axes = [
        _line(_LEFT, down(0.0), right, down(0.0)),
        _line(across(middle) if middle == 0 else _LEFT, _ABOVE, across(middle) if middle == 0 else _LEFT, bottom),
    ]
    heights = [0.0, *(value for value in (low, high) if abs(down(value) - down(0.0)) > _LINE)]
    labels = [
        _label(across(first), bottom + 12, f"{first:.3g}"),
        _label(across(middle), bottom + 12, f"{middle:.3g}"),
        _label(across(last) + 6, bottom + 12, f"{last:.3g}", "end"),
        *(_label(_LEFT - 4, down(value) + 4, f"{value:.3g}", "end") for value in heights),
        _label((_LEFT + right) / 2, _HEIGHT - 4, x_label),
        _label(across(middle) if middle == 0 else _LEFT, 12, y_label, "middle" if middle == 0 else "start"),
    ]
    curve = Markup('<path d="{}" fill="none" stroke="currentColor" stroke-width="1.6"/>').format(
        _path([(across(a), down(b)) if math.isfinite(b) else None for a, b in zip(places, values, strict=True)])
    )
    return Markup(
        '<svg role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" viewBox="0 0 {} {}" '
        'font-size="11" fill="currentColor">{}</svg>'
    ).format(text(f"{y_label} against {x_label}"), _WIDTH, _HEIGHT, _WIDTH, _HEIGHT, joined([*axes, curve, *labels]))


def _line(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<path d="M{:.1f} {:.1f}L{:.1f} {:.1f}" stroke="currentColor" stroke-opacity=".4"/>').format(
        x1, y1, x2, y2
    )


def _label(x: float, y: float, shown: str, anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text(shown))


def _path(points: Iterable[tuple[float, float] | None]) -> str:
    """Return the path through points; None begins it anew."""
    steps, command = [], "M"
    for point in points:
        if point is None:
            command = "M"
            continue
        steps.append(f"{command}{point[0]:.1f} {point[1]:.1f}")
        command = "L"
    return "".join(steps)
