"""Run everything on a few results, every fourth value of the curves, seed 1, into the folder that is the only argument.

In a process of its own, as a user does: shape checks would double the time. Beside the folder it writes `run.json`:
whether all claims held, what failed, and the shares that were reported.
"""

import json
import os
import sys
from pathlib import Path

from warptheory.paper.entries import RunSettings
from warptheory.paper.running import run

SETTINGS = {"seed": 1, "labels": ("A2", "A3", "A7"), "rounds": 1, "thin": 4, "seeds": 1, "most_steps": 2, "workers": 1}


def main() -> None:
    folder = Path(sys.argv[1])
    shares: list[float] = []
    outcome = run(RunSettings(folder / "records", **SETTINGS), on_progress=lambda status: shares.append(status.share))
    found = {"holds": outcome.holds, "failed": dict(outcome.failed), "refuted": outcome.refuted, "shares": shares}
    (folder.parent / "run.json").write_text(json.dumps(found))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # others run beside it
    main()
