"""`warptheory analyse`: run an analysis and write its record."""

from typing import Annotated

import typer

from warptheory.cli import _names as names
from warptheory.cli import _options as options

EXAMPLES = "Example:  warptheory analyse iid_statistics --out records"


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ANALYSIS", help="Name of an analysis; warptheory list has them.", callback=names.analysis
        ),
    ],
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    out: options.ReproduceOut = options.DEFAULT_OUT / "records",
) -> None:
    """Run an analysis and write its record (a table or arrays, and a JSON manifest)."""
    from warptheory.cli._console import progress_bar
    from warptheory.core import records
    from warptheory.core.text import one_line
    from warptheory.paper import analyses
    from warptheory.paper.entries import RunSettings

    folder = records.output_folder(out)
    with progress_bar("analyse") as update:
        update(0.0, name)
        print(one_line(str(analyses.get(name).run(RunSettings(folder, seed, device, on_progress=update)))))
