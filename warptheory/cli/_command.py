"""A command as the application runs it: errors speak of its options, and an interruption is told."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NoReturn

from typer.core import TyperCommand

from warptheory.core.errors import ArgumentError, WarpTheoryError


class InterruptionError(WarpTheoryError):
    """A command was interrupted; the message says how to go on."""


class Command(TyperCommand):
    """A command whose file may say in GOING_ON how it goes on after an interruption, and in CALLED more of its options.

    The library's errors name arguments of functions; here they become the options that stand for them: `data_dir` is
    `--data-dir`, and so is `data_dir` in what was expected. What is given as NAME=VALUE is told with its option:
    `--over s`.
    """

    going_on: str | None = None
    called: dict[str, str] = {}  # noqa: RUF012  # set anew by each command's own class

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the options; names are checked here."""
        with self._translated():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with self._translated(_assigned(self.params, ctx.params)):
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            self._interrupt(ctx, error)

    def options(self) -> dict[str, str]:
        """Return how options and arguments are written, by what the library calls them."""
        own = {str(each.name): _written(each) for each in self.params}
        return {**own, **{argument: own[name] for argument, name in self.called.items()}}

    @contextmanager
    def _translated(self, assigned: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
        try:
            yield
        except ArgumentError as error:
            options = {**self.options(), **assigned}
            named = error.called(options.get(error.argument, error.argument))
            expected, got, received = str(named.args[0]).partition(", got ")
            none = "none" if received == "None" else received  # as nobody types it
            named.args = (f"{_in_options(expected, options)}{got}{none}",)
            raise named from error
        except WarpTheoryError as error:
            error.args = (_in_options(str(error.args[0]), self.options()), *error.args[1:])
            raise

    def _interrupt(self, ctx: Any, error: KeyboardInterrupt) -> NoReturn:
        is_kept = self.going_on is not None and ctx.params.get("out") is not None
        raise InterruptionError(f"Interrupted.{f' {self.going_on}' if is_kept else ''}") from error


def _written(parameter: Any) -> str:
    """Return how an option is given, such as --data-dir, or what stands for an argument in the help, such as RESULT."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name.upper())


def _assigned(parameters: Iterable[Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return how what was given as NAME=VALUE is written, by those names."""
    found = {}
    for each in parameters:
        texts = given.get(each.name)
        for text in texts if isinstance(texts, list | tuple) else ():
            name, equals, _ = str(text).partition("=")
            if equals:
                found[name.replace("-", "_")] = f"{_written(each)} {name}"
    return found


def _in_options(text: str, options: dict[str, str]) -> str:
    """Return what was expected with options in place of arguments: of `download=True`, or of what is no other word."""
    for name, option in options.items():
        if option.startswith("--") and " " not in option:
            text = re.sub(rf"(?<![\w-]){name}=True\b", option, text)
            text = re.sub(rf"(?<![\w-]){name}(?![\w(])", option, text) if "_" in name else text
    return text
