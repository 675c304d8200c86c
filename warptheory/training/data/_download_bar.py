"""A progress bar for downloads, on a terminal's standard error."""

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class DownloadBar:
    """What pooch's downloader reports to, by the methods of a tqdm bar; silent where nobody watches.

    Args:
        name: name of the file.
    """

    def __init__(self, name: str) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._progress = Progress(
            *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
        )
        self._task = self._progress.add_task(name, total=None)

    @property
    def total(self) -> int:
        """Bytes of the whole file, 0 while they are not known."""
        return int(self._progress.tasks[self._task].total or 0)

    @total.setter
    def total(self, total: int) -> None:
        self._progress.update(self._task, total=total or None)
        self._progress.start()

    def update(self, count: int) -> None:
        """Count so many bytes more."""
        self._progress.advance(self._task, count)

    def reset(self) -> None:
        """Count from 0 again."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """End the bar."""
        self._progress.stop()
