"""CIFAR-10: 60 000 colour photographs of 32×32 pixels in ten classes."""

from pathlib import Path

from warptheory.training.data._cifar import Archive, load_archive
from warptheory.training.data._dataset import Dataset

_FOLDER = "cifar-10-batches-bin"
_ARCHIVE = Archive(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    train=tuple(f"{_FOLDER}/data_batch_{number}.bin" for number in range(1, 6)),
    test=f"{_FOLDER}/test_batch.bin",
    class_names=f"{_FOLDER}/batches.meta.txt",
    label_bytes=1,
    classes=10,
)


def cifar10(*, data_dir: Path | None = None, download: bool = False) -> Dataset:
    """Load CIFAR-10 with its published split, from its binary archive.

    Args:
        data_dir: folder of cifar-10-binary.tar.gz; None with `download`: the user's cache.
        download: fetch the archive (170 MB) if it is not there.

    Returns:
        Images of shape (N, 3, 32, 32), as `load_archive` returns them; it also says what is raised.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    return load_archive(_ARCHIVE, data_dir, download)
