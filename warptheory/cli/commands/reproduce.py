"""`warptheory reproduce`: every figure, table and verdict, and the report."""

import typer

from warptheory.cli import _options as options

EXAMPLES = "Example:  warptheory reproduce --profile quick --out paper_repro/out"
GOING_ON = "The same command goes on from there."


def command(
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    profile: options.Profile = "quick",
    out: options.ReproduceOut = options.DEFAULT_OUT,
) -> None:
    """Reproduce every figure, table and verdict, and write report.html; exit code 0 only if all hold."""
    from warptheory.cli._console import progress_bar
    from warptheory.core import records
    from warptheory.core.checkout import load_script
    from warptheory.core.text import one_line

    driver = load_script("paper_repro", "driver", "reproduce")
    with progress_bar("reproduce") as update:
        holds = driver.run(out, profile, seed, device, update)
    counts = records.read_table(out / "records" / "verdicts.parquet")["verdict"].value_counts()
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    print(one_line(str(out / "report.html")))
    if not holds:
        raise typer.Exit(1)
