"""`warptheory explore`: one page on which a reader moves the setting, and theory, simulation and a picture follow."""

from pathlib import Path
from typing import Annotated

import typer

from warptheory.cli import _options as options

EXAMPLES = (
    "Examples:  warptheory explore --out explore_out  ·  warptheory explore --out explore_out/gains.html --profile full"
)
GOING_ON = "The same command goes on from there."


def command(
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    profile: options.ProfileName = "quick",
    out: Annotated[
        Path, typer.Option(help="Folder for the page and its records, or the page itself, a name that ends in .html.")
    ] = options.DEFAULT_OUT,
) -> None:
    """Write explore.html: closed forms, simulations and a warped picture for kernels, laws, spreads, slopes and depths.

    The page holds everything it shows and fetches nothing. Records that are missing or out of date are computed first.
    Exit code 0 only if all that they check holds.
    """
    from dataclasses import replace

    from warptheory.cli._console import progress_bar, run_progress
    from warptheory.core import records
    from warptheory.core.errors import WarpTheoryError
    from warptheory.core.text import one_line
    from warptheory.montecarlo import check_device, get_profile
    from warptheory.paper.entries import RunSettings
    from warptheory.paper.explorer import explored_scripts, page_path, write_page
    from warptheory.paper.running import run

    check_device(device)
    get_profile(profile)
    page = page_path(out)
    folder = records.inner_folder(records.output_folder(page.parent), "records")
    records.check_free(page)
    settings = RunSettings(folder, seed, device, profile)
    with run_progress("explore") as update:
        outcome = run(settings, explored_scripts(), update)
    if outcome.failed:
        raise WarpTheoryError("; ".join(f"{name}: {reason}" for name, reason in outcome.failed.items()))
    with progress_bar("explore") as show:
        write_page(page, replace(settings, on_progress=show))
    for name in outcome.refuted:
        print(f"does not hold: {name}")
    print(one_line(str(page)))
    if not outcome.holds:
        raise typer.Exit(1)
