"""Why training stopped: what is known when a loss or a gradient is no longer finite."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import pandas as pd

from warptheory.core.errors import WarpTheoryError
from warptheory.training.metrics import TrainingStep

_RECENT = 20
_SHOWN = ("layer", "offset_deviation", "slope_deviation", "fold_fraction", "offset_gradient_variance")
_ADVICE = "a smaller learning_rate or warping_multiplier, warm_up steps, or clip=1.0 may help"


class DivergedError(WarpTheoryError):
    """The loss or a gradient is no longer finite.

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
    if monitored is not None and len(monitored):
        lines.append(_last_record(monitored))
    lines.append(f"last good checkpoint: {checkpoint or 'none was written'}")
    return DivergedError("\n".join(lines), history=[*history, diverging], checkpoint=checkpoint)


def _headline(diverging: TrainingStep) -> str:
    if not math.isfinite(diverging.loss):
        return f"loss is {diverging.loss}"
    for name, norm in diverging.gradient_norms.items():
        if not math.isfinite(norm):
            return f"norm of the gradient of {name!r} is {norm} (loss {diverging.loss:.4g})"
    return f"a weight is not finite after the update (loss {diverging.loss:.4g})"


def _last_record(monitored: pd.DataFrame) -> str:
    step = monitored["step"].max()
    rows = monitored.loc[monitored["step"] == step, [name for name in _SHOWN if name in monitored]]
    return f"the monitor at step {step}:\n{rows.to_string(index=False, float_format='{:.3g}'.format)}"


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
