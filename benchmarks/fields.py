"""Time the sampling of Gaussian fields against GSTools' randomization method with its default modes.

Both make one field of the same squared-exponential covariance at a time, in turn in one process. The ratio
of each round is taken, and medians over the rounds are written as JSON. The first field also pays for the
embedding, and is timed apart; a volume is made in a process of its own, whose peak memory is read.
"""

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from warptheory.core import records
from warptheory.core.device import device_name
from warptheory.core.streams import Stream
from warptheory.fields import FieldSampler, SquaredExponential

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


def seconds(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def volume_memory(seed: int, device: str) -> dict[str, float]:
    """Sample one volume in a new process; return its seconds, and the memory it took beyond what it started with."""
    command = [sys.executable, __file__, "--volume", "--seed", str(seed), "--device", device]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {"seconds": float(printed[0]), "gibibytes": float(printed[1])}


def _volume(seed: int, device: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sampler = FieldSampler(SquaredExponential(length=LENGTH, dim=3), VOLUME)
    took = seconds(lambda: sampler.sample(1, Stream(seed, "volume").generator(), device=device))
    print(took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)


def run(
    out: Path,
    seed: int = 0,
    device: str = "cpu",
    rounds: int = ROUNDS,
    on_progress: Callable[[float, str], None] | None = None,
) -> Path:
    """Time both, and write `fields_<device>.json`; return its path."""
    generator = Stream(seed, "fields").generator()
    theirs = peer(seed)
    rows: dict[str, dict[str, list[float]]] = {name: {"ours": [], "ratio": []} for name in DTYPES}
    samplers = {name: FieldSampler(SquaredExponential(length=LENGTH), SIZE) for name in DTYPES}

    def draw(name: str, count: int) -> Callable[[], object]:
        return lambda: samplers[name].sample(count, generator, device=device, dtype=DTYPES[name])

    first = {name: seconds(draw(name, 1)) for name in DTYPES}
    peers = []
    for number in range(rounds):
        if on_progress is not None:
            on_progress(number / rounds, "GSTools")
        peers.append(seconds(theirs))
        for name, found in rows.items():
            found["ours"].append(seconds(draw(name, FIELDS)) / FIELDS)
            found["ratio"].append(peers[-1] / found["ours"][-1])
    results = [
        {
            "dtype": name,
            "ratio": statistics.median(found["ratio"]),
            "ratio_lowest": min(found["ratio"]),
            "ratio_highest": max(found["ratio"]),
            "ours_seconds": statistics.median(found["ours"]),
            "first_field_seconds": first[name],
            "peer_seconds": statistics.median(peers),
        }
        for name, found in rows.items()
    ]
    settings = {
        "size": SIZE,
        "length_px": LENGTH,
        "rounds": rounds,
        "fields_a_round": FIELDS,
        "threads": torch.get_num_threads(),
        "device_name": device_name(device),
        "volume": VOLUME,
    }
    manifest = records.Manifest("benchmarks/fields.py", seed, device, settings)
    path = records.output_folder(out) / f"fields_{device.partition(':')[0]}.json"
    records.write_json(path, {**asdict(manifest), "results": results, "volume": volume_memory(seed, device)})
    return path


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


def main() -> None:
    """Time both, write the record and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--volume", action="store_true", help="sample one volume and print seconds and GiB")
    arguments = parser.parse_args()
    if arguments.volume:
        _volume(arguments.seed, arguments.device)
        return
    path = run(arguments.out, arguments.seed, arguments.device, arguments.rounds)
    print(summary(path))


if __name__ == "__main__":
    main()
