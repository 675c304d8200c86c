"""MNIST-1D against the authors' generator, fed with the same random numbers."""

import random

import numpy as np
import pytest

from warptheory.training import data
from warptheory.training.data.mnist1d import templates

generator = pytest.importorskip("mnist1d.data", reason="not run: needs the extra 'peers'")


@pytest.fixture
def global_random_state():
    """Their generator seeds Python's and NumPy's global state: give it back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


def theirs(**changed):
    arguments = generator.get_dataset_args()
    vars(arguments).update(changed)
    return generator.make_dataset(arguments)


def test_templates():
    """The same sums in the same order: 1e-15 is 4 units in the last place of the largest height."""
    np.testing.assert_allclose(templates(), generator.get_templates()["x"], atol=1e-15)


@pytest.mark.usefixtures("global_random_state")
@pytest.mark.parametrize(("samples", "seed"), [(5000, 42), (200, 0), (57, 7)])
def test_every_signal(samples, seed):
    """Both compute in float64; ours is then rounded to float32, which may fall to the other side of a tie."""
    ours = data.load("mnist1d", samples=samples, recipe_seed=seed)
    published = theirs(num_samples=samples, seed=seed)
    for part, suffix in ((ours.train, ""), (ours.test, "_test")):
        np.testing.assert_allclose(part.images[:, 0], published[f"x{suffix}"], rtol=1.2e-7, atol=1e-12)
        np.testing.assert_array_equal(part.labels, published[f"y{suffix}"])
