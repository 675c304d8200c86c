"""What is measured of trained networks: shares of known maps, blocks that are watched, and what K3 adds."""

import math

import pandas as pd
import pytest
import torch

from warptheory import networks
from warptheory.paper.analyses.trained_localisation import predicted, slope_energy, watched_blocks
from warptheory.warping.jacobian import offset_jacobian


def network(name, **options):
    return networks.build(name, classes=3, channels_in=1, width=4, seed=0, **options)


def test_slope_energy_by_hand():
    x = torch.tensor([[[[0.0, 1.0, 1.0], [3.0, 3.0, 0.0]]]])
    assert slope_energy(x).tolist() == [[[1.0 + 9.0, 0.0 + 4.0]]]


def test_blocks_are_watched_in_one_pass():
    """Against gradients that autograd gives of the blocks' inputs, and offsets that heads compute of them."""
    model = network("selfwarp-resnet8", head_gain=1.0, scale=0.3, placement="both")
    images = torch.randn(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with watched_blocks(model) as maps:
        model(images).square().sum().backward()
    assert [seen.block for seen in maps] == [1, 2, 3]
    entering = maps[1].features.clone().requires_grad_(True)
    out = model.blocks[2](model.blocks[1](entering)).mean((2, 3))
    (gradient,) = torch.autograd.grad(model.classifier(out).square().sum(), entering)
    torch.testing.assert_close(maps[1].gradient, gradient)
    torch.testing.assert_close(maps[1].offsets, model.blocks[1].warp.offsets(maps[1].features).flatten(0, 1))
    shares = maps[1].shares()
    assert shares["tau"] == pytest.approx(float(offset_jacobian(maps[1].offsets).square().mean().sqrt()))
    assert all(0 < shares[name] <= 0.5 for name in ("slopes", "gradients", "offset gradients"))
    model(images)
    assert not any(block._forward_pre_hooks for block in model.blocks)


def test_a_network_without_warps_has_no_offsets():
    model = network("resnet8")
    with watched_blocks(model) as maps:
        model(torch.randn(2, 1, 16, 16)).sum().backward()
    assert len(maps) == 3
    shares = maps[0].shares()
    assert math.isnan(shares["offset gradients"])
    assert shares["tau"] == 0


def test_prediction_starts_from_the_plain_twin():
    """Without slopes it is the twin's share; slopes behind a block lower it, and those of its own warp do not."""
    plain = pd.DataFrame({"block": [1, 2, 3], "slopes": [0.2, 0.25, 0.3]})
    still = predicted(plain.assign(tau=1e-3), plain)
    assert still["by_entropy"].tolist() == pytest.approx([0.2, 0.25, 0.3], rel=1e-4)
    moved = predicted(plain.assign(tau=0.4), plain)
    assert moved["by_entropy"].iloc[0] == pytest.approx(0.2)
    assert (moved["by_entropy"] < still["by_entropy"]).tolist() == [False, True, True]
    assert (moved["by_variance"] < moved["by_entropy"]).iloc[1:].all()
