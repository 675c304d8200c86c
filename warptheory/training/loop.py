"""One readable training loop."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.streams import Stream


class DivergedError(WarpTheoryError):
    """The loss is no longer finite; the message names the step."""


@dataclass(frozen=True)
class TrainingStep:
    """What one step of training measured, before its update.

    Attributes:
        step: number of the step, from 0.
        loss: mean cross-entropy of the batch, in nats.
        accuracy: share of the batch that is classified correctly.
    """

    step: int
    loss: float
    accuracy: float


def fit(
    model: nn.Module,
    images: Float[Tensor, "N C *S"],
    labels: Int[Tensor, "N"],
    *,
    steps: int,
    batch: int = 64,
    learning_rate: float = 0.05,
    warping_multiplier: float = 0.1,
    seed: int = 0,
) -> list[TrainingStep]:
    """Train a classifier by SGD with momentum 0.9 and a cosine schedule, in place.

    Args:
        model: a classifier; its `parameter_groups()`, if it has them, are "warping" and "rest", else all
            its parameters are "rest".
        images: training images, shape (N, C, *S).
        labels: their classes, shape (N,).
        steps: number of updates.
        batch: images per update.
        learning_rate: learning rate of the group "rest".
        warping_multiplier: factor on the learning rate of the group "warping".
        seed: seed of the order of the images.

    Returns:
        One `TrainingStep` per update.

    Raises:
        ArgumentError: no steps, or more images in a batch than there are.
        DivergedError: the loss became infinite or NaN.
    """
    if steps < 1:
        raise ArgumentError("steps", expected="a positive integer", received=steps)
    if not 1 <= batch <= len(images):
        raise ArgumentError("batch", expected=f"an integer in 1 … {len(images)}", received=batch)
    grouped = getattr(model, "parameter_groups", None)
    groups = grouped() if callable(grouped) else {"rest": list(model.parameters())}
    rates = {"warping": learning_rate * warping_multiplier, "rest": learning_rate}
    optimizer = torch.optim.SGD(
        [{"params": parameters, "lr": rates[name]} for name, parameters in groups.items() if parameters], momentum=0.9
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = Stream(seed, "training order").generator()
    history = []
    model.train()
    for step in range(steps):
        chosen = torch.from_numpy(generator.choice(len(images), batch, replace=False)).to(images.device)
        scores = model(images[chosen])
        loss = functional.cross_entropy(scores, labels[chosen])
        if not torch.isfinite(loss):
            raise DivergedError(
                f"loss is {loss.item()} at step {step}; a smaller learning_rate or warping_multiplier may help"
            )
        accuracy = (scores.argmax(1) == labels[chosen]).float().mean()
        history.append(TrainingStep(step, loss.item(), accuracy.item()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return history


@torch.no_grad()
def accuracy(model: nn.Module, images: Float[Tensor, "N C *S"], labels: Int[Tensor, "N"], batch: int = 256) -> float:
    """Return the share of images (N, C, *S) with labels (N,) that a classifier gets right."""
    model.eval()
    right = sum(
        int((model(part).argmax(1) == truth).sum())
        for part, truth in zip(images.split(batch), labels.split(batch), strict=True)
    )
    return right / len(images)
