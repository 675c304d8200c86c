"""The monitor of a model that torch compiles. Run by test_tracing.py in a process of its own."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn

import warptheory as wt
from warptheory.networks import selfwarp_resnet
from warptheory.operators import SelfWarp2d

IMAGE = torch.zeros(1, 2, 4, 4)


@pytest.fixture(autouse=True)
def _anew():
    torch.compiler.reset()


@pytest.mark.parametrize("fullgraph", [False, True])
def test_a_compiled_model_is_told_of(fullgraph):
    model = nn.Sequential(SelfWarp2d(2))
    with pytest.warns(UserWarning, match="saw no sampling operation"), wt.stability.monitor(model, interval=2) as m:
        torch.compile(model, backend="eager", fullgraph=fullgraph)(IMAGE)
    assert m.rows() == []


def test_a_compiled_part_is_told_of():
    """The call is counted and watched, and its warps run inside a program."""
    model = nn.Sequential(nn.Sequential(SelfWarp2d(2)))
    model[0].compile(backend="eager")
    with pytest.warns(UserWarning, match="saw no sampling operation"), wt.stability.monitor(model, interval=1):
        model(IMAGE)


def test_operators_in_compiled_parts_are_named():
    """Those beside it are recorded, and do not hide that one is missing."""
    model = nn.Sequential(SelfWarp2d(2), nn.Sequential(SelfWarp2d(2)))
    model[1].compile(backend="eager")
    with pytest.warns(UserWarning, match="has not seen '1.0', which"), wt.stability.monitor(model, interval=1) as m:
        model(IMAGE)
    assert [row.layer for row in m.rows()] == ["0"]


def test_nothing_of_the_monitor_is_compiled():
    def program(surroundings):
        torch.compiler.reset()
        counted = torch._dynamo.testing.CompileCounter()
        model = selfwarp_resnet(8, width=4)
        compiled = torch.compile(model, backend=counted)
        with surroundings(model):
            for _ in range(3):
                compiled(torch.zeros(2, 3, 8, 8))
        return counted.frame_count, counted.op_count

    with pytest.warns(UserWarning, match="saw no sampling operation"):
        watched = program(partial(wt.stability.monitor, interval=1))
    assert watched == program(nullcontext)
