"""Small archives in CIFAR's layout, written by the standard library from the published description."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Members of an archive, and the bytes before the pixels of a record."""

    folder: str
    train: tuple[str, ...]
    test: str
    class_names: str
    classes: int
    label_bytes: int


CIFAR10 = Layout(
    "cifar-10-batches-bin",
    tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
    "test_batch.bin",
    "batches.meta.txt",
    10,
    1,
)
CIFAR100 = Layout("cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 100, 2)


def random_batches(layout, records, seed=0):
    """Labels and pixels of each member, training members first."""
    generator = np.random.default_rng(seed)
    return [
        (
            generator.integers(0, layout.classes, records, np.uint8),
            generator.integers(0, 256, (records, 3, 32, 32), np.uint8),
        )
        for _ in (*layout.train, layout.test)
    ]


def members_of(layout, batches):
    """Contents of all members by name; the coarse label of CIFAR-100, which is not read, is 19."""
    contents = {}
    for name, (labels, pixels) in zip((*layout.train, layout.test), batches, strict=True):
        coarse = b"\x13" * (layout.label_bytes - 1)
        contents[f"{layout.folder}/{name}"] = b"".join(
            coarse + bytes([label]) + image.tobytes() for label, image in zip(labels, pixels, strict=True)
        )
    names = "\n".join(f"class{number}" for number in range(layout.classes))
    contents[f"{layout.folder}/{layout.class_names}"] = f"{names}\n\n".encode()
    contents[f"{layout.folder}/readme.html"] = b"<html></html>"
    return contents


def packed(contents, *extra):
    """Return the bytes of a compressed archive of some contents, and of headers without any."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in contents.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
        for header in extra:
            tar.addfile(header)
    return buffer.getvalue()


def link(name, target, kind=tarfile.SYMTYPE):
    """Return the header of a link."""
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


def expecting(archive, content):
    """Return the archive's description, with the sum of other bytes."""
    return replace(archive, md5=hashlib.md5(content).hexdigest())


def normalised(train, test):
    """Return both in float64, each channel of mean zero and variance one over the training images."""
    mean, deviation = (statistic(train, axis=(0, 2, 3), keepdims=True) for statistic in (np.mean, np.std))
    return (train - mean) / deviation, (test - mean) / deviation
