"""Learning-rate schedules: functions of the step alone, so that a resumed run has nothing to restore."""

import math
from collections.abc import Callable

from warptheory.core.checks import check_known


def _constant(progress: float) -> float:
    return 1.0


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _step(progress: float) -> float:
    # He et al. divide by ten after 32 000 and 48 000 of 64 000 updates.
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


_SCHEDULES: dict[str, Callable[[float], float]] = {"constant": _constant, "cosine": _cosine, "step": _step}


def names() -> tuple[str, ...]:
    """Return the names of the schedules."""
    return tuple(_SCHEDULES)


def learning_rate_factor(schedule: str, step: int, steps: int, warm_up: int = 0) -> float:
    """Return the factor on the learning rate at a step.

    During warm-up it is (step + 1)/(warm_up + 1); the schedule runs over the steps that remain.

    Args:
        schedule: "cosine" (from one to zero), "step" (a tenth after half, a hundredth after three quarters) or
            "constant".
        step: number of the step, from 0.
        steps: number of steps.
        warm_up: number of steps of warm-up.

    Raises:
        UnknownNameError: no such schedule.

    Source: I. Loshchilov, F. Hutter, ICLR 2017 (cosine); K. He et al., CVPR 2016, section 4.2 (step).
    """
    check_known("schedule", schedule, _SCHEDULES)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return _SCHEDULES[schedule]((step - warm_up) / (steps - warm_up))
