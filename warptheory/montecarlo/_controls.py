"""Control variates: means that are known, of what is drawn anyway, correct the means that are not.

A statistic of a field scatters with the scatter of the field itself, by how much its mean and variance in a row happen
to differ from the true ones. That part is known, and is taken away by linear regression on it.

Source: S. S. Lavenberg, P. D. Welch, A perspective on the use of control variables, 1981.
"""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.montecarlo._experiment import Combination
from warptheory.montecarlo._extent import Values
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._simulation import Simulation
from warptheory.symbolic import InputField, MomentStatistic


@runtime_checkable
class Controlled(Combination, Protocol):
    """A combination whose last columns have the mean 0, and are correlated with the others, of which it is made."""

    @property
    def controls(self) -> int:
        """The number of such columns."""


@dataclass(frozen=True)
class ControlledSimulation:
    """A simulation, with the mean and the variance of its input in each row as controls.

    Attributes:
        simulation: the simulation.
    """

    simulation: Simulation

    def row_elements(self, values: Values) -> int:
        """Return the number of pixels that a row draws."""
        return self.simulation.row_elements(values)

    @property
    def symbols(self) -> Set[str]:
        """Names of the symbols that need a number before the experiment can run."""
        return self.simulation.symbols

    @property
    def statistic(self) -> MomentStatistic:
        """The statistic that is simulated."""
        return self.simulation.statistic

    @property
    def controls(self) -> int:
        """The number of control variates, the last columns of a sample."""
        return 2 * len(self.simulation.input_fields)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Values, device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw what the simulation itself does, and control variates of mean 0 beside it, shape (rows, k)."""
        state = self.simulation.draw(generator, rows, values, device)
        controls = [
            column for field in self.simulation.input_fields for column in self._of(field, state[field], values)
        ]
        return torch.cat([self.simulation.columns(state, rows, values), torch.stack(controls, dim=1)], dim=1)

    def combine(self, means: Float[ndarray, "m"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "m"]]:
        """Return the statistic and its gradient, shape (m,), at means of shape (m,), those of the controls left out."""
        return self.simulation.combine(means, values)

    def _of(self, field: InputField, drawn: Tensor, values: Values) -> tuple[Tensor, Tensor]:
        """Return how far mean and variance of a field in each row are from the true ones, in deviations."""
        mean, variance = self.simulation.mean_and_variance(field, values)
        # In one unit, or regression would take the smaller of σ and σ² for rounding.
        deviation = math.sqrt(variance) or 1.0
        standard = ((drawn - mean) / deviation).flatten(1)
        return standard.mean(1), standard.square().mean(1) - variance / deviation**2


def corrected(moments: Moments, controls: int) -> tuple[Float[ndarray, "m"], Float[ndarray, "m m"]]:
    """Return means corrected by regression on control variates, shape (m,), and their covariance matrix, shape (m, m).

    The coefficients are estimated from the same rows; that costs a bias of order 1/n, far below the standard error, a
    degree of freedom for each control, and the error of the coefficients times the distance of the controls from 0.
    Means are corrected before anything is made of them: E[y²] − E[y]² of raw means would have the bias of E[y]², which
    may be large beside what scatters after the correction.

    Args:
        moments: moments of the columns.
        controls: number k of the last columns, whose true means are 0; the others are m.
    """
    own = len(moments.mean) - controls
    if moments.n < controls + 2:
        return moments.mean[:own], np.full((own, own), np.inf)
    covariance, controlled = moments.covariance, moments.mean[own:]
    known = np.column_stack([covariance[own:, :own], controlled])
    solved = np.linalg.lstsq(covariance[own:, own:], known, rcond=1e-12)[0]
    coefficients, distances = solved[:, :own], solved[:, own]
    left = covariance[:own, :own] - covariance[:own, own:] @ coefficients
    share = 1 / moments.n + float(controlled @ distances) / (moments.n - 1)
    return moments.mean[:own] - controlled @ coefficients, left * share * (moments.n - 1) / (moments.n - 1 - controls)
