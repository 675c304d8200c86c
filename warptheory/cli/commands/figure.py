"""`warptheory figure`: draw a figure of the paper."""

from typing import Annotated

import typer

from warptheory.cli import _names as names
from warptheory.cli import _options as options

EXAMPLES = "Example:  warptheory figure 1 --out figures_out"


def command(
    number: Annotated[
        str,
        typer.Argument(metavar="FIGURE", help="Number of the figure, such as 1, or its name.", callback=names.figure),
    ],
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    out: options.ReproduceOut = options.DEFAULT_OUT,
) -> None:
    """Draw a figure of the paper as PDF and PNG, computing its record first if it is missing or out of date."""
    from warptheory.cli._console import run_progress
    from warptheory.core import records
    from warptheory.core.errors import WarpTheoryError
    from warptheory.core.text import one_line
    from warptheory.paper import figures
    from warptheory.paper.entries import RunSettings
    from warptheory.paper.running import run

    folder = records.inner_folder(records.output_folder(out), "records")
    figure = figures.numbered(number)
    with run_progress("figure") as update:
        outcome = run(RunSettings(folder, seed, device), [figure.name], update)
    if outcome.failed:
        raise WarpTheoryError("; ".join(f"{name}: {reason}" for name, reason in outcome.failed.items()))
    for name in figure.writes:
        print(one_line(str(out / name)))
