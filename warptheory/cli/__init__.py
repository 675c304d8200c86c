"""The command line: parses, calls, prints. One file per command in `commands/`.

Exit codes: 0 when everything that was checked holds, 1 when it does not, 2 for bad usage.
"""

import importlib
import sys
from typing import Annotated

import typer

from warptheory import __version__
from warptheory.core.catalogue import entry_modules
from warptheory.core.errors import ArgumentError, WarpTheoryError

__all__ = ["build_app", "main"]


def build_app() -> typer.Typer:
    """Return the application with every command found in `commands/`."""
    app = typer.Typer(
        name="warptheory",
        help=(
            "Theory and statistics of dynamic sampling networks: "
            "derive a moment of the warping operator, and simulate the same experiment."
        ),
        epilog="Start with:  warptheory list  ·  warptheory derive A4  ·  warptheory verify A4",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_about)
    for name, module in sorted(entry_modules("warptheory.cli.commands").items()):
        loaded = importlib.import_module(module)
        app.command(name, epilog=loaded.EXAMPLES)(loaded.command)
    return app


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"warptheory {__version__}")
        raise typer.Exit


def _about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Hold the options that belong to no command."""


def main() -> None:
    """Run the command line; errors that a user can act on print one line."""
    try:
        build_app()()
    except WarpTheoryError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ArgumentError) else 1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
