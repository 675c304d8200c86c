"""What pages of entries are written with: formulas, pictures, cards and links in MyST Markdown."""

import io
import re
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy import ndarray

_CODE = re.compile(r"(`[^`]+`)")


def formula(latex: str) -> str:
    """Return a formula on a line of its own."""
    return f"```{{math}}\n{latex}\n```"


def picture(name: str, alt: str, caption: str = "") -> str:
    """Return a picture that stands beside the page."""
    return f":::{{figure}} {name}\n:alt: {alt}\n\n{caption}\n:::" if caption else f"![{alt}]({name})"


def dropdown(title: str, text: str) -> str:
    """Return text that is shown when its title is opened."""
    return f"::::{{dropdown}} {title}\n{text}\n::::"


def cards(items: Iterable[str]) -> str:
    """Return cards beside each other."""
    return "\n".join(["::::{grid} 1 2 3 3", ":gutter: 3", "", *items, "::::"])


def card(title: str, link: str, text: str) -> str:
    """Return a card that links to a document."""
    return f":::{{grid-item-card}} {title}\n:link: {link}\n:link-type: doc\n\n{text}\n:::"


def minigallery(scripts: Sequence[str]) -> str:
    """Return thumbnails of pages of the gallery, by their scripts; empty for none."""
    listed = "\n".join(f"   _gallery/{name}" for name in scripts)
    return f"```{{eval-rst}}\n.. minigallery::\n\n{listed}\n```" if scripts else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def file_of(name: str) -> str:
    """Return a name as that of a file: keys(-0.75) becomes keys-0.75."""
    return re.sub(r"[^\w.-]+", "-", name.replace("(", "-")).strip("-").replace("--", "-")


def plain(text: str) -> str:
    """Return plain text as Markdown that shows it as it is; code stays in its backticks."""
    pieces = _CODE.split(text)
    return "".join(
        piece if number % 2 else re.sub(r"([\\*_\[\]<>|#~$])", r"\\\1", piece) for number, piece in enumerate(pieces)
    )


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG that is the same for the same drawing; text is drawn as paths, so no font is needed."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "warptheory"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def numbers(low: float, high: float, count: int = 201) -> ndarray:
    """Return evenly spaced numbers, shape (count,)."""
    return np.linspace(low, high, count)
