"""What torch traces, in a process without the shape checks of the other tests, whose wrappers cannot be traced."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.waiting import PATIENCE
from warptheory.core.torch_internals import constant_when_traced


@pytest.mark.parametrize("chosen", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_opcheck_compile_and_export(chosen):
    """All in one process, which takes seconds to load torch's compiler."""
    files = map(str, Path(__file__).parent.glob("check_*.py"))
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", chosen, *files],
        env={**os.environ, "WARPTHEORY_TEST_SHAPES": "off"},
        timeout=PATIENCE,
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
