"""Handwritten digits of 8×8 pixels, which ship inside scikit-learn."""

import torch

from warptheory.core.checks import check_number
from warptheory.core.streams import Stream
from warptheory.training.data._dataset import Dataset, LabelledImages, normalised
from warptheory.training.data._preparation import stratified_split


def digits(*, seed: int = 0, test_share: float = 0.2) -> Dataset:
    """Load 1797 handwritten digits, split at random within each class, normalised by the training images.

    The split is not by writer, which the files do not tell: a writer's digits may be in both parts.

    Args:
        seed: seed of the split.
        test_share: share of the images of each class to test on.

    Returns:
        Images of shape (N, 1, 8, 8).

    Raises:
        ArgumentError: a share that is not between 0 and 1.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
    1998, https://doi.org/10.24432/C50P49; its test set, as `sklearn.datasets.load_digits` has it.
    """
    from sklearn import datasets

    check_number("test_share", test_share, above=0, below=1)
    published = datasets.load_digits()
    whole = LabelledImages(torch.from_numpy(published.images).unsqueeze(1), torch.from_numpy(published.target).long())
    parts = stratified_split(whole.labels, test_share, Stream(seed, "digits/split").generator())
    return normalised("digits", tuple(str(name) for name in published.target_names), *map(whole.at, parts))
