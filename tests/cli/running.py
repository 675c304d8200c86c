"""A command in a process of its own, which has imported the library already; defined here so that it can be sent."""

import atexit
import io
import multiprocessing
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from warptheory.core.processes import in_this_environment, process_context


def begin(*arguments: object) -> tuple[BaseProcess, Connection]:
    """Start `warptheory ARGUMENTS`; return the process and a pipe through which comes what it says in the end."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = process_context(["warptheory.results"])
    process = context.Process(target=in_this_environment(_run), args=(tuple(map(str, arguments)), sender))
    process.start()
    atexit.register(process.kill)  # or a run that hangs would be waited for
    sender.close()
    return process, receiver


def _run(arguments: tuple[str, ...], sender: Connection) -> None:
    from warptheory.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever runs the tests may ignore
    sys.argv = ["warptheory", *arguments]
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            main()
    finally:
        sender.send(said.getvalue())
