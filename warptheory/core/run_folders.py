"""Folders of long runs: one process at a time writes into one, and it belongs to one configuration."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from warptheory.core import records
from warptheory.core.errors import ArgumentError

CONFIGURATION, LOCK = "configuration.json", "lock"


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
        ArgumentError: another one.
    """
    path, text = folder / CONFIGURATION, json.loads(json.dumps(configuration))
    if not path.is_file():
        records.write_json(path, {"sha256": _digest(text), "configuration": text})
        return
    known = records.read_json(path)
    if known.get("sha256") == _digest(text):
        return
    before = known.get("configuration", {})
    changed = sorted(name for name in {*before, *text} if before.get(name) != text.get(name))
    told = "; ".join(f"{name} was {before.get(name)!r} and is {text.get(name)!r}" for name in changed)
    raise ArgumentError(
        "out",
        expected="a folder of the same run, or an empty one (--fresh starts over)",
        received=f"{folder}, in which {told}",
    )


def _digest(configuration: Any) -> str:
    return sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()
