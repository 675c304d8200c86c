"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Seed = Annotated[int, typer.Option(help="Seed of every random number.")]
Device = Annotated[str, typer.Option(help="torch device on which the operator runs, such as cpu or cuda.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the records; created if need be.")]
ReproduceOut = Annotated[Path, typer.Option(help="Folder for records, figures and report.")]
Profile = Annotated[str, typer.Option(help="quick: sees errors of 1 %; full: 0.2 % (25 times the work).")]
Kernel = Annotated[str | None, typer.Option(help="Interpolation kernel, by name.")]
Dim = Annotated[int | None, typer.Option(help="Number of spatial axes: 1, 2 or 3.")]
Offsets = Annotated[str | None, typer.Option(help="Law of the offsets, by name.")]
Workers = Annotated[int | None, typer.Option(help="Number of processes; by default one for each core.", min=1)]
Inputs = Annotated[str | None, typer.Option(help="Law of the input pixels, by name.")]

DEFAULT_OUT = Path("paper_repro/out")
