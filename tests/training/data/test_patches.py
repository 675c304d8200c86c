import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import warptheory.training.data.patches as module
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import photographs
from warptheory.training import data


def test_shapes_and_labels():
    patches = data.load("patches", size=16, train_per_class=5, test_per_class=3)
    assert patches.classes == tuple(photographs.names())
    assert patches.train.images.shape == (5 * len(patches.classes), 1, 16, 16)
    assert patches.test.images.shape == (3 * len(patches.classes), 1, 16, 16)
    assert patches.train.labels.tolist() == [label for label in range(len(patches.classes)) for _ in range(5)]


def test_colour_is_of_the_photographs_that_have_it():
    """The camera, coins and moon are grey, the astronaut is not, as scikit-image's documentation shows them."""
    patches = data.load("patches", size=16, train_per_class=5, test_per_class=3, colour=True)
    assert patches.train.images.shape == (5 * len(patches.classes), 3, 16, 16)
    assert "astronaut" in patches.classes
    assert not {"camera", "coins", "moon"} & set(patches.classes)
    assert (patches.train.images[:, 0] != patches.train.images[:, 2]).any((1, 2)).float().mean() > 0.9


@pytest.mark.parametrize("colour", [False, True])
def test_contrast_is_normalised_over_all_channels_together(colour):
    """A patch is its photograph's region shifted and scaled by two numbers: float32 leaves 1e-6 of a deviation.

    Some patches are flat (sky, black space): their deviation is below one.
    """
    images = data.load("patches", size=16, train_per_class=20, test_per_class=1, colour=colour).train.images
    assert images.mean((1, 2, 3)).abs().max() < 1e-5
    deviations = images.std((1, 2, 3), correction=0)
    assert deviations.max() < 1 + 1e-5
    assert (deviations > 1 - 1e-5).float().mean() > 0.8
    if colour:
        assert images.mean((2, 3)).abs().max() > 0.1


def test_patches_are_regions_of_their_photograph():
    """Correlation with every region that a part may have: one, to the rounding of float32, for the one that was cut."""
    size = 12
    patches = data.load("patches", size=size, train_per_class=2, test_per_class=2)
    image = photographs.load("coins", grey=True)[0]
    regions = image.unfold(0, size, 1).unfold(1, size, 1).flatten(2)
    centred = regions - regions.mean(-1, keepdim=True)
    directions = centred / centred.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    label = patches.classes.index("coins")
    border = 2 * image.shape[0] // 3
    for part, rows in ((patches.train, slice(0, border - size + 1)), (patches.test, slice(border + size, None))):
        for patch in part.images[part.labels == label, 0].double():
            assert (directions[rows] @ patch.flatten()).max() > (1 - 1e-9) * patch.norm()


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    size=st.integers(1, 64),
    seed=st.integers(0, 2**32),
)
@pytest.mark.usefixtures("as_users_call")
def test_train_and_test_pixels_are_a_patch_apart(height, width, size, seed):
    """Each pixel of the image is its row: what is cut tells where it was, whatever it looks like."""
    rows = torch.arange(height, dtype=torch.float64)[:, None].expand(height, width)[None]
    cut = {}
    for part in ("train", "test"):
        try:
            corners = module._corners((height, width), part, 20, size, Stream(seed, part).generator())
        except ArgumentError:
            assert width < size or height - 2 * height // 3 < 2 * size or 2 * height // 3 < size
            return
        cut[part] = module._cut(rows, corners, size)
        assert cut[part].shape == (20, 1, size, size)
        assert (cut[part].diff(dim=2) == 1).all()
    assert cut["test"].min() - cut["train"].max() > size


def test_positions_reach_the_edges_of_their_regions():
    corners = module._corners((90, 40), "test", 2000, 8, Stream(0, "edges").generator())
    assert (corners.min(0) == [68, 0]).all()
    assert (corners.max(0) == [82, 32]).all()
    corners = module._corners((90, 40), "train", 2000, 8, Stream(0, "edges").generator())
    assert (corners.min(0) == [0, 0]).all()
    assert (corners.max(0) == [52, 32]).all()


def test_a_patch_without_contrast_stays_flat():
    flat = torch.full((1, 1, 4, 4), 0.3, dtype=torch.float64)
    assert module._normalise(flat).abs().max() < 1e-12
    assert np.isclose(module._normalise(flat + torch.eye(4) / 255).std(correction=0), 3**0.5 / 4)
