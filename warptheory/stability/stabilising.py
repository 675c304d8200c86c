"""A repair for a model whose samples run away or do not move: heads at zero, one multiplier for all that moves them.

>>> import torch
>>> from torch.nn import functional
>>> from warptheory import networks, stability
>>> _ = torch.manual_seed(0)
>>> model = networks.selfwarp_resnet(8, width=4)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
>>> batches = [(torch.randn(16, 3, 12, 12), torch.randint(0, 10, (16,))) for _ in range(4)]
>>> repaired = stability.stabilise(model, batches, functional.cross_entropy, optimizer)
>>> [change.name for change in repaired.changes]
['multiplier', 'clipping']
>>> stability.diagnose(model, batches, functional.cross_entropy, optimizer).verdict
'ok'

The target is a speed ratio of 1/30, or, if that is faster, samples that move by a fifth of a pixel in the steps that
momentum remembers: on the development set the first alone is too slow for one network in five. Neither half of the
repair is enough alone: a multiplier cannot mend a rough start, and a head at zero cannot hold a fast one.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from warptheory.core.checks import check_integer, check_number
from warptheory.core.presented import Presented
from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._diagnosis._examination import (
    Batches,
    Examination,
    as_written,
    check_model,
    quiet,
    summary,
)
from warptheory.stability._diagnosis._judgement import (
    TARGET,
    TARGET_PIXELS,
    Reached,
)
from warptheory.stability._diagnosis._remarks import is_frozen
from warptheory.stability._diagnosis._repair import (
    TOO_FAR,
    Change,
    Multiplier,
    clipped,
    evened,
    factor_for,
    heads_at_zero,
    steered,
    trained_again,
)
from warptheory.stability._diagnosis._trial import Loss
from warptheory.stability._diagnosis._untouched import untouched
from warptheory.stability.diagnosing import BATCHES

LATER = (10, 20, 30, 40, 50)
TOO_FAST = (3.0, TOO_FAR)  # speed ratio, and pixels in the memory of momentum, above which rates are lowered later
FAST_ENOUGH = (0.5, 1.0)  # what they are lowered to


class LateGrowth:
    """A callback that measures again early in training, and lowers the multiplier if samples have begun to run away.

    Heads that start at zero hide what is below them: once they are not, the localiser moves samples as well, and their
    speed grows with the product. The ratio of speeds grows also where the rest comes to rest, which is no harm: so the
    bounds are those of a failure, and of a displacement. Call it after each step, with the number of steps done.

    Attributes:
        steps: the steps at which it measures.
        told: what it found, a sentence for each measurement.
    """

    def __init__(self, examine: Callable[[], tuple[float, float]], multiplier: Multiplier) -> None:
        self.steps: tuple[int, ...] = LATER
        self.told: list[str] = []
        self._examine, self._multiplier = examine, multiplier

    def __call__(self, step: int) -> None:
        """Measure if it is time.

        Args:
            step: number of steps that are done.
        """
        if step not in self.steps:
            return
        ratio, pixels = self._examine()
        measured = "" if math.isnan(ratio) else f"the speed ratio is {ratio:.3g} and "
        said = f"after {step} steps {measured}samples move {pixels:.3g} pixels in the memory of momentum"
        if ratio > TOO_FAST[0] or pixels > TOO_FAST[1]:
            excess = (ratio / FAST_ENOUGH[0], pixels / FAST_ENOUGH[1])
            factor = 1 / max(each for each in excess if not math.isnan(each))
            self._multiplier.multiply(factor)
            said += f"; learning rates of offset-only parameters times {factor:.2g}"
        self.told.append(said)


@dataclass(frozen=True, eq=False)
class Stabilised(Presented):
    """A repaired model.

    Attributes:
        parameter_groups: groups of the optimizer, which has them already, for another optimizer.
        changes: what was changed, in order.
        callback: measures again early in training; to be called after each step with the number of steps done.
        multiplier: factor on the learning rates of the offset-only parameters.
    """

    parameter_groups: list[dict[str, Any]]
    changes: tuple[Change, ...]
    callback: LateGrowth
    multiplier: float

    def undo(self) -> None:
        """Take every change back, the last one first; heads have again what they had before the repair."""
        for change in reversed(self.changes):
            change.undo()


def stabilise(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    target: float = TARGET,
    *,
    pixels: float = TARGET_PIXELS,
    count: int = BATCHES,
    modules: Mapping[str, SamplingLayout] | None = None,
    zero_heads: bool = True,
    clip: bool = True,
    central: bool = False,
    slope_bound: float | None = None,
    seed: int = 0,
) -> Stabilised:
    """Repair a model in place, before it is trained, so that its samples move neither too fast nor too slowly.

    The offset-only parameters get parameter groups of their own with a multiple of their learning rate, up or down, by
    a fixed point to the target, or to `pixels` where that is faster and the ratio stays within ten targets; those that
    learn ten times slower than others are made as fast first, so that one multiple suits them all. Where only
    rows of a parameter are offset-only, a hook of the optimizer does so. Build schedulers of the learning rate
    afterwards. Of a model without offset-only parameters all rates are changed, if samples move too fast or too slowly.

    Args:
        model: any torch model that `diagnose` takes; for one in the middle of training, keep its heads.
        batches: an iterable of (inputs, target), as for `diagnose`.
        loss: of the model's output and the target; returns a scalar tensor.
        optimizer: of the model's parameters; its groups are changed in place.
        target: speed ratio that is wanted, above 0.
        pixels: mean displacement over layers that is wanted at least, in the steps that momentum remembers.
        count: batches that are used, the first ones.
        modules: modules whose outputs are offsets, as for `monitor`.
        zero_heads: set the heads of the offsets to zero.
        clip: clip the gradient of the offset-only parameters at the norm that it has on these batches.
        central: sample a thousandth of a pixel to a random side in training, so that derivatives at knots are central
            on average (A10); sampling then costs twice.
        slope_bound: bound on the root mean square slope of the offsets in training; None for none.
        seed: seed of the random numbers that the model draws meanwhile.

    Raises:
        ArgumentError: as `diagnose`; a target or a bound that is not positive.

    Source: results G5 and G6.
    """
    check_model(model, optimizer)
    check_number("target", target, above=0)
    check_number("pixels", pixels, above=0)
    if slope_bound is not None:
        check_number("slope_bound", slope_bound, above=0)
    check_integer("count", count)

    def examined() -> Examination:
        torch.manual_seed(seed)
        return Examination.of(model, taken, loss, optimizer, modules)

    with untouched(model, optimizer), as_written(model), quiet():
        taken = list(islice(iter(batches), count))
        found = examined()
    changes: list[Change] = []
    if is_frozen(found.trials[0], found.offset_only):
        changes += trained_again(optimizer, found.trials[0], found.offset_only)
        with untouched(model, optimizer), as_written(model), quiet():
            found = examined()  # heads are found by the graph, in which what is frozen is not
    if zero_heads:
        changes += heads_at_zero(found.trials[0], found.heads, found.movers)
    changes += evened(optimizer, found.trials[0], found.offset_only)
    with untouched(model, optimizer), as_written(model), quiet():
        found = examined()
        repair = factor_for(found, target, pixels)
    multiplier = Multiplier(optimizer, found.trials[0], found.movers, repair.factor)
    outcome = _named(repair, found.memory)
    what = f"learning rates of offset-only parameters times {repair.factor:.3g}, which makes {outcome}"
    changes.append(Change("multiplier", what, multiplier.undo))
    if clip:
        changes += clipped(optimizer, found)
    changes += steered(model, found.modules, central=central, slope_bound=slope_bound)

    def examine() -> tuple[float, float]:
        with untouched(model, optimizer), as_written(model), quiet():
            (ratio, _), (moved, _) = summary(examined().speeds())
        return ratio, moved

    groups = list(optimizer.param_groups)
    return Stabilised(groups, tuple(changes), LateGrowth(examine, multiplier), repair.factor)


def _named(repair: Reached, memory: float) -> str:
    """Return what a repair has reached, in words."""
    if not repair.value > 0:
        return "no difference that can be measured: make the scale of the offsets larger"
    if repair.is_ratio:
        return f"the speed ratio {repair.value:.3g}"
    return f"the displacement in {memory:.3g} steps {repair.value:.3g} pixels"
