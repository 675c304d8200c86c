"""The single repairs that `stabilise` makes, each with what takes it back."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from warptheory.core.presented import Presented
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._diagnosis._examination import LEAST_STEPS, Examination
from warptheory.stability._diagnosis._heads import is_zero, zeroed
from warptheory.stability._diagnosis._judgement import REACH_STUCK, Reached
from warptheory.stability._diagnosis._offset_only import OffsetOnly
from warptheory.stability._diagnosis._remarks import learning_rates, listed
from warptheory.stability._diagnosis._speeds import Speeds, geometric_mean
from warptheory.stability._diagnosis._trial import Attempt, norm_of, present
from warptheory.stability._sampling._call import SamplingCall
from warptheory.stability._sampling._steering import TO_A_SIDE, Move, Steering, moved_by, shift_of
from warptheory.warping.jacobian import slope_deviation

_ROUNDS = 6
_CRITICAL = 10.0  # multiples of the wanted speed ratio that no repair exceeds
TOO_FAR = 2.0  # pixels in the memory of momentum above which a repair lowers rates that it would rather leave
CLOSE = 1.05  # the fixed point is reached within this factor
_RATES = ("lr", "initial_lr", "max_lr", "multiplier")  # all that says how fast a parameter group learns
_UNEVEN = 10.0  # times by which rates of offset-only parameters may differ
_MOST = 1e6  # no multiplier changes by more


@dataclass(frozen=True)
class Change(Presented):
    """Something that was changed, and can be taken back.

    Attributes:
        name: what it is: "heads", "trained", "rates", "multiplier", "clipping", "derivative" or "slopes".
        what: what was done, in words and numbers.
        undo: takes it back.
    """

    name: str
    what: str
    undo: Callable[[], None] = field(repr=False)


def heads_at_zero(trial: Attempt, heads: Iterable[str], chosen: OffsetOnly) -> Iterator[Change]:
    """Set the heads to zero, as far as they are offset-only; nothing if they are."""
    names = list(heads)
    if not names or is_zero(trial, names, chosen):
        return
    before = {name: trial.parameters[name].detach().clone() for name in names}
    _set(trial, zeroed(trial, names, chosen))
    yield Change("heads", f"the heads start at zero: {listed(names)}", lambda: _set(trial, before))


def trained_again(optimizer: torch.optim.Optimizer, trial: Attempt, chosen: OffsetOnly) -> Iterator[Change]:
    """Have the optimizer train the offset-only parameters, all of which are frozen."""
    frozen = [trial.parameters[name] for name in chosen.rows]
    needed = [parameter.requires_grad for parameter in frozen]
    known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    missing = [parameter for parameter in frozen if id(parameter) not in known]
    groups = list(optimizer.param_groups)
    for parameter in frozen:
        parameter.requires_grad_(True)
    still = {id(parameter) for group in groups if float(group["lr"]) == 0 for parameter in group["params"]}
    usual = max(groups, key=lambda group: float(group["lr"]))
    _give_the_rate(optimizer, still & {id(parameter) for parameter in frozen}, usual)
    if missing:
        optimizer.add_param_group({**usual, "params": missing})

    def undo() -> None:
        optimizer.param_groups[:] = groups
        for parameter, need in zip(frozen, needed, strict=True):
            parameter.requires_grad_(need)

    yield Change("trained", f"trained, which they were not: {listed(list(chosen.rows))}", undo)


def evened(optimizer: torch.optim.Optimizer, trial: Attempt, chosen: OffsetOnly) -> Iterator[Change]:
    """Have the offset-only parameters learn as fast as the fastest of them, if some are ten times slower.

    One factor is to suit them all: it would make a localiser run away where only the head was slowed.
    """
    rates = learning_rates(trial)
    own = {name: rates[name] for name in chosen.rows if trial.parameters[name].requires_grad}
    fastest = max(own.values(), default=0.0)
    slow = {id(trial.parameters[name]): name for name, rate in own.items() if rate * _UNEVEN < fastest}
    groups = list(optimizer.param_groups)
    known = {id(parameter): group for group in groups for parameter in group["params"]}
    if not slow or not slow.keys() <= known.keys():
        return
    usual = next(known[id(trial.parameters[name])] for name, rate in own.items() if rate == fastest)
    _give_the_rate(optimizer, set(slow), usual)

    def undo() -> None:
        optimizer.param_groups[:] = groups

    what = f"as fast as the fastest of what moves samples, at {fastest:.3g}, learn {listed(list(slow.values()))}"
    yield Change("rates", what, undo)


def factor_for(found: Examination, target: float, pixels: float) -> Reached:
    """Return the factor that a repair gives the learning rate of all offset-only parameters, and what it reaches.

    It is that of the wanted speed ratio, or, if larger, that of a displacement that lets samples matter; but never one
    by which the speed ratio is ten times what is wanted.

    Args:
        found: a model on some batches.
        target: speed ratio that is wanted.
        pixels: mean displacement over layers in the steps that momentum remembers that is wanted at least, and where
            there is no speed ratio.

    Returns:
        The factor, by fixed points, and what it reaches; NaN if no step moves anything.
    """
    if not found.offset_only:
        now = _displacement(found.speeds())
        if REACH_STUCK / LEAST_STEPS < now < TOO_FAR:
            # A rate of the whole model, which is changed only where it must be.
            return Reached(1.0, now, is_ratio=False)
    slow, ratio = _fixed_point(found, _ratio, target, 1.0)
    visible, displacement = _fixed_point(found, _displacement, pixels, slow)
    if math.isnan(ratio):
        return Reached(visible, displacement, is_ratio=False)
    if visible <= slow:
        return Reached(slow, ratio)
    critical, most = _fixed_point(found, _ratio, _CRITICAL * target, _CRITICAL * slow)
    if visible >= critical:
        return Reached(critical, most)
    return Reached(visible, _ratio(found.speeds(visible)))


def _ratio(measured: list[Speeds]) -> float:
    return geometric_mean([each.ratio for each in measured])[0]


def _displacement(measured: list[Speeds]) -> float:
    return geometric_mean([each.mean_displacement for each in measured])[0]


def _fixed_point(
    found: Examination, measure: Callable[[list[Speeds]], float], wanted: float, factor: float
) -> tuple[float, float]:
    """Return the factor at which a measure is what is wanted, and what it is there."""
    reached = math.nan
    for _ in range(_ROUNDS):
        reached = measure(found.speeds(factor))
        if not reached > 0 or 1 / CLOSE < reached / wanted < CLOSE:
            break
        # Ratios saturate where steps are long: no step towards the target is longer than a hundredfold.
        change = min(max(wanted / reached, 1e-2), 1e2) if math.isfinite(reached) else 1e-2
        factor = min(max(factor * change, 1 / _MOST), _MOST)
    return factor, reached


class Multiplier:
    """A factor on the learning rate of the offset-only parameters, as groups of their own; of rows, by a hook.

    Attributes:
        factor: the factor.

    Args:
        optimizer: whose groups are changed.
        trial: whose parameters they are.
        chosen: the offset-only parameters.
        factor: the factor to begin with.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, trial: Attempt, chosen: OffsetOnly, factor: float) -> None:
        self.factor = 1.0
        self._optimizer, self._before = optimizer, list(optimizer.param_groups)
        whole = {id(trial.parameters[name]) for name, rows in chosen.rows.items() if rows is None}
        parts = [each for group in self._before for each in _split(group, whole)]
        optimizer.param_groups[:] = [group for group, _ in parts]
        self._own = [group for group, is_own in parts if is_own]
        self._hooks = ExitStack()
        rows = {name: rows for name, rows in chosen.rows.items() if rows is not None}
        if rows:
            self._scale_rows(trial, rows)
        self.multiply(factor)

    def multiply(self, factor: float) -> None:
        """Multiply the rates once more."""
        self.factor *= factor
        for group in self._own:
            group.update({name: group[name] * factor for name in _RATES if name in group})

    def undo(self) -> None:
        """Give the optimizer its groups back."""
        self._hooks.close()
        self._optimizer.param_groups[:] = self._before

    def _scale_rows(self, trial: Attempt, split: Mapping[str, Tensor]) -> None:
        """Scale what steps change in some rows of parameters whose other rows learn at the full rate."""
        before: dict[str, Tensor] = {}

        def keep(*_: Any) -> None:
            before.update({name: trial.parameters[name].detach().clone() for name in split})

        def scale(*_: Any) -> None:
            with torch.no_grad():
                for name, rows in split.items():
                    parameter = trial.parameters[name]
                    mine = rows.reshape(-1, *[1] * (parameter.ndim - 1))
                    step = parameter - before[name]
                    parameter.copy_(torch.where(mine, before[name] + self.factor * step, parameter))

        self._hooks.callback(self._optimizer.register_step_pre_hook(keep).remove)
        self._hooks.callback(self._optimizer.register_step_post_hook(scale).remove)


