"""What is done to the images of a set: intensities of mean zero and variance one, and a split of each class in two."""

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor


def normalise_channels(
    train: Num[Tensor, "N C *S"], test: Num[Tensor, "M C *S"]
) -> tuple[Float[Tensor, "N C *S"], Float[Tensor, "M C *S"]]:
    """Shift and scale each channel to mean zero and variance one over the training images.

    A channel that is constant over all training images is only shifted.

    Args:
        train: training images, shape (N, C, *S), any real dtype.
        test: test images, shape (M, C, *S), shifted and scaled as the training images.

    Returns:
        Both as new tensors, shapes (N, C, *S) and (M, C, *S), float32.
    """
    train, test = (images.to(torch.float32, copy=True) for images in (train, test))
    axes = [0, *range(2, train.ndim)]
    variance, mean = torch.var_mean(train, axes, correction=0, keepdim=True)
    deviation = torch.where(variance > 0, variance.sqrt(), 1)
    return train.sub_(mean).div_(deviation), test.sub_(mean).div_(deviation)


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
