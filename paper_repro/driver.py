"""Reproduce every figure, table and verdict, and write the report.

Everything goes below one folder: `records/` holds what was computed, next to it lie the figures (PDF
and PNG) and `report.html`, which are drawn from the records alone. `chunks/` keeps finished simulations, `training/`
finished training runs and checkpoints: after an interruption the same command goes on from there.
"""

import tomllib
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from warptheory import results
from warptheory.core import records
from warptheory.core.checkout import checkout_folder, load_script
from warptheory.core.files import MARK
from warptheory.montecarlo import check_device, get_profile
from warptheory.report import write_report
from warptheory.results import Result

CURVES = (  # analyses that can be thinned out
    "iid_statistics",
    "backward_asymmetry",
    "random_fields",
    "discretization_error",
    "natural_images",
)
ANALYSES = ("warped_image", *CURVES, "operator_accuracy")
TRAININGS = ("selfwarp_training", "warped_through_network")
BENCHMARKS = ("warp", "training_step", "monitor_overhead")
FIGURES = ("figure1_warped_image", "figure2_training", "figure5_warped_through_network")

_SUFFIXES = (".pdf", ".png")

Progress = Callable[[float, str], None]


def run(
    out: Path,
    profile: str = "quick",
    seed: int = 0,
    device: str = "cpu",
    on_progress: Progress | None = None,
    labels: tuple[str, ...] = ("*",),
    rounds: int = 9,
    thin: int = 1,
    workers: int | None = None,
    seeds: int = 3,
    most_steps: int | None = None,
) -> bool:
    """Reproduce everything into `out`; return whether every claim held and every planted error was refused.

    Args:
        out: output folder.
        profile: name of the profile, "quick" or "full".
        seed: seed of every random number.
        device: torch device on which the operator runs.
        on_progress: called with the share that is done, in [0, 1], and the name of what is running.
        labels: labels or patterns of the results to include.
        rounds: interleaved rounds of the timings.
        thin: of the curves, compute every `thin`-th value only.
        workers: number of processes that simulate claims; None takes one for each core.
        seeds: number of seeds with which networks are trained and compared.
        most_steps: of every training run, at most so many steps.

    Raises:
        ArgumentError: a folder that cannot be written, an unknown profile or device.
    """
    check_device(device)
    chosen = get_profile(profile)
    folder = records.output_folder(out)
    source = records.inner_folder(folder, "records")
    report = on_progress or (lambda share, name: None)

    records.check_free(folder / "report.html", source / "derivations.json")
    records.check_free(*(source / f"{name}.parquet" for name in ("expected", "verdicts", "power")))
    records.check_free(*(folder / f"{name}{suffix}" for name in FIGURES for suffix in _SUFFIXES))
    report(0.0, "derivations")
    everything = results.match(list(labels))
    records.write_json(source / "derivations.json", [describe(result) for result in everything])
    expected = compare_expected()
    manifest = records.Manifest(records.command_line(), seed, device, {"profile": asdict(chosen)})
    records.write_table(source / "expected.parquet", expected, manifest)
    run: dict[str, Any] = {
        "seed": seed,
        "device": device,
        "profile": chosen,
        "workers": workers,
        "out": records.inner_folder(folder, "chunks"),
    }
    verdicts = results.check(everything, **run, on_progress=_of_campaign(_part_of(report, 0.05, 0.2)))
    records.write_table(source / "verdicts.parquet", verdicts, manifest)
    planted = results.power(everything, **run, on_progress=_of_campaign(_part_of(report, 0.2, 0.35)))
    records.write_table(source / "power.parquet", planted, manifest)
    for number, name in enumerate(ANALYSES):
        _part_of(report, 0.35, 0.45)(number / len(ANALYSES), name)
        thinned = {"thin": thin} if name in CURVES else {}
        load_script("analyses", name, "analysis").run(source, seed, device, **thinned)
    compared, carried = (load_script("analyses", name, "analysis") for name in TRAININGS)
    shortened = {} if most_steps is None else {"most_steps": most_steps}
    compared.run(source, seed, device, _part_of(report, 0.45, 0.75), seeds=seeds, **shortened)
    carried.run(source, seed, device, _part_of(report, 0.75, 0.8), **shortened)
    for number, name in enumerate(BENCHMARKS):
        part = _part_of(report, 0.8 + 0.05 * number, 0.85 + 0.05 * number)
        load_script("benchmarks", name, "benchmark").run(source, seed, device, rounds, on_progress=part)
    report(0.95, "figures and report")
    figures = [draw_figure(name, folder, seed, device) for name in FIGURES]
    write_report(folder, figures)
    report(1.0, "done")
    return bool((verdicts["verdict"] == "verified").all() and planted["refused"].all() and expected["agrees"].all())


def _of_campaign(report: Progress) -> Callable[[results.Progress], None]:
    return lambda done: report(done.share, done.name)


def _part_of(report: Progress, start: float, end: float) -> Progress:
    """Return a report for one part of the work; rounding must not carry it into the next."""
    return lambda share, name: report(min(start + (end - start) * share, end), name)


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


def compare_expected() -> pd.DataFrame:
    """Compare closed forms with the values known from elsewhere, in `expected.toml`."""
    entries = tomllib.loads((checkout_folder("paper_repro") / "expected.toml").read_text(encoding="utf-8"))["value"]
    rows = []
    for entry in entries:
        result, quantity = results.get(entry["result"]), entry.get("quantity")
        known = result.symbols(quantity, dim=entry["dim"])
        unit = {name: number for name, number in {"mu": 0.0, "sigma": 1.0}.items() if name in known}
        values = {**unit, **entry.get("values", {})}
        theory = result.evaluate(quantity, dim=entry["dim"], standard=True, **values)
        agrees = abs(theory - entry["expected"]) <= entry["tolerance"]
        rows.append(
            {
                **{key: entry[key] for key in ("name", "result", "dim", "expected", "tolerance", "source")},
                "theory": theory,
                "agrees": agrees,
            }
        )
    return pd.DataFrame(rows)


def draw_figure(name: str, folder: Path, seed: int = 0, device: str = "cpu") -> dict[str, str]:
    """Draw one figure as PDF and PNG from its record, computed first if it is missing or of another seed.

    Args:
        name: name of the figure's script, such as "figure1".
        folder: output folder; records are in its `records/`.
        seed: seed of the record.
        device: device, if the record has to be computed.

    Returns:
        The PNG's "file" name, the "title" and the "caption".
    """
    script = load_script("figures", name, "figure")
    record = records.inner_folder(folder, "records") / script.RECORD
    if not record.is_file() or records.read_json(record.with_suffix(".json")).get("seed") != seed:
        load_script("analyses", script.ANALYSIS, "analysis").run(record.parent, seed, device)
    figure = script.draw(record)
    stem = script.__name__.rpartition(".")[2]
    for suffix in _SUFFIXES:
        mark = partial(figure.savefig, metadata={"Creator": MARK})
        records.write_atomically(folder / f"{stem}{suffix}", mark)
    title, _, caption = script.caption(record).partition("\n")
    return {"file": f"{stem}.png", "title": title, "caption": caption}
