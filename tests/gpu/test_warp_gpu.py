"""The operator on a CUDA device equals the operator on the CPU."""

import pytest
import torch

import warptheory as wt
from warptheory.core.tolerances import rounding

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: needs a CUDA device"),
]


@pytest.mark.parametrize("boundary", ["zeros", "border", "reflect", "mirror", "periodic"])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_equals_the_cpu(dim, boundary):
    generator = torch.Generator().manual_seed(dim)
    size = (9, 8, 7)[:dim]
    x = torch.randn(2, 4, *size, generator=generator, dtype=torch.float64)
    offsets = 3 * torch.randn(2, 2, dim, *size, generator=generator, dtype=torch.float64)
    tolerance = rounding(torch.float64, operations=100 * 2**dim, magnitude=2**dim * float(x.abs().max()))
    for operator in (wt.warp, wt.warp_gradient, lambda g, e, **k: wt.splat(g, e, **k)):
        found = operator(x.cuda(), offsets.cuda(), boundary=boundary).cpu()
        torch.testing.assert_close(
            found, operator(x, offsets, boundary=boundary), rtol=tolerance.relative, atol=50 * tolerance.absolute
        )


def test_a_result_is_verified_on_the_gpu():
    table = wt.results.check(wt.results.match(["A3"]), dim=2, device="cuda")
    assert (table["verdict"] == "verified").all()
