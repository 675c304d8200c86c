"""A rehearsal: steps of the optimizer that are really taken, and taken back, and how far samples move in them."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from warptheory.stability._diagnosis._calls import displacements, largest, recorded
from warptheory.stability._diagnosis._examination import Examination
from warptheory.stability._diagnosis._speeds import geometric_mean
from warptheory.stability._diagnosis._untouched import untouched


def rehearsed(found: Examination, steps: int) -> tuple[float, float]:
    """Return the displacement of the samples in a step, in the later half of some steps, and its standard error.

    Root mean square on the first batch, in pixels at the fastest layer, geometric mean over these steps; infinite if
    something is not finite before they are over. The model and its optimizer are left as they were.

    Args:
        found: the model on its batches, which are gone through one after the other.
        steps: how many.
    """
    trial = found.trials[0]
    with untouched(trial.model, trial.optimizer):
        moved = list(_speeds(found, steps))
    if not all(map(math.isfinite, moved)):
        return math.inf, math.nan
    return geometric_mean(moved)


def _speeds(found: Examination, steps: int) -> Iterator[float]:
    """Yield the displacement in each step of the later half; infinity if training comes to an end."""
    before: list[Tensor] = []
    for number in range(steps):
        if number == steps // 2:
            before = _positions(found)
        if not bool(torch.isfinite(found.trials[number % len(found.trials)].step().loss)):
            yield math.inf
            return
        if number >= steps // 2:
            after = _positions(found)
            yield largest(displacements(before, after))
            before = after


def _positions(found: Examination) -> list[Tensor]:
    """Return the offsets (B, F, d, *T) of each operation on the first batch, where training has got to."""
    trial = found.trials[0]
    with torch.no_grad(), recorded(trial.model, found.modules) as calls:
        trial.look()
    return calls.offsets()
