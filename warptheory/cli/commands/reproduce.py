"""`warptheory reproduce`: every figure, table and verdict, and the report."""

from typing import Annotated

import typer

from warptheory.cli import _names as names
from warptheory.cli import _options as options

EXAMPLES = (
    "Examples:  warptheory reproduce --profile quick --out paper_repro/out  ·  warptheory reproduce --plan  ·  "
    "warptheory reproduce --only 'figure*'"
)
GOING_ON = "The same command goes on from there."


def command(
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    profile: options.ProfileName = "quick",
    out: options.ReproduceOut = options.DEFAULT_OUT,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only these parts, by name or pattern, and what they read.", callback=names.parts
        ),
    ] = None,
    just_plan: Annotated[bool, typer.Option("--plan", help="Print what would be computed, and do nothing.")] = False,
) -> None:
    """Reproduce every figure, table and verdict, and write report.html; exit code 0 only if all hold.

    What is up to date is not computed again. Parts are listed by warptheory list: analyses, figures and benchmarks.
    """
    from warptheory.cli._console import print_plan, run_progress
    from warptheory.core import records
    from warptheory.core.text import one_line
    from warptheory.montecarlo import check_device, get_profile
    from warptheory.paper.entries import RunSettings
    from warptheory.paper.graph import plan
    from warptheory.paper.running import run

    check_device(device)
    get_profile(profile)
    folder = records.inner_folder(records.output_folder(out), "records")
    settings = RunSettings(folder, seed, device, profile)
    print_plan(plan(settings, only or ()))
    if just_plan:
        return
    with run_progress("reproduce") as update:
        outcome = run(settings, only or (), update)
    for name, reason in outcome.failed.items():
        print(one_line(f"failed: {name}: {reason}"))
    for name in outcome.refuted:
        print(f"does not hold: {name}")
    verdicts = folder / "verdicts.parquet"
    if verdicts.is_file():
        counts = records.read_table(verdicts)["verdict"].value_counts()
        print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    page = out / "report.html"
    if page.is_file():
        print(one_line(str(page)))
    if not outcome.holds:
        raise typer.Exit(1)
