"""Forward gain against the spread of the offsets: theory and simulation of result A4.

Writes `forward_gain.parquet`: one row per kernel, number of axes and spread, with the closed form's
value and the estimate with its standard error.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import warptheory as wt
from warptheory.core import records

KERNELS = ("linear", "nearest")
DIMS = (1, 2, 3)
SPREADS = tuple(float(s) for s in np.round(np.linspace(0.05, 0.75, 8), 3))  # pixels
RELATIVE_ERROR = 4e-3


def run(out: Path, seed: int = 0, device: str = "cpu") -> Path:
    """Compute and write the record; return its path."""
    result = wt.results.get("A4")
    rows = []
    for kernel in KERNELS:
        for dim in DIMS:
            for spread in SPREADS:
                claim = result.claim(kernel=kernel, dim=dim, offsets="normal", s=spread, mu=0.0, sigma=1.0)
                found = wt.montecarlo.estimate(
                    claim.experiment, claim.values, rtol=RELATIVE_ERROR, seed=seed, label=claim.label, device=device
                )
                rows.append(
                    {
                        "result": "A4",
                        "kernel": kernel,
                        "dim": dim,
                        "spread": spread,
                        "theory": claim.theory,
                        "estimate": found.value,
                        "stderr": found.stderr,
                        "n": found.n,
                        "seed": seed,
                    }
                )
    path = records.output_folder(out) / "forward_gain.parquet"
    settings = {"kernels": KERNELS, "dims": DIMS, "spreads_px": SPREADS, "rtol": RELATIVE_ERROR}
    records.write_table(path, pd.DataFrame(rows), records.Manifest("analyses/iid_statistics.py", seed, device, settings))
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("paper_repro/out/records"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(run(arguments.out, arguments.seed, arguments.device))
