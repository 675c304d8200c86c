"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from warptheory.cli import _names as names

Seed = Annotated[int, typer.Option(help="Seed of every random number.")]
Device = Annotated[str, typer.Option(help="torch device on which the operator runs, such as cpu or cuda.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the records; created if need be.")]
ReproduceOut = Annotated[Path, typer.Option(help="Folder for records, figures and report.")]
ProfileName = Annotated[
    str, typer.Option(help="quick: sees errors of 1 %; full: 0.2 % (25 times the work).", callback=names.profile)
]
KernelName = Annotated[str | None, typer.Option(help="Interpolation kernel, by name.", callback=names.kernel)]
Dim = Annotated[int | None, typer.Option(help="Number of spatial axes: 1, 2 or 3.", callback=names.dim)]
OffsetsLaw = Annotated[str | None, typer.Option(help="Law of the offsets, by name.", callback=names.offsets)]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        help="Number of processes; by default one for each core, and a single one for fewer than 12 claims or points.",
        min=1,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Who works: processes (default), threads, serial, dask, or the tcp:// address of a cluster."),
]
TimeLimit = Annotated[
    float,
    typer.Option(
        help="Seconds that a derivation or a chunk may take; beyond, its claim or point alone is given up.",
        min=0.001,
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what the folder holds, and start over.")]
Plain = Annotated[
    bool, typer.Option("--plain", help="Draw everything independently, without any reduction of the variance.")
]
Replay = Annotated[
    int | None,
    typer.Option(
        "--replay", min=0, metavar="CHUNK", help="Run this chunk of each claim or point alone, and print its means."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead, for scripts.")]
Inputs = Annotated[str | None, typer.Option(help="Law of the input pixels, by name.", callback=names.inputs)]


def refuse_beside_replay(**others: bool) -> None:
    """Refuse options that mean nothing beside --replay, which runs single chunks alone.

    Args:
        **others: whether each was given, by its name.

    Raises:
        ArgumentError: one was; the message names it.
    """
    from warptheory.core.errors import ArgumentError

    given = [f"--{name}" for name, is_given in others.items() if is_given]
    if given:
        expected = "no --replay beside, which runs single chunks alone"
        raise ArgumentError(", ".join(given), expected=expected, received="both")


DEFAULT_OUT = Path("paper_repro/out")
