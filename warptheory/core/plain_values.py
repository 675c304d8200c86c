"""Data classes as values that JSON holds, and back, without loss: numbers that are not finite become texts.

What is read is checked against the types of the fields, so that a text from anywhere makes a data class or an error.
"""

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_Kind = TypeVar("_Kind")


def plain(value: Any) -> Any:
    """Return what JSON can hold of a value: data classes as objects, tuples as lists, NaN and infinities as texts.

    Args:
        value: a data class of numbers, texts, None, tuples and such data classes, or one of these.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, float):
        number = float(value)  # of NumPy's as well
        if math.isfinite(number):
            return number
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return value


def restored(kind: type[_Kind], content: Any, argument: str) -> _Kind:
    """Return the data class of which `plain` made some content.

    Args:
        kind: its class; fields are numbers, texts, literals, None, tuples of any length, and such classes.
        content: what JSON held.
        argument: name of the argument that it came in, for errors.

    Raises:
        ArgumentError: a field that there is not, one that is missing and has no default, or one of another type.
    """
    if not isinstance(content, Mapping):
        raise ArgumentError(argument, expected=f"an object with the fields of {kind.__name__}", received=shown(content))
    known: tuple[Any, ...] = fields(kind)  # type: ignore[arg-type]  # a data class, which types cannot say
    names = {each.name for each in known}
    strange = [name for name in content if name not in names]
    if strange:
        raise ArgumentError(argument, expected=f"fields of {kind.__name__}", received=shown(strange[0]))
    missing = [
        each.name
        for each in known
        if each.name not in content and each.default is MISSING and each.default_factory is MISSING
    ]
    if missing:
        raise ArgumentError(argument, expected=f"{missing[0]} of {kind.__name__}", received="none")
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], x, argument, f"{kind.__name__}.{name}") for name, x in content.items()})


def json_line(content: Any) -> str:
    """Return what JSON can hold as one line, in which no character controls a terminal or hides."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return text if text.isprintable() else json.dumps(content, allow_nan=False)


def json_content(text: object, argument: str) -> Any:
    """Return what a JSON text holds.

    Raises:
        ArgumentError: it is no text, or no JSON.
    """
    try:
        return json.loads(text)  # type: ignore[arg-type]  # what is no text is refused below
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(argument, expected="JSON", received=f"{shown(text)} ({error})") from error


def _value(kind: Any, content: Any, argument: str, place: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if content is None and type(None) in parts:
            return None
        (kind,) = (part for part in parts if part is not type(None))
        return _value(kind, content, argument, place)
    if origin is tuple and isinstance(content, list):
        return tuple(_value(parts[0], each, argument, place) for each in content)
    if is_dataclass(kind) and isinstance(kind, type):
        return restored(kind, content, argument)
    if origin is Literal and isinstance(content, str) and content in parts:
        return content
    if kind is float and isinstance(content, str) and content in _NOT_FINITE:
        return _NOT_FINITE[content]
    if kind is float and isinstance(content, int | float) and not isinstance(content, bool):
        return float(content)
    if kind in (str, int, bool) and type(content) is kind:
        return content
    expected = " or ".join(map(repr, parts)) if origin is Literal else getattr(kind, "__name__", str(kind))
    raise ArgumentError(argument, expected=f"{place} to be {expected}", received=shown(content))
