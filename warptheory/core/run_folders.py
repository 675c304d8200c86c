"""Folders of long runs: one process at a time writes into one, and it belongs to one configuration."""

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from warptheory.core import records
from warptheory.core.errors import ArgumentError
from warptheory.core.files import MARK, check_replaceable, content_of, is_ours_or_json, remove

CONFIGURATION, LOCK = "configuration.json", "lock"
# What a lock holds; before the mark it was the first line alone, and what was written over may follow.
_HOLDER = re.compile(rf"(?P<process>process \d+)(\n{MARK}\n[\s\S]*)?")
# How much of what changed is told: so many changes, values of so many characters.
_TOLD, _WIDTH = 8, 80


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the system releases when the process ends, however it ends.

    Raises:
        ArgumentError: another process holds it, or a file of that name is no lock.
    """
    import fcntl

    with _opened(folder / LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _HOLDER.fullmatch(lock.read())
            told = holder["process"] if holder else "another process"
            raise ArgumentError(
                "out", expected="a folder that no other run is using", received=f"{folder}, in use by {told}"
            ) from error
        # Written over, then cut: it is never empty, also where the disk is full or the process is killed between.
        lock.seek(0)
        lock.write(_holder())
        lock.flush()
        lock.truncate()
        yield


def _opened(path: Path) -> TextIO:
    """Open a lock, made if need be; it is never empty, so that an empty file is none.

    Raises:
        ArgumentError: something else has its name.
    """
    if not os.path.lexists(path):
        with suppress(FileExistsError), tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".lock.") as new:
            new.write(_holder())
            new.flush()
            os.link(new.name, path)
    check_replaceable(path, _is_lock)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "r+", encoding="utf-8")


def _holder() -> str:
    return f"process {os.getpid()}\n{MARK}\n"


def _is_lock(path: Path) -> bool:
    content = content_of(path)
    return content is not None and _HOLDER.fullmatch(content.decode("utf-8", "replace")) is not None


def check_configuration(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Write down the configuration, or compare it with the one that is there.

    Raises:
        ArgumentError: another one, or one that cannot be read.
    """
    path = folder / CONFIGURATION
    if not os.path.lexists(path):
        records.write_json(path, {"configuration": configuration})
        return
    changed = changes(_configuration(path), configuration)
    if changed:
        raise ArgumentError(
            "out",
            expected="a folder of the same run, or an empty one (--fresh starts over)",
            received=f"{folder}, in which {changed}",
        )


def forget_configuration(folder: Path) -> None:
    """Remove the configuration, so that the folder is free for another run.

    Raises:
        ArgumentError: a file of its name that is none.
    """
    remove(folder / CONFIGURATION, _is_configuration)


def check_configuration_is_ours(folder: Path) -> None:
    """Check that no other file has the configuration's name.

    Raises:
        ArgumentError: one has.
    """
    check_replaceable(folder / CONFIGURATION, _is_configuration)


def _is_configuration(path: Path) -> bool:
    """Whether a file is a configuration: it has the mark, or holds nothing else, as did those before the mark."""
    return is_ours_or_json(path, lambda found: found.keys() == {"configuration"})


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what changed from one configuration to another; the text is empty where they are the same as JSON.

    Few changes are told whole. Of long lists it is told how many entries they share; long texts are cut.
    """
    before, now = _as_json(before), _as_json(now)
    # As texts, in which NaN equals itself.
    changed = sorted(name for name in {*before, *now} if _text(before.get(name)) != _text(now.get(name)))
    told = [_change(name, before.get(name), now.get(name)) for name in changed[:_TOLD]]
    more = [f"{len(changed) - _TOLD} more changed"] if len(changed) > _TOLD else []
    return "; ".join([*told, *more])


def _configuration(path: Path) -> Mapping[str, Any]:
    reason = "it holds no configuration"
    try:
        content = json.loads(content_of(path) or b"")
        found = content.get("configuration") if isinstance(content, dict) else None
    except (ValueError, RecursionError) as error:
        reason, found = str(error), None
    if not isinstance(found, dict):
        raise ArgumentError(
            "out", expected=f"a readable {CONFIGURATION} (--fresh starts over)", received=f"{path}: {reason}"
        )
    return found


def _change(name: str, before: Any, now: Any) -> str:
    many = isinstance(before, list | dict) and isinstance(now, list | dict)
    if many and max(len(repr(before)), len(repr(now))) > _WIDTH:
        common = (_entries(before) & _entries(now)).total()
        return f"{name}: {len(before)} entries were, {len(now)} are, {common} in common"
    return f"{name} was {_shown(before)} and is {_shown(now)}"


def _entries(values: list[Any] | dict[str, Any]) -> Counter[str]:
    return Counter(map(_text, values.items() if isinstance(values, dict) else values))


def _shown(value: Any) -> str:
    shown = repr(value)
    if len(shown) <= _WIDTH:
        return shown
    return f"{len(value)} entries" if isinstance(value, list | dict) else f"{shown[:_WIDTH]}…"


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
