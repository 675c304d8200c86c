"""The command line: parses, calls, prints. One file per command in `commands/`.

Exit codes: 0 when everything that was checked holds, 1 when it does not or could not be done, 2 for bad usage, 130 for
an interruption by Ctrl-C.
"""

import importlib
import inspect
import re
import sys
from types import ModuleType
from typing import Annotated, NoReturn

import typer

from warptheory import __version__
from warptheory.cli._command import Command, InterruptionError
from warptheory.core.catalogue import entry_modules
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.listing import public_names
from warptheory.core.text import one_line

__all__ = ["build_app", "main"]
__dir__ = public_names(__name__)


# What torch says of tensors that cannot be: larger than the memory, or than any number of bytes.
_TOO_LARGE = re.compile(
    "not enough memory|out of memory|allocate memory|size calculation overflowed|integer multiplicat"
)


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
        help_text = _in_paragraphs(inspect.getdoc(loaded.command) or "")
        app.command(name, cls=_class_of(loaded), help=help_text, epilog=loaded.EXAMPLES)(loaded.command)
    return app


def _in_paragraphs(documentation: str) -> str:
    """Return a documentation with each paragraph on one line, for the terminal to wrap."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in documentation.split("\n\n"))


def _class_of(module: ModuleType) -> type[Command]:
    """Return the class of a module's command, which holds what else the module says of it."""
    known = {"going_on": getattr(module, "GOING_ON", None), "called": getattr(module, "CALLED", {})}
    return type("Command", (Command,), known)


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
    except InterruptionError as error:
        _end(str(error), 130)
    except KeyboardInterrupt:  # before the command began
        _end("Interrupted.", 130)
    except WarpTheoryError as error:
        _end(f"Error: {error}", 2 if isinstance(error, ArgumentError) else 1)
    except OSError as error:  # such as a disk that is full
        _end(f"Error: {error}", 1)
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or _TOO_LARGE.search(str(error))):
            raise
        _end(f"Error: not enough memory for sizes like these: {error or 'what is asked for cannot be held'}", 1)


def _end(message: str, code: int) -> NoReturn:
    print(one_line(message), file=sys.stderr)
    sys.exit(code)
