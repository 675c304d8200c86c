"""`warptheory sweep`: a quantity over a grid of values, theory and simulation side by side."""

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warptheory.cli import _names as names
from warptheory.cli import _options as options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pandas import DataFrame

    from warptheory.cli._tables import TableColumn
    from warptheory.results import Choice

EXAMPLES = "Example:  warptheory sweep A4 --over s=0.1:1:10 --over kernel=linear,keys --rtol 1e-3 --out records"
GOING_ON = "The same command goes on from there."
CALLED = {"result": "label", "values": "over"}
_MOST_VALUES = 10**5
_WORDS = {"kernel": names.kernel, "offsets": names.offsets, "inputs": names.inputs}


def command(
    label: Annotated[
        str, typer.Argument(metavar="RESULT", help="Label of the result, such as A4.", callback=names.label)
    ],
    over: Annotated[
        list[str],
        typer.Option(help="NAME=VALUES: first:last:count, the same with :log for a geometric grid, or a list a,b,c."),
    ],
    quantity: Annotated[str | None, typer.Option(help="Name of the quantity; the result's first by default.")] = None,
    given: Annotated[list[str] | None, typer.Option(help="NAME=VALUE: the same at every point.")] = None,
    rtol: Annotated[float, typer.Option(help="Relative precision of each estimate.")] = 1e-2,
    atol: Annotated[float, typer.Option(help="Absolute precision; the coarser of the two decides.")] = 0.0,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    plain: options.Plain = False,
    workers: options.WorkerCount = None,
    scheduler: options.Scheduler = None,
    out: options.Out = None,
    fresh: options.Fresh = False,
    time_limit: options.TimeLimit = 1800.0,
    as_json: options.Json = False,
    replay: options.Replay = None,
) -> None:
    """Work out a quantity at every point of a grid, by its closed form and by simulation.

    With --out the table is written as Parquet, and finished chunks are kept: after an interruption the same command
    goes on from there. Exit code 0 only if every point reached the precision.
    """
    swept, fixed = _parameters("over", over), _single(_parameters("given", given or []))
    names.check_quantity(quantity, label)

    from warptheory import results
    from warptheory.cli._console import claims_progress, print_json, print_replay
    from warptheory.core import records
    from warptheory.core.text import one_line

    if replay is not None:
        options.refuse_beside_replay(
            out=out is not None, fresh=fresh, workers=workers is not None, scheduler=scheduler is not None
        )
        table = results.replay_sweep(
            label, replay, quantity, over=swept, given=fixed, seed=seed, device=device, plain=plain
        )
        print_replay(table, as_json=as_json)
    folder = None if out is None else records.output_folder(out)
    if folder is not None:
        records.check_free(folder / "sweep.parquet")
    with claims_progress("sweep") as show:
        table = results.sweep(
            label,
            quantity,
            over=swept,
            given=fixed,
            rtol=rtol,
            atol=atol,
            seed=seed,
            device=device,
            plain=plain,
            workers=workers,
            scheduler=scheduler,
            out=folder,
            fresh=fresh,
            time_limit=time_limit,
            on_progress=show,
        )
    if as_json:
        print_json(table)
    else:
        _print_text(table, [*swept, *fixed])
    if folder is not None:
        manifest = records.Manifest(records.command_line(), seed, device, {"rtol": rtol, "atol": atol, "plain": plain})
        records.write_table(folder / "sweep.parquet", table, manifest)
        typer.echo(one_line(f"written: {folder / 'sweep.parquet'}"), err=True)
    if not table["reached"].all():
        raise typer.Exit(1)


def _print_text(table: "DataFrame", chosen: "Sequence[str]") -> None:
    """Print a line for each point, and why those that were not simulated were not.

    Args:
        table: the points.
        chosen: names of the parameters that were swept or given; there is always room for them.
    """
    from warptheory.cli._tables import lay_out, output_width
    from warptheory.core.text import one_line, printable

    width = output_width()
    found = lay_out(_columns(table, chosen), width)
    print(printable(found.text))
    for row in table[table["reason"] != ""].to_dict(orient="records"):
        print(one_line(f"not simulated: {row['reason']}"))
    if found.left_out:
        print(found.note(width))


