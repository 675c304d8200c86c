"""TRANSITION: until the sections of fields and discretization have moved on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import sympy as sp

from warptheory.symbolic._derivation import Derivation, Step
from warptheory.symbolic.gaussian import gaussian_mean as gaussian_mean
from warptheory.symbolic.gaussian import normal_density as normal_density
from warptheory.symbolic.statistic import Statistic

TAU = sp.Symbol("tau", positive=True)


@dataclass(frozen=True)
class DerivedStatistic(Statistic):
    """TRANSITION."""

    text: str
    chain: Callable[[int], tuple[Step, ...]]
    dim: int
    above: float = 0.0

    def derive(self) -> Derivation:
        """TRANSITION."""
        return Derivation(str(self), _remembered(self.chain, self.dim))

    def size(self, value: float) -> float:
        """TRANSITION."""
        return abs(value - self.above)

    def __str__(self) -> str:
        return f"{self.text}, d = {self.dim}"


@cache
def _remembered(chain: Callable[[int], tuple[Step, ...]], dim: int) -> tuple[Step, ...]:
    return chain(dim)