def clipped(optimizer: torch.optim.Optimizer, found: Examination) -> Iterator[Change]:
    """Clip the gradient of the offset-only parameters at the norm that it has on the first batches."""
    trial, chosen = found.trials[0], found.movers
    norms = [norm_of(list(chosen.of(present(step.gradients)).values())) for step in found.steps]
    largest, _ = geometric_mean(norms)
    if not 0 < largest < math.inf:
        return

    def clip(*_: Any) -> None:
        known = {name: parameter.grad for name, parameter in trial.parameters.items() if parameter.grad is not None}
        norm = norm_of(list(chosen.of(known).values()))
        if not norm > largest:
            return
        for name, part in chosen.of(known).items():
            # A gradient that is not finite is left for others to see.
            known[name].sub_(part, alpha=1 - largest / norm)

    handle = optimizer.register_step_pre_hook(clip)
    yield Change("clipping", f"the gradient of the offset-only parameters is clipped at {largest:.3g}", handle.remove)


def steered(
    model: nn.Module, modules: Mapping[str, SamplingLayout], *, central: bool, slope_bound: float | None
) -> Iterator[Change]:
    """Have the model sample, in training, beside knots, or with slopes that are bounded.

    With a random side for each pass the derivative is the central one on average; slopes are bounded by a factor on
    the offsets of each image.
    """
    moves: list[tuple[str, str, Move]] = []
    if slope_bound is not None:
        moves.append(("slopes", f"slopes of offsets are bounded by {slope_bound:.3g}", _bounded(slope_bound)))
    if central:
        moves.append(("derivative", f"derivatives at knots are taken {TO_A_SIDE:g} pixels to a random side", _beside))
    for name, what, move in moves:
        yield Change(name, what, _always(model, move, modules))


