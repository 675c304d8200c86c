"""What the monitor records: a row for each sampling operation and step, and the table of all rows."""

import math
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from itertools import takewhile
from typing import Any, NamedTuple

import pandas as pd

from warptheory.core import html
from warptheory.core.definition import attributes
from warptheory.core.presented import Presented, brief
from warptheory.stability._parameter_gradients import GradientMoments, ParameterGradient
from warptheory.stability._sampling._call import CallSite
from warptheory.stability._sampling._gradients import PendingGradients
from warptheory.stability._sampling._statistics import ForwardStatistics


def _in(unit: str) -> Any:
    """Return a field of a number in a unit, which tables show; what the number is, the class documents."""
    return field(metadata={"unit": unit})


@dataclass(frozen=True)
class LayerStatistics(Presented):
    """What one sampling operation did in one step.

    Values that are not known are NaN: gradients where no backward pass came by, everything about input and output
    where a user named a module's output, slopes on a grid without neighbours. A gradient is that of what the backward
    pass began with, the loss, in the units of the caller (an AMP scaler's factor is in it), of all uses of a tensor
    that is used several times, and of this pass alone: what `.grad` held before is not in it, nor what other processes
    add to it. Hooks of the same tensor that were registered before the step have changed it already.

    Attributes:
        step: number of the model's call, from 0, counted apart in training and in evaluation.
        training: whether the model was in training mode.
        layer: dotted name of the module in which the operation ran, empty for the model itself.
        call: number of the operation among those of that module in this step, from 0.
        depth: number of the operation among all of this step, from 0: the first is the nearest to the input.
        operator: "warp", "sample" (an operator of this library), "grid_sample", "deform_conv2d", "mmcv deform_conv2d",
            "mmcv modulated_deform_conv2d", the name of a declared function, or "module output".
        offset_mean: mean of the offsets over images, fields, axes and pixels, in pixels of the sampled image.
        offset_deviation: standard deviation of the same, in pixels.
        slope_deviation: τ, the root mean square of the offsets' slopes, per pixel of the sampled image.
        fold_fraction: share of pixels with det(I + ∇ε) ≤ 0; of all fields, so of all taps.
        outside_fraction: share of samples that lie off the image; of all taps, so padding counts.
        dead_fraction: share of inputs (pixels, for each offset group) that no sample reads.
        variance_in: variance of what is sampled.
        variance_out: variance of the outcome.
        output_gradient_variance: variance of ∂L/∂y.
        input_gradient_variance: variance of ∂L/∂x, through all that reads x, the offsets' head included.
        offset_gradient_variance: variance of ∂L/∂ε, per pixel of offset.
        parameter_gradient_variance: variance of ∂L/∂w over all parameters w of the module in which the operation ran,
            its submodules included, as far as the backward pass has a gradient for them; a complex number counts as
            two.
    """

    step: int
    training: bool
    layer: str
    call: int
    depth: int
    operator: str
    offset_mean: float = _in("pixels")
    offset_deviation: float = _in("pixels")
    slope_deviation: float = _in("per pixel")
    fold_fraction: float = _in("share of pixels")
    outside_fraction: float = _in("share of samples")
    dead_fraction: float = _in("share of inputs")
    variance_in: float = _in("value²")
    variance_out: float = _in("value²")
    output_gradient_variance: float = _in("loss²/value²")
    input_gradient_variance: float = _in("loss²/value²")
    offset_gradient_variance: float = _in("loss²/pixel²")
    parameter_gradient_variance: float = _in("loss²/parameter²")

    def _parts(self) -> Iterable[str]:
        mode = "training" if self.training else "evaluation"
        numbers = (f"{name}={getattr(self, name):.3g}" for name in ("offset_deviation", "fold_fraction"))
        return [repr(self.layer), f"step={self.step}", mode, *numbers]

    def _subtitle(self) -> str:
        return self.layer or "of the model itself"

    def _card(self) -> Iterable[object]:
        shown = [html.Column(name, is_text=True) for name in ("", "value", "unit", "meaning")]
        rows = [
            (column.name, brief(getattr(self, column.name)), column.unit, column.meaning)
            for column in statistics_columns()
        ]
        yield html.table(shown, rows)


