"""The sampling operations of a run: where they read, and how far from a run to another that moved."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from warptheory.patterns.layouts import SamplingLayout
from warptheory.stability._sampling._call import CallSite, SamplingCall
from warptheory.stability._sampling._watch import Watch

IMAGES = 16


@dataclass
class Calls:
    """The sampling operations of a run, in their order.

    Attributes:
        sites: where they ran.
        calls: the operations.
    """

    sites: list[CallSite] = field(default_factory=list)
    calls: list[SamplingCall] = field(default_factory=list)

    def offsets(self) -> list[Float[Tensor, "B F d *T"]]:
        """Return the offsets of each on the first images, in pixels."""
        return [call.offsets(IMAGES) for call in self.calls]


@contextmanager
def recorded(model: nn.Module, modules: Mapping[str, SamplingLayout]) -> Iterator[Calls]:
    """Record the sampling operations that run within."""
    found = Calls()

    def on_call(site: CallSite, _: nn.Module, call: SamplingCall) -> None:
        found.sites.append(site)
        found.calls.append(call)
        if call.y is not None and call.y.requires_grad:
            call.y.retain_grad()

    with Watch(model, on_call, modules):
        yield found


def displacements(before: Sequence[Tensor], after: Sequence[Tensor]) -> list[float]:
    """Return how far the samples of each operation moved, root mean square, in pixels.

    Args:
        before: offsets of each, shape (B, F, d, *T).
        after: the same; NaN where an operation did not run as it did before.
    """
    pairs = zip(before, after, strict=False)
    found = [_distance(a, b) for a, b in pairs]
    return found + [math.nan] * (len(before) - len(found))


def largest(moved: Sequence[float]) -> float:
    """Return the largest displacement, infinite if one is no number; NaN if there is none."""
    return max((each if math.isfinite(each) else math.inf for each in moved), default=math.nan)


def _distance(before: Float[Tensor, "B F d *T"], after: Float[Tensor, "B F d *T"]) -> float:
    if before.shape != after.shape or not before.numel():
        return math.nan
    return math.sqrt(float((after.double() - before.double()).square().sum(2).mean()))
