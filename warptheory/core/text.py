"""Text for terminals and pages: characters that control them, or hide, are written as escapes."""

import re
import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

_LONGEST_SHOWN = 200

# Controls, invisible format marks such as those that turn the direction of writing, halves of characters, separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, keep: str = "\n\t") -> str:
    """Return a text in which no character controls a terminal or hides: they become escapes, as in Python's source.

    Args:
        text: any text, such as a name that somebody else chose.
        keep: characters that stay.
    """
    return text if text.isprintable() else "".join(_shown(character, keep) for character in text)


def one_line(text: str) -> str:
    """Return a text as one line, in which no character controls a terminal."""
    return printable(" ".join(filter(None, map(str.strip, text.split("\n")))), keep="")


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters: what is over is left out of its middle, and an ellipsis says so."""
    if len(text) <= most:
        return text
    end = (most - 1) // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def shown(value: Any) -> str:
    """Return how Python writes a value, for a message: cut where that is long, and never an error."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python writes, or an object that cannot be shown
        return f"a monstrous {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} …"


def natural(text: str) -> tuple[str | int, ...]:
    """Return a key by which texts are sorted with their numbers as numbers: A2 comes before A10."""
    return tuple(int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", text)))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is one of some, or fits one that is a shell-style pattern; small letters will do."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """Return the names that a pattern fits; if there are none, those whose first word it is: figure1_a for figure1."""
    several = list(names)
    found = [name for name in several if matches(name, [pattern])]
    return found or [name for name in several if name.startswith(f"{pattern.lower()}_")]


def _shown(character: str, keep: str) -> str:
    if character in keep or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
