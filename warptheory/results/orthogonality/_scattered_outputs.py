"""Warps whose outputs read anywhere: the experiments of E4 (b), on what they forget."""

import math
from collections.abc import Mapping

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._setting import Setting
from warptheory.results.orthogonality._ranks import (
    HITS,
    PIXELS,
    FiniteSum,
    HitProbability,
    RunProbability,
    numerical_ranks,
    scattered_matrices,
    structural_ranks,
)
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import ExpectedValue, Opaque


class ScatteredOutputs(DerivedExperiment):
    """A number of warps whose outputs read at independent uniform places of a torus."""

    symbols = frozenset({PIXELS.name})

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of entries of the dense matrix."""
        return int(values[PIXELS.name] ** (2 * self.setting.dim))

    def _size(self, values: Mapping[str, float]) -> tuple[int, ...]:
        return (int(values[PIXELS.name]),) * self.setting.dim


def few_pixels(setting: Setting) -> Mapping[str, Range]:
    """Return lengths of small grids, whose ranks are cheap."""
    return {"N": {1: whole(12, 8, 16), 2: whole(4, 3, 5)}[setting.dim]}


class LostByNearest(ScatteredOutputs):
    """The share of dimensions that a nearest warp loses."""

    text = "1 - (E rank W)/N^d"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the law of the hits."""
        count = PIXELS**self.setting.dim
        return (
            Step(
                "Count hits",
                "WᵀW is diagonal: its entries count the outputs that read a pixel, and the rank is the pixels read",
                1 - FiniteSum(HitProbability(HITS, count), HITS, 1, count),
            ),
            Step(
                "Sum", "all probabilities are 1, that of no hit is left: 1/e on a large grid", (1 - 1 / count) ** count
            ),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw warps, and return one minus the rank that NumPy finds per dimension; shape (rows,)."""
        return _lost_share(generator, rows, self._size(values), self.setting.kernel, device)


class HitSquares(ScatteredOutputs):
    """E σ⁴ of a nearest warp: the mean square of a number of hits."""

    text = "(E tr (W W^T)^2)/N"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the law of the hits."""
        return (
            Step(
                "Count hits",
                "σ² is the number of outputs that read a pixel",
                FiniteSum(HITS**2 * HitProbability(HITS, PIXELS), HITS, 1, PIXELS),
            ),
            Step("Sum", "a binomial law of mean 1 and variance 1 − 1/N; Poisson's on a large grid", 2 - 1 / PIXELS),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw warps, and average the fourth powers of their singular values; shape (rows,)."""
        matrices = scattered_matrices(generator, rows, self._size(values), self.setting.kernel, device)
        singular_values: Tensor = torch.linalg.svdvals(matrices)
        return singular_values.pow(4).mean(1)


class LostByLinear(ScatteredOutputs):
    """The share of dimensions that a linear warp of a line loses."""

    text = "1 - (E rank W)/N"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from runs of cells, one by one."""
        cells, outputs = (RunProbability(HITS, PIXELS, Opaque(route)) for route in ("cells", "outputs"))
        return (
            Step(
                "Count runs",
                "outputs are edges between neighbouring pixels, of weights with a density: a run of cells that are hit "
                "once each, between two that are not hit, is a tree and loses one dimension, any other run none",
                FiniteSum(cells, HITS, 0, PIXELS - 2),
            ),
            Step(
                "Choose the outputs",
                "those of the run in order, the others outside the run and the cells at its ends",
                FiniteSum(outputs, HITS, 0, PIXELS - 2),
            ),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw warps, and return one minus the rank that NumPy finds per dimension; shape (rows,)."""
        return _lost_share(generator, rows, self._size(values), self.setting.kernel, device)


class LostOnLargeGrid(ScatteredOutputs):
    """The same on a large grid, by the structural rank; 1/N is what it deviates by."""

    text = "lim (N → ∞) of 1 - (E rank W)/N"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from Poisson numbers of hits."""
        never, once = sp.exp(-1), sp.exp(-1)
        return (
            Step(
                "Let the grid grow",
                "hits of cells are independent Poisson numbers of mean 1: 0 or 1, each with probability 1/e",
                sp.Sum(never**2 * once**HITS, (HITS, 0, sp.oo)),
            ),
            Step("Sum", "a geometric series; its first term is the share of dead pixels", never**2 / (1 - once)),
        )

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels; the matrix is never dense."""
        return int(values[PIXELS.name] ** self.setting.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw warps, and return one minus the structural rank per dimension; shape (rows,)."""
        size = self._size(values)
        ranks, _ = structural_ranks(generator, rows, size)
        return 1 - torch.from_numpy(ranks / math.prod(size)).to(device)


def structural_sizes(setting: Setting) -> Mapping[str, Range]:
    """Return lengths of grids on which both ranks are computed."""
    return {"N": {2: whole(5, 4, 7), 3: whole(3, 3, 4)}[setting.dim]}


class RankOverStructuralRank(ScatteredOutputs):
    """The rank that NumPy finds over the largest matching of outputs and pixels."""

    text = "E [rank W/structural rank W]"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps, of which the second is the proof's."""
        ratio = sp.Function("rank")(sp.Symbol("W")) / sp.Function("matching")(sp.Symbol("W"))
        return (
            Step("Mean", "over the places of the outputs", ExpectedValue(ratio)),
            Step(
                "Use generic fractions",
                "a minor on a largest matching is a polynomial in the fractions, and ±1 where each matched output lies "
                "on its pixel: almost surely not zero",
                sp.Integer(1),
            ),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw warps, and return the ratio of both ranks; shape (rows,)."""
        matchings, drawn = structural_ranks(generator, rows, self._size(values))
        ranks = np.linalg.matrix_rank(np.stack([matrix.toarray() for matrix in drawn]))
        return torch.from_numpy(ranks / matchings).to(device)


def _lost_share(
    generator: np.random.Generator, rows: int, size: tuple[int, ...], kernel: str, device: str
) -> Float[Tensor, "rows"]:
    """Return one minus the rank per dimension of warps that are drawn, shape (rows,)."""
    ranks = numerical_ranks(scattered_matrices(generator, rows, size, kernel, device))
    return 1 - torch.from_numpy(ranks / math.prod(size)).to(device)
