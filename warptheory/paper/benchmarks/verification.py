"""Time the verification of every result: errors of 1 % (quick) and of 0.2 % (full), each round with the next seed.

The record has the time of each run and how many claims came out how. A round takes half an hour and more, nearly all
of it the full profile: it draws 25 times as many samples.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from warptheory import montecarlo, results
from warptheory.core import records
from warptheory.core.device import device_name
from warptheory.paper.entries import Benchmark, Cost, DocumentTable, RunSettings
from warptheory.paper.timings import write_timings
from warptheory.report import Columns, markdown_table

ROUNDS = 1
PROFILES = ("quick", "full")


@dataclass(frozen=True)
class Verification:
    """One verification.

    Attributes:
        profile: name of the profile.
        seed: its seed.
        seconds: from its start to its table.
        claims: their number.
        verified: how many are verified; likewise `refuted` and `undecided`, which are named.
        z: quantile that the whole family is judged by.
        smallest_effects: the smallest and the largest relative error that matters.
    """

    profile: str
    seed: int
    seconds: float
    claims: int
    verified: int
    refuted: list[str]
    undecided: list[str]
    z: float
    smallest_effects: tuple[float, float]


def verification(labels: Sequence[str], profile: str, seed: int, device: str) -> Verification:
    """Verify results by their labels, once; this machine's cores work on them."""
    chosen = [results.get(label) for label in labels]
    start = time.perf_counter()
    table = results.check(chosen, seed=seed, device=device, profile=montecarlo.PROFILES[profile], workers=None)
    took = time.perf_counter() - start
    effects = table["smallest_effect"]
    return Verification(
        profile,
        seed,
        took,
        len(table),
        int((table["verdict"] == "verified").sum()),
        _named(table, "refuted"),
        _named(table, "undecided"),
        float(table["z"].max()),
        (float(effects.min()), float(effects.max())),
    )


def _named(table: pd.DataFrame, verdict: str) -> list[str]:
    """Return the names of the claims of one verdict."""
    rows = table[table["verdict"] == verdict].to_dict("records")
    return [f"{row['result']} {row['quantity']}, {row['kernel']}, d={row['dim']}" for row in rows]


def run(
    settings: RunSettings,
    *,
    labels: Sequence[str] | None = None,
    profiles: Sequence[str] = PROFILES,
) -> Path:
    """Verify everything at each profile, and write `verification_<device>.json`; return its path."""
    seed, device, rounds = settings.seed, settings.device, settings.rounds or ROUNDS
    labels = list(labels or results.labels())
    steps = [(profile, seed + number) for number in range(rounds) for profile in profiles]
    found = []
    for number, (profile, its_seed) in enumerate(steps):
        settings.on_progress(number / len(steps), f"{profile}, seed {its_seed}")
        found.append(verification(labels, profile, its_seed, device))
    chosen = {
        "rounds": rounds,
        "workers": os.cpu_count(),
        "device_name": device_name(device),
        "load_average": os.getloadavg()[0],
    }
    return write_timings(settings, __name__, chosen, {"runs": [asdict(each) for each in found]})


def summary(path: Path) -> str:
    """Return a record of `run` as a table for the terminal."""
    lines = [f"{'profile':10}{'seed':>6}{'minutes':>9}{'verified':>10}{'refuted':>9}{'undecided':>11}"]
    for row in records.read_json(path)["runs"]:
        minutes = f"{row['seconds'] / 60:9.1f}"
        verdicts = f"{row['verified']:10}{len(row['refuted']):9}{len(row['undecided']):11}"
        lines.append(f"{row['profile']:10}{row['seed']:6}{minutes}{verdicts}")
        lines += [f"    not verified: {label}" for label in (*row["refuted"], *row["undecided"])]
    return "\n".join(lines)


def verification_table(benchmark: dict[str, Any]) -> str:
    """Return a Markdown table of the verification of everything at both profiles, and of its time."""
    columns: Columns = {
        "profile": "{profile}",
        "smallest error that matters": lambda row: "{:g} to {:g} %".format(*(100 * e for e in row["smallest_effects"])),
        "seed": "{seed}",
        "claims": "{claims}",
        "verified": "{verified}",
        "refuted": lambda row: len(row["refuted"]),
        "undecided": lambda row: len(row["undecided"]),
        "minutes": lambda row: f"{row['seconds'] / 60:.1f}",
    }
    settings = benchmark["settings"]
    footer = (
        f"`warptheory bench verification` on {settings['device_name']} ({benchmark['machine']}), nothing stored before."
    )
    return markdown_table(benchmark["runs"], columns, footer)


BENCHMARK = Benchmark(
    run=run,
    summary=summary,
    writes=("verification_*.json",),
    cost=Cost(quick=None, full=2400, cores=2),
    tables=(DocumentTable("verification", verification_table, ("verification_*.json",)),),
)
