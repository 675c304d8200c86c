import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.archives import CIFAR10, expecting, members_of, normalised, packed, random_batches
from warptheory.core.errors import ArgumentError
from warptheory.training import data
from warptheory.training.data import _cifar, cifar10


@given(records=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_records_come_back(tmp_path_factory, records, seed):
    """Float32 sums of intensities up to 255, in units of a deviation near 74, or of none: 1e-5 at most."""
    path = tmp_path_factory.mktemp("cifar10") / "archive.tar.gz"
    batches = random_batches(CIFAR10, records, seed)
    path.write_bytes(packed(members_of(CIFAR10, batches)))
    dataset = _cifar.read_archive(path, cifar10._ARCHIVE)
    train_pixels = np.concatenate([pixels for _, pixels in batches[:5]])
    train, test = normalised(train_pixels, batches[5][1])
    np.testing.assert_allclose(dataset.train.images, train, atol=1e-5)
    np.testing.assert_allclose(dataset.test.images, test, atol=1e-5)
    np.testing.assert_array_equal(dataset.train.labels, np.concatenate([labels for labels, _ in batches[:5]]))
    np.testing.assert_array_equal(dataset.test.labels, batches[5][0])
    assert dataset.classes == tuple(f"class{number}" for number in range(10))
    assert dataset.train.images.dtype == torch.float32
    assert dataset.train.labels.dtype == torch.int64


def test_through_the_catalogue(tmp_path, monkeypatch):
    content = packed(members_of(CIFAR10, random_batches(CIFAR10, 2)))
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
    monkeypatch.setattr(cifar10, "_ARCHIVE", expecting(cifar10._ARCHIVE, content))
    dataset = data.load("cifar10", data_dir=tmp_path)
    assert dataset.name == "cifar10"
    assert dataset.train.images.shape == (10, 3, 32, 32)
    assert dataset.test.images.shape == (2, 3, 32, 32)
    assert torch.equal(dataset.train.images, data.load("cifar10", data_dir=str(tmp_path), seed=3).train.images)


def test_only_the_published_archive_is_read(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(packed(members_of(CIFAR10, random_batches(CIFAR10, 1))))
    with pytest.raises(ArgumentError, match="^data_dir: expected the published archive, MD5 c32a1d4.*, got ") as caught:
        data.load("cifar10", data_dir=tmp_path)
    assert str(path) in str(caught.value)
    assert "damaged, or not downloaded whole" in str(caught.value)


@pytest.mark.parametrize(("folder", "received"), [(None, "None"), ("empty", ".*empty")])
def test_no_archive(tmp_path, folder, received):
    with pytest.raises(ArgumentError, match=f"^data_dir: expected .*cifar-10-binary.tar.gz.*, got {received}$"):
        data.load("cifar10", data_dir=None if folder is None else tmp_path / folder)
