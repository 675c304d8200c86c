import numpy as np
import pytest
import torch
from scipy import interpolate

from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.training import data
from warptheory.training.data.stretched_signals import templates, time_warps


def drawn(part, count, stretch=0.9, seed=0):
    return time_warps(count, 64, stretch, Stream(seed, f"stretched_signals/{part}_per_class").generator())


def test_the_numbers_of_the_set():
    loaded = data.load("stretched_signals")
    assert loaded.train.images.shape == (2000, 1, 64)
    assert loaded.test.images.shape == (1000, 1, 64)


def test_time_runs_forward_from_the_first_sample_to_the_last():
    times = drawn("train", 2000)
    assert (times.diff(dim=1) > 0).all()
    assert (times[:, 0] == 0).all()
    np.testing.assert_allclose(times[:, -1], 63, rtol=1e-12)


def test_speeds_have_the_deviation_that_is_asked_for():
    """Of log τ' between mid and first sample, up to a factor of the run: √2·0.9 √(1 − C(τ)) for the covariance.

    Steps are means of two samples, which takes off less than 1 % here; the standard error of 4000 values is 1.1 %.
    """
    speed = drawn("train", 4000).diff(dim=1).log()
    distance = 32
    expected = 0.9 * np.sqrt(2 - 2 * np.exp(-(distance**2) / (2 * 16**2)))
    assert float((speed[:, 40] - speed[:, 40 - distance]).std()) == pytest.approx(expected, rel=0.045)


def test_signals_are_their_shapes_read_at_those_times():
    """SciPy's cubic splines of the same shapes; both interpolate a shape of length four samples to below 2 %."""
    plain = data.load("stretched_signals", noise=0.0, train_per_class=20, test_per_class=1).train
    shapes = templates(10, 64, 0.25, Stream(0, "stretched_signals/shapes").generator())
    times = drawn("train", 200).numpy()
    labels = np.arange(10).repeat(20)
    expected = np.stack(
        [interpolate.CubicSpline(np.arange(64), shapes[label])(time) for label, time in zip(labels, times, strict=True)]
    )
    expected = (expected - expected.mean()) / expected.std()
    error = plain.images[:, 0].numpy() - expected
    assert np.sqrt((error**2).mean()) < 0.02


def test_without_warp_signals_of_a_class_are_equal():
    still = data.load("stretched_signals", noise=0.0, stretch=0.0, train_per_class=3, test_per_class=1)
    by_class = still.train.images.reshape(10, 3, 64)
    assert torch.allclose(by_class, by_class[:, :1].expand_as(by_class), atol=1e-6)
    assert torch.allclose(by_class[:, 0], still.test.images[:, 0], atol=1e-6)


def test_the_noise_has_its_deviation():
    """Relative to the whole, which is normalised; 1280 values twice, a standard error of 2 %."""
    noisy, quiet = (
        data.load("stretched_signals", noise=noise, stretch=0.0, train_per_class=10, test_per_class=10)
        for noise in (0.2, 0.0)
    )
    spread = quiet.train.images.reshape(10, 10, 64)[:, 0].std(correction=0)
    assert float(spread) == pytest.approx(1, abs=1e-4)
    within = noisy.train.images.reshape(10, 10, 64).var(1).mean().sqrt()
    shapes = templates(10, 64, 0.25, Stream(0, "stretched_signals/shapes").generator())
    expected = 0.2 / np.sqrt(float(shapes.var(correction=0)) + 0.2**2)
    assert float(within) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"classes": 1}, "classes"),
        ({"length": 4}, "length"),
        ({"stretch": -1}, "stretch"),
        ({"stretch": 1e4}, "stretch"),
        ({"difference": 0}, "difference"),
        ({"noise": -1}, "noise"),
        ({"train_per_class": 10**12}, "train_per_class"),
    ],
)
def test_options_out_of_range_are_refused(options, named):
    with pytest.raises(ArgumentError, match=f"^{named}: "):
        data.load("stretched_signals", **options)
