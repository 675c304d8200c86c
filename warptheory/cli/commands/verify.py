"""`warptheory verify`: simulate what results claim, and judge it."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warptheory.cli import _names as names
from warptheory.cli import _options as options
from warptheory.cli._tables import TableColumn, lay_out, output_width
from warptheory.core.layout import wrapped
from warptheory.core.text import one_line, printable

if TYPE_CHECKING:
    from pandas import DataFrame

EXAMPLES = (
    "Examples:  warptheory verify A4  ·  warptheory verify 'A*' --kernel nearest --dim 3 --out records  ·  "
    "warptheory verify --all --power"
)
GOING_ON = "The same command goes on from there."
CALLED = {"result": "patterns"}


def command(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="RESULT", help="Labels or patterns, such as A4 or 'A*'.", callback=names.label_patterns),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every result that is registered.")] = False,
    kernel: options.KernelName = None,
    dim: options.Dim = None,
    offsets: options.OffsetsLaw = None,
    inputs: options.Inputs = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    profile: options.ProfileName = "quick",
    workers: options.WorkerCount = None,
    scheduler: options.Scheduler = None,
    out: options.Out = None,
    fresh: options.Fresh = False,
    time_limit: options.TimeLimit = 1800.0,
    plain: options.Plain = False,
    power: Annotated[
        bool, typer.Option("--power", help="Plant errors in every closed form instead; all have to be refused.")
    ] = False,
    as_json: options.Json = False,
    replay: options.Replay = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --replay: of the second stream, which is named …/again.")
    ] = False,
) -> None:
    """Verify results by simulation; exit code 0 only if every claim is verified, or every planted error refused.

    With --out finished chunks are kept: after an interruption the same command goes on from there. With --json each
    claim has its deviation, (estimate - theory) in standard errors, and z, how many are allowed; an infinite one is
    null.
    """
    from warptheory import results
    from warptheory.cli._console import claims_progress, print_json, print_replay
    from warptheory.core import records
    from warptheory.core.errors import ArgumentError
    from warptheory.montecarlo import get_profile

    if everything == bool(patterns):
        raise ArgumentError("RESULT", expected="labels or patterns, or --all", received=patterns or "none")
    matched = results.match(["*"] if everything else patterns or [])
    setting: dict[str, Any] = {"kernel": kernel, "dim": dim, "offsets": offsets, "inputs": inputs}
    if replay is not None:
        options.refuse_beside_replay(
            power=power,
            out=out is not None,
            profile=profile != "quick",
            fresh=fresh,
            workers=workers is not None,
            scheduler=scheduler is not None,
        )
        table = results.replay(matched, replay, **setting, seed=seed, device=device, plain=plain, again=again)
        print_replay(table, as_json=as_json)
    if again:
        raise ArgumentError("--again", expected="a chunk to --replay", received="none")
    chosen = get_profile(profile)
    folder = None if out is None else records.output_folder(out)
    path = None if folder is None else folder / ("power.parquet" if power else "verdicts.parquet")
    if path is not None:
        records.check_free(path)
    with claims_progress("verify") as show:
        table = (results.power if power else results.check)(
            matched,
            **setting,
            seed=seed,
            device=device,
            profile=chosen,
            plain=plain,
            workers=workers,
            scheduler=scheduler,
            out=folder,
            fresh=fresh,
            time_limit=time_limit,
            on_progress=show,
        )
    if as_json:
        print_json(table if power else table.assign(deviation=_deviations(table)))
    else:
        (_print_power if power else _print_text)(table, seed)
    if path is not None:
        settings = {"profile": profile, "results": patterns or ["*"], "plain": plain}
        records.write_table(path, table, records.Manifest(records.command_line(), seed, device, settings))
        typer.echo(one_line(f"written: {path}"), err=True)
    if not (table["refused"] if power else table["verdict"] == "verified").all():
        raise typer.Exit(1)


def _print_power(table: "DataFrame", seed: int) -> None:
    """Print a line for each planted error, and how many of each kind were refused."""
    from warptheory.results import not_planted

    for row in table.to_dict(orient="records"):
        name = f"{row['result']} {row['quantity']}, {row['kernel']}, d={row['dim']}, {row['offsets']} offsets"
        if row["reason"]:
            print(one_line(f"not judged: {name}, {row['inputs']} input: {row['reason']}"))
            continue
        error = f"{row['error']} {row['term']}".rstrip()
        numbers = f"{row['planted']:.6g} for {row['theory']:.6g}, estimates {row['value_1']:.6g}, {row['value_2']:.6g}"
        print(f"{'refused' if row['refused'] else 'NOT REFUSED'}: {name}, {row['inputs']} input: {error}: {numbers}")
    print()
    for kind, found in table.dropna(subset="error").groupby("error", sort=False) if "error" in table else ():
        print(f"{kind}: {found['refused'].sum()} of {len(found)} refused")
    print(f"not planted: {not_planted(table)}")
    print(f"{table['refused'].sum()} of {len(table)} planted errors refused; seed {seed}")


def _print_text(table: "DataFrame", seed: int) -> None:
    """Print a line for each claim, why those that are undecided are, and what they are together."""
    width = output_width()
    found = lay_out(_columns(table), width)
    print(printable(found.text))
    for row in table[table["reason"] != ""].to_dict(orient="records"):
        print(f"{row['verdict']}: {one_line(row['label'])}: {one_line(row['reason'])}")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in table["verdict"].value_counts().items())
    relative = table["smallest_effect"]
    summary = (
        f"{counts}; {table['z'].max():.2f} standard errors are allowed for {len(table)} claims together; "
        f"smallest error that matters {relative.min():.2%} to {relative.max():.2%}; seed {seed}"
    )
    print("\n" + (summary if width is None else wrapped(summary, width)))
    if found.left_out:
        print(found.note(width))


def _columns(table: "DataFrame") -> list[TableColumn]:
    """Return what is told of every claim; the widest terminals have room for all of it."""
    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict(orient="records")]
    column = partial(TableColumn.of, rows)
    return [
        column("verdict", "{verdict}"),
        column("label", "{result}"),
        column("quantity", "{quantity}", wraps=True),
        column("kernel", "{kernel}", rank=1),
        column("d", "{dim}", rank=2, is_number=True),
        column("offsets", "{offsets}", rank=3, wraps=True),
        column("input", "{inputs}", rank=5),
        column("point", lambda row: f"random {row['point']}" if row["point"] else "standard", rank=4),
        column("theory", "{theory:.5g}", is_number=True),
        column("estimate ± SE", lambda row: f"{row['estimate']:.5g} ± {row['stderr']:.1g}" if row["n"] else "none"),
        column(f"deviation (SE, ±{table['z'].max():.2f})", _deviation, is_number=True, wraps=True),
        column("power", "{power:.4f}", rank=8, is_number=True),
        column("rows", "{n}", rank=9, is_number=True),
        column("drawn", "{drawn}", rank=10),
        column("at", "{values}", rank=7),
    ]


def _deviation(row: Mapping[str, Any]) -> str:
    """Return by how many standard errors an estimate is above the theory; the heading says how many are allowed."""
    from warptheory.montecarlo import deviation_text

    return deviation_text(row["theory"], row["estimate"], row["stderr"], row["verdict"])


def _deviations(table: "DataFrame") -> list[float]:
    """Return the same of each row as a number."""
    from warptheory.montecarlo import deviation

    columns = (table[name] for name in ("theory", "estimate", "stderr", "verdict"))
    return list(map(deviation, *columns))
