"""What holds of all pairs of images; the numbers are few, for what holds of a pair holds of many."""

from functools import cache

import numpy as np
import pytest
import torch

from warptheory.training import pairs

FEW = {"train_per_photograph": 10, "test_per_photograph": 5}


@cache
def loaded(name, seed=0):
    return pairs.load(name, seed=seed, **FEW)


def form(found):
    for part in (found.train, found.test):
        for images in (part.inputs, part.targets):
            assert images.dtype == torch.float32
            assert images.isfinite().all()
            assert len(images) == len(part.inputs) > 0
            assert images.shape[2:] == part.inputs.shape[2:]
            assert images.is_contiguous()
        assert part.inputs.shape[1] == len(found.channels)
    assert found.train.inputs.shape[1:] == found.test.inputs.shape[1:]
    assert found.train.targets.shape[1:] == found.test.targets.shape[1:]


def normalised(found):
    """Patches without contrast stay flat, and what is warped loses a little: no channel is far from one."""
    for images in (found.train.inputs, found.train.targets):
        assert (images.mean((0, 2, 3)).abs() < 0.1).all()
        assert ((images.var((0, 2, 3)) > 0.7) & (images.var((0, 2, 3)) < 1.1)).all()


def are_equal(first, second):
    parts = zip((first.train, first.test), (second.train, second.test), strict=True)
    return all(torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets) for a, b in parts)


@pytest.mark.parametrize("name", pairs.names())
def test_pairs(name):
    found = loaded(name)
    assert found.name == name
    form(found)
    normalised(found)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert are_equal(found, pairs.load(name, **FEW))
    assert torch.equal(before, torch.get_rng_state())
    assert not are_equal(found, loaded(name, 1))
