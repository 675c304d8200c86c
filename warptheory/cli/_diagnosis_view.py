"""A diagnosis on a terminal, with colours and frames; elsewhere as plain text."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from warptheory.core.text import one_line

if TYPE_CHECKING:
    from warptheory.stability.diagnosis import Diagnosis

_WIDEST = 120
# The word itself says the verdict; colours, which not everybody can tell apart, only repeat it.
_STYLES = {"ok": "bold blue", "worse": "bold yellow", "fail": "bold red"}


def print_diagnosis(diagnosis: "Diagnosis", console: Console) -> None:
    """Print a diagnosis: rich tables on a terminal, else plain text; lines of at most 120 characters.

    Args:
        diagnosis: the diagnosis.
        console: what is printed with.
    """
    width = min(console.width, _WIDEST)
    if not console.is_terminal:
        print(diagnosis.as_text(_WIDEST))
        return
    style = _STYLES[diagnosis.verdict]
    name = _shown(diagnosis.model or "Model")
    console.print(f"{name}: [{style}]{diagnosis.verdict}[/]. {_shown(diagnosis.headline)}", width=width)
    for found in diagnosis.tables():
        if not found.rows:
            continue
        table = Table(title=_shown(found.title), title_justify="left", title_style="bold", width=None)
        for number, head in enumerate(found.heads):
            is_text = number in found.texts
            table.add_column(_shown(head), justify="left" if is_text else "right", overflow="fold", no_wrap=False)
        for row in found.rows:
            table.add_row(*(f"[{_STYLES[cell]}]{cell}[/]" if cell in _STYLES else _shown(cell) for cell in row))
        console.print()
        console.print(table, width=width)
    lists = [*diagnosis.lists(), *([("What to set", diagnosis.advice)] if diagnosis.advice else [])]
    for title, said in lists:
        console.print()
        console.print(f"[bold]{_shown(title)}[/]", width=width)
        for each in said:
            console.print(f"- {_shown(each)}", width=width)


def _shown(text: str) -> str:
    return escape(one_line(text))
