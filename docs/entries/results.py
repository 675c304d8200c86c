"""The theorems: statement, assumptions, derivation, verdict, and the closed form beside what was simulated."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sympy as sp
from matplotlib.figure import Figure

from docs import committed
from docs.entries import _myst as myst
from docs.entries._symbols import targets
from docs.gallery_scripts import showing
from docs.pages import EntryPages, Page, blocks
from warptheory import results
from warptheory.core.cache import DERIVATION_ROOMS, cached_text
from warptheory.core.catalogue import entry_modules
from warptheory.core.errors import WarpTheoryError
from warptheory.report import house_style
from warptheory.report.style import BLUE, VERMILION
from warptheory.results import Range, Result
from warptheory.symbolic import Derivation, latex

_POINTS = 25  # of a curve
_LONGEST_LABEL = 60  # characters of an axis' label
_LONGEST = 6000  # characters of LaTeX that a page shows of a step
RECORD = "verdicts.parquet"
_SOURCE = Path(__file__).read_text(encoding="utf-8")


def page(label: str) -> Page:
    """Return the page of a result."""
    result = results.get(label)
    forms = _kept("closed forms", label, lambda: _forms(result))
    _first_form(label)  # which the overview shows; it is derived here already
    curve = _curve(result)
    name = f"{label}.svg"
    text = blocks(
        f"(result-{label})=\n# {label}. {myst.plain(result.title)}",
        myst.plain(result.meaning),
        myst.plain(result.statement),
        _verdict(label),
        "## Assumptions",
        "\n".join(f"- {myst.plain(assumption)}" for assumption in result.assumptions),
        f"Source: {myst.plain(result.source)}.",
        "## Closed forms",
        forms,
        "## Theory and simulation",
        myst.picture(name, f"{result.quantities[0].name} of {label} against a parameter", _CAPTION) if curve else "",
        _claims(label),
        _kernels(result),
        f"```bash\nwarptheory derive {label}\nwarptheory verify {label}\n```",
        _gallery(label),
    )
    return Page(text, {name: myst.svg(curve)} if curve else {})


_CAPTION = """The line is the closed form of the first quantity over the range of one of its symbols, the others
at their standard values. The point is the simulation of the last committed run, with one standard error."""


def overview() -> Page:
    """Return the list of all results by section, with the formula and the verdict of each one's first quantity."""
    sections: dict[tuple[str, str], list[str]] = {}
    for label in results.labels():
        sections.setdefault(_section(label), []).append(label)
    parts = [_INTRODUCTION]
    for (title, opening), labels in sections.items():
        rows = [
            [f"[{label}]({label}.md)", myst.plain(results.get(label).title), _first_form(label), _short_verdict(label)]
            for label in labels
        ]
        head = ["", "result", "its first closed form", "verdict"]
        parts += [f"## {title}", myst.plain(opening), myst.table(head, rows)]
    return Page(blocks(*parts))


_INTRODUCTION = """Each result is one experiment on the warping operator $y(t) = x(t + \\varepsilon(t))$. Its
expectation is derived, with every step, and the same experiment is simulated with the real operator.
[How the simulation judges](../../guides/simulation.md) says what a verdict means, the [glossary](../glossary/index.md)
what symbols stand for."""
_LONGEST_ROW = 120  # characters of LaTeX in a row of the overview


def _section(label: str) -> tuple[str, str]:
    """Return the title of a result's section and what it opens with, as its folder says; the latter may be empty."""
    modules = entry_modules("warptheory.results").values()
    module = next(each for each in modules if importlib.import_module(each).result.label == label)
    said = inspect.getdoc(importlib.import_module(module.rpartition(".")[0])) or ""
    heading, _, opening = said.partition("\n\n")
    letter, _, about = heading.strip().rstrip(".").removeprefix("Section ").partition(": ")
    return f"{letter}. {about[:1].upper()}{about[1:]}", opening


def _first_form(label: str) -> str:
    def write() -> str:
        derivation = results.get(label).derive()
        return f"{derivation.left} = {latex(derivation.result)}"

    written = _kept("first form", label, write)
    return f"${written}$" if len(written) <= _LONGEST_ROW else f"[{results.get(label).quantities[0].name}]({label}.md)"


def _kept(what: str, label: str, make: Callable[[], str]) -> str:
    """Return what was derived, from the library's cache if nothing has changed on which it depends."""
    return cached_text([what, label, _SOURCE], DERIVATION_ROOMS, make)


def _forms(result: Result) -> str:
    derivations = {quantity.name: result.derive(quantity.name) for quantity in result.quantities}
    return blocks(_closed_forms(result, derivations), _symbols(result.label, derivations))


def _closed_forms(result: Result, derivations: dict[str, Derivation]) -> Iterator[str]:
    for quantity in result.quantities:
        derivation, setting = derivations[quantity.name], result.setting_of(quantity.name)
        law = f", {setting.offsets} offsets" if result.offsets else ""
        yield f"### {quantity.name[:1].upper()}{quantity.name[1:]}"
        yield f"For the kernel [{setting.kernel}](#kernel-{setting.kernel.partition('(')[0]}), d = {setting.dim}{law}:"
        yield myst.formula(f"{derivation.left} = {latex(derivation.result)}")
        yield myst.dropdown(
            f"{len(derivation.steps)} steps, from experiment to closed form", blocks(_steps(derivation))
        )


