"""What holds of every data set that comes with the installation; those read from files have tests of their own."""

import inspect
from functools import cache

import numpy as np
import pytest
import torch

from warptheory.core.catalogue import load_entry
from warptheory.training import data


def parameters(name):
    return inspect.signature(getattr(load_entry(data.__name__, name, "name"), name)).parameters


INSTALLED = [name for name in data.names() if "data_dir" not in parameters(name)]
DRAWN = [name for name in INSTALLED if "seed" in parameters(name)]


@cache
def loaded(name):
    return data.load(name)


def test_some_data_need_no_files():
    assert {"digits", "mnist1d", "patches"} <= set(INSTALLED) < set(data.names())


@pytest.mark.parametrize("name", INSTALLED)
def test_form(name):
    dataset = loaded(name)
    assert dataset.name == name
    assert len(set(dataset.classes)) == len(dataset.classes) > 1
    for part in (dataset.train, dataset.test):
        assert part.images.dtype == torch.float32
        assert part.labels.dtype == torch.int64
        assert len(part.images) == len(part.labels)
        assert part.images.isfinite().all()
        assert part.labels.unique().tolist() == list(range(len(dataset.classes)))
    assert dataset.train.images.shape[1:] == dataset.test.images.shape[1:]


@pytest.mark.parametrize("name", INSTALLED)
def test_intensities_are_normalised(name):
    """Patches without contrast stay flat, which lowers the variance; no set is far from one."""
    images = loaded(name).train.images
    assert images.mean().abs() < 0.01
    assert 0.8 < images.var() < 1.01


@pytest.mark.parametrize("name", INSTALLED)
def test_nothing_but_the_seed_decides(name):
    """Loaded again, from another global random state, the data are the same, and that state is as it was."""
    first = loaded(name)
    np.random.seed(1)  # noqa: NPY002
    before, torch_before = np.random.get_state(legacy=False)["state"], torch.get_rng_state()  # noqa: NPY002
    again = data.load(name)
    after = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    for part, same in ((first.train, again.train), (first.test, again.test)):
        assert torch.equal(part.images, same.images)
        assert torch.equal(part.labels, same.labels)
    assert before["pos"] == after["pos"]
    assert np.array_equal(before["key"], after["key"])
    assert torch.equal(torch_before, torch.get_rng_state())


@pytest.mark.parametrize("name", INSTALLED)
def test_the_seed_decides_what_is_drawn(name):
    """Data that are published with their split are the same for every seed."""
    assert torch.equal(loaded(name).train.images, data.load(name, seed=1).train.images) == (name not in DRAWN)
