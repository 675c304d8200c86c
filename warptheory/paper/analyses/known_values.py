"""Compare closed forms with the values known from elsewhere, in `expected.toml`; writes `expected.parquet`."""

import tomllib
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from warptheory import results
from warptheory.core import records
from warptheory.paper.committed import committed_file
from warptheory.paper.entries import Analysis, Cost, ReportPassage, RunSettings, Section
from warptheory.report import Columns, fragment, html_table, table_rows

RECORD = "expected.parquet"
VALUES = "expected.toml"


def run(settings: RunSettings) -> Path:
    """Compare, write the record and return its path."""
    path = records.output_folder(settings.out) / RECORD
    records.write_table(path, compare(), records.Manifest(__name__, settings.seed, settings.device))
    return path


def compare() -> pd.DataFrame:
    """Return a row for each known value, with the closed form's number beside it."""
    entries = tomllib.loads(committed_file(VALUES).read_text(encoding="utf-8"))["value"]
    rows = []
    for entry in entries:
        result, quantity = results.get(entry["result"]), entry.get("quantity")
        known = result.symbols(quantity, dim=entry["dim"])
        unit = {name: number for name, number in {"mu": 0.0, "sigma": 1.0}.items() if name in known}
        values = {**unit, **entry.get("values", {})}
        theory = result.evaluate(quantity, dim=entry["dim"], standard=True, **values)
        agrees = abs(theory - entry["expected"]) <= entry["tolerance"]
        kept = {key: entry[key] for key in ("name", "result", "dim", "expected", "tolerance", "source")}
        rows.append({**kept, "theory": theory, "agrees": agrees})
    return pd.DataFrame(rows)


def all_agree(expected: pd.DataFrame) -> bool:
    """Whether every closed form agrees with the known value."""
    return bool(expected["agrees"].all())


def values(expected: pd.DataFrame) -> Markup:
    """Return the comparison as an HTML table."""
    columns: Columns = {
        "value": "{name}",
        "expected": "{expected:.5g}",
        "tolerance": "{tolerance:.1g}",
        "theory here": "{theory:.5g}",
        "agrees": lambda row: "yes" if row["agrees"] else "NO",
        "source": "{source}",
    }
    return html_table(table_rows(expected), columns, text=("value", "agrees", "source"))


def finding(expected: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    return fragment(
        "{{ agreeing }} of {{ total }} values known from papers and other software agree with the formulas.",
        agreeing=expected["agrees"].sum(),
        total=len(expected),
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    files=(VALUES,),
    cost=Cost(quick=15, full=15),
    holds=all_agree,
    section=Section(
        title="Values known from elsewhere",
        order=300,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(ReportPassage(values, (RECORD,)),),
    ),
)
