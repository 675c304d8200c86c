"""Batches: which images a step trains on, as a function of (seed, step) alone."""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from warptheory.core.streams import Stream
from warptheory.training.augmentation import augment
from warptheory.training.processes import Processes
from warptheory.training.settings import TrainingSettings


def batch_positions(count: int, batch: int, seed: int, step: int) -> ndarray:
    """Return the positions of a batch's images, shape (batch,).

    Every epoch is a fresh permutation of the images, cut into whole batches; the rest of it, less than a batch, is
    left out of the epoch.

    Args:
        count: number of images, at least `batch`.
        batch: images per step.
        seed: the run's seed.
        step: number of the step, from 0.
    """
    epoch, index = divmod(step, count // batch)
    return _order(count, seed, epoch)[index * batch : (index + 1) * batch]


def draw_batch(
    images: Float[Tensor, "N C *S"],
    labels: Int[Tensor, "N"],
    settings: TrainingSettings,
    step: int,
    processes: Processes,
    device: torch.device,
) -> tuple[Float[Tensor, "b C *S"], Int[Tensor, "b"]]:
    """Return this process's share of a step's batch, augmented: images (b, C, *S) and labels (b,), on a device."""
    share = processes.share(settings.batch)
    positions = batch_positions(len(images), settings.batch, settings.seed, step)[share]
    chosen = torch.from_numpy(positions).to(images.device)
    inputs, truth = images[chosen].to(device), labels[chosen].to(device)
    augmented = augment(inputs, settings.augment, seed=settings.seed, step=step, batch=settings.batch, share=share)
    return augmented, truth


@lru_cache(maxsize=1)
def _order(count: int, seed: int, epoch: int) -> ndarray:
    return Stream(seed, "training order", epoch).generator().permutation(count)
