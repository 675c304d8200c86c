"""Errors that a user can act on: they name the argument, what came and what was expected."""

import difflib
from collections.abc import Iterable
from typing import Any

from warptheory.core.text import printable, shown


class WarpTheoryError(Exception):
    """Base class of every error that the library raises on purpose; its text does not control a terminal."""

    def __str__(self) -> str:
        return printable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross processes as their message: subclasses take other arguments than that.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[WarpTheoryError], arguments: tuple[Any, ...], state: dict[str, Any]) -> WarpTheoryError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


class ArgumentError(WarpTheoryError, ValueError):
    """An argument that cannot be used.

    Args:
        argument: name of the argument, as the caller wrote it.
        expected: what would have been accepted.
        received: what came instead.
    """

    def __init__(self, argument: str, *, expected: str, received: object) -> None:
        self.argument = argument
        super().__init__(f"{argument}: expected {expected}, got {_text(received)}")


def _text(received: object) -> str:
    """Return what came as text; a number of more digits than Python writes has none of its own."""
    try:
        return str(received)
    except Exception:
        return shown(received)


class UnknownNameError(ArgumentError, LookupError):
    """A name that is not in a catalogue; the message lists the catalogue and the closest name."""

    def __init__(self, argument: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        self.name, self.known = name, names
        closest = difflib.get_close_matches(_text(name), names, n=1)
        hint = f" (did you mean {closest[0]!r}?)" if closest else ""
        super().__init__(argument, expected=f"one of {', '.join(names)}", received=f"{shown(name)}{hint}")
