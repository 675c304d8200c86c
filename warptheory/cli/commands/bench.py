"""`warptheory bench`: time the operator against its peers, as ratios in one run."""

from pathlib import Path
from typing import Annotated

import typer

from warptheory.cli import _options as options

EXAMPLES = "Example:  warptheory bench warp --rounds 9 --out benchmarks/results"


def command(
    name: Annotated[str, typer.Argument(help="Name of a script in benchmarks/.")] = "warp",
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are taken over them.")] = 9,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    out: options.ReproduceOut = Path("benchmarks/results"),
) -> None:
    """Time the operator against its peers, and write JSON with machine, versions and shapes."""
    from warptheory.cli._console import progress_bar
    from warptheory.core import records
    from warptheory.core.checkout import load_script
    from warptheory.core.text import one_line

    folder = records.output_folder(out)
    script = load_script("benchmarks", name, "name")
    with progress_bar("bench") as update:
        path = script.run(folder, seed, device, rounds, update)
    print(script.summary(path))
    print(one_line(str(path)))
