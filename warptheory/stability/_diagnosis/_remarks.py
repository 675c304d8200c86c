"""What a set-up says and does not do: multipliers that reach no offsets, hooks without effect, frozen parts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from warptheory.stability._diagnosis._offset_only import OffsetOnly
from warptheory.stability._diagnosis._trial import Attempt

_SHOWN = 4
_WORDS = ("offset", "sampl", "loc", "position", "flow", "deform", "warp", "grid", "theta", "reference_point")
_REDUCED = 0.9  # a rate below this share of the usual one has been reduced on purpose


def learning_rates(trial: Attempt) -> dict[str, float]:
    """Return the learning rate of each parameter, 0 of those that are frozen or not in the optimizer."""
    rates = {
        id(parameter): float(group.get("lr", math.nan))
        for group in trial.optimizer.param_groups
        for parameter in group["params"]
    }
    return {
        name: rates.get(id(parameter), 0.0) if parameter.requires_grad else 0.0
        for name, parameter in trial.parameters.items()
    }


def remarks(trial: Attempt, chosen: OffsetOnly, gradients: Mapping[str, Tensor | None]) -> Iterator[str]:
    """Yield what is worth a remark.

    Args:
        trial: the model on a batch.
        chosen: its offset-only parameters.
        gradients: gradient of each parameter, of its shape (*S), with all hooks at work.
    """
    if not trial.model.training:
        yield "the model is in evaluation mode; it was tried as it is"
    rates = learning_rates(trial)
    yield from _of_frozen(rates, chosen)
    yield from _of_rates(rates, chosen)
    yield from _of_groups(trial, rates, chosen)
    yield from _of_hooks(trial, chosen, gradients)


def is_frozen(trial: Attempt, chosen: OffsetOnly) -> bool:
    """Return whether no offset-only parameter is trained."""
    rates = learning_rates(trial)
    return bool(chosen) and not any(rates[name] for name in chosen.rows)


def _of_frozen(rates: Mapping[str, float], chosen: OffsetOnly) -> Iterator[str]:
    still = [name for name in chosen.rows if rates[name] == 0]
    if still:
        yield f"not trained, though it reaches the loss through sampling positions: {listed(still)}"


def _of_rates(rates: Mapping[str, float], chosen: OffsetOnly) -> Iterator[str]:
    """Remark on offset-only parameters of which some have a smaller rate and others the full one."""
    usual = _usual_rate(rates, chosen)
    own = {name: rates[name] / usual for name in chosen.rows if rates[name] and usual}
    reduced = [name for name, factor in own.items() if factor < _REDUCED]
    full = [name for name, factor in own.items() if factor >= _REDUCED]
    if reduced and full:
        factor = median(own[name] for name in reduced)
        yield (
            f"{listed(reduced)} have {factor:.3g} of the learning rate, but {listed(full)}, which move the samples "
            "as well, have all of it"
        )


def _of_groups(trial: Attempt, rates: Mapping[str, float], chosen: OffsetOnly) -> Iterator[str]:
    """Remark on parameter groups with a smaller rate in which no parameter is offset-only."""
    usual = _usual_rate(rates, chosen)
    names = {id(parameter): name for name, parameter in trial.parameters.items()}
    if any(rates[name] and rates[name] < _REDUCED * usual for name in chosen.rows):
        return
    for number, group in enumerate(trial.optimizer.param_groups):
        rate = float(group.get("lr", math.nan))
        if not rate < _REDUCED * usual:
            continue
        members = [names[id(parameter)] for parameter in group["params"]]
        if not any(name in chosen for name in members) and _is_meant_for_offsets(group, members, chosen):
            holds = listed(members) if members else "nothing"
            yield (
                f"parameter group {number} has {rate / usual:.3g} of the learning rate and holds {holds}: none of it "
                "reaches the loss through sampling positions alone, which have the full rate"
            )


def _is_meant_for_offsets(group: Mapping[str, Any], members: Sequence[str], chosen: OffsetOnly) -> bool:
    """Return whether a group seems to be about positions: by names, by layers that hold a head, or by being empty."""
    names = [*members, str(group.get("name", ""))]
    owners = {name.rpartition(".")[0] for name in members} - {""}
    holds_head = any(own.startswith(f"{owner}.") for own in chosen.rows for owner in owners)
    return not members or holds_head or any(word in name.lower() for name in names for word in _WORDS)


def _usual_rate(rates: Mapping[str, float], chosen: OffsetOnly) -> float:
    """Return the learning rate of most other parameters; of the fastest offset-only ones if there are no others."""
    others = [rate for name, rate in rates.items() if chosen.rows.get(name, False) is not None and rate]
    return median(others) if others else max((rates[name] for name in chosen.rows), default=0.0)


def _of_hooks(trial: Attempt, chosen: OffsetOnly, gradients: Mapping[str, Tensor | None]) -> Iterator[str]:
    """Remark on hooks on the way back of offset-only parameters that change no gradient."""
    hooked = _hooked(trial, chosen)
    if not hooked:
        return
    kept = [
        (holder, getattr(holder, attribute), attribute) for holders in hooked.values() for holder, attribute in holders
    ]
    try:
        for holder, _, attribute in kept:
            setattr(holder, attribute, {} if isinstance(holder, nn.Module) else None)
        _, without = trial.gradients()
    finally:
        for holder, value, attribute in kept:
            setattr(holder, attribute, value)
    same = all(_is_same(gradients[name], without[name]) for name in trial.parameters)
    if same:
        yield f"backward hooks of {listed(list(hooked))} change no gradient"


def _hooked(trial: Attempt, chosen: OffsetOnly) -> dict[str, list[tuple[Any, str]]]:
    """Return what has hooks of backward passes among the offset-only parameters and the modules that hold them."""
    found: dict[str, list[tuple[Any, str]]] = {}
    modules = dict(trial.model.named_modules())
    for name in chosen.rows:
        parameter = trial.parameters[name]
        if parameter._backward_hooks:
            found.setdefault(name, []).append((parameter, "_backward_hooks"))
        owner = name.rpartition(".")[0]
        module = modules.get(owner)
        for attribute in ("_backward_hooks", "_backward_pre_hooks"):
            if module is not None and owner not in found and getattr(module, attribute, None):
                found[owner] = [*found.get(owner, []), (module, attribute)]
    return found


def _is_same(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.equal(first, second)


def listed(names: Sequence[str]) -> str:
    """Return names as a short list."""
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
