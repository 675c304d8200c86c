"""Tables and lists that are shown in a terminal, in a notebook and on a page, with the same words in all of them."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from warptheory.core import html
from warptheory.core.layout import wrapped
from warptheory.core.text import one_line

_GAP = "  "
_LEAST = 8  # characters of a column of texts that gives way
_WORD = 12  # characters of words that are not broken


@dataclass(frozen=True)
class ShownTable:
    """A table of texts.

    Attributes:
        title: what stands above it.
        heads: headings of the columns, with units.
        rows: cells of each row.
        texts: numbers of the columns that hold texts, which stand at the left and may take several lines.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[int]

    def as_text(self, width: int) -> str:
        """Return the table in lines of at most a width, as far as numbers and words let them."""
        cells = [[one_line(cell) for cell in row] for row in self.rows]
        widths = [self._least(column, cells) for column in range(len(self.heads))]
        wanted = [max(len(row[column]) for row in [list(self.heads), *cells]) for column in range(len(self.heads))]
        room = width - sum(widths) - len(_GAP) * (len(widths) - 1)
        for column in sorted(self.texts, key=lambda column: wanted[column]):
            more = min(max(room, 0), wanted[column] - widths[column])
            widths[column], room = widths[column] + more, room - more
        lines = self._lines(self.heads, widths)
        lines.append(_GAP.join("─" * each for each in widths))
        return "\n".join([*lines, *(line for row in cells for line in self._lines(row, widths))])

    def without_empty_columns(self) -> "ShownTable":
        """Return the table without columns whose cells are all empty."""
        kept = [column for column in range(len(self.heads)) if any(row[column] for row in self.rows)]
        texts = frozenset(place for place, column in enumerate(kept) if column in self.texts)
        rows = tuple(tuple(row[column] for column in kept) for row in self.rows)
        return ShownTable(self.title, tuple(self.heads[column] for column in kept), rows, texts)

    def as_html(self) -> Markup:
        """Return the table as HTML."""
        heads = [html.Column(head, is_text=column in self.texts) for column, head in enumerate(self.heads)]
        return html.table(heads, self.rows)

    def _least(self, column: int, cells: Sequence[Sequence[str]]) -> int:
        """Return the least width of a column: of its heading's words, of its numbers, and of words of usual length."""
        words = max((len(word) for word in self.heads[column].split()), default=1)
        if column in self.texts:
            longest = max((len(word) for row in cells for word in row[column].split()), default=1)
            return max(words, _LEAST, min(longest, _WORD))
        return max([words, *(len(row[column]) for row in cells)])

    def _lines(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        parts = [
            textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(row, widths, strict=True)
        ]
        found = []
        for number in range(max(map(len, parts))):
            cells = [part[number] if number < len(part) else "" for part in parts]
            placed = (
                cell.ljust(width) if column in self.texts else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            found.append(_GAP.join(placed).rstrip())
        return found


def number_text(value: float, digits: int = 3) -> str:
    """Return a number as text; a dash where it is not known."""
    if math.isnan(value):
        return "–"
    return f"{value:.{digits}g}" if math.isfinite(value) else "infinite" if value > 0 else "−infinite"


def listed_text(title: str, said: Iterable[str], width: int) -> str:
    """Return a list as text, its title above, in lines of a width."""
    return "\n".join([title, *(wrapped(one_line(each), width, "- ") for each in said)])


def bullets(title: str, said: Iterable[str]) -> Markup:
    """Return a list as HTML, its title above."""
    lines = html.joined(html.element("li", each) for each in said)
    return html.joined([html.element("p", html.element("strong", title)), html.element("ul", lines)])
