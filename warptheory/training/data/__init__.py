"""Labelled images to train on and to test on, one file per data set.

>>> from warptheory.training import data
>>> digits = data.load("digits")
>>> digits.train.images.shape, digits.test.images.shape
(torch.Size([1438, 1, 8, 8]), torch.Size([359, 1, 8, 8]))

Photographs, digits, signals and MNIST-1D need no download; digits under affine maps or in clutter, and stretched
signals, are made for networks that warp. CIFAR is read from its binary archive, and `folder` reads any images that lie
in one folder per class. No file is ever unpickled. Tasks whose targets are images are in `training.pairs`.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warptheory.core.catalogue import Catalogue
from warptheory.core.errors import ArgumentError
from warptheory.core.listing import public_names
from warptheory.training.data._cifar import DownloadError
from warptheory.training.data._dataset import Dataset, LabelledImages
from warptheory.training.data._loading import refuse_unknown

__all__ = ["Dataset", "DownloadError", "LabelledImages", "load", "names"]
__dir__ = public_names(__name__)

# What every data set may be given; everything else is an option of its own.
_SHARED = ("data_dir", "download", "seed")


_CATALOGUE = Catalogue[Callable[..., Dataset]](__name__)
names = _CATALOGUE.names


def load(
    name: str, *, data_dir: str | Path | None = None, download: bool = False, seed: int = 0, **options: Any
) -> Dataset:
    """Load a data set.

    Args:
        name: a name in `names()`.
        data_dir: folder of the files, for data sets that are read from files of the user.
        download: fetch the files if they are not there, for data sets that can be fetched.
        seed: seed of all that the data set draws: positions of patches, splits. Sets that are published
            with their split are the same for every seed.
        options: options of the data set itself, such as `size` of the patches.

    Returns:
        Images of shape (N, C, *S), float32, normalised, and labels of shape (N,), int64, to train and to test.

    Raises:
        UnknownNameError: no data set of that name.
        ArgumentError: options that the data set does not have or cannot use, or files that cannot be used.
        DownloadError: the files could not be fetched, or what came is not what was published.
    """
    entry = _CATALOGUE.get(name)
    parameters = inspect.signature(entry).parameters
    refuse_unknown(name, options, [parameter for parameter in parameters if parameter not in _SHARED])
    if data_dir is not None and "data_dir" not in parameters:
        raise ArgumentError("data_dir", expected=f"None, as {name} is read from no folder", received=data_dir)
    if download and "download" not in parameters:
        raise ArgumentError("download", expected=f"False, as {name} cannot be fetched", received=download)
    shared = {"data_dir": None if data_dir is None else Path(data_dir), "download": download, "seed": seed}
    used = {argument: value for argument, value in shared.items() if argument in parameters}
    return entry(**used, **options)
