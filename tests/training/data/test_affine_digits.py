import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from sklearn import datasets

from warptheory.core.errors import ArgumentError
from warptheory.training import data
from warptheory.training.data._affine import AffineMaps, AffineRanges

RANGES = AffineRanges(canvas=20, rotation=0.6, smallest=1.0, largest=2.2, aspect=1.6, shear=0.3)


@pytest.fixture(scope="module")
def loaded():
    return data.load("affine_digits")


@pytest.fixture(scope="module")
def maps():
    return AffineMaps.drawn(20000, (8, 8), RANGES, np.random.default_rng(0))


def test_the_numbers_of_the_set(loaded):
    assert loaded.train.images.shape == (2400, 1, 20, 20)
    assert loaded.test.images.shape == (1194, 1, 20, 20)


def test_placed_as_scipy_places():
    """SciPy's own affine transform, linear and with zeros outside, from the same matrices; rounding of float64."""
    drawn = AffineMaps.drawn(20, (8, 8), RANGES, np.random.default_rng(1))
    images = datasets.load_digits().images[:20] / 16
    ours = drawn.place(torch.from_numpy(images).unsqueeze(1), 20)[:, 0].numpy()
    for image, linear, centre, placed in zip(images, drawn.linear.numpy(), drawn.centre.numpy(), ours, strict=True):
        inverse = np.linalg.inv(linear)
        theirs = ndimage.affine_transform(
            np.pad(image, 4), inverse, 7.5 - inverse @ centre, output_shape=(20, 20), order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(placed, theirs, atol=1e-12)


def factors(linear):
    """Return angle, shear, height and width of A = R (1 0; k 1) diag(h, w), from its own QL-like factors."""
    angle = np.arctan2(-linear[:, 0, 1], linear[:, 1, 1])
    cosine, sine = np.cos(angle), np.sin(angle)
    back = np.stack([cosine, sine, -sine, cosine], -1).reshape(-1, 2, 2)
    triangular = back @ linear
    assert np.abs(triangular[:, 0, 1]).max() < 1e-12
    height, width = triangular[:, 0, 0], triangular[:, 1, 1]
    return angle, triangular[:, 1, 0] / height, height, width


def test_each_factor_has_its_law(maps):
    """Kolmogorov and Smirnov, each at a level of 0.1 %; the seed is fixed."""
    angle, shear, height, width = factors(maps.linear.numpy())
    laws = (
        (angle, -0.6, 0.6),
        (shear, -0.3, 0.3),
        (np.log(height * width) / 2, 0.0, np.log(2.2)),
        (np.log(width / height), -np.log(1.6), np.log(1.6)),
    )
    for values, low, high in laws:
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.001


def test_positions_are_uniform_where_the_frame_fits(maps):
    """The same test, on the corners' own bounding box: its least coordinate over the room that it has."""
    corners = np.array([[-4, -4], [-4, 4], [4, -4], [4, 4]]).T
    placed = maps.linear.numpy() @ corners + maps.centre.numpy()[:, :, None]
    first, last = placed.min(-1) + 0.5, placed.max(-1) + 0.5
    room = 20 - (last - first)
    fits = room > 1e-9
    assert 0.5 < fits.mean() < 1
    assert stats.kstest((first[fits] / room[fits]), "uniform").pvalue > 0.001
    np.testing.assert_allclose(first[~fits], 20 - last[~fits], atol=1e-9)


def test_undone_the_digits_are_back():
    """Whole sizes at whole positions are read back exactly; rounding of float64."""
    double = AffineMaps(2 * torch.eye(2).double().expand(3, 2, 2), torch.full((3, 2), 9.0).double())
    images = torch.from_numpy(datasets.load_digits().images[:3] / 16).unsqueeze(1)
    np.testing.assert_allclose(double.undo(double.place(images, 20), (8, 8)), images, atol=1e-12)


def test_without_ranges_a_digit_is_only_put_somewhere():
    still = data.load("affine_digits", canvas=8, rotation=0, largest=1, aspect=1, shear=0, copies=1)
    found = still.train.images.flatten(1)
    low, high = found.min(), found.max()
    restored = 16 * (found - low) / (high - low)
    published = {tuple(image) for image in datasets.load_digits().images.astype(int).reshape(-1, 64)}
    assert {tuple(row) for row in restored.round().int().numpy()} <= published


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"canvas": 0}, "canvas"),
        ({"canvas": 10**9}, "canvas"),
        ({"rotation": -1}, "rotation"),
        ({"largest": 0.5}, "largest"),
        ({"aspect": 0.9}, "aspect"),
        ({"copies": 0}, "copies"),
        ({"train_digits": 3}, "train_digits"),
        ({"train_digits": 1797}, "train_digits"),
    ],
)
def test_ranges_that_bound_nothing_are_refused(options, named):
    with pytest.raises(ArgumentError, match=f"^{named}: "):
        data.load("affine_digits", **options)
