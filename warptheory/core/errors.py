"""Errors that a user can act on: they name the argument, what came and what was expected."""

import difflib
from collections.abc import Iterable
from typing import Any, Self, TypeVar

from warptheory.core.text import natural, printable, shown

_MOST_NEAR = 3
_AS_NEAR = 0.05  # a share of their letters, by which others may be less near than the nearest


_Error = TypeVar("_Error", bound="WarpTheoryError")


class WarpTheoryError(Exception):
    """Base class of every error that the library raises on purpose; its text does not control a terminal."""

    def __str__(self) -> str:
        return printable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross processes as their message: subclasses take other arguments than that.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[_Error], arguments: tuple[Any, ...], state: dict[str, Any]) -> _Error:
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

    def called(self, argument: str) -> Self:
        """Return the same error by another name of the argument, such as that of an option of the command line."""
        message = f"{argument}{str(self.args[0]).removeprefix(self.argument)}"
        return _restore(type(self), (message,), {**self.__dict__, "argument": argument})


def _text(received: object) -> str:
    """Return what came as text; a number of more digits than Python writes has none of its own."""
    try:
        return str(received)
    except Exception:
        return shown(received)


class UnknownNameError(ArgumentError, LookupError):
    """A name that is not in a catalogue; the message lists the catalogue and the names that are near.

    Args:
        argument: name of the argument, as the caller wrote it.
        name: what came.
        known: the names that there are.
        also: further names that would have been taken, such as aliases: not listed, but told where they are near.
    """

    def __init__(self, argument: str, name: object, known: Iterable[str], also: Iterable[str] = ()) -> None:
        names = sorted(known, key=natural)
        self.name, self.known = name, names
        near = near_names(_text(name), (*names, *also))
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        super().__init__(argument, expected=f"one of {', '.join(names)}", received=f"{shown(name)}{hint}")


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Return the names that are near to what somebody wrote, the nearest first; small and capital letters are alike."""
    asked, written = name.lower(), {each.lower(): each for each in known}
    found = difflib.get_close_matches(asked, written, n=max(len(written), 1))
    ratios = {near: difflib.SequenceMatcher(None, near, asked).ratio() for near in found}
    nearest = [near for near in written if ratios.get(near, -1.0) >= max(ratios.values()) - _AS_NEAR] if ratios else []
    return [written[near] for near in sorted(nearest, key=lambda near: -ratios[near])][:_MOST_NEAR]
