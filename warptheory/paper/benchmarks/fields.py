"""Time the sampling of Gaussian fields against GSTools' randomization method with its default modes.

Both make one field of the same squared-exponential covariance at a time, in turn in one process. The ratio
of each round is taken, and medians over the rounds are written as JSON. The first field also pays for the
embedding, and is timed apart; a volume is made in a process of its own, whose peak memory is read.
"""

import math
import resource
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from warptheory.core import records
from warptheory.core.device import device_name
from warptheory.core.streams import Stream
from warptheory.fields import FieldSampler, SquaredExponential
from warptheory.paper.entries import Benchmark, Cost, DocumentTable, RunSettings
from warptheory.paper.timings import Spread, seconds, write_timings
from warptheory.report import Columns, markdown_table

SIZE = (1024, 1024)
VOLUME = (128, 128, 128)
LENGTH = 10.0  # pixels
ROUNDS = 3
FIELDS = 10  # of ours in a round, theirs being one
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def peer(seed: int) -> Callable[[], object]:
    """Return GSTools' generator of the same fields, on the grid's two axes."""
    import gstools

    model = gstools.Gaussian(dim=2, var=1, len_scale=LENGTH * math.sqrt(math.pi / 2))
    field = gstools.SRF(model, seed=seed)
    axes = [np.arange(n, dtype=float) for n in SIZE]
    return lambda: field.structured(axes)


def volume_memory(seed: int, device: str) -> dict[str, float]:
    """Sample one volume in a new process; return its seconds, and the memory it took beyond what it started with."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        took, taken = alone.submit(_volume, seed, device).result()
    return {"seconds": took, "gibibytes": taken}


def _volume(seed: int, device: str) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sampler = FieldSampler(SquaredExponential(length=LENGTH, dim=3), VOLUME)
    took = seconds(lambda: sampler.sample(1, Stream(seed, "volume").generator(), device=device))
    return took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20


def run(settings: RunSettings) -> Path:
    """Time both, and write `fields_<device>.json`; return its path."""
    seed, device, rounds = settings.seed, settings.device, settings.rounds or ROUNDS
    generator = Stream(seed, "fields").generator()
    theirs = peer(seed)
    rows: dict[str, dict[str, list[float]]] = {name: {"ours": [], "ratio": []} for name in DTYPES}
    samplers = {name: FieldSampler(SquaredExponential(length=LENGTH), SIZE) for name in DTYPES}

    def draw(name: str, count: int) -> Callable[[], object]:
        return lambda: samplers[name].sample(count, generator, device=device, dtype=DTYPES[name])

    first = {name: seconds(draw(name, 1)) for name in DTYPES}
    peers = []
    for number in range(rounds):
        settings.on_progress(number / rounds, "GSTools")
        peers.append(seconds(theirs))
        for name, found in rows.items():
            found["ours"].append(seconds(draw(name, FIELDS)) / FIELDS)
            found["ratio"].append(peers[-1] / found["ours"][-1])
    results = [
        {
            "dtype": name,
            **Spread.of(found["ratio"]).named("ratio"),
            "ours_seconds": statistics.median(found["ours"]),
            "first_field_seconds": first[name],
            "peer_seconds": statistics.median(peers),
        }
        for name, found in rows.items()
    ]
    chosen = {
        "size": SIZE,
        "length_px": LENGTH,
        "rounds": rounds,
        "fields_a_round": FIELDS,
        "threads": torch.get_num_threads(),
        "device_name": device_name(device),
        "volume": VOLUME,
    }
    return write_timings(settings, __name__, chosen, {"results": results, "volume": volume_memory(seed, device)})


def summary(path: Path) -> str:
    """Return a record of `run` as a table for the terminal."""
    record = records.read_json(path)
    lines = [f"{'dtype':10}{'ratio':>8}   GSTools / ours, one field of {SIZE[0]}²"]
    for row in record["results"]:
        spread = f"({row['ratio_lowest']:.0f} … {row['ratio_highest']:.0f})"
        times = f"{1e3 * row['ours_seconds']:.1f} ms, the first {1e3 * row['first_field_seconds']:.0f} ms"
        lines.append(f"{row['dtype']:10}{row['ratio']:>8.0f}   {spread}   {times}")
    volume = record["volume"]
    lines.append(f"a volume of {VOLUME[0]}³: {volume['seconds']:.1f} s, {volume['gibibytes']:.2f} GiB")
    return "\n".join(lines)


def fields_table(benchmark: dict[str, Any]) -> str:
    """Return a Markdown table of the time of a random field against GSTools."""
    settings = benchmark["settings"]
    columns: Columns = {
        "dtype": "{dtype}",
        "GSTools' time over ours": "{ratio:.0f}",
        "lowest and highest of the rounds": "{ratio_lowest:.0f}, {ratio_highest:.0f}",
    }
    volume = f"{'×'.join(map(str, settings['volume']))} takes {benchmark['volume']['gibibytes']:.2f} GiB"
    footer = (
        f"One field of {'×'.join(map(str, settings['size']))} of a squared exponential, length "
        f"{settings['length_px']:g} pixels, by GSTools' randomization method with its default modes; medians of "
        f"{settings['rounds']} rounds on {settings['device_name']}, {settings['threads']} threads. "
        f"A volume of {volume}."
    )
    return markdown_table(benchmark["results"], columns, footer)


BENCHMARK = Benchmark(
    run=run,
    summary=summary,
    writes=("fields_*.json",),
    cost=Cost(quick=None, full=60),
    tables=(DocumentTable("fields", fields_table, ("fields_*.json",)),),
)
