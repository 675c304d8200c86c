"""scikit-learn's digits as sets that are drawn from them take them: intensities up to one, split at random."""

import numpy as np
import torch

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.training.data._dataset import LabelledImages


def split_digits(train_digits: int, seed: int, label: str) -> tuple[tuple[str, ...], LabelledImages, LabelledImages]:
    """Return the names of the classes, and the digits to train on and to test on, split at random.

    Args:
        train_digits: number of digits to train on; the others are to test on.
        seed: seed of the split.
        label: what the split is for, the label of its random stream.

    Returns:
        Names, and twice images of shape (N, 1, 8, 8), float64, from 0 to 1, with labels (N,).

    Raises:
        ArgumentError: a split that leaves a class out of a part.

    Source: `sklearn.datasets.load_digits`, see `digits`.
    """
    from sklearn import datasets

    published = datasets.load_digits()
    whole = LabelledImages(
        torch.from_numpy(published.images / 16).unsqueeze(1), torch.from_numpy(published.target).long()
    )
    check_integer("train_digits", train_digits, most=len(whole.labels) - 1)
    order = torch.from_numpy(Stream(seed, label).generator().permutation(len(whole.labels)))
    train, test = whole.at(order[:train_digits]), whole.at(order[train_digits:])
    classes = tuple(str(name) for name in published.target_names)
    if any(len(np.unique(part.labels.numpy())) < len(classes) for part in (train, test)):
        raise ArgumentError("train_digits", expected="every class in both parts", received=train_digits)
    return classes, train, test
