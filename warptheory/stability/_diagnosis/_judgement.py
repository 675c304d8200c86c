"""The conditions of a diagnosis with their bounds, the verdict that follows, and what is advised."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from warptheory.stability._diagnosis._remarks import listed
from warptheory.stability.diagnosis import Condition, LayerDiagnosis, Prognosis, Reason, StepProfile
from warptheory.stability.error_rates import how_often_right

# Bounds were chosen on the development set (`paper.analyses.stability_development`), of trainings of 100 to 200 steps.
TARGET = 1 / 30  # the speed ratio that a repair aims at
TARGET_PIXELS = 0.2  # mean displacement over layers that it allows all the same, in the steps that momentum remembers
RATIO_WORSE, RATIO_FAIL = 2.0, 5.0
EXPLOSION_WORSE, EXPLOSION_FAIL = 10.0, 50.0
COASTING_WORSE, COASTING_FAIL = 8.0, 30.0  # pixels in the steps that momentum remembers, at the fastest layer
REHEARSED_WORSE, REHEARSED_FAIL = 0.5, 1.0  # pixels a step, at the fastest layer, once training has begun
REACH_STUCK = 4.0  # pixels in all of training
OUTSIDE_WORSE, OUTSIDE_FAIL = 0.5, 0.9

_ORDER: tuple[Prognosis, ...] = ("fail", "worse", "ok")


class Reached(NamedTuple):
    """What a factor on the learning rate of what moves samples reaches.

    Attributes:
        factor: the factor.
        value: the speed ratio, or the mean displacement in pixels in the steps that momentum remembers.
        is_ratio: whether it is the ratio.
    """

    factor: float
    value: float
    is_ratio: bool = True


@dataclass(frozen=True)
class Evidence:
    """What was measured of a model.

    Attributes:
        rho: speed ratio, geometric mean over batches; NaN where the rest stands still or there are no offset-only
            parameters.
        rho_stderr: its standard error.
        batches: how many.
        explosion: R.
        coasting: largest displacement after the steps that momentum remembers, in pixels, and its standard error.
        memory: how many steps these are.
        steps: steps of the training that is planned, or that it must have at least.
        is_planned: whether that is known.
        layers: of each sampling operation.
        lost_share: largest share of samples that parameters throw off the image.
        profile: loss along the step of the offset-only parameters.
        has_offset_only: whether there are offset-only parameters.
        moves_samples: whether any parameters move samples.
        heads: names of the heads.
        is_finite: whether loss and gradients are finite.
        multiplier: learning rate of the offset-only parameters over that of the rest; NaN if there is none.
        repair: factor on that rate which reaches the target of a repair; None where none is wanted.
        rehearsal: steps that were taken on trial.
        rehearsed: displacement in each of the later half of them, in pixels at the fastest layer: the geometric mean,
            and its standard error.
    """

    rho: float
    rho_stderr: float
    batches: int
    explosion: float
    coasting: tuple[float, float]
    memory: float
    steps: int
    is_planned: bool
    layers: tuple[LayerDiagnosis, ...]
    lost_share: float
    profile: StepProfile | None
    has_offset_only: bool
    moves_samples: bool
    heads: tuple[str, ...]
    is_finite: bool
    multiplier: float
    repair: Reached | None = None
    rehearsal: int = 0
    rehearsed: tuple[float, float] = (math.nan, math.nan)


def conditions(found: Evidence) -> tuple[Condition, ...]:
    """Return every condition: those that decide first, then those that only bound what theory says."""
    judged = (replace(each, errors=how_often_right(each.name)) for each in _deciding(found))
    return (*judged, *_telling(found))


def verdict_of(found: Sequence[Condition]) -> tuple[Prognosis, Reason | None]:
    """Return the gravest verdict of some conditions, with its reason."""
    judged = [(each.verdict, each.reason) for each in found if each.verdict is not None]
    verdicts: list[Prognosis] = [verdict for verdict, _ in judged]
    gravest: Prognosis = min(verdicts, key=_ORDER.index, default="ok")
    if gravest == "ok":
        return "ok", None
    return gravest, next(reason for verdict, reason in judged if verdict == gravest)


def _deciding(found: Evidence) -> Iterator[Condition]:
    if not found.is_finite:
        yield Condition(
            "finite",
            "G2",
            1.0,
            worse=0.0,
            fail=0.0,
            reason="explosion",
            evidence="The loss or a gradient of the first step is infinite or NaN.",
        )
    over = f"over {found.batches} batch{'es' if found.batches > 1 else ''}"
    pixels, stderr = found.coasting
    if found.moves_samples and not math.isnan(found.rho):
        yield Condition(
            "speed ratio",
            "G5",
            found.rho,
            found.rho_stderr,
            worse=RATIO_WORSE,
            fail=RATIO_FAIL,
            reason="runaway",
            evidence="One step of the offset-only parameters moves the output this far, as a multiple of how far one "
            f"step of the rest moves it; geometric mean {over}.",
        )
    if found.moves_samples:
        yield Condition(
            "displacement",
            "G5",
            pixels,
            stderr,
            "pixels",
            COASTING_WORSE,
            COASTING_FAIL,
            reason="runaway",
            evidence=f"Samples move this far in {found.memory:.3g} steps, which is what momentum remembers, root mean "
            f"square at the fastest layer, {over}.",
        )
    if found.moves_samples and found.rehearsal:
        yield Condition(
            "speed in rehearsal",
            "G5",
            *found.rehearsed,
            "pixels a step",
            REHEARSED_WORSE,
            REHEARSED_FAIL,
            reason="runaway",
            evidence=f"Samples moved this far in a step, root mean square at the fastest layer, in the later half of "
            f"{found.rehearsal} steps of the optimizer, which were taken back.",
        )
    if found.moves_samples:
        steps = found.steps
        known = "are planned" if found.is_planned else "such rates need at least; say `steps=` if there are more"
        yield Condition(
            "reach",
            "G5",
            pixels * steps,
            stderr * steps,
            "pixels",
            REACH_STUCK,
            is_lower=True,
            reason="stuck",
            evidence=f"Samples can move this far in the {steps} steps that {known}, where all go the same way.",
        )
    yield Condition(
        "explosion",
        "G2",
        found.explosion,
        worse=EXPLOSION_WORSE,
        fail=EXPLOSION_FAIL,
        reason="explosion",
        evidence="The gradient of the rest, as a multiple of what it is with the heads of the offsets at zero.",
    )
    yield Condition(
        "samples off the image",
        "B4",
        found.lost_share,
        unit="share of samples",
        worse=OUTSIDE_WORSE,
        fail=OUTSIDE_FAIL,
        reason="off the image",
        evidence="So many samples of one operation lie off the image which would lie on it without offsets.",
    )


def _telling(found: Evidence) -> Iterator[Condition]:
    """Yield what predicts nothing about training, and says how far the theory holds."""
    folds = [each.fold_fraction for each in found.layers if not math.isnan(each.fold_fraction)]
    yield Condition(
        "folds",
        "G1",
        max(folds, default=math.nan),
        unit="share of pixels",
        evidence="The map of one operation turns over at so many pixels; networks with folds train.",
    )
    slopes = [each.slope_deviation for each in found.layers if not math.isnan(each.slope_deviation)]
    yield Condition(
        "roughening",
        "G3",
        sum(each**2 for each in slopes) if slopes else math.nan,
        evidence="Sum of the squared slopes of all operations; networks with rough signals train.",
    )
    profile = found.profile
    if profile is not None and profile.promise > 0:
        drop = profile.losses[0] - profile.losses[profile.multiples.index(1.0)]
        yield Condition(
            "kept promise, one-sided derivative",
            "A10",
            drop / profile.promise,
            evidence="What the step of the offset-only parameters gains on its batch, over what the gradient promises.",
        )
        if profile.central_promise > 0:
            yield Condition(
                "kept promise, central derivative",
                "A10",
                drop / profile.central_promise,
                evidence="The same over what the mean of the one-sided derivatives promises.",
            )
    shares = [each.energy_share for each in found.layers if not math.isnan(each.energy_share)]
    yield Condition(
        "localisation",
        "K3",
        min(shares, default=math.nan),
        unit="share of positions",
        evidence="So few positions hold half of the gradient's energy at the operation where they are fewest.",
    )


def advice(found: Evidence, verdict: Prognosis, reason: Reason | None) -> Iterator[str]:
    """Yield what to set, the most important first."""
    if verdict == "ok":
        return
    if found.explosion > EXPLOSION_WORSE and found.heads:
        yield (
            f"Start the heads of the offsets at zero ({listed(found.heads)}): the other gradients are "
            f"{found.explosion:.3g} times larger than with offsets of zero."
        )
    if reason == "off the image":
        yield "Start with positions on the image: zero the weights of the head, and let its bias be the identity."
    if reason == "stuck" and found.multiplier == 0:
        yield "Train the offset-only parameters: they are frozen, or the optimizer does not hold them."
    elif reason in ("runaway", "stuck") or found.rho > RATIO_WORSE:
        yield _multiplier_advice(found)
    if reason == "stuck":
        yield "If the task does not need the warp, nothing is lost by positions that stand still."
    if not found.is_finite:
        yield "Find what is infinite first: no step can be judged."


def _multiplier_advice(found: Evidence) -> str:
    if not found.has_offset_only:
        return (
            "No parameter moves samples alone, so that none can be given a smaller rate for it: scale the offsets, or "
            "give their head an input that is cut off from the graph."
        )
    repair = found.repair or Reached(1.0, math.nan)
    if repair.value == 0:
        return "No step moves a sample by as much as can be measured: make the scale of the offsets larger."
    now = "" if math.isnan(found.multiplier) else f" (a multiplier of {found.multiplier * repair.factor:.2g} in all)"
    outcome = "" if math.isnan(repair.value) else f": it takes {_measure(found)} to {repair.value:.2g}"
    return (
        f"Multiply the learning rate of every offset-only parameter by {repair.factor:.2g}{now}{outcome}. "
        "`stability.stabilise` does so."
    )


def _measure(found: Evidence) -> str:
    if math.isnan(found.rho):
        return f"the displacement in {found.memory:.3g} steps, in pixels, from {found.coasting[0]:.3g}"
    return f"the speed ratio from {found.rho:.3g}"
