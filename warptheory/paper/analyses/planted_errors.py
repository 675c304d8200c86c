"""Plant errors in every closed form: all have to be refused by the machinery that verifies the right ones.

Writes `power.parquet`, a row for each planted error. The first estimate of each is that of the verification, whose
chunks are found beside the records.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from warptheory import results
from warptheory.paper.claims import write_judged
from warptheory.paper.entries import Analysis, Cost, DocumentTable, ReportPassage, RunSettings, Section
from warptheory.report import fragment, html_table, markdown_table

RECORD = "power.parquet"


def run(settings: RunSettings) -> Path:
    """Judge every planted error, write the record and return its path."""
    return write_judged(results.power, settings, RECORD, __name__)


def all_refused(planted: pd.DataFrame) -> bool:
    """Whether every planted error is refused."""
    return bool(planted["refused"].all())


def refusals(planted: pd.DataFrame) -> Markup:
    """Return how many planted errors of each kind were refused, by result, as HTML."""
    kinds = planted["error"].dropna().unique()
    rows = [{"result": result, **_counts(found, kinds)} for result, found in planted.groupby("result", sort=False)]
    columns = {"result": "{result}", **{f"{kind}: refused": f"{{{kind}}}" for kind in kinds}}
    return fragment(
        """<p>Errors were planted in every closed form: the whole made wrong by the smallest error that matters, upwards
and downwards; its sign turned; each term of each sum in it left out, or its sign turned. Each wrong formula was judged
by the same rule, by two estimates with independent random numbers. {{ refused }} of {{ total }} were refused. Not
planted: {{ not_planted }} (of formulas with many terms some are tried in every setting but the first).</p>
<details><summary>By result</summary>
{{ by_result }}
</details>""",
        total=len(planted),
        refused=planted["refused"].sum(),
        not_planted=results.not_planted(planted),
        by_result=html_table(rows, columns),
    )


def _counts(planted: pd.DataFrame, kinds: Iterable[str]) -> dict[str, str]:
    """Return by kind how many of the planted errors were refused."""
    of_kind = {kind: planted.loc[planted["error"] == kind, "refused"] for kind in kinds}
    return {kind: f"{refused.sum()} of {len(refused)}" for kind, refused in of_kind.items()}


def power_table(planted: pd.DataFrame) -> str:
    """Return a Markdown table of the planted errors, and of how many were refused."""
    kinds = planted["error"].dropna().unique()
    rows = [{"kind": kind, "refused": text} for kind, text in _counts(planted, kinds).items()]
    footer = (
        f"Planted in the closed forms of {planted['result'].nunique()} results, in every setting in which they are "
        f"checked (seed {planted['seed'].iloc[0]:.0f}): scaled by the smallest error that matters, the whole sign "
        "flipped, a term dropped or its sign flipped, at random points the exponent of one power of a symbol wrong, "
        "where that changes the value by as much. Not planted: "
        f"{results.not_planted(planted)}."
    )
    return markdown_table(rows, {"planted error": "{kind}", "refused": "{refused}"}, footer)


def finding(planted: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    return fragment(
        "{{ refused }} of {{ total }} errors that were planted in the formulas are refused by the same check.",
        refused=planted["refused"].sum(),
        total=len(planted),
    )


ANALYSIS = Analysis(
    run=run,
    reads=("verdicts.parquet",),
    writes=(RECORD,),
    cost=Cost(quick=240, full=3600, cores=2),
    holds=all_refused,
    section=Section(
        title="What the run could have seen",
        order=20,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(ReportPassage(refusals, (RECORD,)),),
    ),
    tables=(DocumentTable("power", power_table, (RECORD,)),),
)
