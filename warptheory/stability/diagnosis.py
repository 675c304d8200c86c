"""What a diagnosis says: a verdict, the conditions that it rests on, and what to set."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from warptheory.core import html
from warptheory.core.definition import attributes
from warptheory.core.errors import ArgumentError
from warptheory.core.layout import wrapped
from warptheory.core.plain_values import json_content, json_line, plain, restored
from warptheory.core.presented import Presented
from warptheory.core.text import one_line, shown
from warptheory.stability._shown_tables import ShownTable, bullets, listed_text, number_text

Prognosis = Literal["ok", "worse", "fail"]
Reason = Literal["runaway", "explosion", "stuck", "off the image"]

SCHEMA = "warptheory-diagnosis-1"  # of `Diagnosis.to_json`; another number where a field changes its meaning
_WIDTH = 100  # characters of a line of text
_MOST_NAMES = 12  # of parameters that a text lists
_OUTCOMES: dict[Prognosis, str] = {
    "ok": "No condition of stable training is broken",
    "worse": "Training is expected to suffer",
    "fail": "Training is expected to fail",
}
_REASONS: dict[Reason, str] = {
    "runaway": "samples move too fast beside all else that is learnt",
    "explosion": "gradients grow beyond bounds on their way back through the warps",
    "stuck": "samples hardly move",
    "off the image": "too many samples lie off the image",
}
# Units and short headings of the numbers of an operation, in two tables that are narrow enough for a terminal.
_OFFSETS = {
    "offset_deviation": ("offsets", "pixels"),
    "displacement": ("step", "pixels"),
    "coasting": ("with momentum", "pixels"),
    "slope_deviation": ("slopes τ", "per pixel"),
    "fold_fraction": ("folds", "share"),
    "outside_fraction": ("off the image", "share"),
    "dead_fraction": ("dead inputs", "share"),
}
_GAINS = {
    "forward_gain": ("forward gain, measured", ""),
    "predicted_forward_gain": ("forward gain, predicted", ""),
    "backward_gain": ("backward gain, measured", ""),
    "predicted_backward_gain": ("backward gain, predicted", ""),
    "energy_share": ("half of the energy in", "share"),
}


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
        errors: how many of the alarms that it raised on the development set were right, such as "72 of 89"; empty where
            that is not known.
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
    def verdict(self) -> Prognosis | None:
        """Prognosis of this condition alone; None if it judges nothing, or nothing could be measured."""
        if (self.worse is None and self.fail is None) or math.isnan(self.value):
            return None
        if self._is_beyond(self.fail):
            return "fail"
        return "worse" if self._is_beyond(self.worse) else "ok"

    @property
    def measured(self) -> str:
        """The value with its standard error, as text without its unit."""
        error = "" if math.isnan(self.stderr) or math.isnan(self.value) else f" ± {number_text(self.stderr, 1)}"
        return f"{number_text(self.value)}{error}"

    @property
    def bounds(self) -> str:
        """The bounds as text; a dash where there are none."""
        side = "<" if self.is_lower else ">"
        named = (("worse", self.worse), ("fails", self.fail))
        return ", ".join(f"{name} {side} {number_text(bound)}" for name, bound in named if bound is not None) or "–"

    def _is_beyond(self, bound: float | None) -> bool:
        if bound is None:
            return False
        return self.value < bound if self.is_lower else self.value > bound

    def _parts(self) -> Iterable[str]:
        measured = f"{self.measured} {self.unit}".rstrip()
        return [repr(self.name), repr(self.label), measured, f"verdict={self.verdict!r}"]

    def _subtitle(self) -> str:
        return f"{self.name} ({self.label})"

    def _card(self) -> Iterable[object]:
        yield html.properties(
            [
                ("measured", f"{self.measured} {self.unit}".rstrip()),
                ("bounds", self.bounds),
                ("verdict", self.verdict or "none: it says nothing of training"),
                ("what would be wrong", self.reason),
                ("evidence", self.evidence),
                ("alarms that were right", self.errors),
            ]
        )


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

    @property
    def name(self) -> str:
        """How the operation is called where several are listed: its layer, with the call where it is not the first."""
        return (self.layer or "the model itself") + (f", call {self.call}" if self.call else "")

    def _parts(self) -> Iterable[str]:
        numbers = (f"{name}={getattr(self, name):.3g}" for name in ("displacement", "fold_fraction"))
        return [repr(self.layer), f"call={self.call}", repr(self.operator), *numbers]

    def _subtitle(self) -> str:
        return f"{self.name}, {self.operator}"

    def _card(self) -> Iterable[object]:
        meanings = attributes(type(self))
        heads = [html.Column(name, is_text=True) for name in ("", "value", "unit", "meaning")]
        rows = [
            (name.replace("_", " "), number_text(getattr(self, name)), unit, meanings[name])
            for name, (_, unit) in (_OFFSETS | _GAINS).items()
        ]
        yield html.table(heads, rows)


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

    def _parts(self) -> Iterable[str]:
        promises = (f"{name}={getattr(self, name):.3g}" for name in ("promise", "central_promise"))
        return [f"{len(self.multiples)} multiples", *promises]

    def _card(self) -> Iterable[object]:
        if self.multiples:
            yield html.line_plot(self.multiples, self.losses, x_label="multiple of the step", y_label="loss")
        yield html.properties(
            [
                ("promised decrease, one-sided derivative", number_text(self.promise)),
                ("promised decrease, central derivative", number_text(self.central_promise)),
            ]
        )


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

    verdict: Prognosis
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

    @property
    def headline(self) -> str:
        """The verdict in a sentence, with the condition that it rests on."""
        outcome = _OUTCOMES[self.verdict] + (f": {_REASONS[self.reason]}" if self.reason else "")
        deciding = self.deciding
        if deciding is not None:
            measured = f"{deciding.measured} {deciding.unit}".rstrip()
            outcome += f" ({deciding.name} {measured}; {deciding.bounds})"
        told = "" if not self.batches else f" Told from {self.batches} batch{'es' if self.batches > 1 else ''}."
        return f"{outcome}.{told}"

    @property
    def deciding(self) -> Condition | None:
        """The condition that the verdict rests on; None if it is "ok"."""
        if self.verdict == "ok":
            return None
        alike = (each for each in self.conditions if (each.verdict, each.reason) == (self.verdict, self.reason))
        return next(alike, None)

    def tables(self) -> tuple[ShownTable, ...]:
        """Return what is shown as tables: the conditions, and two of the sampling operations if there are any."""
        found = [self._conditions_table()]
        if self.layers:
            found.append(_layers_table("Offsets of the sampling operations", self.layers, _OFFSETS))
            found.append(_layers_table("Gains of the sampling operations", self.layers, _GAINS))
        return tuple(found)

    def lists(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield what is shown as lists, with their titles; those that are empty are left out."""
        count = len(self.offset_only)
        if count:
            more = (f"and {count - _MOST_NAMES} more",) if count > _MOST_NAMES else ()
            yield f"Parameters that only move samples: {count}", (", ".join((*self.offset_only[:_MOST_NAMES], *more)),)
        for title, said in (("Noticed besides", self.remarks), ("Not looked into", self.not_seen)):
            if said:
                yield title, said

    def as_text(self, width: int = _WIDTH) -> str:
        """Return all of it as text, what to set in the end.

        Args:
            width: characters of a line, at least 100; tables of long names have more lines, and words longer than a
                line go beyond.
        """
        blocks = [wrapped(one_line(f"{self.model or 'Model'}: {self.verdict}. {self.headline}"), width)]
        blocks += [f"{table.title}\n{table.as_text(width)}" for table in self.tables() if table.rows]
        blocks += [listed_text(title, said, width) for title, said in self.lists()]
        if self.advice:
            blocks.append(listed_text("What to set", self.advice, width))
        return "\n\n".join(blocks)

    def to_json(self) -> str:
        """Return all of it as a JSON object on one line, without loss; NaN and infinities are texts.

        The object has the fields of the class under their names, and `schema`, the version of this form.
        """
        return json_line({"schema": SCHEMA, **plain(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the diagnosis of which `to_json` made a text.

        Raises:
            ArgumentError: a text that is no JSON, of another schema, or with fields that do not fit.
        """
        content = json_content(text, "text")
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            received = content.get("schema") if isinstance(content, dict) else content
            raise ArgumentError("text", expected=f"an object of schema {SCHEMA!r}", received=shown(received))
        return restored(cls, {name: each for name, each in content.items() if name != "schema"}, "text")

    def __str__(self) -> str:
        return self.as_text()

    def _parts(self) -> Iterable[str]:
        reason = [] if self.reason is None else [repr(self.reason)]
        return [self.model, repr(self.verdict), *reason, f"rho={self.rho:.3g}", f"batches={self.batches}"]

    def _subtitle(self) -> str:
        return f"{self.model}: {self.verdict}"

    def _card(self) -> Iterable[object]:
        yield html.element("p", self.headline)
        if self.advice:
            yield bullets("What to set", self.advice)
        conditions, *others = self.tables()
        yield conditions.as_html()
        yield from (bullets(title, said) for title, said in self.lists())
        yield from (html.details(table.title, table.as_html()) for table in others)
        if self.profile is not None:
            yield html.details("Loss along the step of these parameters", html.joined(self.profile._card()))

    def _conditions_table(self) -> ShownTable:
        heads = ("condition", "from", "measured", "unit", "bounds", "verdict", "alarms right")
        rows = [
            (each.name, each.label, each.measured, each.unit, each.bounds, each.verdict or "–", each.errors)
            for each in self.conditions
        ]
        return ShownTable("Conditions", heads, tuple(rows), frozenset({0, 3, 4, 6})).without_empty_columns()


def _layers_table(title: str, layers: Sequence[LayerDiagnosis], said: dict[str, tuple[str, str]]) -> ShownTable:
    heads = [f"{head} ({unit})" if unit else head for head, unit in said.values()]
    rows = (
        (str(number), each.name, each.operator, *(number_text(getattr(each, name)) for name in said))
        for number, each in enumerate(layers)
    )
    return ShownTable(title, ("no.", "layer", "operator", *heads), tuple(rows), frozenset({1, 2}))
