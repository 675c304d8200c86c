"""The linear kernel against DCLS, whose version "v1" splats weights with the same triangle."""

import pytest
import torch

import warptheory as wt

dcls = pytest.importorskip("DCLS.construct.modules", reason="the extra `peers` is not installed")


@pytest.mark.parametrize("position", [0.0, 0.25, 0.5, -1.3])
def test_splat_builds_the_kernel_that_dcls_builds(position):
    layer = dcls.Dcls1d(1, 1, kernel_count=1, dilated_kernel_size=9, version="v1", bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.P.fill_(position)
    theirs = layer.DCK(layer.weight, layer.P, layer.SIG if hasattr(layer, "SIG") else None)
    ours = wt.splat(torch.ones(1, 1, 1), torch.full((1, 1, 1), 4 + position), (9,))
    # DCLS divides by the sum of its taps plus 1e-7.
    torch.testing.assert_close(ours.flatten(), theirs.detach().flatten(), rtol=2e-7, atol=1e-7)
