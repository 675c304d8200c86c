"""Tables and lists as text, at the width that there is."""

import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warptheory.core.layout import DEFAULT_WIDTH, wrapped

_GAP = "  "


def terminal_width() -> int:
    """Return the columns of the terminal, 80 where there is none; COLUMNS sets them."""
    return shutil.get_terminal_size().columns


def output_width() -> int | None:
    """Return the columns of the terminal that is printed to; None where it is none, and lines are for programs."""
    return terminal_width() if sys.stdout.isatty() else None


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        heading: its heading.
        cells: its cells, one for each row.
        is_number: whether cells stand at its right edge.
        wraps: whether cells may take several lines, of whole words, where there is no room.
        rank: columns of the highest rank are left out first where there is no room; those of rank 0 never are.
    """

    heading: str
    cells: Sequence[str]
    is_number: bool = False
    wraps: bool = False
    rank: int = 0

    @classmethod
    def of(
        cls,
        rows: Sequence[Mapping[str, Any]],
        heading: str,
        cell: str | Callable[[Mapping[str, Any]], str],
        *,
        is_number: bool = False,
        wraps: bool = False,
        rank: int = 0,
    ) -> "TableColumn":
        """Return a column with a cell of each row.

        Args:
            rows: by rows, values by name.
            heading: its heading.
            cell: what makes a cell of a row, or its format, such as "{theory:.5g}".
            is_number: as the attribute.
            wraps: likewise.
            rank: likewise.
        """
        make = cell.format_map if isinstance(cell, str) else cell
        return cls(heading, [make(row) for row in rows], is_number, wraps, rank)

    @property
    def width(self) -> int:
        """The width that it would take."""
        return max(map(len, (self.heading, *self.cells)))

    @property
    def least(self) -> int:
        """The least width at which no word is broken."""
        words = (word for text in (self.heading, *self.cells) for word in text.split())
        return max(map(len, words), default=0) if self.wraps else self.width


@dataclass(frozen=True)
class LaidOutTable:
    """A table as text.

    Attributes:
        text: its lines, the headings first.
        left_out: headings of the columns for which there was no room.
    """

    text: str
    left_out: tuple[str, ...]

    def note(self, width: int | None) -> str:
        """Return what is said of the columns that were left out, in lines of a width; an empty text if none were."""
        told = f"No room for: {', '.join(self.left_out)}; --json has everything."
        return wrapped(told, width or DEFAULT_WIDTH) if self.left_out else ""


def lay_out(columns: Sequence[TableColumn], width: int | None) -> LaidOutTable:
    """Return a table of lines that are at most as long as a width, where words let them.

    Args:
        columns: the columns, in order.
        width: characters of a line; None for as many as it takes, a line for each row.
    """
    kept = list(columns)
    while width is not None and _total(kept) > width and any(column.rank for column in kept):
        kept.remove(max(kept, key=lambda column: column.rank))
    room = {} if width is None else _shares(kept, width)
    cells = [
        [_lines(text, room.get(column.heading), column) for text in (column.heading, *column.cells)] for column in kept
    ]
    lines = []
    for row in zip(*cells, strict=True):
        for number in range(max(map(len, row))):
            parts = [part[number] if number < len(part) else " " * len(part[0]) for part in row]
            lines.append(_GAP.join(parts).rstrip())
    return LaidOutTable("\n".join(lines), tuple(column.heading for column in columns if column not in kept))


def _total(columns: Sequence[TableColumn]) -> int:
    return sum(column.least for column in columns) + len(_GAP) * (len(columns) - 1)


def _shares(columns: Sequence[TableColumn], width: int) -> dict[str, int]:
    """Return the widths of the columns that wrap, the wider of which give way."""
    shares = {column.heading: column.width for column in columns if column.wraps}
    least = {column.heading: column.least for column in columns if column.wraps}
    others = sum(column.width for column in columns if not column.wraps) + len(_GAP) * (len(columns) - 1)
    while others + sum(shares.values()) > width and shares != least:
        widest = max((name for name in shares if shares[name] > least[name]), key=lambda name: shares[name])
        shares[widest] -= 1
    return shares


def _lines(text: str, room: int | None, column: TableColumn) -> list[str]:
    """Return the lines of a cell, as wide as its column."""
    width = room or column.width
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) if room else [text]
    return [line.rjust(width) if column.is_number else line.ljust(width) for line in lines or [""]]