def _steps(derivation: Derivation) -> Iterator[str]:
    for number, step in enumerate(derivation.steps, start=1):
        written = latex(step.expression)
        yield f"**{number}. {step.name}**: {myst.plain(step.reason)}"
        yield (
            myst.formula(f"= {written}")
            if len(written) <= _LONGEST
            else (f"{len(sp.Add.make_args(step.expression))} terms, too long for a page; `warptheory derive` has them.")
        )


def _symbols(label: str, derivations: dict[str, Derivation]) -> str:
    names = {symbol.name for derivation in derivations.values() for symbol in derivation.result.free_symbols}
    entries = dict.fromkeys(filter(None, (results.meaning_of(name, label) for name in sorted(names))))
    listed = [f"- [${entry.latex}$](#{targets()[entry]}): {myst.plain(entry.meaning)}" for entry in entries]
    return blocks("### Symbols", "\n".join(listed)) if listed else ""


@cache
def _verdicts() -> pd.DataFrame:
    if not committed.are_there([RECORD]):
        return pd.DataFrame({"result": [], "verdict": []})
    table: pd.DataFrame = committed.read([RECORD])[0]
    return table


def _of(label: str) -> pd.DataFrame:
    table = _verdicts()
    return table[table["result"] == label]


def _short_verdict(label: str) -> str:
    found = _of(label)["verdict"]
    return ", ".join(f"{count} {verdict}" for verdict, count in found.value_counts().items()) or "not judged yet"


def _verdict(label: str) -> str:
    claims = _of(label)
    if not len(claims):
        said = f"No committed run has this result. Run `warptheory verify {label}`."
        return f":::{{admonition}} Not judged yet\n:class: warning\n{said}\n:::"
    level = "tip" if (claims["verdict"] == "verified").all() else "danger"
    return (
        f":::{{admonition}} {_short_verdict(label).capitalize()}\n:class: {level}\n"
        f"Claims of the last committed run, seed {claims['seed'].iloc[0]}. "
        "[What that means](../../guides/simulation.md).\n:::"
    )


def _claims(label: str) -> str:
    claims = _of(label)
    if not len(claims):
        return ""
    rows = [
        [
            claim.verdict,
            claim.quantity,
            f"{claim.kernel}, d = {claim.dim}",
            f"{'at a random point: ' if claim.point else ''}{myst.plain(str(claim.values))}",
            f"{claim.theory:.6g}",
            f"{claim.estimate:.6g} ± {claim.stderr:.2g}",
            f"{claim.power:.4f}",
        ]
        for claim in _rows(claims)
    ]
    head = ["verdict", "quantity", "setting", "at", "theory", "simulation ± standard error", "power"]
    return myst.dropdown(f"All {len(rows)} claims", myst.table(head, rows))


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    yield from (pd.Series(row) for row in table.to_dict(orient="records"))


def _kernels(result: Result) -> str:
    names = dict.fromkeys(kernel for quantity in result.quantities for kernel in (quantity.kernels or result.kernels))
    linked = ", ".join(f"[{name}](#kernel-{re.split(r'[(]', name)[0]})" for name in names)
    return f"Checked for the kernels {linked}."


def _gallery(label: str) -> str:
    found = showing(label)
    return blocks("## In the gallery", myst.minigallery(found)) if found else ""


def _curve(result: Result) -> Figure | None:
    """Return the first quantity over the range of a symbol, with the simulated point; None if it has no such symbol."""
    quantity = result.quantities[0]
    ranges = {name: value for name, value in result.ranges(quantity.name).items() if isinstance(value, Range)}
    written = result.place(quantity.name).needed
    for name in sorted(ranges.keys() & written, key=lambda name: name in ("sigma", "mu")):
        points = _line(result, quantity.name, name, ranges[name])
        if points is not None:
            return _drawn(result, quantity.name, name, ranges[name], points)
    return None


def _line(result: Result, quantity: str, symbol: str, range_: Range) -> dict[float, float] | None:
    """Return the closed form over a range; None where it does not change, or has no value."""
    if range_.step:
        values = np.arange(range_.low, range_.high + range_.step / 2, range_.step)
    else:
        space = np.geomspace if range_.scale == "log" else np.linspace
        values = space(range_.low, range_.high, _POINTS)
    try:
        found = {float(value): result.evaluate(quantity, standard=True, **{symbol: float(value)}) for value in values}
    except WarpTheoryError:
        return None
    return found if len(set(found.values())) > 1 else None


def _drawn(result: Result, quantity: str, symbol: str, range_: Range, points: dict[float, float]) -> Figure:
    with house_style():
        figure = Figure(figsize=(4.6, 2.8), layout="constrained")
        axes = figure.subplots()
        axes.plot(list(points), list(points.values()), "o" if range_.step else "-", color=BLUE, label="closed form")
        claims = _of(result.label)
        first = claims[(claims["quantity"] == quantity) & (claims["point"] == 0)] if len(claims) else claims
        if len(first):
            claim = first.iloc[0]
            axes.errorbar(
                float(range_), claim["estimate"], yerr=claim["stderr"], fmt="s", color=VERMILION, label="simulation"
            )
        axes.set(xlabel=_meaning(result.label, symbol), ylabel=quantity, xscale=range_.scale)
        axes.legend()
    return figure


def _meaning(label: str, symbol: str) -> str:
    """Return what stands below an axis: a symbol, and the first words of what it stands for."""
    entry = results.meaning_of(symbol, label)
    if entry is None:
        return symbol
    words = re.split(r"[.;:(,]", entry.meaning)[0]
    return f"{entry.text}: {words}" if len(words) < _LONGEST_LABEL else entry.text


PAGES = EntryPages(title="Results", order=10, names=results.labels, page=page, overview=overview)
