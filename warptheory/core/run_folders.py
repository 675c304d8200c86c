"""Folders of long runs: one process at a time writes into one, and it belongs to one configuration."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warptheory.core import records
from warptheory.core.errors import ArgumentError

CONFIGURATION, LOCK = "configuration.json", "lock"
# How much of what changed is told: so many changes, values of so many characters.
_TOLD, _WIDTH = 8, 80


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the system releases when the process ends, however it ends.

    Raises:
        ArgumentError: another process holds it.
    """
    import fcntl

    with (folder / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise ArgumentError(
                "out", expected="a folder that no other run is using", received=f"{folder}, in use by {holder}"
            ) from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield


def check_configuration(folder: Path, configuration: Mapping[str, Any]) -> None:
    """Write down the configuration, or compare it with the one that is there.

    Raises:
        ArgumentError: another one, or one that cannot be read.
    """
    path = folder / CONFIGURATION
    if not path.is_file():
        records.write_json(path, {"configuration": configuration})
        return
    changed = changes(_configuration(path), configuration)
    if changed:
        raise ArgumentError(
            "out",
            expected="a folder of the same run, or an empty one (--fresh starts over)",
            received=f"{folder}, in which {changed}",
        )


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
        content = records.read_json(path)
        found = content.get("configuration") if isinstance(content, dict) else None
    except (OSError, ValueError) as error:
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
