"""What torch traces."""

from pathlib import Path

import pytest
import torch

from tests.unchecked import assert_passes_unchecked
from warptheory.core.torch_internals import constant_when_traced


@pytest.mark.parametrize("chosen", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_opcheck_compile_and_export(chosen):
    assert_passes_unchecked(Path(__file__).with_name("check_tracing.py"), chosen)


def test_the_mark_of_a_constant_is_torchs_own():
    ours, theirs = (mark(lambda: 0).__dict__ for mark in (constant_when_traced, torch.compiler.assume_constant_result))
    assert ours == theirs
    assert ours
