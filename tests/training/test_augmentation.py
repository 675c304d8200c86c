"""Augmentation against plain indexing, and what is drawn for it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from warptheory.core.errors import UnknownNameError
from warptheory.training.augmentation import augment, crop, flip, names


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32))
def test_flip_and_crop_are_indexing(batch, channels, height, width, seed):
    generator = np.random.default_rng(seed)
    images = generator.normal(size=(batch, channels, height, width))
    flipped = generator.random(batch) < 0.5
    corners = generator.integers(0, 9, (batch, 2))
    mirrored = np.stack([image[..., ::-1] if chosen else image for image, chosen in zip(images, flipped, strict=True)])
    assert np.array_equal(flip(torch.from_numpy(images), torch.from_numpy(flipped)).numpy(), mirrored)
    padded = np.pad(images, ((0, 0), (0, 0), (4, 4), (4, 4)))
    cut = np.stack([padded[n, :, r : r + height, c : c + width] for n, (r, c) in enumerate(corners)])
    assert np.array_equal(crop(torch.from_numpy(images), torch.from_numpy(corners)).numpy(), cut)


def test_one_axis():
    images = torch.arange(1.0, 6).reshape(1, 1, 5)
    assert flip(images, torch.tensor([True])).flatten().tolist() == [5, 4, 3, 2, 1]
    assert crop(images, torch.tensor([[2]])).flatten().tolist() == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("chosen", [("flip",), ("crop",), ("flip", "crop")])
def test_shares_are_those_of_the_whole_batch(chosen):
    images = torch.randn(12, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    whole = augment(images, chosen, seed=3, step=5, batch=12, share=slice(0, 12))
    halves = [slice(0, 6), slice(6, 12)]
    parts = [augment(images[half], chosen, seed=3, step=5, batch=12, share=half) for half in halves]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(augment(images, chosen, seed=3, step=5, batch=12, share=slice(0, 12)), whole)
    for other in ({"seed": 4, "step": 5}, {"seed": 3, "step": 6}):
        assert not torch.equal(augment(images, chosen, **other, batch=12, share=slice(0, 12)), whole)


def test_half_of_the_images_are_flipped_and_every_corner_is_drawn():
    """Of 4000 images 2000 are flipped within 5 standard errors; a pixel ends on each of 81 places alike (χ², 0.1 %)."""
    images = torch.zeros(4000, 1, 9, 9)
    images[:, 0, 4, 0] = 1
    flipped = augment(images, ("flip",), seed=0, step=0, batch=4000, share=slice(0, 4000))
    assert abs(flipped[:, 0, 4, 8].sum().item() - 2000) < 5 * (4000 / 4) ** 0.5
    images = torch.zeros(4000, 1, 9, 9)
    images[:, 0, 4, 4] = 1
    counts = augment(images, ("crop",), seed=0, step=0, batch=4000, share=slice(0, 4000)).sum((0, 1))
    expected = 4000 / 81
    assert counts.sum() == 4000
    assert ((counts - expected) ** 2 / expected).sum() < 124.8


@pytest.mark.usefixtures("as_users_call")
def test_unknown_name():
    with pytest.raises(UnknownNameError, match="^augment: expected one of crop, flip, got 'flop'"):
        augment(torch.zeros(1, 1, 2, 2), ["flop"], seed=0, step=0, batch=1, share=slice(0, 1))
    assert set(names()) == {"crop", "flip"}
