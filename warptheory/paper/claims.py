"""The claims of all results, judged, as analyses record them."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from warptheory import results
from warptheory.core import records
from warptheory.montecarlo import get_profile
from warptheory.paper.entries import RunSettings


def write_judged(judge: Callable[..., pd.DataFrame], settings: RunSettings, record: str, written_by: str) -> Path:
    """Judge the results of a run, write the table and return its path.

    Chunks of simulations are kept beside the records, where one judgement finds those of another.

    Args:
        judge: `results.check` or `results.power`.
        settings: how the script runs.
        record: name of the record.
        written_by: name of the module, for the manifest.

    Raises:
        ArgumentError: a record that cannot be written, or an unknown profile.
    """
    profile = get_profile(settings.profile)
    folder = records.output_folder(settings.out)
    path = folder / record
    records.check_free(path)
    table = judge(
        results.match(list(settings.labels)),
        seed=settings.seed,
        device=settings.device,
        profile=profile,
        workers=settings.workers,
        out=records.inner_folder(folder.parent, "chunks"),
        on_progress=lambda done: settings.on_progress(done.share, done.name),
    )
    chosen = {"profile": asdict(profile)}
    records.write_table(path, table, records.Manifest(written_by, settings.seed, settings.device, chosen))
    return path
