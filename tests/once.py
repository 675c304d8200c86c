"""What several tests read and one process makes: a folder that the workers of a parallel run share."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is filled once in a run of the tests: the first worker fills it, another waits.

    Args:
        factory: what makes folders for tests.
        name: name of the folder, another one for each thing that is made.
        make: fills the folder, which is there; a failure leaves it to the next worker, which begins anew.
    """
    import fcntl  # which not every system has

    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    shared.mkdir(exist_ok=True)
    folder, made = shared / "made", shared / "is_made"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
