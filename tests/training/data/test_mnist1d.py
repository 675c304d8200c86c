import numpy as np
import pytest
import torch

from warptheory.training import data


@pytest.fixture(scope="module")
def published():
    return data.load("mnist1d")


def test_numbers_of_the_published_file(published):
    """Read off the file that the authors published (mnist1d_data, 4000 and 1000 signals), to its sixth decimal."""
    train, test = published.train, published.test
    assert train.images.shape == (4000, 1, 40)
    assert test.images.shape == (1000, 1, 40)
    first = [-0.332006, -0.471910, -0.778697, -1.009741, -0.882353, 0.103935, 1.643284, 1.652507]
    last = [-0.813744, -1.216245, -1.464942, -1.650993]
    last_test = [-0.519329, -0.698723, -1.281038, -2.161015, -2.389421, -0.242339]
    np.testing.assert_allclose(train.images[0, 0, :8], first, atol=1e-6)
    np.testing.assert_allclose(train.images[-1, 0, -4:], last, atol=1e-6)
    np.testing.assert_allclose(test.images[-1, 0, :6], last_test, atol=1e-6)
    assert train.labels[:20].tolist() == [2, 6, 4, 5, 6, 6, 6, 0, 3, 1, 6, 9, 4, 3, 4, 5, 1, 9, 0, 3]
    assert test.labels[-20:].tolist() == [0, 6, 6, 9, 6, 7, 8, 3, 3, 9, 8, 3, 3, 6, 1, 2, 5, 9, 6, 4]
    assert train.labels.bincount().tolist() == [398, 396, 411, 394, 394, 402, 401, 404, 402, 398]


def test_normalised_over_all_signals(published):
    """As published: not by the training signals alone. Float32 sums of 200 000 numbers."""
    signals = torch.cat([published.train.images, published.test.images])
    assert signals.mean().abs() < 1e-6
    assert signals.var(correction=0) == pytest.approx(1, abs=1e-5)


def test_another_seed_of_the_recipe_gives_other_signals():
    first, again, other = (data.load("mnist1d", samples=100, recipe_seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.train.images, again.train.images)
    assert not torch.equal(first.train.images, other.train.images)


def test_samples_are_shared_by_the_classes():
    few = data.load("mnist1d", samples=59)
    assert (len(few.train.labels), len(few.test.labels)) == (40, 10)
    assert torch.cat([few.train.labels, few.test.labels]).bincount().tolist() == [5] * 10
