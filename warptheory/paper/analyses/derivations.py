"""Derive every result in its default setting; writes `derivations.json`, and shows each with its claims."""

from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from warptheory import results
from warptheory.core import records
from warptheory.core.files import MARK
from warptheory.paper.entries import Analysis, Cost, ReportPassage, RunSettings, Section
from warptheory.report import Columns, fragment, html_table, table_rows
from warptheory.results import Result

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
        "statement": result.statement,
        "assumptions": list(result.assumptions),
        "source": result.source,
        "quantities": [
            {
                "name": quantity.name,
                "setting": f"{settings[quantity.name].kernel} kernel, d = {settings[quantity.name].dim}{law}",
                "statistic": derivation.statistic,
                "mathml": derivation.steps[-1].mathml(),
                "latex": derivation.steps[-1].latex(),
                "steps": [
                    {"name": step.name, "reason": step.reason, "mathml": step.mathml(), "latex": step.latex()}
                    for step in derivation.steps
                ],
            }
            for quantity in result.quantities
            for derivation in [result.derive(quantity.name)]
        ],
    }


def pages(derivations: list[dict[str, Any]], verdicts: pd.DataFrame) -> Markup:
    """Return a section for each result as HTML: statement, assumptions, derivations and claims."""
    shown = [{**result, "claims": _claims(verdicts[verdicts["result"] == result["label"]])} for result in derivations]
    return fragment(_PAGES, results=shown)


def _claims(verdicts: pd.DataFrame) -> Markup:
    """Return the claims of a result as an HTML table."""
    columns: Columns = {
        "quantity": "{quantity}",
        "kernel": "{kernel}",
        "d": "{dim}",
        "offsets": "{offsets}",
        "input": "{inputs}",
        "at": lambda claim: f"{'random point: ' if claim['point'] else ''}{claim['values']}",
        "drawn": "{drawn}",
        "theory": "{theory:.5g}",
        "simulation": "{estimate:.5g}",
        "± SE": "{stderr:.1g}",
        "rows": "{n}",
        "power": "{power:.4f}",
        "verdict": lambda claim: fragment('<span class="{{ verdict }}">{{ verdict }}</span>', verdict=claim["verdict"]),
    }
    return html_table(table_rows(verdicts), columns, text=("kernel", "offsets", "input", "at", "drawn", "verdict"))


_PAGES = """{% for result in results %}
<section id="{{ result.label }}">
<h2>{{ result.label }}. {{ result.title }}</h2>
<p>{{ result.statement }}</p>
<p>Assumptions:</p>
<ul>{% for assumption in result.assumptions %}<li>{{ assumption }}</li>{% endfor %}</ul>
{% for quantity in result.quantities %}
<h3>{{ quantity.name | capitalize }}, {{ quantity.setting }}</h3>
<div class="scroll formula"><span>{{ quantity.statistic }} =</span>{{ quantity.mathml | mathml }}</div>
<details><summary>{{ quantity.steps | length }} steps, from experiment to closed form</summary>
{% for step in quantity.steps %}<div class="step"><strong>{{ loop.index }}. {{ step.name }}</strong>: {{ step.reason }}
<div class="scroll">{{ step.mathml | mathml }}</div></div>{% endfor %}
</details>
{% endfor %}
{{ result.claims }}
<p class="source">Source: {{ result.source }}.</p>
</section>
{% endfor %}"""

ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=30, full=30),
    section=Section(title="Results", order=200, parts=(ReportPassage(pages, (RECORD, "verdicts.parquet")),)),
)
