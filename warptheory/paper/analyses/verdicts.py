"""Simulate what every result claims, and judge it.

Writes `verdicts.parquet`, a row for each claim. Finished chunks are kept beside the records: after an interruption the
same run goes on from there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from warptheory import results
from warptheory.paper.claims import write_judged
from warptheory.paper.entries import Analysis, Cost, DocumentTable, Plot, ReportPassage, RunSettings, Section
from warptheory.report import Columns, fragment, markdown_table, table_rows
from warptheory.report.panels import Look, stripe_rows
from warptheory.report.style import BLUE, GREY, ORANGE, VERMILION, house_style

RECORD = "verdicts.parquet"
_MARKS = {"verified": (BLUE, "o"), "undecided": (ORANGE, "s"), "refuted": (VERMILION, "X")}


def run(settings: RunSettings) -> Path:
    """Check every claim, write the record and return its path."""
    return write_judged(results.check, settings, RECORD, __name__)


def all_verified(verdicts: pd.DataFrame) -> bool:
    """Whether every claim is verified."""
    return bool((verdicts["verdict"] == "verified").all())


def plot_deviations(verdicts: pd.DataFrame) -> Figure:
    """Draw (simulation − theory) / smallest effect of every claim with one standard error, a row for each quantity.

    Args:
        verdicts: the table that `results.check` returns.
    """
    names = verdicts["result"] + " " + verdicts["quantity"]
    order = list(dict.fromkeys(names))
    place = names.map(order.index) + _shares(names)
    with house_style():
        figure = Figure(figsize=(7.2, 0.9 + 0.19 * len(order)), layout="constrained")
        axes = figure.subplots()
        stripe_rows(axes, len(order))
        for edge in (-1, 1):
            axes.axvline(edge, color=GREY, linewidth=0.8, linestyle="--")
        axes.axvline(0, color=GREY, linewidth=0.8)
        for verdict, (colour, marker) in _MARKS.items():
            chosen = verdicts["verdict"] == verdict
            if chosen.any():
                _draw_deviations(axes, verdicts[chosen], place[chosen], Look(verdict, colour, marker=marker))
        axes.set_yticks(range(len(order)), [f"{name} ({(names == name).sum()})" for name in order], fontsize=7.5)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(-1.25, 1.25)
        axes.set_xlabel("(simulation − theory) / smallest error that matters")
        figure.legend(loc="outside upper right", ncols=3)
    return figure


def _shares(names: pd.Series) -> pd.Series:
    """Return where in its row each claim lies: evenly spread from −0.36 to 0.36, one alone in the middle."""
    number, count = names.groupby(names).cumcount(), names.groupby(names).transform("size")
    return 0.72 * ((number + 0.5) / count - 0.5)


def _draw_deviations(axes: Axes, rows: pd.DataFrame, place: pd.Series, look: Look) -> None:
    """Draw claims of one verdict; what lies beyond the panel is drawn at its edge."""
    axes.errorbar(
        ((rows["estimate"] - rows["theory"]) / rows["effect"]).clip(-1.22, 1.22),
        place,
        xerr=rows["stderr"] / rows["effect"],
        fmt=look.marker,
        color=look.colour,
        markersize=2.2,
        linewidth=0.7,
        label=f"{look.label} ({len(rows)}; bar: ± 1 SE)",
    )


def count_verdicts(verdicts: pd.DataFrame) -> Markup:
    """Return how many claims came out how, as HTML."""
    counts = verdicts["verdict"].value_counts().to_dict()
    return fragment(
        """<p>Every formula below was derived from its experiment by the symbolic engine, and the same experiment was
run with the real operator. In this run:
{% for verdict, count in counts.items() -%}
<span class="{{ verdict }}">{{ count }} {{ verdict }}</span>{{ ", " if not loop.last }}{% endfor %}.</p>""",
        counts=counts,
    )


def verdict_table(verdicts: pd.DataFrame) -> str:
    """Return a Markdown table with the first setting of each quantity."""

    def setting(row: Mapping[str, Any]) -> str:
        law = "" if "fixed" in row["offsets"] else f", {row['offsets']} offsets"
        return f"{row['kernel']}, d = {row['dim']}, {row['inputs']} input, {row['values']}{law}"

    columns: Columns = {
        "result": "{result}",
        "quantity": "{quantity}",
        "setting": setting,
        "theory": "{theory:.6g}",
        "simulation ± standard error": "{estimate:.6g} ± {stderr:.2g}",
        "rows": "{n}",
        "power": "{power:.4f}",
        "verdict": "{verdict}",
    }
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts["verdict"].value_counts().items())
    drawn = ", ".join(f"{kind} in {count}" for kind, count in verdicts["drawn"].value_counts().items())
    footer = (
        f"All claims of that run (seed {verdicts['seed'].iloc[0]}, z = {verdicts['z'].iloc[0]:.2f}): {counts}; "
        f"{(verdicts['point'] > 0).sum()} at random points. Drawn are: {drawn}. Rows are independent: realisations of "
        "all fields, or sets of offsets that cover their law evenly."
    )
    return markdown_table(table_rows(verdicts.drop_duplicates(["result", "quantity"])), columns, footer)


def finding(verdicts: pd.DataFrame) -> Markup:
    """Return what was found, in a sentence."""
    return fragment(
        """{{ verified }} of {{ total }} claims of {{ theorems }} theorems are verified: formula and simulation agree
within {{ "%.1f" | format(z) }} standard errors, where the smallest error that matters would have been seen.""",
        verified=(verdicts["verdict"] == "verified").sum(),
        total=len(verdicts),
        theorems=verdicts["result"].nunique(),
        z=verdicts["z"].iloc[0],
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=210, full=3600, cores=2),
    holds=all_verified,
    section=Section(
        title="All claims",
        order=10,
        finding=ReportPassage(finding, (RECORD,)),
        parts=(
            ReportPassage(count_verdicts, (RECORD,)),
            """<em>Verified</em>: theory and simulation agree within z standard errors, and an error of the smallest
size that matters would have been seen with a probability of at least 0.999. <em>Refuted</em>: they disagree twice, with
fresh random numbers. <em>Undecided</em> is neither, and never a pass. z keeps the chance of any false refusal in the
whole run below 0.001.""",
            """Where a mean given the offsets can be summed exactly, only offsets are drawn, in sets that cover their
law evenly; a row is then such a set. Elsewhere what is known of the input corrects the estimate. Each quantity is also
checked at two random points of its symbols' ranges, the second in another setting where there is one; there everything
is drawn, and nothing but the operator is shared with the theory. The column <em>drawn</em> says which check is of which
kind. <code>warptheory verify --plain</code> draws everything everywhere.""",
            Plot(
                plot_deviations,
                (RECORD,),
                alt="Deviation of each simulation from theory, in units of the smallest error that matters",
                caption="""Each point is one claim, each row one quantity of a result with the number of its claims:
simulation minus theory, in units of the smallest error that matters (named by the quantity, 1 % of the value unless it
says otherwise). Bars are one standard error; the dashed lines are the smallest error that matters.""",
            ),
        ),
    ),
    tables=(DocumentTable("verdicts", verdict_table, (RECORD,)),),
)
