"""`warptheory verify`: simulate what results claim, and judge it."""

from typing import Annotated

import typer

from warptheory.cli import _options as options

EXAMPLES = "Examples:  warptheory verify A4  ·  warptheory verify 'A*' --kernel nearest --dim 3 --out records"


def command(
    patterns: Annotated[list[str], typer.Argument(metavar="RESULT...", help="Labels or patterns, such as A4 or 'A*'.")],
    kernel: options.Kernel = None,
    dim: options.Dim = None,
    offsets: options.Offsets = None,
    inputs: options.Inputs = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    profile: options.Profile = "quick",
    workers: options.Workers = None,
    out: options.Out = None,
) -> None:
    """Verify results by simulation; exit code 0 only if every claim is verified."""
    from warptheory import results
    from warptheory.cli._console import progress_bar
    from warptheory.core import records
    from warptheory.montecarlo import get_profile

    chosen = get_profile(profile)
    folder = None if out is None else records.output_folder(out)
    with progress_bar("verify") as update:
        table = results.check(
            results.match(patterns),
            kernel=kernel,
            dim=dim,
            offsets=offsets,
            inputs=inputs,
            seed=seed,
            device=device,
            profile=chosen,
            workers=workers,
            on_progress=update,
        )
    for row in table.itertuples():
        print(
            f"{row.label}, at {row.values}\n"
            f"    {row.verdict}: theory {row.theory:.6g}, estimate {row.estimate:.6g} ± {row.stderr:.2g} "
            f"(standard error), n = {row.n} rows, power {row.power:.4f}"
        )
    counts = ", ".join(f"{count} {verdict}" for verdict, count in table["verdict"].value_counts().items())
    relative = table["smallest_effect"]
    print(
        f"\n{counts}; z = {table['z'].iloc[0]:.2f} for {len(table)} claims together; "
        f"smallest error that matters {relative.min():.2%} to {relative.max():.2%}; seed {seed}"
    )
    if folder is not None:
        manifest = records.Manifest(records.command_line(), seed, device, {"profile": profile, "results": patterns})
        records.write_table(folder / "verdicts.parquet", table, manifest)
        typer.echo(f"written: {folder / 'verdicts.parquet'}", err=True)
    if not (table["verdict"] == "verified").all():
        raise typer.Exit(1)
