"""Processes of one's own, copied from a server that has imported what takes long."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Any

ProcessContext = ForkServerContext | SpawnContext


def process_context(modules: Iterable[str]) -> ProcessContext:
    """Return what starts processes: copies of a server, or new ones where the system has no such server.

    The server starts here, finds modules where this process does, and serves it until it ends. It has no threads that a
    copy would miss: OpenBLAS ends its own before one is made. Copies import the script that runs, as new processes do.

    Args:
        modules: what the server imports, if it has not started, in place of what `set_forkserver_preload` was given;
            a copy imports the rest.
    """
    if sys.platform != "linux":  # macOS forbids copies of a process that has used its frameworks
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    _start_server()
    return context


def in_this_environment(target: Callable[..., None]) -> Callable[..., None]:
    """Return a function that a process runs in the environment of now, not of when its server started.

    What libraries read when they are loaded, such as OMP_NUM_THREADS, stays as it was then.
    """
    return partial(_in_environment, dict(os.environ), target)


def _in_environment(environment: Mapping[str, str], target: Callable[..., None], *args: Any, **options: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*args, **options)


@cache
def _start_server() -> None:
    """Start the server; by itself it would look for modules in the working directory first."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONSAFEPATH")}
    os.environ["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
