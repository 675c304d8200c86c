"""Tests that run in a process without the shape checks of the others, whose wrappers cannot be traced."""

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE


def assert_passes_unchecked(path: Path, chosen: str = "not slow") -> None:
    """Run the chosen tests of a file in a process of its own; all of them have to pass."""
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", chosen, str(path)],
        env={**os.environ, "WARPTHEORY_TEST_SHAPES": "off"},
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-1000:]
    assert " passed" in finished.stdout
