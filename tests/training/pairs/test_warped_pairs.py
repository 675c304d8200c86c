from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage

from warptheory import warping
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.training import pairs
from warptheory.training.pairs import PairedImages
from warptheory.training.pairs._warped_photographs import warped_photographs
from warptheory.training.pairs.rectification import ruled_page

FEW = {"train_per_photograph": 10, "test_per_photograph": 4}


@cache
def loaded(name):
    return pairs.load(name, **FEW).train


@cache
def drawn(name):
    chosen = {"seed": 0, "size": 32, "spread": 1.5, "correlation": 8.0}
    return warped_photographs(name, **chosen, **FEW)[0]


def read(images, offsets):
    """SciPy's linear interpolation, with the edge pixel beyond the edge."""
    places = np.indices(images.shape[-2:]) + offsets
    return np.stack(
        [ndimage.map_coordinates(i, p, order=1, mode="nearest") for i, p in zip(images, places, strict=True)]
    )


def test_what_is_warped_is_what_scipy_reads():
    """Float32 on intensities of a few units: absolute errors of 1e-4 at the most."""
    warped = drawn("rectification")
    found = loaded("rectification")
    images, offsets = warped.images[:, 0].double().numpy(), warped.offsets.double().numpy()
    np.testing.assert_allclose(found.inputs[:, 0], read(images, offsets), atol=1e-4)
    lines = ruled_page(32, 8).double().expand(len(images), 32, 32).numpy()
    np.testing.assert_allclose(found.inputs[:, 1], read(lines, offsets), atol=1e-4)
    assert torch.equal(found.targets, warped.images)


def test_offsets_have_their_deviation_and_length():
    """Deviations are s, and s/ℓ of the slopes; 16 independent values in each of 260 fields: a standard error of 1.1 %.

    The differences of neighbours are those of the slope up to 1 − 1/4ℓ²·…: below 1 % here.
    """
    offsets = drawn("rectification").offsets
    assert float(offsets.std()) == pytest.approx(1.5, rel=0.05)
    assert float(offsets.diff(dim=-1).std()) == pytest.approx(1.5 / 8, rel=0.05)


def test_the_warp_undone_brings_the_photograph_back():
    """With t(s) = s − ε(t(s)): most of the error of the warp goes, what is left is blur and what left the frame."""
    found, offsets = loaded("rectification"), drawn("rectification").offsets
    back = torch.zeros_like(offsets)
    for _ in range(30):
        back = -warping.warp(offsets, back, "linear", "border")
    restored = warping.warp(found.inputs[:, :1].contiguous(), back, "linear", "border")
    inner = (..., slice(5, -5), slice(5, -5))
    harm = (found.inputs[:, :1] - found.targets)[inner].square().mean()
    assert (restored - found.targets)[inner].square().mean() < 0.35 * harm


def test_lines_tell_offsets_apart_up_to_half_a_period():
    page = ruled_page(32, 8)
    assert torch.allclose(page[:, :24], page[:, 8:], atol=1e-6)
    assert len({round(float(value), 5) for value in page[0, :5]}) == 5


def test_some_offsets_match_moving_and_fixed():
    found, offsets = loaded("registration"), drawn("registration").offsets
    moving, fixed = found.inputs.split(1, 1)
    assert torch.equal(found.targets, fixed)
    assert torch.equal(warping.warp(moving.contiguous(), offsets, "linear", "border"), fixed)
    assert (moving - fixed).square().mean() > 0.1


def test_batches_go_through_all_pairs():
    numbers = torch.arange(6.0).reshape(6, 1, 1, 1)
    paired = PairedImages(numbers, -numbers)
    seen = list(paired.batches(2, 3))
    assert sorted(torch.cat([inputs.flatten() for inputs, _ in seen]).tolist()) == list(range(6))
    assert all(torch.equal(inputs, -targets) for inputs, targets in seen)
    assert torch.equal(paired.at(torch.tensor([4])).targets, -numbers[4:5])


def test_what_is_no_pair_is_refused():
    with pytest.raises(ArgumentError, match="^targets: "):
        PairedImages(torch.zeros(2, 1, 4), torch.zeros(3, 1, 4))
    with pytest.raises(ArgumentError, match="^targets: "):
        PairedImages(torch.zeros(2, 1, 4), torch.zeros(2, 1, 5))
    with pytest.raises(ArgumentError, match="^batch: "):
        next(PairedImages(torch.zeros(2, 1, 4), torch.zeros(2, 1, 4)).batches(3, 1))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"size": 4000}, "size"),
        ({"size": "a"}, "size"),
        ({"spread": -1}, "spread"),
        ({"correlation": 0}, "correlation"),
        ({"period": 1}, "period"),
        ({"train_per_photograph": 0}, "train_per_photograph"),
        ({"train_per_photograph": 10**12}, "train_per_photograph"),
        ({"fold": 1}, "fold"),
    ],
)
def test_options_out_of_range_are_refused(options, named):
    with pytest.raises(ArgumentError, match=f"^{named}: "):
        pairs.load("rectification", **options)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="rectification"):
        pairs.load("rectifcation")
