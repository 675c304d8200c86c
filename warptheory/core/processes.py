"""Processes of one's own, copied from a server that has imported what takes long."""

import multiprocessing
import sys
from collections.abc import Iterable
from multiprocessing.context import ForkServerContext, SpawnContext

ProcessContext = ForkServerContext | SpawnContext


def process_context(modules: Iterable[str]) -> ProcessContext:
    """Return what starts processes: copies of a server, or new ones where the system has no such server.

    The server starts with the first process, serves this one until it ends, and has no threads that a copy would miss.
    Copies see the environment of its start, and import the script that runs, as new processes do.

    Args:
        modules: what the server imports, if it has not started; a copy imports the rest.
    """
    if sys.platform != "linux":  # macOS forbids copies of a process that has used its frameworks
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context
