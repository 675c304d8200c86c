"""What is measured of trained networks: shares of known maps, what blocks see, and what K3 adds."""

import pandas as pd
import pytest
import torch
from torch.nn import functional

from warptheory import networks
from warptheory.fields.localisation import share_of_positions
from warptheory.paper.analyses import trained_localisation
from warptheory.paper.analyses.trained_localisation import (
    block_inputs,
    enlarged_digits,
    measured,
    offset_slope,
    predicted,
    slope_energy,
)
from warptheory.training import data
from warptheory.training.data import LabelledImages
from warptheory.warping.jacobian import offset_jacobian


def network(warp=True):
    options = {"head_gain": 1.0, "scale": 0.3, "placement": "both"} if warp else {}
    return networks.selfwarp_resnet(8, 3, 1, 4, seed=0, warp=warp, **options)


def batch():
    images = torch.randn(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return LabelledImages(images, torch.tensor([0, 1, 2, 0, 1]))


def test_slope_energy_by_hand():
    x = torch.tensor([[[[0.0, 1.0, 1.0], [3.0, 3.0, 0.0]]]])
    assert slope_energy(x).tolist() == [[[1.0 + 9.0, 0.0 + 4.0]]]


def test_what_blocks_see():
    """Against gradients that autograd gives of a block's input, and offsets that its head computes of it."""
    model, images = network().train(), batch()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    rows = list(measured(model, images))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [row["block"] for row in rows] == [1, 2, 3]
    entering = block_inputs(model, images.images)[1].requires_grad_(True)
    scores = model.classifier(model.blocks[2](model.blocks[1](entering)).mean((2, 3)))
    (gradient,) = torch.autograd.grad(functional.cross_entropy(scores, images.labels), entering)
    share = float(share_of_positions(gradient.square().sum(1)).mean())
    assert rows[1]["gradients"] == pytest.approx(share, rel=1e-4)
    offsets = model.blocks[1].warp.offsets(entering).flatten(0, 1).detach()
    assert rows[1]["tau"] == pytest.approx(float(offset_jacobian(offsets).square().mean().sqrt()))
    # The cascade's mean energy is smoother than a single gradient.
    assert all(0 < row["gradients"] < row["predicted gradients"] <= 0.5 for row in rows)
    assert not any(block._forward_pre_hooks for block in model.blocks)


def test_a_network_without_warps_has_no_offsets():
    block = network(warp=False).blocks[0]
    assert offset_slope(block, torch.randn(2, 4, 16, 16)) == 0


def test_digits_are_enlarged():
    digits = enlarged_digits(0)
    assert digits.test.images.shape[1:] == (1, trained_localisation.SIZE, trained_localisation.SIZE)
    halves = functional.avg_pool2d(digits.test.images, 2)
    published = data.load("digits", seed=0).test.images
    assert torch.corrcoef(torch.stack([halves.flatten(), published.flatten()]))[0, 1] > 0.95


def test_prediction_starts_from_the_plain_twin():
    """Without slopes it is the twin's share; slopes behind a block lower it, and those of its own warp do not."""
    plain = pd.DataFrame({"block": [1, 2, 3], "slopes": [0.2, 0.25, 0.3]})
    still = predicted(plain.assign(tau=0.02), plain)
    assert still["by_entropy"].tolist() == pytest.approx([0.2, 0.25, 0.3], rel=5e-3)  # 4τ² a warp
    moved = predicted(plain.assign(tau=0.4), plain)
    assert moved["by_entropy"].iloc[0] == pytest.approx(0.2)
    assert (moved["by_entropy"] < still["by_entropy"]).tolist() == [False, True, True]
    assert (moved["by_variance"] < moved["by_entropy"]).iloc[1:].all()
