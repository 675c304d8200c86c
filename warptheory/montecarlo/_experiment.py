"""What can be estimated: anything that draws independent rows, and symbolic statistics, which are simulated."""

from collections.abc import Mapping, Set
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.montecarlo._continuum import simulation_of
from warptheory.symbolic import MomentStatistic
from warptheory.symbolic.evaluation import check_values


@runtime_checkable
class Experiment(Protocol):
    """Anything that can be estimated: independent, unbiased rows from a random stream."""

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels that a row draws; it bounds the memory of a chunk."""

    @property
    def symbols(self) -> Set[str]:
        """Names of the symbols that need a number before the experiment can run."""

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"] | Float[Tensor, "rows k"]:
        """Draw independent rows: estimates, shape (rows,), or what they are functions of, shape (rows, k)."""


@runtime_checkable
class Combination(Protocol):
    """An experiment whose value is a function of the means of its columns, such as a variance of two moments."""

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the function's value and its gradient, shape (k,), at means of shape (k,)."""


def as_experiment(experiment: Experiment | MomentStatistic) -> Experiment:
    """Return the experiment itself, or the simulation of a symbolic statistic.

    Raises:
        ArgumentError: neither an experiment nor a statistic.
    """
    if isinstance(experiment, MomentStatistic):
        return simulation_of(experiment)
    if isinstance(experiment, Experiment):
        return experiment
    raise ArgumentError(
        "experiment", expected="a symbolic statistic or an Experiment", received=type(experiment).__name__
    )


def check_given(experiment: Experiment, values: Mapping[str, float]) -> None:
    """Check that numbers are given for the symbols of an experiment, and for nothing else.

    Raises:
        ArgumentError: a symbol without a number; UnknownNameError: a name that is no symbol of the experiment.
    """
    symbols = experiment.symbols
    check_values(symbols, values)
    for name in values:
        if name not in symbols:
            raise UnknownNameError("values", name, symbols)
