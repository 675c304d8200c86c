"""What commands print with: a console, and a progress bar that is silent when nobody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

console = Console(highlight=False)
_notes = Console(stderr=True, highlight=False)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show a progress bar on a terminal's standard error; yield its update (share in [0, 1], name)."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_notes, transient=True, disable=not _notes.is_terminal) as progress:
        task = progress.add_task(title, total=1.0)

        def update(share: float, name: str) -> None:
            progress.update(task, completed=share, description=f"{title}: {name}")

        yield update
