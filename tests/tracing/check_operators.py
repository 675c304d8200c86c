"""Every operator under torch's compiler and exporter. Run by test_tracing.py in a process of its own."""

import pytest
import torch

from tests.operators.examples import CASES, setting
from warptheory.core.tolerances import rounding

ROUNDING = rounding(torch.float64, operations=400, magnitude=20)


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request):
    return setting(*request.param)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def test_compiled(case):
    """As one graph, without a break."""
    torch.compiler.reset()
    compiled = torch.compile(case.layer, backend="eager", fullgraph=True)
    close(compiled(*case.inputs).detach(), case.y)


def test_exported(case):
    program = torch.export.export(case.layer, case.inputs, strict=False)
    close(program.module()(*case.inputs).detach(), case.y)
