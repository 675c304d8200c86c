"""Checkpoints: all that a run needs to go on as if it had never stopped.

A checkpoint is a folder of safetensors (weights, buffers, the optimizer's state), Parquet (what was measured so far)
and JSON (the step, what else the state holds, and the digest of each file). It is filled under another name, and
renamed when it is complete, so that a process that is killed leaves whole checkpoints behind, whenever that happens.
The last two are kept. Only folders are removed that hold the mark of this library, or files with the very digests that
their manifest names, and of those only what was written there.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from warptheory.core import records, run_folders
from warptheory.core.checks import check_flag, check_integer
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.files import MARK, content_of, is_ours
from warptheory.core.text import printable
from warptheory.training.metrics import TrainingStep, history_of_table
from warptheory.training.processes import Processes

FOLDER = "checkpoints"
_TENSORS, _MANIFEST, _MARKED, _KEPT = "state.safetensors", "checkpoint.json", "mark", 2
_TABLE = ".parquet"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two steps.

    Attributes:
        step: number of updates that were done.
        tensors: weights and buffers of the model, and the optimizer's state, by name.
        scalars: what else decides how the run goes on, such as the scale of a loss.
        tables: what was measured so far, by name.
        settings: the settings of the run, by name, as JSON has them.
    """

    step: int
    tensors: Mapping[str, Tensor]
    scalars: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def history(self) -> list[TrainingStep]:
        """What every step measured.

        Raises:
            ArgumentError: no such table, or one that is not of so many steps.
        """
        steps = history_of_table(self.tables.get("metrics", pd.DataFrame()))
        if [measured.step for measured in steps] != list(range(self.step)):
            received = f"a table of {len(steps)}"
            raise ArgumentError("checkpoint", expected=f"what {self.step} steps measured", received=received)
        return steps


class CheckpointError(WarpTheoryError):
    """A checkpoint could not be written, such as on a disk that is full.

    Args:
        message: where, why, and the last checkpoint that is whole.
        checkpoint: that one, if there is one.
    """

    def __init__(self, message: str, *, checkpoint: Path | None = None) -> None:
        super().__init__(message)
        self.checkpoint = checkpoint


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are kept; it has to exist.
        interval: steps from one to the next.

    Raises:
        ArgumentError: an interval below one.
    """

    def __init__(self, folder: Path, interval: int = 100) -> None:
        self.folder = folder
        self.interval = check_integer("interval", interval)
        self._told: list[str] = []  # damaged checkpoints that were named already

    def due(self, done: int, steps: int) -> bool:
        """Whether a checkpoint is written after so many steps of all of them."""
        return done % self.interval == 0 or done == steps

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, whole or not at all, and forget all but the last two.

        Raises:
            CheckpointError: the files could not be written.
        """
        try:
            return self._save(checkpoint)
        except (OSError, SafetensorError, _ForeignFolderError) as error:
            good = self.latest_path()
            message = f"the checkpoint of step {checkpoint.step} could not be written into {self.folder}: {error}"
            told = f"{message}; last good checkpoint: {good or 'none was written'}"
            raise CheckpointError(told, checkpoint=good) from error

    def latest_path(self) -> Path | None:
        """Return the folder of the last checkpoint that is whole, None if there is none."""
        found = self._last()
        return None if found is None else found[0]

    def latest(self) -> Checkpoint | None:
        """Return the last checkpoint that is whole, None if there is none; damaged ones are passed over, and named.

        Warns:
            UserWarning: later checkpoints are damaged.
        """
        path, checkpoint = self._last() or (None, None)
        damaged = [other.name for other in self.paths() if path is None or other > path]
        if damaged and damaged != self._told and Processes.current().rank == 0:
            going_on = "training starts over" if path is None else f"training goes on from {path.name}"
            told = f"damaged checkpoint in {self.folder}: {', '.join(damaged)}; {going_on}"
            warnings.warn(printable(told), stacklevel=2)
            self._told = damaged
        return checkpoint

    def _last(self) -> tuple[Path, Checkpoint] | None:
        return next(((path, read) for path in reversed(self.paths()) if (read := _whole(path)) is not None), None)

    def paths(self) -> list[Path]:
        """Return the folders of all checkpoints in the order of their steps, be they whole or damaged."""
        return sorted(path for path in self.folder.glob("step-*") if _is_ours(path))

    def _save(self, checkpoint: Checkpoint) -> Path:
        path = self.folder / _name(checkpoint.step)
        temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=".writing-"))
        try:
            _write(checkpoint, temporary)
            if _is_ours(path):  # damaged, or else the run would have gone on from there
                _remove(path)
            if os.path.lexists(path):
                raise _ForeignFolderError(f"{path.name} is there, and is no checkpoint; it is left alone")
            temporary.replace(path)
        except BaseException:
            _remove(temporary)
            raise
        kept = [other for other in self.paths() if other <= path][-_KEPT:]
        for other in self.paths():
            if other not in kept:
                _remove(other)
        return path


