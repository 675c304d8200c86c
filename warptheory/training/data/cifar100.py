"""CIFAR-100: 60 000 colour photographs of 32×32 pixels in a hundred classes."""

from pathlib import Path

from warptheory.training.data._cifar import Archive, load_archive
from warptheory.training.data._dataset import Dataset

_FOLDER = "cifar-100-binary"
_ARCHIVE = Archive(
    name="cifar100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    train=(f"{_FOLDER}/train.bin",),
    test=f"{_FOLDER}/test.bin",
    class_names=f"{_FOLDER}/fine_label_names.txt",
    label_bytes=2,  # the coarse label, then the fine one
    classes=100,
)


def cifar100(*, data_dir: Path | None = None, download: bool = False) -> Dataset:
    """Load CIFAR-100 with its fine labels and its published split, from its binary archive.

    Args:
        data_dir: folder of cifar-100-binary.tar.gz; None with `download`: the user's cache.
        download: fetch the archive (169 MB) if it is not there.

    Returns:
        Images of shape (N, 3, 32, 32), as `load_archive` returns them; it also says what is raised.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    return load_archive(_ARCHIVE, data_dir, download)
