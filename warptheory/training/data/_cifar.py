"""CIFAR's binary archives, read as they are published: nothing is extracted and nothing unpickled."""

import gzip
import math
import os
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.files import output_folder
from warptheory.training.data._dataset import Dataset, LabelledImages, normalised, unusable
from warptheory.training.data._download_bar import DownloadBar

_SHAPE = (3, 32, 32)
_LARGEST_MEMBER = 2**28  # bytes; the largest published one has 154 MB
_PIECE = 2**20  # bytes read at a time where they are not kept


class DownloadError(WarpTheoryError):
    """A file could not be fetched, or is not the one that was published; the message names its address."""


@dataclass(frozen=True)
class Archive:
    """A published archive of records, each a few label bytes and 3 × 32 × 32 bytes, red plane first, row by row.

    Attributes:
        name: name of the data set.
        url: address of the file.
        md5: published checksum of the file, in hexadecimal digits.
        train: members with the training images.
        test: member with the test images.
        class_names: member with one name of a class in a line.
        label_bytes: bytes before the pixels; the last of them is the label.
        classes: number of classes.
    """

    name: str
    url: str
    md5: str
    train: tuple[str, ...]
    test: str
    class_names: str
    label_bytes: int
    classes: int

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return PurePosixPath(self.url).name


def load_archive(archive: Archive, data_dir: Path | None, download: bool) -> Dataset:
    """Find an archive, check its sum and read it.

    Args:
        archive: which archive.
        data_dir: folder of the file; None: the user's cache, if it may be fetched.
        download: fetch the file if it is not there.

    Returns:
        Images of shape (N, 3, 32, 32), channels normalised by the training images.

    Raises:
        ArgumentError: no such file, or not the published one.
        DownloadError: the file could not be fetched.
    """
    import pooch

    if data_dir is None and not download:
        expected = f"the folder of {archive.file_name}, or download=True"
        raise ArgumentError("data_dir", expected=expected, received=None)
    folder = pooch.os_cache("warptheory") if data_dir is None else data_dir
    path = Path(folder) / archive.file_name
    if download and not os.path.lexists(path):
        _fetch(archive, path)
    _check_sum(path, archive)
    return read_archive(path, archive)


def _fetch(archive: Archive, path: Path) -> None:
    import pooch

    folder = output_folder(path.parent, "data_dir")
    bar = DownloadBar(path.name)
    fetch = pooch.HTTPDownloader(progressbar=bar)
    try:
        # The file comes to its place only after its sum was checked.
        pooch.retrieve(archive.url, known_hash=f"md5:{archive.md5}", fname=path.name, path=folder, downloader=fetch)
    except (OSError, ValueError) as error:
        raise DownloadError(f"{archive.url} could not be fetched: {error}") from error
    finally:
        bar.close()


def _check_sum(path: Path, archive: Archive) -> None:
    import pooch

    if not path.is_file():
        expected = f"a folder with the file {archive.file_name} (download=True fetches it)"
        raise ArgumentError("data_dir", expected=expected, received=path.parent)
    try:
        found = pooch.file_hash(path, alg="md5")
    except OSError as error:
        raise unusable(path, "a file that can be read", error.strerror) from error
    if found != archive.md5:
        what = f"MD5 {found} of {path.stat().st_size} bytes: damaged, or not downloaded whole"
        raise unusable(path, f"the published archive, MD5 {archive.md5}", what)


def read_archive(path: Path, archive: Archive) -> Dataset:
    """Read the images of an archive, whose sum need not be the published one.

    Args:
        path: the file, a tar archive compressed by gzip.
        archive: what it should hold.

    Returns:
        Images of shape (N, 3, 32, 32), channels normalised by the training images.

    Raises:
        ArgumentError: not such an archive, or one that is cut off; records of another size; labels that are
            no class; members that are links or lie outside the archive's folder.
    """
    members = _read_members(path, {*archive.train, archive.test, archive.class_names})
    parts = [_records(path, archive, member, members[member]) for member in (*archive.train, archive.test)]
    pixels, labels = zip(*parts, strict=True)
    train, test = (
        LabelledImages(_joined(pixels[part]), _joined(labels[part]).long()) for part in (slice(-1), slice(-1, None))
    )
    return normalised(archive.name, _class_names(path, archive, members[archive.class_names]), train, test)


def _joined(arrays: Sequence[UInt8[ndarray, "_ *S"]]) -> UInt8[Tensor, "N *S"]:
    return torch.from_numpy(np.concatenate(arrays))


def _read_members(path: Path, wanted: set[str]) -> dict[str, bytes]:
    expected = "a whole tar archive compressed by gzip"
    try:
        headers, contents = _unpack(path, wanted)
    except (tarfile.TarError, zlib.error, EOFError, OSError, OverflowError, ValueError) as error:
        raise unusable(path, expected, error) from error
    for header in headers:
        _check_header(path, header)
    if missing := sorted(wanted - set(contents)):
        raise unusable(path, expected, f"no member {', '.join(missing)}")
    return contents


def _unpack(path: Path, wanted: set[str]) -> tuple[list[tarfile.TarInfo], dict[str, bytes]]:
    """Return the headers of all members, and the contents of the wanted ones by name."""
    headers, contents = [], {}
    with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for header in tar:
            headers.append(header)
            if header.name in wanted and header.isreg() and (member := tar.extractfile(header)):
                if header.size > _LARGEST_MEMBER:
                    raise tarfile.ReadError(f"member {header.name!r} of {header.size} bytes")
                contents[header.name] = member.read()
        # The sum of the compressed data is checked at their end, which lies behind the last member.
        while stream.read(_PIECE):
            pass
    return headers, contents


def _check_header(path: Path, header: tarfile.TarInfo) -> None:
    """Refuse what an archive of data has no reason to hold, though nothing is written to the disk."""
    place = PurePosixPath(header.name)
    if place.is_absolute() or ".." in place.parts:
        raise unusable(path, "members inside the archive's folder", f"member {header.name!r}")
    if not (header.isreg() or header.isdir()):
        raise unusable(path, "members that are files or folders", f"member {header.name!r}, a link or a device")


def _records(
    path: Path, archive: Archive, member: str, content: bytes
) -> tuple[UInt8[ndarray, "N 3 32 32"], UInt8[ndarray, "N"]]:
    length = archive.label_bytes + math.prod(_SHAPE)
    if not content or len(content) % length:
        raise unusable(path, f"records of {length} bytes", f"{len(content)} bytes in member {member!r}")
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    labels = records[:, archive.label_bytes - 1]
    if (wrong := np.flatnonzero(labels >= archive.classes)).size:
        received = f"{labels[wrong[0]]} in record {wrong[0]} of member {member!r}"
        raise unusable(path, f"labels below {archive.classes}", received)
    return records[:, archive.label_bytes :].reshape(-1, *_SHAPE), labels


def _class_names(path: Path, archive: Archive, content: bytes) -> tuple[str, ...]:
    names = tuple(content.decode("utf-8", "replace").split())
    if len(names) != archive.classes:
        received = f"{len(names)} in member {archive.class_names!r}"
        raise unusable(path, f"names of {archive.classes} classes", received)
    return names
