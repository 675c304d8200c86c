import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.archives import CIFAR100, expecting, members_of, normalised, packed, random_batches
from warptheory.core.errors import ArgumentError
from warptheory.training import data
from warptheory.training.data import _cifar, cifar100


@given(records=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_records_come_back(tmp_path_factory, records, seed):
    """The label is the fine one; tolerance as for CIFAR-10."""
    path = tmp_path_factory.mktemp("cifar100") / "archive.tar.gz"
    batches = random_batches(CIFAR100, records, seed)
    path.write_bytes(packed(members_of(CIFAR100, batches)))
    dataset = _cifar.read_archive(path, cifar100._ARCHIVE)
    train, test = normalised(batches[0][1], batches[1][1])
    np.testing.assert_allclose(dataset.train.images, train, atol=1e-5)
    np.testing.assert_allclose(dataset.test.images, test, atol=1e-5)
    np.testing.assert_array_equal(dataset.train.labels, batches[0][0])
    np.testing.assert_array_equal(dataset.test.labels, batches[1][0])
    assert dataset.classes == tuple(f"class{number}" for number in range(100))


def test_through_the_catalogue(tmp_path, monkeypatch):
    content = packed(members_of(CIFAR100, random_batches(CIFAR100, 4)))
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(content)
    monkeypatch.setattr(cifar100, "_ARCHIVE", expecting(cifar100._ARCHIVE, content))
    dataset = data.load("cifar100", data_dir=tmp_path)
    assert dataset.name == "cifar100"
    assert dataset.train.images.shape == dataset.test.images.shape == (4, 3, 32, 32)


def test_only_the_published_archive_is_read(tmp_path):
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(b"")
    with pytest.raises(ArgumentError, match="^data_dir: expected the published archive, MD5 03b5dce0.* of 0 bytes"):
        data.load("cifar100", data_dir=tmp_path)
