"""Forward gain against the spread of the offsets: theory and simulation of result A4.

Writes `forward_gain.parquet`: one row per kernel, number of axes and spread, with the closed form's
value and, at every eighth spread, the estimate with its standard error.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from warptheory import montecarlo, results
from warptheory.core import records
from warptheory.core.analysis import run_as_script
from warptheory.results import Result

KERNELS = ("linear", "nearest")
DIMS = (1, 2, 3)
CURVE = tuple(float(s) for s in np.round(np.arange(0.05, 0.751, 0.0125), 4))  # spreads in pixels
SIMULATED = CURVE[::8]
RELATIVE_ERROR = 4e-3


def _point(result: Result, kernel: str, dim: int, spread: float, seed: int, device: str) -> dict[str, object]:
    """Evaluate the closed form at one spread, and simulate it where a point is wanted."""
    claim = result.claim(kernel=kernel, dim=dim, offsets="normal", s=spread, mu=0.0, sigma=1.0)
    row = {"result": result.label, "kernel": kernel, "dim": dim, "spread": spread, "theory": claim.theory, "seed": seed}
    if spread not in SIMULATED:
        return {**row, "estimate": np.nan, "stderr": np.nan, "n": 0}
    found = montecarlo.estimate(
        claim.experiment, claim.values, rtol=RELATIVE_ERROR, seed=seed, label=claim.label, device=device
    )
    return {**row, "estimate": found.value, "stderr": found.stderr, "n": found.n}


def run(out: Path, seed: int = 0, device: str = "cpu") -> Path:
    """Compute and write the record; return its path."""
    result = results.get("A4")
    rows: list[dict[str, object]] = []
    for kernel in KERNELS:
        for dim in DIMS:
            rows += [_point(result, kernel, dim, spread, seed, device) for spread in CURVE]
    path = records.output_folder(out) / "forward_gain.parquet"
    settings = {"kernels": KERNELS, "dims": DIMS, "simulated_spreads_px": SIMULATED, "rtol": RELATIVE_ERROR}
    records.write_table(
        path, pd.DataFrame(rows), records.Manifest("analyses/iid_statistics.py", seed, device, settings)
    )
    return path


if __name__ == "__main__":
    run_as_script(run, __doc__)
