"""Docstrings as reStructuredText: they are plain text, in which |x|, x* and single backticks mean no markup."""

import re
from collections.abc import Iterator
from typing import Any

_CODE = re.compile(r"(``[^`]+``|`[^`\n]+`)")
_MARKUP = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")


def escaped(lines: list[str]) -> Iterator[str]:
    """Yield the lines of a docstring: markup escaped, code in double backticks, indented paragraphs literal.

    Doctests stay as they are. Sections such as "Args:" are indented too, but without an empty line before.
    """
    is_doctest, is_literal, before = False, False, ["", ""]
    for line in lines:
        is_doctest = line.lstrip().startswith(">>>") or (is_doctest and bool(line.strip()))
        is_indented = line.startswith("    ")
        begins = is_indented and not before[1] and before[0] and not before[0].startswith(" ")
        is_literal = begins or (is_literal and (is_indented or not line.strip()))
        if begins:
            yield from ("::", "")
        yield line if is_doctest or is_literal else _escaped_line(line)
        before = [before[1] if before[1] else before[0], line.rstrip()]


def _escaped_line(line: str) -> str:
    pieces = _CODE.split(line)
    return "".join(
        f"``{piece.strip('`')}``" if number % 2 else _MARKUP.sub(r"\\\1", piece) for number, piece in enumerate(pieces)
    )


def _process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = list(escaped(lines))


def setup(app: Any) -> None:
    """Escape docstrings before napoleon reads their sections."""
    app.connect("autodoc-process-docstring", _process, priority=1)
