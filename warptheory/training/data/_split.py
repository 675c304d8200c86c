"""A split into training and test images that keeps the shares of the classes."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


def stratified_split(
    labels: Int[Tensor, "N"], test_share: float, generator: np.random.Generator
) -> tuple[Int[Tensor, "T"], Int[Tensor, "R"]]:
    """Choose the images to test on at random, the same share of every class, at least one and never all.

    Args:
        labels: class of each image, shape (N,), at least two images of each class.
        test_share: share of the images to test on, in (0, 1).
        generator: source of the choice.

    Returns:
        Indices of the training and of the test images, shapes (T,) and (R,), each ascending.
    """
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for label in np.unique(labels.numpy()):
        members = generator.permutation(torch.nonzero(labels == label).flatten().numpy())
        count = min(max(round(test_share * len(members)), 1), len(members) - 1)
        is_test[torch.from_numpy(members[:count])] = True
    return torch.nonzero(~is_test).flatten(), torch.nonzero(is_test).flatten()
