"""Updates against torch's own optimizers, with groups and schedules written out."""

import pytest
import torch
from torch.nn import functional

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.networks import selfwarp_resnet
from warptheory.operators import SelfWarp2d
from warptheory.training import fit
from warptheory.training.batches import batch_positions
from warptheory.training.optimizers import build_optimizer, gradient_norms


def torchs(name, model):
    """Return the optimizer that torch's documentation would have users write."""
    decayed, plain = [model.first.weight], [model.first.bias]
    rest = [model.norm.weight, model.norm.bias, model.last.bias]
    groups = [
        {"params": decayed, "lr": 0.002, "weight_decay": 0.01},
        {"params": plain, "lr": 0.002, "weight_decay": 0.0},
        {"params": [model.last.weight], "lr": 0.02, "weight_decay": 0.01},
        {"params": rest, "lr": 0.02, "weight_decay": 0.0},
    ]
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=0.8)
    return torch.optim.AdamW(groups, betas=(0.8, 0.999))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_against_torch(name, tiny, task):
    """Weights after twelve updates. Rounding differs in the learning rate alone, by which nothing is amplified."""
    images, labels = task
    ours, theirs = tiny(dropout=0.0), tiny(dropout=0.0)
    fit(
        ours,
        *task,
        steps=12,
        batch=20,
        learning_rate=0.02,
        warping_multiplier=0.1,
        optimizer=name,
        momentum=0.8,
        weight_decay=0.01,
        clip=0.5,
        seed=2,
    )
    optimizer = torchs(name, theirs)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
    for step in range(12):
        chosen = batch_positions(60, 20, 2, step)
        optimizer.zero_grad()
        functional.cross_entropy(theirs(images[chosen]), labels[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        schedule.step()
    for found, expected in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_gradient_norms_by_group(tiny, task):
    images, labels = task
    model = tiny()
    optimizer = build_optimizer(model, "sgd", weight_decay=0.1)
    functional.cross_entropy(model(images), labels).backward()
    norms = gradient_norms(optimizer)
    for name, parameters in model.parameter_groups().items():
        assert norms[name].item() == pytest.approx(torch.cat([p.grad.flatten() for p in parameters]).norm().item())


def wrapped_network():
    return torch.nn.DataParallel(selfwarp_resnet(8, classes=3, channels_in=1, width=4))


def own_network():
    return torch.nn.Sequential(SelfWarp2d(1), torch.nn.Flatten(), torch.nn.Linear(36, 3))


@pytest.mark.parametrize("build", [wrapped_network, own_network])
def test_the_warping_multiplier_reaches_any_model(build, task):
    """With a multiplier of zero the heads of self-warps stay as they were, and nothing else does."""
    torch.manual_seed(0)
    model = build()
    before = {name: value.clone() for name, value in model.named_parameters()}
    (measured,) = fit(model, *task, steps=1, batch=60, warping_multiplier=0.0)
    heads = {name for name in before if ".head." in f".{name}"}
    assert heads
    assert {name for name, value in model.named_parameters() if torch.equal(value, before[name])} == heads
    assert measured.gradient_norms["warping"] > 0


@pytest.mark.usefixtures("as_users_call")
def test_bad_input(tiny):
    with pytest.raises(UnknownNameError, match="^optimizer: expected one of adamw, sgd, got 'adam' "):
        build_optimizer(tiny(), "adam")
    with pytest.raises(ArgumentError, match="^model: expected a model with parameters to train, got ReLU$"):
        build_optimizer(torch.nn.ReLU(), "sgd")
