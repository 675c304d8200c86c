"""What a diagnosis says: a verdict, the conditions that it rests on, and what to set."""

import math
from dataclasses import dataclass
from typing import Literal

from warptheory.core.presented import Presented

Verdict = Literal["ok", "worse", "fail"]
Reason = Literal["runaway", "explosion", "stuck", "off the image"]


@dataclass(frozen=True)
class Condition(Presented):
    """A condition of stable training: what was measured, and the bounds that it is held against.

    Attributes:
        name: its name, such as "speed ratio".
        label: label of the result that it comes from, such as "G5".
        value: what was measured; NaN where it could not be.
        stderr: standard error of the value over batches; NaN of a single one.
        unit: unit of value and bounds; empty for a ratio.
        worse: bound beyond which training suffers; None for a condition that predicts nothing about training.
        fail: bound beyond which training fails; None where there is no such bound.
        is_lower: whether the bounds are lower ones.
        reason: what is wrong if a bound is passed; None where nothing is judged.
        evidence: what was measured, where and how, in a sentence.
        errors: how often the condition was right on the development set, in words; empty where that is not known.
    """

    name: str
    label: str
    value: float
    stderr: float = math.nan
    unit: str = ""
    worse: float | None = None
    fail: float | None = None
    is_lower: bool = False
    reason: Reason | None = None
    evidence: str = ""
    errors: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """Verdict of this condition alone; None if it judges nothing, or nothing could be measured."""
        if (self.worse is None and self.fail is None) or math.isnan(self.value):
            return None
        if self._is_beyond(self.fail):
            return "fail"
        return "worse" if self._is_beyond(self.worse) else "ok"

    def _is_beyond(self, bound: float | None) -> bool:
        if bound is None:
            return False
        return self.value < bound if self.is_lower else self.value > bound


@dataclass(frozen=True)
class LayerDiagnosis(Presented):
    """What a diagnosis found at one sampling operation; NaN where something is not known.

    Attributes:
        layer: dotted name of the module in which the operation ran, empty for the model itself.
        call: number of the operation among those of that module, from 0.
        operator: name of the operation.
        offset_deviation: standard deviation of the offsets, in pixels.
        displacement: how far one optimiser step of the offset-only parameters moves samples, root mean square, pixels.
        coasting: the same after the steps that momentum remembers, in pixels.
        slope_deviation: τ, the root mean square of the offsets' slopes, per pixel.
        fold_fraction: share of pixels at which the map folds.
        outside_fraction: share of samples that lie off the image.
        dead_fraction: share of inputs that no sample reads.
        forward_gain: energy of what was sampled over that of what is sampled, as measured.
        predicted_forward_gain: the same as theory has it (A4, C3).
        backward_gain: energy of the gradient of what is sampled over that of the outcome, as measured.
        predicted_backward_gain: the same as theory has it (B1, B3, B6).
        energy_share: share of positions that hold half of the gradient energy (K3).
    """

    layer: str
    call: int
    operator: str
    offset_deviation: float = math.nan
    displacement: float = math.nan
    coasting: float = math.nan
    slope_deviation: float = math.nan
    fold_fraction: float = math.nan
    outside_fraction: float = math.nan
    dead_fraction: float = math.nan
    forward_gain: float = math.nan
    predicted_forward_gain: float = math.nan
    backward_gain: float = math.nan
    predicted_backward_gain: float = math.nan
    energy_share: float = math.nan


@dataclass(frozen=True)
class StepProfile(Presented):
    """The loss along a step of the offset-only parameters, on one batch.

    Attributes:
        multiples: multiples s of the optimiser's step, in order, (S,) numbers.
        losses: loss at θ + s·u, as many.
        promise: decrease for each unit of s that autograd's derivative promises, which is one-sided at knots (A10).
        central_promise: the same by the mean of the one-sided derivatives.
    """

    multiples: tuple[float, ...]
    losses: tuple[float, ...]
    promise: float
    central_promise: float


@dataclass(frozen=True)
class Diagnosis(Presented):
    """Whether a model will train, told from a few batches.

    Attributes:
        verdict: "ok", "worse" (it trains, but worse than without warps or than with a better multiplier) or "fail".
        reason: what is wrong; None if nothing is.
        rho: the speed ratio ρ (G5), geometric mean over batches; NaN if every parameter is offset-only or none is.
        rho_stderr: its standard error.
        explosion: R (G2), the gradient of the rest over that with offsets of zero; NaN if it could not be measured.
        conditions: every condition, those that decide first.
        advice: what to set, in words and numbers, the most important first; empty if nothing is to be done.
        layers: what was found at each sampling operation, in the order in which they ran.
        offset_only: dotted names of the parameters that reach the loss only through sampling positions; of those of
            which only some rows do, the name with the rows, such as "head.weight[0:18]".
        remarks: what was noticed besides, such as a multiplier that reaches no such parameter.
        not_seen: parts of the model that could not be looked into.
        profile: the loss along the step of the offset-only parameters; None if there are none.
        model: name of the model's class.
        batches: number of batches that were used.
    """

    verdict: Verdict
    reason: Reason | None
    rho: float
    rho_stderr: float
    explosion: float
    conditions: tuple[Condition, ...]
    advice: tuple[str, ...] = ()
    layers: tuple[LayerDiagnosis, ...] = ()
    offset_only: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    not_seen: tuple[str, ...] = ()
    profile: StepProfile | None = None
    model: str = ""
    batches: int = 0
