"""Whether a diagnosis tells which settings train, and whether a repair mends the others, on the development set.

Writes `stability_diagnosed.parquet`, a row for each configuration of `stability_development`: what `stability.diagnose`
says of the untrained network from four batches, beside the label that training gave it; and of the configurations that
do not train as well as they can, how they train after `stability.stabilise`, with its callback, over the same seeds.

The bounds of the diagnosis were chosen with the whole set in sight, so that its own share of right answers is no test.
`transferred` is one: bounds that are best on the architectures of one half are judged on the other half.
Finished configurations are kept beside the record, in `stability_diagnoses/`, one file each.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from markupsafe import Markup

from warptheory import stability
from warptheory.core import records
from warptheory.paper.analyses import stability_development
from warptheory.paper.analyses._stability_configurations import Configuration, build, train
from warptheory.paper.analyses._stability_labels import (
    CHOICES,
    SETTING,
    WORSE,
    configurations,
    lost_share,
    near_critical,
)
from warptheory.paper.analyses.stability_development import configuration_of
from warptheory.paper.committed import committed_record
from warptheory.paper.entries import (
    Analysis,
    Cost,
    LongComputation,
    RecomputedCell,
    ReportPassage,
    RunSettings,
    Section,
)
from warptheory.report import fragment, html_table, table_rows

RECORD = "stability_diagnosed.parquet"
RUNS = "stability_diagnoses"  # folder of finished configurations
BATCHES = 4
SEEDS = 2  # of repairs
FAR = "not within a factor 3 of a critical multiplier"
HALVES = ("attention", "deformable", "feature_localiser", "modulated", "rectifier", "registration")
SPEEDS = (0.3, 0.4, 0.5, 0.6, 0.8, math.inf)
DISPLACEMENTS = (4.0, 8.0, 16.0, math.inf)
RATIOS = (0.5, 1.0, 2.0, math.inf)
REACHES = (1.0, 2.0, 3.0, 4.0, 6.0)


def diagnosed(configuration: Configuration) -> dict[str, Any]:
    """Return what a diagnosis says of a configuration before it is trained."""
    problem = build(configuration, steps=BATCHES)
    found = stability.diagnose(problem.model, problem.batches, problem.loss, problem.optimizer)
    values = {each.name: each.value for each in found.conditions}
    return {
        "verdict": found.verdict,
        "reason": found.reason or "",
        "alarms": "; ".join(each.name for each in found.conditions if each.verdict not in (None, "ok")),
        "rho": found.rho,
        "rho_stderr": found.rho_stderr,
        "explosion": found.explosion,
        "displacement": values.get("displacement", math.nan),
        "reach": values.get("reach", math.nan),
        "outside": values.get("samples off the image", math.nan),
        "rehearsed": values.get("speed in rehearsal", math.nan),
    }


def repaired(configuration: Configuration) -> dict[str, float]:
    """Return how a configuration trains once it is repaired, and the factor on its rates."""
    found: list[stability.Stabilised] = []

    def repair(problem: Any) -> Callable[[int], None]:
        first = build(configuration, steps=BATCHES).batches
        found.append(stability.stabilise(problem.model, first, problem.loss, problem.optimizer))
        return found[0].callback

    outcome = train(configuration, prepare=repair)
    return {"loss": outcome.loss, "factor": found[0].multiplier}


def run(settings: RunSettings) -> Path:
    """Diagnose and repair everything, and write the record; return its path."""
    torch.set_num_threads(1)
    table = configurations(records.read_table(committed_record(stability_development.RECORD)))
    table["near"] = near_critical(table)
    table = table.iloc[:: settings.thin]
    folder = records.inner_folder(records.output_folder(settings.out), RUNS)
    rows = []
    for number, row in enumerate(table.to_dict("records")):
        settings.on_progress(number / len(table), f"{row['architecture']}, {row['task']}")
        known: dict[str, Any] = {str(name): value for name, value in row.items()}
        rows.append({**known, **_kept(folder, row, settings.seed)})
    path = records.output_folder(settings.out) / RECORD
    records.write_table(path, pd.DataFrame(rows), records.Manifest(__name__, settings.seed, "cpu", _constants()))
    return path


def _kept(folder: Path, row: Mapping[Any, Any], seed: int) -> dict[str, Any]:
    """Return what is known of a configuration, computed if it is not kept."""
    first = configuration_of({**row, "seed": seed})
    path = folder / f"{first.name}.json"
    if path.is_file():
        return {str(name): value for name, value in records.read_json(path).items() if name != "written_by"}
    found: dict[str, Any] = diagnosed(first)
    if row["label"] != "ok":
        mended = [repaired(replace(first, seed=seed + number)) for number in range(SEEDS)]
        for name in ("loss", "factor"):
            found[f"repaired_{name}"] = float(np.mean([each[name] for each in mended]))
    records.write_json(path, found)
    return found


class Bounds(NamedTuple):
    """Bounds of a diagnosis: pixels a step in rehearsal, displacement and reach in pixels, and the speed ratio."""

    speed: float
    displacement: float
    ratio: float
    reach: float

    def bad(self, table: pd.DataFrame) -> Bool[np.ndarray, "N"]:
        """Return which configurations of a table do not train, as these bounds have it."""
        return np.asarray(
            (table["rehearsed"] > self.speed)
            | (table["displacement"] > self.displacement)
            | (table["rho"] > self.ratio)
            | (table["reach"] < self.reach)
            | (table["explosion"] > 10)
            | (table["outside"] > 0.5)
        )


def best_bounds(table: pd.DataFrame) -> Bounds:
    """Return the bounds that are most often right on a table."""
    bad = np.asarray(table["label"] != "ok")
    grid = (Bounds(*each) for each in itertools.product(SPEEDS, DISPLACEMENTS, RATIOS, REACHES))
    return max(grid, key=lambda bounds: float((bounds.bad(table) == bad).mean()))


def transferred(table: pd.DataFrame) -> pd.DataFrame:
    """Return the configurations with what bounds say that were chosen on the other half of the architectures."""
    first = table["architecture"].isin(HALVES)
    parts = []
    for mine, others in ((table[first], table[~first]), (table[~first], table[first])):
        parts.append(mine.assign(predicted_bad=best_bounds(others).bad(mine)))
    return pd.concat(parts)


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return, for groups of configurations, how often the diagnosis is right, and how it errs."""
    table = transferred(table)
    rows = []
    for name, chosen in _groups(table):
        part = table[chosen]
        bad, said = part["label"] != "ok", part["verdict"] != "ok"
        minded = said & (part["needs_warp"] | (part["reason"] != "stuck"))
        rows.append(
            {
                "group": name,
                "count": len(part),
                "always": float((~bad).mean()),
                "right": float((said == bad).mean()),
                "transferred": float((part["predicted_bad"] == bad).mean()),
                "minded": float((minded == bad).mean()),
                "missed": int((bad & ~said).sum()),
                "missed_failures": int(((part["label"] == "fail") & ~said).sum()),
                "false": int((~bad & said).sum()),
            }
        )
    return pd.DataFrame(rows)


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    yield "all", table["label"] != ""
    yield "heads that start at zero", table["zero_head"]
    yield "other heads", ~table["zero_head"]
    yield "tasks that need the warp", table["needs_warp"]
    yield "other tasks", ~table["needs_warp"]
    yield FAR, ~table["near"]
    yield "multipliers in tens, planned beforehand", _in_tens(table["multiplier"])
    yield "all seeds agree", table["agreement"] == 1


