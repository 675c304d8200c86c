"""Operators on a CUDA device: what they are on the CPU, and the same bits in every run where that is asked for."""

import pytest
import torch

from tests.operators.examples import CASES, setting
from warptheory import operators
from warptheory.core.tolerances import rounding

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: needs a CUDA device"),
]


def on_device(value):
    return value.cuda() if isinstance(value, torch.Tensor) else value


def gradients(layer, inputs):
    leaves = [
        each.detach().requires_grad_() if isinstance(each, torch.Tensor) and each.is_floating_point() else each
        for each in inputs
    ]
    wanted = [each for each in (*leaves, *layer.parameters()) if isinstance(each, torch.Tensor) and each.requires_grad]
    y = layer(*leaves)
    return y, torch.autograd.grad(y.square().sum(), wanted, allow_unused=True)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_device_computes_the_same(case):
    """In double precision: an output is a sum of hundreds of products."""
    found = setting(*case)
    y, expected = gradients(found.layer, found.inputs)
    there, on_gpu = gradients(found.layer.cuda(), tuple(map(on_device, found.inputs)))
    tolerance = rounding(torch.float64, operations=2000, magnitude=100)
    close = {"rtol": tolerance.relative, "atol": tolerance.absolute}
    torch.testing.assert_close(there.cpu(), y, **close)
    for ours, theirs in zip(on_gpu, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours.cpu(), theirs, **close)


def test_deformable_convolutions_can_be_deterministic():
    generator = torch.Generator("cuda").manual_seed(0)
    draw = {"generator": generator, "device": "cuda"}
    inputs = (torch.randn(4, 32, 40, 40, **draw), torch.randn(4, 18, 40, 40, **draw))
    layer = operators.DeformConv2d(32, 32, 3, padding=1).cuda()
    torch.use_deterministic_algorithms(True)
    try:
        runs = [gradients(layer, inputs)[1] for _ in range(5)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(run, runs[0], strict=True))
