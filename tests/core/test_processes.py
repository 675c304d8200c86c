"""Processes that are copies of a server find what this process finds."""

import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing

import warptheory
from warptheory.core.processes import in_this_environment, process_context


def say(pipe):
    pipe.send(warptheory.__file__)


if __name__ == "__main__":
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = process_context(["warptheory.core.text"]).Process(target=in_this_environment(say), args=(sender,))
    process.start()
    sender.close()
    assert receiver.recv() == warptheory.__file__
    process.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="not run: only on Linux are processes copies of a server")
def test_another_package_in_the_working_directory_is_not_taken(tmp_path):
    (tmp_path / "elsewhere" / "warptheory").mkdir(parents=True)
    (tmp_path / "elsewhere" / "warptheory" / "__init__.py").write_text("raise SystemExit('a decoy')")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, str(script)], cwd=tmp_path / "elsewhere", check=True, timeout=300)
