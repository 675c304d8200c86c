"""What the moments of an experiment's rows say: its value, the standard error, and how many rows make them good."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from warptheory.montecarlo._conditional import ConditionalSimulation
from warptheory.montecarlo._controls import Controlled, ControlledSimulation, corrected
from warptheory.montecarlo._experiment import Combination, Experiment
from warptheory.montecarlo._moments import Moments, propagated_error
from warptheory.montecarlo._simulation import Simulation

# A value of fewer standard errors cannot be told from zero: one in 16,000 that are zero would seem not to be.
DISTINCT = 4.0
# Cochran's rule: with fewer rows than so many times their squared skewness, the mean is not normal enough.
_ROWS_PER_SQUARED_SKEWNESS = 25
# The variance of n rows scatters by the share √((κ + 2)/n): what the excess kurtosis κ adds is a sixth at most. Where
# the variance is infinite, a few rows make all of it, and κ grows with n.
_ROWS_PER_KURTOSIS = 36


@dataclass(frozen=True)
class PointEstimate:
    """What is known of a value from the rows that were drawn.

    Attributes:
        value: the value.
        stderr: its standard error.
        rows: how many rows its standard error can be trusted from.
    """

    value: float
    stderr: float
    rows: float

    @property
    def is_finite(self) -> bool:
        """Whether value and standard error are numbers."""
        return math.isfinite(self.value) and math.isfinite(self.stderr)


def read(experiment: Experiment, moments: Moments, values: Mapping[str, float]) -> PointEstimate:
    """Return what the moments of an experiment's rows say.

    Rows that are all alike say nothing about their scatter: an event in fewer than one of n rows has not been seen yet.
    The standard error is then that of one row among them which differs by the value, or by 1 if that is larger: 1/n
    where an event was never seen. Sets of offsets, over which a conditional mean is exact, may well be alike.

    Args:
        experiment: the experiment, as it was run.
        moments: moments of its rows, or sets of offsets.
        values: a number for every symbol, by name.

    Source: W. G. Cochran, Sampling Techniques, 1977, section 2.15, for the rule n > 25 γ² with the skewness γ, and
    section 2.17 for the variance of a sample's variance.
    """
    means, covariance = _means(experiment, moments)
    value, gradient = float(means[0]), np.eye(1, len(means))[0]
    if isinstance(experiment, Combination):
        value, gradient = _combined(experiment, means, values)
    stderr = propagated_error(gradient, covariance)
    if not (isinstance(experiment, ConditionalSimulation) or np.diag(moments.scatter).any()):
        stderr = max(1.0, abs(value)) / moments.n
    return PointEstimate(value, stderr, _rows(moments, _shares(moments, gradient, stderr)))


def _combined(
    experiment: Combination, means: Float[ndarray, "k"], values: Mapping[str, float]
) -> tuple[float, Float[ndarray, "k"]]:
    """Return what a combination makes of the means, and its gradient.

    Raises:
        TypeError, ValueError: something else than a real number and a gradient of the means' shape.
    """
    value, gradient = experiment.combine(means.copy(), values)
    if np.iscomplexobj(value) or np.iscomplexobj(gradient):
        raise TypeError("combine: expected real numbers, got complex ones")
    found = np.asarray(gradient, dtype=float)
    if found.shape != means.shape:
        raise ValueError(f"combine: expected a gradient of shape {means.shape}, got {found.shape}")
    return float(value), found


def size_of(experiment: Experiment, rows: int, found: PointEstimate, values: Mapping[str, float]) -> float:
    """Return the size that the precision of a value is relative to: |value|, unless it cannot be told from zero."""
    if abs(found.value) > DISTINCT * found.stderr:
        return abs(found.value)
    if not isinstance(experiment, Simulation | ControlledSimulation):
        return found.stderr * math.sqrt(rows)
    # The pixels of a row scatter like independent ones, but for neighbours that share taps.
    own = experiment.statistic.size(found.value)
    return max(own, found.stderr * math.sqrt(rows * experiment.row_elements(values)))


def _means(experiment: Experiment, moments: Moments) -> tuple[Float[ndarray, "m"], Float[ndarray, "m m"]]:
    """Return the means that the value is made of, and their covariance matrix."""
    if isinstance(experiment, Controlled):
        return corrected(moments, experiment.controls)
    return moments.mean, moments.covariance / moments.n


def _rows(moments: Moments, shares: Float[ndarray, "m"]) -> float:
    """Return how many rows the standard error can be trusted from, by the skewness and the kurtosis of the value.

    Higher moments between columns are not known; a column that others cancel is taken as if it stood alone.
    """
    scatters = np.diag(moments.scatter)[: len(shares)] > 0
    skewness = np.where(scatters, moments.skewness[: len(shares)], 0.0) * shares**3
    kurtosis = np.where(scatters, moments.excess_kurtosis[: len(shares)], 0.0) * shares**4
    by_skewness = _ROWS_PER_SQUARED_SKEWNESS * float(np.square(skewness).max(initial=0.0))
    return max(by_skewness, _ROWS_PER_KURTOSIS * float(kurtosis.max(initial=0.0)))


def _shares(moments: Moments, gradient: Float[ndarray, "m"], stderr: float) -> Float[ndarray, "m"]:
    """Return the share of each column in the deviation of the linearised value, at most 1."""
    own = len(gradient)
    deviations = np.abs(gradient) * np.sqrt(np.diag(moments.covariance)[:own])
    whole = stderr * math.sqrt(moments.n)
    return np.where(deviations < whole, deviations / whole, 1.0) if whole > 0 else np.zeros(own)