class StatisticsColumn(NamedTuple):
    """A column of the table of statistics.

    Attributes:
        name: its name, as in the record.
        unit: its unit; empty where there is none.
        meaning: what it says, in a sentence.
    """

    name: str
    unit: str
    meaning: str

    @property
    def head(self) -> str:
        """Name and unit, as a heading."""
        words = self.name.replace("_", " ")
        return f"{words} ({self.unit})" if self.unit else words


@cache
def statistics_columns() -> tuple[StatisticsColumn, ...]:
    """Return the columns of the table, in order: each attribute of `LayerStatistics`, with its unit and meaning."""
    said = attributes(LayerStatistics)
    return tuple(
        StatisticsColumn(each.name, each.metadata.get("unit", ""), said.get(each.name, ""))
        for each in fields(LayerStatistics)
    )


def operation_name(layer: str, call: int) -> str:
    """Return how an operation is called where it is shown: its layer, and which call of it unless it is the first."""
    return (layer or "the model itself") + (f", call {call}" if call else "")


@dataclass(eq=False)
class LayerRow:
    """A row that the backward pass completes.

    Attributes:
        gradients: variances, by name, as they come.
        parameters: gradients of the parameters of the operation's module.
        passes: numbers of the backward passes that came to the operation, in their order; None where that cannot be
            seen, and the first that brings gradients is taken for one.
    """

    step: int
    training: bool
    site: CallSite
    operator: str
    forward: ForwardStatistics
    gradients: dict[str, float] = field(default_factory=dict)
    parameters: list[ParameterGradient] = field(default_factory=list)
    passes: list[int] | None = field(default_factory=list)
    _pending: "weakref.ref[PendingGradients] | None" = None

    def expect(self) -> PendingGradients:
        """Return what all that may still change this row has to hold."""
        pending = PendingGradients()
        self._pending = weakref.ref(pending)
        return pending

    @property
    def is_settled(self) -> bool:
        """Whether nothing can change the row any more."""
        return self._pending is None or self._pending() is None

    @property
    def parameter_moments(self) -> list[GradientMoments]:
        """What the first pass brought that came to the operation, and to parameters, before it or behind it."""
        passes = self.passes
        if passes is None:
            passes = sorted({number for each in self.parameters for number in each.found})
        for number in passes:
            found = [each.found[number] for each in self.parameters if number in each.found]
            if found:
                return found
        return []

    @property
    def parameter_gradient_variance(self) -> float:
        """Variance of these gradients, NaN without any."""
        return _pooled_variance(self.parameter_moments)

    def finished(self) -> LayerStatistics:
        """Return the row as it is now."""
        names = ("output", "input", "offset")
        return LayerStatistics(
            self.step,
            self.training,
            self.site.layer,
            self.site.call,
            self.site.depth,
            self.operator,
            **asdict(self.forward),
            **{f"{name}_gradient_variance": self.gradients.get(name, math.nan) for name in names},
            parameter_gradient_variance=self.parameter_gradient_variance,
        )


def _pooled_variance(parts: Sequence[GradientMoments]) -> float:
    """Return the variance about the common mean."""
    # Of no entries there is no mean.
    parts = [part for part in parts if part.count]
    count = sum(part.count for part in parts)
    if not count:
        return math.nan
    mean = sum(part.count * part.mean for part in parts) / count
    return sum(part.count * (part.variance + (part.mean - mean) ** 2) for part in parts) / count


class LayerTable:
    """Rows in the order in which they came; those that are settled are kept in columns, and made once."""

    def __init__(self) -> None:
        self._settled = _columns([])
        self._open: list[LayerRow] = []

    def add(self, row: LayerRow) -> None:
        """Append a row."""
        self._open.append(row)

    def frame(self) -> pd.DataFrame:
        """Return all rows as a table of its own."""
        # Rows behind one that is open wait, so that the order stays.
        settled = list(takewhile(lambda row: row.is_settled, self._open))
        del self._open[: len(settled)]
        self._settled = _joined(self._settled, _columns(settled))
        return _joined(self._settled, _columns(self._open))


def _columns(rows: Sequence[LayerRow]) -> pd.DataFrame:
    names = [each.name for each in fields(LayerStatistics)]
    return pd.DataFrame([vars(row.finished()) for row in rows], columns=names)


def _joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    # A table without rows has columns without types, which would spoil those of the other.
    parts = [part for part in (first, second) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else first.copy()