@contextmanager
def open_checkpoints(
    folder: str | Path | None,
    configuration: Mapping[str, Any],
    *,
    interval: int = 100,
    resume: bool = False,
    fresh: bool = False,
) -> Iterator[Checkpoints | None]:
    """Open the checkpoints of a run, and hold its folder until the context ends.

    Args:
        folder: the run's folder, seen by all its processes; created if need be. None keeps nothing.
        configuration: everything that the weights depend on, as JSON has it.
        interval: steps from one checkpoint to the next.
        resume: whether to go on from the last checkpoint in the folder; if there is none, the run starts.
        fresh: whether to forget what the folder holds.

    Raises:
        ArgumentError: a folder that cannot be written, that another process is using, that holds another
            configuration, or that holds checkpoints, be they damaged, when neither resume nor fresh is asked for.
    """
    check_flag("resume", resume)
    check_flag("fresh", fresh)
    if resume and fresh:
        raise ArgumentError("fresh", expected="either --resume or --fresh", received="both")
    if folder is None:
        yield None
        return
    place, processes = records.output_folder(folder), Processes.current()
    checkpoints = Checkpoints(place / FOLDER, interval)
    with ExitStack() as stack:
        with processes.first_alone():
            if processes.rank == 0:
                stack.enter_context(run_folders.held(place))
                _prepare(place, configuration, resume=resume, fresh=fresh)
        yield checkpoints


