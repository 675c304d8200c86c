"""What symbols stand for; writes `symbols.json`, the glossary to which formulas, tables and captions lead."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from warptheory import results
from warptheory.core import records
from warptheory.core.files import MARK
from warptheory.paper.entries import Analysis, Cost, ReportPassage, RunSettings, Section
from warptheory.report import fragment
from warptheory.symbolic import mathml

RECORD = "symbols.json"
_NUMBER = re.compile(r"(\w+) = ")


def run(settings: RunSettings) -> Path:
    """Write the glossary and return the record's path."""
    path = records.output_folder(settings.out) / RECORD
    records.check_free(path)
    entries = [{"written_by": MARK, **asdict(entry), "mathml": mathml(entry.latex)} for entry in results.glossary()]
    records.write_json(path, entries)
    return path


def glossary(symbols: list[dict[str, Any]]) -> Markup:
    """Return the glossary as HTML, an address for each symbol."""
    return fragment(_GLOSSARY, symbols=[{**symbol, "address": address(symbol)} for symbol in symbols])


def address(symbol: dict[str, Any]) -> str:
    """Return the address of a symbol's entry; symbols of one name that results explain for themselves have one each."""
    return "-".join(["symbol", re.sub(r"\W", "-", symbol["name"]), *symbol["labels"]])


def with_symbols(values: str, label: str, symbols: list[dict[str, Any]]) -> Markup:
    """Return text such as "sigma = 1.3" with the symbols as formulas write them, leading to the glossary.

    Args:
        values: the text.
        label: label of the result whose symbols they are.
        symbols: the glossary.
    """

    def shown(found: re.Match[str]) -> str:
        meant = [
            each
            for each in symbols
            if (each["name"] == found[1] and label in each["labels"])
            or (each["name"] == re.sub(r"_[23]$", "_1", found[1]) and not each["labels"])
        ]
        if not meant:
            return str(Markup.escape(found[0]))
        symbol = next((each for each in meant if each["labels"]), meant[0])
        text = results.text_of(found[1])
        return str(Markup('<a href="#{}" title="{}">{}</a> = ').format(address(symbol), symbol["meaning"], text))

    return Markup(_NUMBER.sub(shown, str(Markup.escape(values))))


_GLOSSARY = """<p>As formulas on this page write them; in brackets the name by which numbers are given in code, where it
is another.</p>
<dl class="glossary">
{% for symbol in symbols %}<div id="{{ symbol.address }}"><dt>{{ symbol.mathml | mathml }}</dt>
<dd>{{ symbol.meaning }}
{%- if symbol.name.isascii() and symbol.name != symbol.text %} (<code>{{ symbol.name }}</code>){% endif %}
{%- if symbol.labels %}; in {{ symbol.labels | join(", ") }}{% endif %}</dd></div>
{% endfor %}</dl>"""

ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=3, full=3),
    section=Section(title="Symbols", order=250, parts=(ReportPassage(glossary, (RECORD,)),)),
)
