"""What an object is, as text: all that it holds, which tells it from others; and what its class says of itself."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


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


_DESCRIBED = re.compile(r"    (\w+): (.*)")


def attributes(kind: type) -> Mapping[str, str]:
    """Return what the documentation of a class says of each attribute, by name: its own, and that of its bases."""
    return _described(kind, "Attributes")


def arguments(kind: type) -> Mapping[str, str]:
    """Return what the documentation of a class says of each argument of its constructor, likewise."""
    return _described(kind, "Args")


def _described(kind: type, section: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        _, _, text = inspect.cleandoc(base.__doc__ or "").partition(f"{section}:\n")
        name = ""
        for line in text.splitlines():
            if match := _DESCRIBED.fullmatch(line):
                name = match[1]
                found[name] = match[2]
            elif name and line.startswith("        "):
                found[name] += f" {line.strip()}"
            else:
                break
    return found
