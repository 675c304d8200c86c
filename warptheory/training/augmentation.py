"""Augmentation of a batch. What is drawn is drawn for the whole batch, addressed by (seed, step).

A process that trains on a share of the batch takes its rows of what was drawn, so that the images that are trained on
do not depend on the number of processes, or on interruptions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from warptheory.core.checks import check_known
from warptheory.core.streams import Stream

PADDING = 4


def flip(images: Float[Tensor, "B C *S"], flipped: Bool[Tensor, "B"]) -> Float[Tensor, "B C *S"]:
    """Mirror chosen images along their last axis.

    Args:
        images: shape (B, C, *S).
        flipped: which of them, shape (B,).
    """
    return torch.where(flipped.reshape(-1, *[1] * (images.ndim - 1)), images.flip(-1), images)


def crop(images: Float[Tensor, "B C *S"], corners: Int[Tensor, "B d"]) -> Float[Tensor, "B C *S"]:
    """Pad images by four zeros on every side, and cut windows of their size out of that.

    Args:
        images: shape (B, C, *S).
        corners: first position of each window in the padded image, 0 … 8 along every axis, shape (B, d).
    """
    axes = images.ndim - 2
    padded = functional.pad(images, [PADDING] * (2 * axes))
    for axis in range(axes):
        size = images.shape[2 + axis]
        positions = corners[:, axis, None] + torch.arange(size, device=images.device)
        shape = [1] * images.ndim
        shape[0], shape[2 + axis] = len(images), size
        padded = torch.take_along_dim(padded, positions.reshape(shape), 2 + axis)
    return padded


def _draw_flips(generator: np.random.Generator, batch: int, axes: int) -> np.ndarray:
    return generator.random(batch) < 0.5


def _draw_corners(generator: np.random.Generator, batch: int, axes: int) -> np.ndarray:
    return generator.integers(0, 2 * PADDING + 1, (batch, axes))


@dataclass(frozen=True)
class _Augmentation:
    """What is drawn for a batch of images with so many axes, and what is done with it."""

    draw: Callable[[np.random.Generator, int, int], np.ndarray]
    apply: Callable[[Tensor, Tensor], Tensor]


_AUGMENTATIONS = {"crop": _Augmentation(_draw_corners, crop), "flip": _Augmentation(_draw_flips, flip)}


def names() -> tuple[str, ...]:
    """Return the names of the augmentations."""
    return tuple(_AUGMENTATIONS)


def augment(
    images: Float[Tensor, "b C *S"], chosen: Sequence[str], *, seed: int, step: int, batch: int, share: slice
) -> Float[Tensor, "b C *S"]:
    """Augment a process's share of a batch.

    Args:
        images: the share, shape (b, C, *S).
        chosen: names of augmentations, in the order in which they are applied.
        seed: the run's seed.
        step: number of the step.
        batch: images in the whole batch.
        share: which of them these are.

    Raises:
        UnknownNameError: no such augmentation.

    Source: K. He et al., CVPR 2016, section 4.2 (flip; crop after padding by four pixels).
    """
    for name in chosen:
        check_known("augment", name, _AUGMENTATIONS)
        kind = _AUGMENTATIONS[name]
        drawn = kind.draw(Stream(seed, f"augmentation/{name}", step).generator(), batch, images.ndim - 2)
        images = kind.apply(images, torch.from_numpy(drawn[share]).to(images.device))
    return images
