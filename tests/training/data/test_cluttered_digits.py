import numpy as np
import pytest
from scipy import stats
from sklearn import datasets

from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.training import data
from warptheory.training.data.cluttered_digits import Clutter


@pytest.fixture(scope="module")
def loaded():
    return data.load("cluttered_digits")


@pytest.fixture(scope="module")
def drawn():
    labels = np.arange(4000) % 10
    return labels, Clutter.drawn(labels, 8, (24, 6, 3, 6), np.random.default_rng(0))


def test_the_numbers_of_the_set(loaded):
    assert loaded.train.images.shape == (2400, 1, 24, 24)
    assert loaded.test.images.shape == (1194, 1, 24, 24)


def test_clutter_never_covers_the_digit(loaded):
    """Each digit is found unharmed, to the grey level, where its place says; levels are sixteenths."""
    published = datasets.load_digits()
    known = {
        (*image.astype(int).flatten(), label) for image, label in zip(published.images, published.target, strict=True)
    }
    part = loaded.test
    low, high = float(part.images.min()), float(part.images.max())
    levels = ((part.images[:, 0].numpy() - low) * 16 / (high - low)).round().astype(int)
    stream = Stream(0, "cluttered_digits/test")
    places = Clutter.drawn(part.labels.numpy(), 8, (24, 6, 3, 6), stream.generator()).digits
    for image, label, (row, column) in zip(levels, part.labels.tolist(), places, strict=True):
        assert (*image[row : row + 8, column : column + 8].flatten(), label) in known


def test_frames_and_fragments_have_no_pixel_in_common(drawn):
    """Pixel by pixel."""
    _, clutter = drawn
    for index in range(300):
        row, column = clutter.digits[index]
        free = np.ones((24, 24), bool)
        free[row : row + 8, column : column + 8] = False
        for side, (first, second) in zip(clutter.sides[index], clutter.corners[index], strict=True):
            fragment = free[first : first + side, second : second + side]
            assert fragment.shape == (side, side)
            assert fragment.all()


def test_fragments_are_of_other_classes(drawn):
    labels, clutter = drawn
    assert (labels[clutter.sources] != labels[:, None]).all()
    assert set(clutter.sides.flatten()) == {3, 4, 5, 6}


def test_places_are_uniform(drawn):
    """Pearson's test of the 17×17 places, level 0.1 %; about 14 digits are expected at each."""
    _, clutter = drawn
    counts = np.histogram2d(*clutter.digits.T, bins=17, range=[[-0.5, 16.5]] * 2)[0]
    assert stats.chisquare(counts.flatten()).pvalue > 0.001


def test_fragments_lie_uniformly_beside_the_frame():
    """Of one digit in a corner: Pearson's test of all places that are left, level 0.1 %."""
    generator = np.random.default_rng(1)
    clutter = Clutter.drawn(np.arange(2000) % 2, 8, (14, 6, 3, 3), generator)
    cornered = (clutter.digits == 0).all(1)
    counts = np.histogram2d(*clutter.corners[cornered].reshape(-1, 2).T, bins=12, range=[[-0.5, 11.5]] * 2)[0]
    left = np.ones((12, 12), bool)
    left[:8, :8] = False
    assert not counts[~left].any()
    assert stats.chisquare(counts[left]).pvalue > 0.001


def test_without_fragments_there_is_only_the_digit():
    alone = data.load("cluttered_digits", fragments=0, canvas=20, copies=1).train.images
    ink = (alone[:, 0] > alone.min()).float()
    assert ink.amax(2).sum(1).max() <= 8
    assert ink.amax(1).sum(1).max() <= 8


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"canvas": 19}, "canvas"),
        ({"canvas": 10**9}, "canvas"),
        ({"fragments": 10**9}, "fragments"),
        ({"fragments": -1}, "fragments"),
        ({"largest": 9}, "largest"),
        ({"largest": 2}, "largest"),
        ({"smallest": 0}, "smallest"),
        ({"copies": 0}, "copies"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, named):
    with pytest.raises(ArgumentError, match=f"^{named}: "):
        data.load("cluttered_digits", **options)
