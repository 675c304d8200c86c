"""Intensities of mean zero and variance one, with statistics that the test images do not enter."""

import torch
from jaxtyping import Float, Num
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
