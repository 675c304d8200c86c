"""The law of one column sum of W: how much of the gradient one input receives.

Every output that reads the pixel adds its weight; when positions are uniform over a wide torus the sum is compound
Poisson (`symbolic/_compound_poisson.py`). The tail is derived for weights ≥ 0 that sum to one along a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.kernels import Kernel, PeriodicFunction
from warptheory.results.backward._row_sums import absolute_tap_sum
from warptheory.symbolic import Derivation, NotReducible, Statistic, Step
from warptheory.symbolic._compound_poisson import ColumnTail, KnotSum, MixtureTail, weight_law
from warptheory.symbolic._nodes import Opaque
from warptheory.symbolic._reading import WideLimit, support_size

SIZE = sp.Symbol("N", integer=True, positive=True)  # pixels along an axis of the torus
THRESHOLD = sp.Symbol("t", nonnegative=True)

# So many pixels along an axis that the binomial number of readings is Poisson up to a tenth of the smallest effect.
TORUS_SIZE = {1: 4096, 2: 128, 3: 32}


@dataclass(frozen=True)
class ColumnSumTail(Statistic):
    """The probability that a column of W sums to more than t, positions uniform over a wide torus.

    Attributes:
        kernel: an interpolation kernel with weights ≥ 0.
        dim: number d of axes.
    """

    kernel: Kernel
    dim: int

    def derive(self) -> Derivation:
        """Return the steps to the closed form, or to the compound Poisson law where there is none."""
        if absolute_tap_sum(self.kernel) != PeriodicFunction.constant(sp.Integer(1)):
            raise NotReducible(sp.Symbol(self.kernel.name), "column sums are derived for weights ≥ 0 that sum to one")
        kernel, dim = Opaque(self.kernel), self.dim
        mean = support_size(self.kernel) ** dim
        steps = [
            Step(
                "Torus",
                "each of Nᵈ outputs reads the pixel with probability |S|ᵈ/Nᵈ, at a uniform place in the support",
                WideLimit(ColumnTail(kernel, dim, THRESHOLD, SIZE**dim), SIZE, dim),
            ),
            Step(
                "Law of rare events",
                f"the number R of readings is binomial, and Poisson of mean |S|ᵈ = {mean} in the limit",
                ColumnTail(kernel, dim, THRESHOLD, sp.oo),
            ),
        ]
        try:
            law = weight_law(self.kernel, dim)
        except NotReducible:
            return Derivation(str(self), tuple(steps))
        mixture = MixtureTail(kernel, dim, THRESHOLD)
        steps.append(Step("Condition on R", "weights are independent of their number", mixture))
        closed = _equal_weights if law.is_constant else _uniform_weights
        return Derivation(str(self), (*steps, *closed(mean, law.top)))

    def __str__(self) -> str:
        return "P(Σₙ W[n, m] > t)"


def _equal_weights(mean: sp.Expr, top: sp.Expr) -> tuple[Step, ...]:
    """Return the step for weights that are all `top`: the number of readings decides."""
    r = sp.Symbol("r", integer=True, nonnegative=True)
    return (
        Step(
            "Equal weights",
            "the sum of r weights is r times one of them",
            1 - KnotSum(sp.exp(-mean) * mean**r / sp.factorial(r), r, THRESHOLD, top),
        ),
    )


def _uniform_weights(mean: sp.Expr, top: sp.Expr) -> tuple[Step, ...]:
    """Invert the Laplace transform of the distribution function term by term, and add the terms up."""
    rate, time, weight = sp.symbols("theta T w", positive=True)
    j, q = sp.symbols("j q", integer=True, nonnegative=True)
    r = j + q
    one = sp.expand(sp.integrate(sp.exp(-rate * weight) / top, (weight, 0, top)))  # a transform of one weight
    delayed = one.coeff(sp.exp(-top * rate))
    prompt = one - delayed * sp.exp(-top * rate)
    # (prompt + delayed e^{−rate·top})^r / rate, its j-th binomial term; both factors are constants over the rate.
    constant = (prompt * rate) ** q * (delayed * rate) ** j * sp.binomial(r, j).rewrite(sp.factorial)
    power = sp.inverse_laplace_transform(rate ** (-q - j - 1), rate, time).rewrite(sp.factorial)
    term = sp.exp(-mean) * mean**r / sp.factorial(r) * constant * power
    elapsed = THRESHOLD - top * j
    series = sp.Sum(sp.simplify(term), (q, 0, sp.oo))
    closed = sp.simplify(sp.summation(sp.simplify(term), (q, 0, sp.oo)))
    return (
        Step(
            "Invert the transform",
            "E e^{−θS}/θ = Σᵣ e^{−λ}λʳ/r! ((1 − e^{−θ})/θ)ʳ/θ; the j-th binomial term is a power, delayed by j weights",
            1 - KnotSum(series.subs(time, elapsed), j, THRESHOLD, top),
        ),
        Step(
            "Add the series",
            "over r it is that of a modified Bessel function",
            1 - KnotSum(closed.subs(time, elapsed), j, THRESHOLD, top),
        ),
    )


@dataclass(frozen=True)
class ColumnTailSimulation:
    """The share of columns of W that sum to more than t: the splat of ones on a torus.

    Attributes:
        statistic: kernel and number of axes.
    """

    statistic: ColumnSumTail

    @property
    def size(self) -> int:
        """Number of pixels along an axis."""
        return TORUS_SIZE[self.statistic.dim]

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a grid."""
        return int(self.size**self.statistic.dim)

    @property
    def symbols(self) -> set[str]:
        """The threshold t."""
        return {THRESHOLD.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw shares of independent grids.

        Args:
            generator: source of every random number.
            rows: number of grids.
            values: t, without unit.
            device: device on which the operator runs.

        Returns:
            Shares in [0, 1], shape (rows,), float64.
        """
        grid = (self.size,) * self.statistic.dim
        positions = generator.uniform(0, self.size, (rows, self.statistic.dim, *grid))
        counts = warping.hit_counts(
            torch.from_numpy(positions).to(device), grid, self.statistic.kernel, boundary="periodic"
        )
        return (counts > values[THRESHOLD.name]).to(torch.float64).flatten(1).mean(1)
