"""The largest column sum of W for the nearest kernel: a column counts the outputs that are nearest to its pixel.

With positions uniform over the grid the outputs are balls and the pixels are bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.symbolic import Derivation, Statistic, Step
from warptheory.symbolic._balls_in_bins import GeneratingFunction, LargestLoad, SumOfTails, whole_size

SIZE = sp.Symbol("N", integer=True, positive=True)  # pixels of the grid, one axis


@dataclass(frozen=True)
class LargestColumnSum(Statistic):
    """The expected largest column sum of W for the nearest kernel on a torus of N pixels."""

    def derive(self) -> Derivation:
        """Return the steps to the sum over the generating function."""
        return Derivation(
            str(self),
            (
                Step("Largest column", "a column sum counts the outputs nearest to a pixel", LargestLoad(SIZE)),
                Step(
                    "Add the tails",
                    "positions are independent and uniform, so the counts are multinomial; E X = Σ P(X > k)",
                    SumOfTails(SIZE),
                ),
                Step(
                    "Generating function",
                    "N!/∏jₘ! of the Nᴺ placements have the counts jₘ, each at most k",
                    GeneratingFunction(SIZE),
                ),
            ),
        )

    def __str__(self) -> str:
        return "E maxₘ Σₙ W[n, m]"


@dataclass(frozen=True)
class LargestColumnSimulation:
    """The largest column sum of W on a periodic axis of N pixels, positions uniform over it."""

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels N."""
        return whole_size(values[SIZE.name])

    @property
    def symbols(self) -> set[str]:
        """The size N."""
        return {SIZE.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the largest column sums of independent operators.

        Args:
            generator: source of every random number.
            rows: number of operators.
            values: N, the number of pixels.
            device: device on which the operator runs.

        Returns:
            Largest column sums, without unit, shape (rows,), float64.
        """
        size = whole_size(values[SIZE.name])
        offsets = torch.from_numpy(generator.uniform(0, size, (rows, 1, size))).to(device)
        return warping.hit_counts(offsets, (size,), "nearest", "periodic").flatten(1).amax(1)
