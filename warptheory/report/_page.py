"""The page of a report: sections of text, plots and tables in one HTML file that holds everything it shows."""

import base64
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from warptheory import __version__
from warptheory.core import html, records
from warptheory.core.files import MARK, write_text
from warptheory.core.mathml import checked_mathml
from warptheory.core.text import printable
from warptheory.report._links import entries_of, linked

Columns = Mapping[str, str | Callable[[Mapping[str, Any]], object]]


@dataclass(frozen=True)
class PageSection:
    """A section of a page.

    Attributes:
        name: its address on the page.
        title: its heading.
        body: its content, as HTML.
    """

    name: str
    title: str
    body: Markup

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Address and title of each titled section within it, such as those of results."""
        return entries_of(self.body)


def write_page(
    path: Path, title: str, sections: Sequence[PageSection], manifest: records.Manifest, lead: str = ""
) -> None:
    """Write a page, atomically: contents first, then the sections, in which labels of results lead to these.

    Args:
        path: the file.
        title: heading of the page.
        sections: its sections, in order.
        manifest: how it came about; the page ends with it.
        lead: HTML below the heading.

    Raises:
        ArgumentError: something that is no page of ours stands in its place.
    """
    labels = {address for section in sections for address, _ in section.entries}
    shown = [replace(section, body=linked(section.body, labels)) for section in sections]
    template = page_environment().get_template("report.html")
    page = template.render(
        mark=MARK,
        title=title,
        lead=Markup(lead),
        sections=shown,
        manifest=asdict(manifest),
        version=__version__,
        written=datetime.now(UTC).date().isoformat(),
    )
    write_text(path, page)


def fragment(template: str, **values: Any) -> Markup:
    """Return HTML from a Jinja template in which everything inserted is escaped.

    Args:
        template: the template. Its filters are `mathml`, and `spread`: median, lowest and highest of several rounds.
        **values: what it inserts, by name.
    """
    return Markup(_compiled(template).render(**values))


@cache
def _compiled(template: str) -> jinja2.Template:
    return page_environment().from_string(template)


def shown_figure(figure: Figure, alt: str, caption: str) -> Markup:
    """Return a figure with its caption as HTML; text is drawn as paths, so no font is needed.

    Args:
        figure: the figure.
        alt: what it shows, for those who do not see it.
        caption: HTML.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _image("image/svg+xml", buffer.getvalue(), alt, caption)


def shown_png(path: Path, alt: str, caption: str) -> Markup:
    """Return a PNG file with its caption as HTML, as a figure of the paper, which has a number of its own.

    Arguments as in `shown_figure`.
    """
    return _image("image/png", path.read_bytes(), alt, caption, kind_of_figure="paper")


def html_table(
    rows: Iterable[Mapping[str, Any]],
    columns: Columns,
    text: Collection[str] = (),
) -> Markup:
    """Return a table as HTML; numbers stand at the right of their cells.

    Args:
        rows: its rows, by names.
        columns: by its heading, what each column shows of a row: a format such as "{theory:.5g}", or a function.
        text: headings of columns of text, besides the first.
    """
    heads = [html.Column(name, is_text=name in text) for name in columns]
    return html.table(heads, (_cells(row, columns) for row in rows))


def markdown_table(rows: Iterable[Mapping[str, Any]], columns: Columns, footer: str = "") -> str:
    """Return a table as Markdown, with a paragraph below it; arguments as in `html_table`."""
    # A bar within a cell, as in log|J|, would begin another one.
    cells = [list(columns), *([str(cell).replace("|", r"\|") for cell in _cells(row, columns)] for row in rows)]
    head, *body = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([head, "|---" * len(columns) + "|", *body, *(["", footer] if footer else [])])


def _cells(row: Mapping[str, Any], columns: Columns) -> list[object]:
    """Return what each column shows of a row."""
    return [cell.format(**row) if isinstance(cell, str) else cell(row) for cell in columns.values()]


def table_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table by the names of its columns."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict(orient="records")]


def _image(kind: str, content: bytes, alt: str, caption: str, kind_of_figure: str = "plot") -> Markup:
    """Return an image with its caption; a tap or the space bar shows it larger, in a frame that scrolls."""
    address = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return fragment(
        """<figure class="{{ kind }}"><label><input type="checkbox" class="larger" aria-label="show larger">
<span class="frame"><img src="{{ address }}" alt="{{ alt }}"></span></label>
<figcaption>{{ caption }}</figcaption></figure>""",
        address=address,
        alt=alt,
        caption=caption,
        kind=kind_of_figure,
    )


@cache
def page_environment() -> jinja2.Environment:
    """Return what renders the templates; everything inserted is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("warptheory.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    environment.filters["mathml"] = checked_mathml
    environment.filters["spread"] = lambda found: (
        f"{found['median']:.2f} ({found['lowest']:.2f} to {found['highest']:.2f})"
    )
    return environment


def _shown(value: Any) -> Any:
    """Return what a page shows of a value: text without characters that control or hide; markup as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
