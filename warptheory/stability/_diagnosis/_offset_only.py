"""Which parameters reach the loss only through sampling positions, told by the graph and not by names.

A backward pass through the model as it is has gradients that one with positions cut off has not. A parameter of which
only some rows do so, such as the filters of a head that computes offsets and masks, is split by rows (its first axis):
their gradient vanishes, to the last bit, when positions are cut off.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._diagnosis._trial import Attempt, Update
from warptheory.stability._sampling._steering import Steering, cut

_BESIDE = 1e-2  # standard deviation of what is added to parameters, to be off any zero


@dataclass(frozen=True, eq=False)
class OffsetOnly:
    """The parameters that reach the loss only through positions.

    Attributes:
        rows: of each by name the rows (R,) along its first axis that do; None stands for all.
    """

    rows: dict[str, Bool[Tensor, "R"] | None]

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __contains__(self, name: object) -> bool:
        return name in self.rows

    def of(self, update: Update) -> dict[str, Tensor]:
        """Return the part of an update, or of gradients, that belongs to these parameters."""
        return {name: self._chosen(name, value) for name, value in update.items() if name in self.rows}

    def rest_of(self, update: Update) -> dict[str, Tensor]:
        """Return the part that belongs to all others."""
        mine = self.of(update)
        return {
            name: value - mine[name] if name in mine else value
            for name, value in update.items()
            if self.rows.get(name, False) is not None
        }

    def names(self) -> tuple[str, ...]:
        """Return the names, with ranges of rows where it is not all of a parameter."""
        return tuple(name if rows is None else f"{name}[{_ranges(rows)}]" for name, rows in self.rows.items())

    def _chosen(self, name: str, value: Tensor) -> Tensor:
        rows = self.rows[name]
        return value if rows is None else value * rows.reshape(-1, *[1] * (value.ndim - 1)).to(value.dtype)


def offset_only(trial: Attempt, modules: Mapping[str, SamplingLayout]) -> OffsetOnly:
    """Return the parameters of a trial's model that reach the loss only through positions.

    Frozen parameters count: whether they are trained is another question.
    """
    with _all_learnable(trial):
        _, whole = trial.gradients()
        _, without = trial.gradients(Steering(trial.model, cut, modules))
    found: dict[str, Tensor | None] = {}
    for name, gradient in whole.items():
        if gradient is None:
            continue
        other = without[name]
        if other is None:
            found[name] = None
        elif gradient.ndim:
            rows = _is_zero(other) & ~_is_zero(gradient)
            if bool(rows.any()):
                found[name] = rows
    if any(rows is not None for rows in found.values()):
        found = dict(_still_without(trial, found, modules))
    return OffsetOnly(found)


def _still_without(
    trial: Attempt, found: Mapping[str, Tensor | None], modules: Mapping[str, SamplingLayout]
) -> Iterator[tuple[str, Tensor | None]]:
    """Yield those rows that have no gradient beside the present parameters, either, with positions cut off.

    A gradient that vanishes because a layer on its way starts at zero does not beside zero.
    """
    generator = torch.Generator().manual_seed(0)
    beside = {
        name: _BESIDE * torch.randn(parameter.shape, generator=generator).to(parameter)
        for name, parameter in trial.parameters.items()
    }
    with _all_learnable(trial), trial.moved(beside):
        _, without = trial.gradients(Steering(trial.model, cut, modules))
    for name, rows in found.items():
        other = without[name]
        if rows is None or other is None:
            yield name, rows
            continue
        kept = rows & _is_zero(other)
        if bool(kept.any()):
            yield name, None if bool(kept.all()) else kept


@contextmanager
def _all_learnable(trial: Attempt) -> Iterator[None]:
    frozen = [parameter for parameter in trial.parameters.values() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _is_zero(gradient: Tensor) -> Bool[Tensor, "R"]:
    dense = gradient.to_dense() if gradient.is_sparse else gradient
    return (dense == 0).reshape(len(dense), -1).all(1)


def _ranges(rows: Tensor) -> str:
    """Return the rows as ranges, such as 0:18, 20:21."""
    edges = torch.diff(torch.cat([rows.new_zeros(1), rows, rows.new_zeros(1)]).int()).nonzero().flatten().tolist()
    return ", ".join(f"{first}:{last}" for first, last in zip(edges[::2], edges[1::2], strict=True))
