"""The explorer: one page on which a reader chooses a setting, and sees closed form, simulation and picture change."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from warptheory.core.files import MARK, write_text
from warptheory.core.mathml import checked_mathml
from warptheory.report._page import page_environment


@dataclass(frozen=True)
class ExplorerFormula:
    """A closed form.

    Attributes:
        mathml: the formula as MathML.
        symbols: its symbols as text, each with what it stands for.
    """

    mathml: str
    symbols: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ExplorerPanel:
    """The curves of one quantity, of which the page shows the one that is chosen.

    Attributes:
        label: label of the result.
        title: its title.
        quantity: name of the quantity.
        text: what is to be seen.
        axis: name of the vertical axis.
        abscissa: name of the horizontal axis.
        control: what moves along the curve: "spread", "slope" or "depth".
        choices: what tells the curves apart, among "kernel", "dim" and "offsets".
        power: the quantity is proportional to this power of the input's deviation.
        logarithmic: whether the vertical axis is.
        curves: by the choices, joined by "|": "x" and "theory" of the closed form; "at", "expected", "estimate",
            "stderr" and "n" of the simulations.
        formulas: the closed form, by the choices.
    """

    label: str
    title: str
    quantity: str
    text: str
    axis: str
    abscissa: str
    control: str
    choices: tuple[str, ...]
    power: int
    logarithmic: bool
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    formulas: Mapping[str, ExplorerFormula]


def write_explorer(
    path: Path,
    panels: Sequence[ExplorerPanel],
    choices: Mapping[str, Any],
    photograph: Mapping[str, Any],
    manifest: Mapping[str, Any],
    sources: Sequence[Mapping[str, Any]],
) -> None:
    """Write the page, atomically.

    Args:
        path: the file.
        panels: the quantities, in their order.
        choices: what can be chosen: kernels, dims, offsets, spread, slope, depth, pictures; and the scales of laws.
        photograph: what the browser warps, by names; arrays as base64.
        manifest: how the page came about.
        sources: the manifests of the records.

    Raises:
        ArgumentError: a formula that is no MathML, or something that is no page of ours in the page's place.
    """
    environment = page_environment()
    formulas: dict[ExplorerFormula, int] = {}
    shown = [_data(panel, formulas) for panel in panels]
    data = {
        "panels": shown,
        "formulas": [asdict(form) for form in formulas],
        "choices": choices,
        "photograph": photograph,
    }
    page = environment.get_template("explorer.html").render(
        mark=MARK,
        panels=panels,
        choices=choices,
        manifest=manifest,
        sources=sources,
        style=_text("explorer.css"),
        script=_text("explorer.js"),
        data=embedded_json(data),
    )
    write_text(path, page)


def _data(panel: ExplorerPanel, formulas: dict[ExplorerFormula, int]) -> dict[str, Any]:
    """Return a panel as JSON has it, each formula as its number among all, to which new ones are added."""
    numbers = {}
    for key, form in panel.formulas.items():
        checked = replace(form, mathml=str(checked_mathml(form.mathml)))
        numbers[key] = formulas.setdefault(checked, len(formulas))
    return {**asdict(panel), "formulas": numbers}


def embedded_json(data: Any) -> Markup:
    """Return JSON that can stand in an element of a page, which none of its texts can end."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _text(name: str) -> Markup:
    """Return a file that stands on the page as it is: ours, no text of anybody else's."""
    return Markup((Path(__file__).with_name("templates") / name).read_text(encoding="utf-8"))