def _in_tens(multipliers: pd.Series) -> pd.Series:
    """Return which multipliers are powers of ten, or 0: those that were planned; the others divide brackets."""
    exponents = np.log10(multipliers.where(multipliers > 0, 1.0))
    return pd.Series(np.isclose(exponents, exponents.round(), atol=1e-9), multipliers.index)


def seeds_agree(runs: pd.DataFrame) -> float:
    """Return how often two seeds of a configuration agree whether it trains: no prediction can be much better.

    Args:
        runs: the record of `stability_development`.
    """
    good = (runs["run_label"] == "ok").groupby([runs[each] for each in CHOICES])
    count, fine = good.size(), good.sum()
    pairs, mixed = (count * (count - 1)).sum(), (2 * fine * (count - fine)).sum()
    return 1 - float(mixed / pairs)


def error_rates(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return for each condition on how many configurations it raises an alarm, and how many of these are not ok.

    Besides, under "ok": how many configurations no condition has anything against, and how many of these are ok.

    Args:
        table: the record.
    """
    bad = table["label"] != "ok"
    raised = table["alarms"].str.split("; ")
    names = sorted({name for found in raised for name in found} - {""})
    chosen = {name: raised.map(lambda found, name=name: name in found) for name in names}
    found = {name: {"raised": int(each.sum()), "right": int((each & bad).sum())} for name, each in chosen.items()}
    silent = table["verdict"] == "ok"
    return {**found, "ok": {"raised": int(silent.sum()), "right": int((silent & ~bad).sum())}}


def repairs(table: pd.DataFrame) -> pd.DataFrame:
    """Return the configurations that were repaired, with what the repair made of them.

    Columns besides: "mended_share", the lost share after the repair; "within", whether its loss is within 5 % of the
    best multiplier's at the same setting and α; "close", whether it loses no more than that and 5 % of what can be
    learnt, which is the same for losses that can fall to zero; "kept", the share of the warp's gain that it keeps,
    where it is needed.
    """
    found = table[table["label"] != "ok"].copy()
    best = table.assign(mean=table["reference"] + table["lost_share"] * (table["chance"] - table["reference"]))
    least = best.groupby([*SETTING, "alpha"])["mean"].min().rename("least")
    found = found.join(least, on=[*SETTING, "alpha"])
    found["mended_share"] = [
        lost_share(*each) for each in found[["repaired_loss", "reference", "chance"]].itertuples(index=False)
    ]
    found["within"] = found["repaired_loss"] <= found["least"] + 0.05 * found["least"].abs()
    learnable = found["chance"] - found["reference"]
    found["close"] = found["repaired_loss"] <= found["least"] + 0.05 * learnable
    gain = found["twin"] - found["reference"]
    found["kept"] = ((found["twin"] - found["repaired_loss"]) / gain).where(found["needs_warp"])
    return found


def judgement_table(table: pd.DataFrame) -> Markup:
    """Return how often the diagnosis is right as an HTML table."""
    columns = {
        "configurations": "{group}",
        "number": "{count}",
        "always ok": "{always:.0%}",
        "diagnosis right": "{right:.0%}",
        "bounds of the other half": "{transferred:.0%}",
        "“stuck” counts where the warp is needed": "{minded:.0%}",
        "missed": "{missed}",
        "of these failures": "{missed_failures}",
        "false alarms": "{false}",
    }
    return html_table(table_rows(judged(table)), columns, text=("configurations",))


def finding(table: pd.DataFrame, runs: pd.DataFrame) -> Markup:
    """Return what was found, with its numbers."""
    rows: Any = judged(table).set_index("group")
    mended = repairs(table)
    needing = mended[mended["needs_warp"]]
    return fragment(
        """The diagnosis is right for {{ right }} of {{ count }} configurations ({{ always }} by saying "ok" always;
{{ transferred }} with bounds that were chosen on the other half of the architectures; {{ agree }} is how often two
trainings that differ by their seed agree), {{ near }} of which lie within a factor of three of a critical multiplier,
and for {{ far }} of the others; it misses {{ missed }} of {{ fails }} failures. Of {{ repaired }} that do not train
well {{ ok }} are ok after the repair; {{ within }} come within 5 % of the best multiplier's loss, {{ close }}
within 5 % of what can be learnt; where the task needs the warp {{ kept }} keep nine tenths of its gain.""",
        right=f"{rows.loc['all', 'right']:.0%}",
        count=len(table),
        near=f"{table['near'].mean():.0%}",
        far=f"{rows.loc[FAR, 'right']:.0%}",
        always=f"{rows.loc['all', 'always']:.0%}",
        transferred=f"{rows.loc['all', 'transferred']:.0%}",
        agree=f"{seeds_agree(runs):.0%}",
        missed=int(rows.loc["all", "missed_failures"]),
        fails=int((table["label"] == "fail").sum()),
        repaired=len(mended),
        ok=f"{(mended['mended_share'] <= WORSE).mean():.0%}",
        within=f"{mended['within'].mean():.0%}",
        close=f"{mended['close'].mean():.0%}",
        kept=f"{(needing['kept'] >= 0.9).mean():.0%}",
    )


def _constants() -> dict[str, Any]:
    return {"batches": BATCHES, "seeds": SEEDS}


def configuration() -> dict[str, Any]:
    """Return what the committed record depends on."""
    return {**_constants(), "set": stability_development.configuration()["curves"]}


def recompute(settings: RunSettings, committed: Path) -> RecomputedCell:
    """Diagnose one configuration anew and compare."""
    table = records.read_table(committed / RECORD)
    row = table[table["rho"] > 0].iloc[0]  # of registrations there is no ratio
    settings.on_progress(0.0, f"{row['architecture']}, {row['task']}")
    again = diagnosed(configuration_of({**{name: row[name] for name in CHOICES}, "seed": 0}))
    return RecomputedCell(
        what=f"speed ratio of a {row['architecture']} on {row['task']}",
        committed=float(row["rho"]),
        recomputed=again["rho"],
        tolerance=0.01 * float(row["rho"]),
        reason="a ratio of differences of outputs in single precision",
    )


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=5, full=2400),
    long=LongComputation(configuration=configuration, cell=recompute),
    section=Section(
        title="What a diagnosis predicts and a repair mends",
        order=91,
        finding=ReportPassage(finding, (RECORD, stability_development.RECORD)),
        parts=(
            "The diagnosis of every untrained network of the development set, beside what training showed.",
            ReportPassage(judgement_table, (RECORD,)),
        ),
    ),
)

__all__ = ["ANALYSIS", "best_bounds", "error_rates", "judged", "repairs", "seeds_agree", "transferred"]