def check_settings(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a run goes on under the settings of its last checkpoint.

    Args:
        folder: where the checkpoints are.
        before: the settings in the last one.
        now: those of the run, as JSON has them.

    Raises:
        ArgumentError: other ones.
    """
    changed = run_folders.changes(before, now)
    if changed:
        raise ArgumentError("settings", expected=f"those of the checkpoints in {folder}", received=f"others: {changed}")


def _prepare(folder: Path, configuration: Mapping[str, Any], *, resume: bool, fresh: bool) -> None:
    """Clear what is to be forgotten and what a killed run left half written, and check what is there."""
    run_folders.check_configuration_is_ours(folder)
    kept = records.inner_folder(folder, FOLDER)
    if fresh:
        for path in Checkpoints(kept).paths():
            _remove(path)
        run_folders.forget_configuration(folder)
    for unfinished in kept.glob(".writing-*"):
        if _is_ours(unfinished):
            _remove(unfinished)
    found = Checkpoints(kept).paths()
    if not (found or _holds_data(folder)):
        # What was started here came to nothing: the folder is free for another run.
        run_folders.forget_configuration(folder)
    if found and not (folder / run_folders.CONFIGURATION).is_file():
        _check_against_checkpoint(kept, configuration)
    run_folders.check_configuration(folder, configuration)
    if found and not resume:
        raise ArgumentError(
            "out", expected="an empty folder, or --resume to go on, or --fresh to start over", received=f"{found[-1]}"
        )


def _holds_data(folder: Path) -> bool:
    """Whether there are records in a folder, or what another command keeps there."""
    return any(path.suffix in (".parquet", ".safetensors", ".sqlite") for path in folder.iterdir())


def _check_against_checkpoint(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Compare a configuration with the settings in the last checkpoint, where the run's own was lost."""
    path = Checkpoints(folder).latest_path()
    if path is None:
        return
    settings = _settings(path)
    shared = settings.keys() & configuration.keys()
    check_settings(folder, {name: settings[name] for name in shared}, {name: configuration[name] for name in shared})


class _ForeignFolderError(WarpTheoryError):
    """Something that is no checkpoint has its name."""


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    files = [_TENSORS, *(f"{name}{_TABLE}" for name in sorted(checkpoint.tables))]
    (folder / _MARKED).write_text("\n".join([MARK, *files, _MANIFEST]), encoding="utf-8")
    save_file(dict(checkpoint.tensors), folder / _TENSORS)
    for name, table in checkpoint.tables.items():
        table.to_parquet(folder / f"{name}{_TABLE}", index=False)
    digests = {name: _digest(folder, name) for name in files}
    contents = {"scalars": dict(checkpoint.scalars), "settings": dict(checkpoint.settings)}
    manifest = {"step": checkpoint.step, **contents, "sha256": digests}
    records.write_json(folder / _MANIFEST, manifest)


def _whole(folder: Path) -> Checkpoint | None:
    """Return a checkpoint whose files are all there as they were written, and mean something; None for any other."""
    if not _is_whole(folder):
        return None
    try:
        return _read(folder)
    except Exception:  # what readers raise on files that somebody made is not documented
        return None


def _is_whole(folder: Path) -> bool:
    """Whether every file of a checkpoint is there, with the content that was written; no file elsewhere is read."""
    try:
        manifest = json.loads(content_of(folder / _MANIFEST) or b"")
        digests, is_named = manifest["sha256"], folder.name == _name(manifest["step"])
        is_complete = _TENSORS in digests and all(isinstance(manifest[name], dict) for name in ("scalars", "settings"))
        return is_named and is_complete and all(_digest(folder, name) == digests[name] for name in digests)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _is_ours(folder: Path) -> bool:
    """Whether a folder was made here, whole, damaged or half written: no link, but with the mark, or whole."""
    return folder.is_dir() and not folder.is_symlink() and (is_ours(folder / _MARKED) or _is_whole(folder))


def _remove(folder: Path) -> None:
    """Remove a checkpoint's folder, the mark last; what else somebody has put there stays, and the folder with it."""
    for name in (*_written(folder), _MARKED):
        path = folder / name
        if Path(name).name == name and not path.is_symlink() and not path.is_dir():
            with suppress(ValueError):  # a name that no file can have
                path.unlink(missing_ok=True)
    with suppress(OSError):  # not empty
        folder.rmdir()


def _written(folder: Path) -> list[str]:
    """Return the names of the files that were written into a checkpoint's folder, or were to be."""
    marked = (content_of(folder / _MARKED) or b"").decode("utf-8", "replace").split("\n")
    if marked[0] == MARK:
        return marked[1:]
    return [*records.read_json(folder / _MANIFEST)["sha256"], _MANIFEST] if _is_whole(folder) else []


def _read(folder: Path) -> Checkpoint:
    manifest = records.read_json(folder / _MANIFEST)
    tables = {Path(name).stem: pd.read_parquet(folder / name) for name in manifest["sha256"] if name.endswith(_TABLE)}
    tensors = load_file(folder / _TENSORS)
    return Checkpoint(manifest["step"], tensors, manifest["scalars"], tables, _settings(folder))


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = records.read_json(folder / _MANIFEST)["settings"]
    return settings


def _name(step: int) -> str:
    return f"step-{step:09d}"


def _digest(folder: Path, name: str) -> str:
    """Return the digest of a plain file in a folder.

    Raises:
        ValueError: a name that leads elsewhere.
        OSError: a file that cannot be read.
    """
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file():
        raise ValueError(name)
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
