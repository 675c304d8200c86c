"""Run the driver on a few results, every fourth value of the curves, seed 1, into the folder that is the only argument.

In a process of its own, as a user does: shape checks would double the time. Beside the folder it writes `run.json`:
whether all claims held, and the shares that were reported.
"""

import json
import sys
from pathlib import Path

import torch

from warptheory.core.checkout import load_script


def main() -> None:
    torch.set_num_threads(1)  # others run beside it
    folder = Path(sys.argv[1])
    shares: list[float] = []
    holds = load_script("paper_repro", "driver", "driver").run(
        folder,
        seed=1,
        labels=("A2", "A3", "A7"),
        rounds=1,
        thin=4,
        workers=1,  # others would have to import everything first
        seeds=1,
        most_steps=2,
        on_progress=lambda share, name: shares.append(share),
    )
    (folder.parent / "run.json").write_text(json.dumps({"holds": holds, "shares": shares}))


if __name__ == "__main__":
    main()
