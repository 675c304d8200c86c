"""Text of objects: for terminals and pages, where what controls or hides is escaped, and to tell objects apart."""

import inspect
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
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


def shown(value: Any) -> str:
    """Return how Python writes a value, for a message: cut where that is long, and never an error."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python writes, or an object that cannot be shown
        return f"a monstrous {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} …"


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters: what is over is left out of its middle, and an ellipsis says so."""
    if len(text) <= most:
        return text
    end = (most - 1) // 3
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def definition(value: Any) -> str:
    """Return the whole of a value as text: of a data class the names and values of all fields, whatever its `repr` is.

    Values that differ have texts that differ, as far as those of their parts do.
    """
    kind = type(value)
    if is_dataclass(value) and not isinstance(value, type) and kind.__dataclass_params__.repr:
        parts = (f"{each.name}={definition(getattr(value, each.name))}" for each in fields(value) if each.repr)
        return f"{kind.__qualname__}({', '.join(parts)})"
    if kind is tuple:
        return f"({', '.join(map(definition, value))}{',' * (len(value) == 1)})"
    if kind is list:
        return f"[{', '.join(map(definition, value))}]"
    if kind is dict:
        return f"{{{', '.join(f'{definition(key)}: {definition(each)}' for key, each in value.items())}}}"
    return repr(value)


def identity(value: Any) -> str:
    """Return the text that a value's class writes of it (`__str__`) to tell it from others; else its definition."""
    return str(value) if _writes_text(type(value)) else definition(value)


def _writes_text(kind: type) -> bool:
    """Whether a class has a `__str__` of its own, and not that of every object."""
    return kind.__str__ is not object.__str__  # type: ignore[comparison-overlap]  # of the class, not of an instance


_ATTRIBUTE = re.compile(r"    (\w+): (.*)")


def attributes(kind: type) -> Mapping[str, str]:
    """Return what the documentation of a class says of each attribute, by name: its own, and that of its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        _, _, section = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")
        name = ""
        for line in section.splitlines():
            if match := _ATTRIBUTE.fullmatch(line):
                name = match[1]
                found[name] = match[2]
            elif name and line.startswith("        "):
                found[name] += f" {line.strip()}"
            else:
                break
    return found


def _shown(character: str, keep: str) -> str:
    if character in keep or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