def _give_the_rate(optimizer: torch.optim.Optimizer, chosen: set[int], usual: Mapping[str, Any]) -> None:
    """Have some parameters learn as fast as those of another group."""
    rates = {name: usual[name] for name in _RATES if name in usual}
    parts = [each for group in optimizer.param_groups for each in _split(group, chosen)]
    optimizer.param_groups[:] = [{**group, **rates} if is_chosen else group for group, is_chosen in parts]


def _set(trial: Attempt, values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            trial.parameters[name].copy_(value)


def _split(group: dict[str, Any], whole: set[int]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield a parameter group without its offset-only parameters, and one of these alone; with whether it is that."""
    own = [parameter for parameter in group["params"] if id(parameter) in whole]
    rest = [parameter for parameter in group["params"] if id(parameter) not in whole]
    if rest or not own:
        yield {**group, "params": rest}, False
    if own:
        yield {**group, "params": own}, True


def _always(model: nn.Module, move: Move, modules: Mapping[str, SamplingLayout]) -> Callable[[], None]:
    """Have every pass in training sample at other positions; return what ends that."""
    running: list[Steering] = []

    def begin(called: nn.Module, *_: Any) -> None:
        if called.training and torch.is_grad_enabled():
            running.append(Steering(model, move, modules))
            running[-1].__enter__()

    def end(*_: Any) -> None:
        if running:
            running.pop().__exit__(None, None, None)

    handles = (
        model.register_forward_pre_hook(begin),
        model.register_forward_hook(end, always_call=True),
    )

    def undo() -> None:
        for handle in handles:
            handle.remove()

    return undo


def _beside(call: SamplingCall) -> Tensor:
    dim = call.offsets(1).shape[2]
    sides = 2 * torch.randint(0, 2, (dim,)) - 1
    return moved_by((sides * TO_A_SIDE).tolist())(call)


def _bounded(bound: float) -> Move:
    """Return what scales the offsets of a call so that their root mean square slope is within a bound."""

    def move(call: SamplingCall) -> Tensor:
        offsets = call.offsets()
        slope = float(slope_deviation(offsets.flatten(0, 1)))
        if not slope > bound:
            return call.raw
        excess = shift_of(call, offsets * (1 - bound / slope))
        # The factor counts as a constant: the gradient is that of smaller offsets.
        return call.raw - excess

    return move
