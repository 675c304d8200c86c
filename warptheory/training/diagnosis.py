"""Why training failed: what is known when a loss or a gradient is no longer finite, or when the loss has grown.

A run that ends with finite numbers has failed nevertheless if its loss has grown by an order of magnitude and stayed
up. The rule looks at medians over a window of steps, so that single batches do not count, wherever they stand. The
level is what the run has to be judged by: the loss of guessing, ln(classes), or the best that the run had before its
worst window (the loss before the first update, or a window), whichever is larger. The loss has grown if the worst
window lies over `GROWTH` times the level, and the last window over the level. So a run that begins with a large loss
and comes down from it has not failed, nor has one with a spike from which it recovers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, median_low

import pandas as pd

from warptheory.core.errors import WarpTheoryError
from warptheory.training.metrics import TrainingStep

GROWTH = 10.0
_WINDOW = 20
_RECENT = 20
_SHOWN = ("layer", "offset_deviation", "slope_deviation", "fold_fraction", "offset_gradient_variance")
_ADVICE = "a smaller learning_rate or warping_multiplier, warm_up steps, or clip=1.0 may help"


class DivergedError(WarpTheoryError):
    """The loss or a gradient is no longer finite, or the loss has grown by an order of magnitude.

    The message names the step, the parameter group whose gradient grew, what the monitor recorded last, and the last
    checkpoint.

    Args:
        message: all of that.
        history: what was measured up to that step, which is the last.
        checkpoint: the last checkpoint, whose numbers are finite, if there is one.
    """

    def __init__(self, message: str, *, history: Sequence[TrainingStep], checkpoint: Path | None = None) -> None:
        super().__init__(message)
        self.history = tuple(history)
        self.checkpoint = checkpoint


def diverged(
    diverging: TrainingStep,
    history: Sequence[TrainingStep],
    monitored: pd.DataFrame | None = None,
    checkpoint: Path | None = None,
) -> DivergedError:
    """Return the error that says what is known of a step that diverged.

    Args:
        diverging: that step; its loss or one of its gradient norms is not finite, or else its update was not.
        history: the steps before it.
        monitored: what a monitor recorded, with a column "step".
        checkpoint: the last checkpoint.
    """
    lines = [f"{_headline(diverging)} at step {diverging.step}; {_ADVICE}"]
    lines += _growth(diverging.gradient_norms, history)
    lines += _known("last good checkpoint", monitored, checkpoint)
    return DivergedError("\n".join(lines), history=[*history, diverging], checkpoint=checkpoint)


@dataclass(frozen=True)
class LossGrowth:
    """How the loss of a run has grown.

    Attributes:
        level: the loss that the run is judged by.
        worst: median loss of the worst window.
        last: median loss of the last window.
        window: steps of a window.
    """

    level: float
    worst: float
    last: float
    window: int


def loss_growth(losses: Sequence[float], classes: int) -> LossGrowth | None:
    """Return how the loss of a finished run has grown, None if it has not; see above for the rule.

    Args:
        losses: of all steps, in nats.
        classes: number of classes that are told apart.
    """
    window = max(1, min(_WINDOW, len(losses) // 3))
    medians = [median_low(losses[start : start + window]) for start in range(len(losses) - window + 1)]
    worst = max(range(len(medians)), key=medians.__getitem__)
    level = max(math.log(max(classes, 2)), min([losses[0], *medians[:worst]]))
    found = LossGrowth(level, medians[worst], medians[-1], window)
    return found if found.worst > GROWTH * level and found.last > level else None


def grown(
    growth: LossGrowth,
    history: Sequence[TrainingStep],
    monitored: pd.DataFrame | None = None,
    checkpoint: Path | None = None,
) -> DivergedError:
    """Return the error that says what is known of a run whose loss has grown.

    Args:
        growth: as `loss_growth` found it.
        history: all its steps.
        monitored: what a monitor recorded, with a column "step".
        checkpoint: the last checkpoint.
    """
    text = f"from {growth.level:.4g} to {growth.worst:.4g}, and is {growth.last:.4g} at the end"
    lines = [f"loss has grown {text} (medians over {growth.window} steps); {_ADVICE}"]
    lines += _known("last checkpoint, of the same weights", monitored, checkpoint)
    return DivergedError("\n".join(lines), history=history, checkpoint=checkpoint)


def _headline(diverging: TrainingStep) -> str:
    if not math.isfinite(diverging.loss):
        return f"loss is {diverging.loss}"
    for name, norm in diverging.gradient_norms.items():
        if not math.isfinite(norm):
            return f"norm of the gradient of {name!r} is {norm} (loss {diverging.loss:.4g})"
    return f"a weight is not finite after the update (loss {diverging.loss:.4g})"


def _known(name: str, monitored: pd.DataFrame | None, checkpoint: Path | None) -> list[str]:
    """Return what the monitor recorded last, and the last checkpoint, by its name."""
    last = f"{name}: {checkpoint or 'none was written'}"
    if monitored is None or not len(monitored):
        return [last]
    step = monitored["step"].max()
    rows = monitored.loc[monitored["step"] == step, [name for name in _SHOWN if name in monitored]]
    return [f"the monitor at step {step}:\n{rows.to_string(index=False, float_format='{:.3g}'.format)}", last]


def _growth(norms: Mapping[str, float], history: Sequence[TrainingStep]) -> list[str]:
    """Return a line for each parameter group: its last finite gradient norm, against the median of the steps before.

    The group that grew most comes first.
    """
    found = []
    for name, norm in norms.items():
        steps = [step.gradient_norms[name] for step in history if name in step.gradient_norms]
        known = [value for value in [*steps, norm] if math.isfinite(value)]
        if len(known) < 2:
            continue
        last, usual = known[-1], median(known[-1 - _RECENT : -1])
        factor = last / usual if usual else math.inf if last else 1.0
        text = f"last finite gradient norm of {name!r}: {last:.3g}, {factor:.3g} times the median of the steps before"
        found.append((factor, text))
    return [text for _, text in sorted(found, reverse=True)]
