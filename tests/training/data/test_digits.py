import numpy as np
import pytest
from sklearn import datasets, svm

from warptheory.training import data


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_each_published_image_is_in_one_part(digits):
    """Undone, the normalisation gives back the published intensities, which are integers up to 16."""
    published = datasets.load_digits()
    ours = np.concatenate([digits.train.images, digits.test.images])[:, 0]
    labels = np.concatenate([digits.train.labels, digits.test.labels])
    low, high = ours.min(), ours.max()
    restored = 16 * (ours - low) / (high - low)
    assert np.abs(restored - restored.round()).max() < 1e-5
    rows = {
        (*image.astype(int).flatten(), label) for image, label in zip(published.images, published.target, strict=True)
    }
    found = [(*image.round().astype(int).flatten(), label) for image, label in zip(restored, labels, strict=True)]
    assert sorted(found) == sorted(rows)


def test_normalised_by_the_training_images(digits):
    """Float32 sums of 92 032 intensities."""
    assert abs(float(digits.train.images.mean())) < 1e-5
    assert float(digits.train.images.var(correction=0)) == pytest.approx(1, abs=1e-5)
    assert float(digits.test.images.mean()) != 0


def test_the_share_to_test_on_can_be_chosen():
    half = data.load("digits", test_share=0.5)
    assert abs(len(half.train.labels) - len(half.test.labels)) <= 10


def test_a_support_vector_machine_reaches_what_is_published(digits):
    """scikit-learn's example reports 97 % after training on half; the standard error of 359 images is 0.9 %."""
    machine = svm.SVC().fit(digits.train.images.flatten(1).numpy(), digits.train.labels.numpy())
    score = machine.score(digits.test.images.flatten(1).numpy(), digits.test.labels.numpy())
    assert score > 0.97 - 3 * (0.97 * 0.03 / 359) ** 0.5
