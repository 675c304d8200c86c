"""What torch traces: in a process without the tests' shape checks, whose wrappers cannot be traced."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from warptheory.warping._tracing import constant_when_traced


def test_opcheck_compile_and_export():
    checks = Path(__file__).parent / "check_tracing.py"
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(checks)],
        env={**os.environ, "WARPTHEORY_TEST_SHAPES": "off"},
        timeout=600,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-1000:]
    assert " passed" in finished.stdout


def test_the_mark_of_a_constant_is_torchs_own():
    ours, theirs = (mark(lambda: 0).__dict__ for mark in (constant_when_traced, torch.compiler.assume_constant_result))
    assert ours == theirs
    assert ours
