"""What holds of every data set that comes with the installation; those read from files have tests of their own.

Each check is a function of what loads the set, given a seed; `WRONG` has a set that it refuses.
"""

import inspect
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch

from warptheory.core.catalogue import load_entry
from warptheory.training import data
from warptheory.training.data import Dataset, LabelledImages


def parameters(name):
    return inspect.signature(getattr(load_entry(data.__name__, name, "name"), name)).parameters


INSTALLED = [name for name in data.names() if "data_dir" not in parameters(name)]


@cache
def loaded(name, seed=0):
    return data.load(name, seed=seed)


def form(load):
    dataset = load()
    assert len(set(dataset.classes)) == len(dataset.classes) > 1
    for part in (dataset.train, dataset.test):
        assert part.images.dtype == torch.float32
        assert part.labels.dtype == torch.int64
        assert len(part.images) == len(part.labels)
        assert part.images.isfinite().all()
        assert part.labels.unique().tolist() == list(range(len(dataset.classes)))
    assert dataset.train.images.shape[1:] == dataset.test.images.shape[1:]


def normalised(load):
    """Patches without contrast stay flat, which lowers the variance; no set is far from one."""
    images = load().train.images
    assert images.mean().abs() < 0.01
    assert 0.8 < images.var() < 1.01


def are_equal(first, second):
    parts = zip((first.train, first.test), (second.train, second.test), strict=True)
    return all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in parts)


def random_states():
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return state["pos"], state["key"].tolist(), torch.get_rng_state().tolist()


def nothing_but_the_seed_decides(load, first=None):
    """Loaded again, from another global random state, the data are the same, and that state is as it was."""
    first = load() if first is None else first
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = random_states()
    assert are_equal(first, load())
    assert random_states() == before


def the_seed_decides(load, *, is_drawn):
    """Data that are published with their split are the same for every seed."""
    assert torch.equal(load(seed=0).train.images, load(seed=1).train.images) != is_drawn


def given(images, labels=(0, 1) * 50, classes=("a", "b")):
    part = LabelledImages(images, torch.tensor(labels))
    return Dataset("given", classes, part, part)


def noise(seed=0):
    images = torch.randn(100, 1, 9, 9, generator=torch.Generator().manual_seed(seed))
    return given((images - images.mean()) / images.std())


def from_the_global_state(seed=0):
    return given(torch.from_numpy(np.random.normal(size=(100, 1, 9, 9))).float())  # noqa: NPY002


def with_an_empty_class(seed=0):
    return replace(noise(seed), classes=("a", "b", "c"))


def not_normalised(seed=0):
    return given(noise(seed).train.images + 0.02)


drawn_by_seed = partial(the_seed_decides, is_drawn=True)
published = partial(the_seed_decides, is_drawn=False)
WRONG = {
    "form": (form, with_an_empty_class),
    "normalised": (normalised, not_normalised),
    "nothing but the seed decides": (nothing_but_the_seed_decides, from_the_global_state),
    "drawn by the seed": (drawn_by_seed, lambda seed=0: noise()),
    "published": (published, noise),
}


def test_some_data_need_no_files():
    assert INSTALLED
    assert set(INSTALLED) < set(data.names())


@pytest.mark.parametrize("name", INSTALLED)
def test_data_set(name):
    assert loaded(name).name == name
    form(partial(loaded, name))
    normalised(partial(loaded, name))
    the_seed_decides(partial(loaded, name), is_drawn="seed" in parameters(name))
    nothing_but_the_seed_decides(partial(data.load, name), loaded(name))


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_data_set_is_refused(case):
    check, load = WRONG[case]
    with pytest.raises(AssertionError):
        check(load)


def test_a_right_data_set_passes():
    """So that what is refused above is refused for what is wrong with it."""
    for check in (form, normalised, nothing_but_the_seed_decides, drawn_by_seed):
        check(noise)
