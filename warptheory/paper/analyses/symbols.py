"""What symbols stand for; writes `symbols.json`, the glossary to which formulas, tables and captions lead."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from warptheory import results
from warptheory.core import records
from warptheory.core.files import MARK
from warptheory.core.notation import text_notation
from warptheory.core.symbol_meanings import explanation
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
        return str(Markup("{} = ").format(_link(found[1], label, symbols)))

    return Markup(_NUMBER.sub(shown, str(Markup.escape(values))))


def explained(names: list[str], label: str, symbols: list[dict[str, Any]]) -> Markup:
    """Return symbols as formulas write them, each leading to the glossary; other arguments as in `with_symbols`."""
    return Markup(", ").join(_link(name, label, symbols) for name in names)


def _link(name: str, label: str, symbols: list[dict[str, Any]]) -> Markup:
    """Return a symbol that leads to what it stands for in a result; what nobody explains is shown alone."""
    own = {each["name"]: each for each in symbols if label in each["labels"]}
    meant = explanation(name, own, {each["name"]: each for each in symbols if not each["labels"]})
    if meant is None:
        return Markup.escape(text_notation(name))
    return Markup('<a href="#{}" title="{}">{}</a>').format(address(meant), meant["meaning"], text_notation(name))


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
