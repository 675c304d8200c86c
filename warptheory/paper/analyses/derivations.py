"""Derive every result in its default setting; writes `derivations.json`, and shows each with its claims."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from warptheory import results
from warptheory.core import records
from warptheory.core.files import MARK
from warptheory.montecarlo import deviation_text
from warptheory.paper.analyses.symbols import explained, with_symbols
from warptheory.paper.entries import Analysis, Cost, ReportPassage, RunSettings, Section
from warptheory.report import Columns, fragment, html_table, table_rows
from warptheory.results import Result
from warptheory.symbolic import mathml

RECORD = "derivations.json"


def run(settings: RunSettings) -> Path:
    """Derive, write the record and return its path."""
    path = records.output_folder(settings.out) / RECORD
    records.check_free(path)
    records.write_json(path, [describe(result) for result in results.match(list(settings.labels))])
    return path


def describe(result: Result) -> dict[str, Any]:
    """Return a result with its derivations in the default setting, ready for JSON."""
    settings = {quantity.name: result.setting_of(quantity.name) for quantity in result.quantities}
    law = f", {result.setting().offsets} offsets" if result.offsets else ""
    return {
        "written_by": MARK,
        "label": result.label,
        "title": result.title,
        "meaning": result.meaning,
        "statement": result.statement,
        "assumptions": list(result.assumptions),
        "source": result.source,
        "symbols": sorted(_symbols_of(result)),
        "quantities": [
            {
                "name": quantity.name,
                "setting": f"{settings[quantity.name].kernel} kernel, d = {settings[quantity.name].dim}{law}",
                "statistic": derivation.statistic,
                "mathml": mathml(derivation.equation),
                "latex": derivation.equation,
                "steps": [
                    {"name": step.name, "reason": step.reason, "mathml": step.mathml(), "latex": step.latex()}
                    for step in derivation.steps
                ],
            }
            for quantity in result.quantities
            for derivation in [result.derive(quantity.name)]
        ],
    }


def _symbols_of(result: Result) -> set[str]:
    """Return the names of the symbols in its closed forms."""
    forms = (result.derive(quantity.name).result for quantity in result.quantities)
    return {symbol.name for form in forms for symbol in form.free_symbols}


def pages(derivations: list[dict[str, Any]], verdicts: pd.DataFrame, symbols: list[dict[str, Any]]) -> Markup:
    """Return a section for each result as HTML: statement, assumptions, derivations and claims."""
    shown = [
        {
            **result,
            "claims": _claims(verdicts[verdicts["result"] == result["label"]], symbols),
            "explained": explained(result["symbols"], result["label"], symbols),
        }
        for result in derivations
    ]
    return fragment(_PAGES, results=shown)


def _claims(verdicts: pd.DataFrame, symbols: list[dict[str, Any]]) -> Markup:
    """Return the claims of a result as an HTML table."""

    def setting(claim: Mapping[str, Any]) -> str:
        law = "" if "fixed" in claim["offsets"] else f", {claim['offsets']} offsets"
        return f"{claim['kernel']}, d = {claim['dim']}{law}, {claim['inputs']} input"

    def numbers(claim: Mapping[str, Any]) -> Markup:
        kind = "random point: " if claim["point"] else ""
        return Markup(kind) + with_symbols(claim["values"], claim["result"], symbols)

    columns: Columns = {
        "verdict": lambda claim: fragment('<span class="{{ verdict }}">{{ verdict }}</span>', verdict=claim["verdict"]),
        "quantity": "{quantity}",
        "setting": setting,
        "at": numbers,
        "drawn": "{drawn}",
        "theory": "{theory:.5g}",
        "simulation": "{estimate:.5g}",
        "± SE": "{stderr:.1g}",
        "deviation (SE)": lambda claim: deviation_text(
            claim["theory"], claim["estimate"], claim["stderr"], claim["verdict"]
        ),
        "rows": "{n}",
        "power": "{power:.4f}",
    }
    return html_table(table_rows(verdicts), columns, text=("quantity", "setting", "at", "drawn"))


_PAGES = """{% for result in results %}
<section id="{{ result.label }}" data-title="{{ result.label }}. {{ result.title }}">
<h3>{{ result.label }}. {{ result.title }}
<a class="anchor" href="#{{ result.label }}" aria-label="link to {{ result.label }}">#</a></h3>
{% if result.meaning %}<p>{{ result.meaning }}</p>{% endif %}
<p>{{ result.statement }}</p>
<p>Assumptions:</p>
<ul>{% for assumption in result.assumptions %}<li>{{ assumption }}</li>{% endfor %}</ul>
{% for quantity in result.quantities %}
<h4>{{ quantity.name[0] | upper }}{{ quantity.name[1:] }}, {{ quantity.setting }}</h4>
<div class="scroll formula" tabindex="0">{{ quantity.mathml | mathml }}</div>
<details><summary>{{ quantity.steps | length }} {{ "steps" if quantity.steps | length > 1 else "step" }},
from experiment to closed form</summary>
{% for step in quantity.steps %}<div class="step"><strong>{{ loop.index }}. {{ step.name }}</strong>: {{ step.reason }}
<div class="scroll" tabindex="0">{{ step.mathml | mathml }}</div></div>{% endfor %}
<p class="source">LaTeX: <code>{{ quantity.latex }}</code></p>
</details>
{% endfor %}
{% if result.explained %}<p>Symbols: {{ result.explained }}.</p>{% endif %}
{{ result.claims }}
<p class="source">Source: {{ result.source }}.</p>
</section>
{% endfor %}"""

ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=30, full=30),
    section=Section(
        title="Results", order=200, parts=(ReportPassage(pages, (RECORD, "verdicts.parquet", "symbols.json")),)
    ),
)