def _columns(table: "DataFrame", chosen: "Sequence[str]") -> "list[TableColumn]":
    """Return what is told of every point; the widest terminals have room for all of it."""
    from warptheory.cli._tables import TableColumn

    rows = [{str(name): value for name, value in row.items()} for row in table.to_dict(orient="records")]
    column = partial(TableColumn.of, rows)

    def rank(name: str, otherwise: int) -> int:
        return 0 if name in chosen else otherwise

    def estimate(row: "Mapping[str, Any]") -> str:
        return f"{row['estimate']:.6g} ± {row['stderr']:.1g}" if row["n"] else "none"

    return [
        column("label", "{result}", rank=5),
        column("quantity", "{quantity}", wraps=True, rank=3),
        column("kernel", "{kernel}", rank=rank("kernel", 1)),
        column("d", "{dim}", rank=rank("dim", 2), is_number=True),
        column("offsets", "{offsets}", rank=rank("offsets", 4), wraps=True),
        column("input", "{inputs}", rank=rank("inputs", 6)),
        *(column(name, f"{{{name}:.6g}}", is_number=True) for name in chosen if name not in {*_WORDS, "dim"}),
        column("theory", lambda row: _number(row["theory"]), is_number=True),
        column("estimate ± SE", estimate),
        column("reached", lambda row: "yes" if row["reached"] else "no"),
        column("rows", "{n}", rank=7, is_number=True),
        column("seed", "{seed}", rank=8, is_number=True),
    ]


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.6g}"


def _parameters(option: str, texts: "Sequence[str]") -> "dict[str, list[Choice]]":
    """Return the values of each parameter.

    Raises:
        ArgumentError: as `_parameter`, or a name twice.
    """
    from warptheory.core.errors import ArgumentError

    found: dict[str, list[Choice]] = {}
    for text in texts:
        name, values = _parameter(option, text)
        if name in found:
            raise ArgumentError(option, expected=f"{name} once, as {name}=a,b,c", received=f"it again: {text!r}")
        found[name] = values
    return found


def _single(parameters: "Mapping[str, list[Choice]]") -> "dict[str, Choice]":
    """Return the value of each parameter.

    Raises:
        ArgumentError: a parameter with several values.
    """
    from warptheory.core.errors import ArgumentError

    for name, values in parameters.items():
        if len(values) > 1:
            raise ArgumentError("given", expected=f"one value for {name} (--over takes several)", received=values)
    return {name: value for name, (value,) in parameters.items()}


def _parameter(option: str, text: str) -> "tuple[str, list[Choice]]":
    """Return the name and the values of a parameter.

    Raises:
        ArgumentError: not NAME=VALUES, or values that are no numbers where numbers are expected.
    """
    from warptheory.core.errors import ArgumentError

    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise ArgumentError(option, expected="NAME=VALUES, such as s=0.1:1:10", received=repr(text))
    if name in _WORDS:
        return name, [str(_WORDS[name](word.strip())) for word in _split(values)]
    try:
        found: list[Choice] = []
        found += [int(number) for number in values.split(",")] if name == "dim" else _numbers(values)
        return name, found
    except ArgumentError:
        raise
    except ValueError as error:
        expected = f"numbers for {name}: a,b,c or first:last:count or first:last:count:log"
        raise ArgumentError(option, expected=expected, received=repr(values)) from error


def _split(values: str) -> list[str]:
    """Return the parts between commas, but for those in parentheses, which belong to a kernel's name."""
    parts, depth = [""], 0
    for character in values:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _numbers(values: str) -> list[float]:
    """Return a list of numbers, or an arithmetic or geometric grid.

    Raises:
        ValueError: no numbers, or no such grid.
        ArgumentError: too many.
    """
    from warptheory.core.errors import ArgumentError

    if ":" not in values:
        return [float(number) for number in values.split(",")]
    first, last, count, *kind = values.split(":")
    low, high, steps = float(first), float(last), int(count) - 1
    if steps >= _MOST_VALUES:
        expected = f"at most {_MOST_VALUES} values of a parameter"
        raise ArgumentError("over", expected=expected, received=f"{values!r}")
    if steps < 1 or kind not in ([], ["log"]) or (kind and not (low > 0 and high > 0)):
        raise ValueError(values)
    if not kind:
        return [low + (high - low) * n / steps for n in range(steps + 1)]
    return [low * math.exp(math.log(high / low) * n / steps) for n in range(steps + 1)]
