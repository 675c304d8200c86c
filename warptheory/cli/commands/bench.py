"""`warptheory bench`: time the operator against its peers, as ratios in one run."""

from pathlib import Path
from typing import Annotated

import typer

from warptheory.cli import _names as names
from warptheory.cli import _options as options

EXAMPLES = "Example:  warptheory bench warp --rounds 9 --out benchmarks/results"


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK", help="Name of a benchmark; warptheory list has them.", callback=names.benchmark
        ),
    ] = "warp",
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Interleaved rounds, over which medians are taken; by default its own.")
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    out: options.ReproduceOut = Path("benchmarks/results"),
) -> None:
    """Time the operator against its peers, and write JSON with machine, versions and shapes."""
    from warptheory.cli._console import progress_bar
    from warptheory.core import records
    from warptheory.core.text import one_line
    from warptheory.paper import benchmarks
    from warptheory.paper.entries import RunSettings

    folder = records.output_folder(out)
    benchmark = benchmarks.get(name)
    with progress_bar("bench") as update:
        path = benchmark.run(RunSettings(folder, seed, device, "full", rounds=rounds, on_progress=update))
    print(benchmark.summary(path))
    print(one_line(str(path)))
