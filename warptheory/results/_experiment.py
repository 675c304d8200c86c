"""The experiment of a quantity: one object that is drawn, and whose expectation is derived."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import sympy as sp
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels
from warptheory.kernels import Kernel
from warptheory.results._setting import Setting
from warptheory.symbolic import Derivation, Statistic, Step


@dataclass(frozen=True)
class DerivedExperiment(Statistic):
    """An experiment that is drawn here and derived here.

    A polynomial moment needs no such class: `montecarlo.simulation_of` draws it as it is written.

    Attributes:
        setting: the setting.
        text: what it is the expectation of, in plain text.
        pixels: pixels of a row's grid along each axis, by the number of axes.
    """

    setting: Setting

    text: ClassVar[str]
    pixels: ClassVar[Mapping[int, int]]

    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """Return the steps to the closed form, each equal in value to the one before.

        Raises:
            NotReducible: the algebra cannot reduce a term.
            NoClosedFormError: a functional of the kernel has no closed form that is needed here.
        """

    @property
    @abstractmethod
    def symbols(self) -> Set[str]:
        """Names of the symbols that need a number before rows can be drawn."""

    @property
    def kernel(self) -> Kernel:
        """The interpolation kernel."""
        return kernels.get(self.setting.kernel)

    @property
    def grid(self) -> tuple[int, ...]:
        """The grid of a row."""
        return (self.pixels[self.setting.dim],) * self.setting.dim

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels that a row draws, those of its grid; it bounds the memory of a chunk."""
        return math.prod(self.grid)

    @abstractmethod
    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"] | Float[Tensor, "rows k"]:
        """Draw independent rows: estimates, shape (rows,), or what they are functions of, shape (rows, k)."""

    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form; raises as `steps`."""
        return self.derivation(_remembered(self))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class MomentExperiment(DerivedExperiment):
    """An experiment that draws a function of moments in a way of its own; what it says of itself is the function's."""

    @property
    @abstractmethod
    def statistic(self) -> Statistic:
        """The function of moments, or what follows from one."""

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of the function of moments; raises as there."""
        return self.statistic.derive().steps

    def doit(self) -> sp.Expr:
        """Return the closed form."""
        return self.statistic.doit()

    def size(self, value: float) -> float:
        """Return the size that a relative error of a value is measured by."""
        return self.statistic.size(value)

    def __str__(self) -> str:
        return str(self.statistic)

    def latex(self) -> str:
        """Return the statistic in LaTeX."""
        return self.statistic.latex()


@dataclass(frozen=True)
class DerivedStatistic(Statistic):
    """A statistic that is derived and not drawn, since the checks of others stand for it.

    Attributes:
        text: the statistic in plain text.
        steps: makes the steps to its closed form.
    """

    text: str
    steps: Callable[[], tuple[Step, ...]]

    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form."""
        return self.derivation(self.steps())

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=256)
def _remembered(experiment: DerivedExperiment) -> tuple[Step, ...]:
    return experiment.steps()


def forget_derivations() -> None:
    """Forget the steps that experiments have derived: what is derived in one run is derived again in the next."""
    _remembered.cache_clear()
