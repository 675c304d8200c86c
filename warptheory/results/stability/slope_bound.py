"""G1: how large slopes of the offsets may be for a given share of folds."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy import optimize, special
from torch import Tensor

from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.backward._fold_integrals import fold_probability_steps
from warptheory.results.backward._folded_fields import gaussian_offsets
from warptheory.symbolic import Step
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate
from warptheory.warping.jacobian import jacobian_determinant

result = Result(
    "G1",
    "The slope at which a given share of the map folds",
    "Homogeneous Gaussian offsets fold at no more than a share p < ½ of the positions as long as τ ≤ τ_p, 1/τ_p² the "
    "quantile of χ²_d at 1 − 2p: 1/τ_p = √2 erf⁻¹(1 − 2p) for d = 1, √(2 ln(1/2p)) for d = 2. At p = 1 % the bounds "
    "are 0.430, 0.358 and 0.319 for d = 1, 2, 3. They bound where theory holds that assumes a diffeomorphism (B6, C3 "
    "read along characteristics); they are no condition for training.",
    assumptions=(
        "The slopes at a pixel are independent N(0, τ²), all d² alike, as those of isotropic components are that are "
        "independent of each other.",
        "p < ½, which no τ exceeds.",
    ),
    source="theory label G1; B7, inverted",
    meaning="Below this slope nearly nothing of the map folds, and what the theory says of smooth warps holds; it does "
    "not predict training, for in a study of 210 trained networks those with 15 to 40 % of folds at the start "
    "trained. Use it to see whether the theory's numbers apply to a layer, and as the bound of `lipschitz` where a "
    "task needs invertible maps.",
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"p": Range(0.05, low=0.01, high=0.15, scale="log")},
    notation={
        "p": "the share of positions at which the sampling map folds",
        "F_d": "the distribution function of χ² of d degrees of freedom",
    },
)

SHARE = sp.Symbol("p", positive=True)


class SlopeOfShare(Node):
    """The slope τ at which an increasing probability reaches a share: args (probability, τ, share)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return P⁻¹(p)."""
        return sp.Function("P^{-1}" if latex else "P⁻¹")(self.args[2])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Find the slope by bisection."""
        probability, slope, share = self.args
        wanted = float(evaluate(share, environment))
        return float(
            optimize.brentq(
                lambda tau: float(evaluate(probability, {**environment, slope: tau})) - wanted, *_SLOPES, xtol=1e-13
            )
        )


_SLOPES = (0.1, 1e4)  # P(J < 0) is 1e-23 and less below, and ½ within 1e-4 above


class ChiSquareQuantile(Node):
    """The quantile of χ² at a probability: args (degrees of freedom, probability)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return F_d⁻¹(probability)."""
        return sp.Function("F_d^{-1}" if latex else "F_d⁻¹")(self.args[1])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Return SciPy's quantile."""
        freedom, probability = (float(evaluate(part, environment)) for part in self.args)
        return float(2 * special.gammaincinv(freedom / 2, probability))


class InverseErrorFunction(Node):
    """The inverse of the error function: args (x,)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return erf⁻¹(x)."""
        return sp.Function(r"\operatorname{erf}^{-1}" if latex else "erf⁻¹")(self.args[0])

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Return SciPy's value."""
        return float(special.erfinv(float(evaluate(self.args[0], environment))))


@result.quantity("slope bound")
class SlopeBound(DerivedExperiment):
    """τ_p, at which P(J < 0) = p.

    Fields of several slopes are drawn, their folds counted, and the slope at which the share is p is read between them:
    the logarithm of the share is smooth in 1/τ².
    """

    text = "τ_p"
    symbols = frozenset({SHARE.name})
    period: ClassVar[int] = 4  # of the fields, in pixels
    # 1/τ², at equal distances: shares from 0.3 to 0.001 lie between the ends for d = 1, 2, 3.
    levels: ClassVar[Float[ndarray, "K"]] = np.linspace(0.4, 18.0, 45)

    def steps(self) -> tuple[Step, ...]:
        """Return the inverse of B7's probability, and its closed form."""
        dim = self.setting.dim
        probability = fold_probability_steps(dim)[-1].expression
        level = ChiSquareQuantile(dim, 1 - 2 * SHARE)
        inverted = Step("Invert B7", "P(J < 0) rises with τ from 0 to ½", SlopeOfShare(probability, TAU, SHARE))
        by_quantile = Step("Use the quantile", "P(J < 0) = ½ P(χ²_d > 1/τ²)", 1 / sp.sqrt(level))
        if dim == 1:
            last = 1 / (sp.sqrt(2) * InverseErrorFunction(1 - 2 * SHARE))
            return inverted, by_quantile, Step("Insert the law", "χ²₁ is the square of a normal variable", last)
        if dim == 2:
            inverse = sp.Symbol("a", positive=True)
            (root,) = sp.solve(probability.subs(TAU, 1 / sp.sqrt(inverse)) - SHARE, inverse)
            return inverted, by_quantile, Step("Insert the law", "χ²₂ is exponential", 1 / sp.sqrt(root))
        return inverted, by_quantile

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of a field: those of one period, and its first pixels again."""
        return int((self.period + 1) ** self.setting.dim)

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw fields, and return the share of their pixels that fold at each level, shape (rows, k)."""
        unit = gaussian_offsets(generator, rows, self.setting.dim, 1.0, self.period).to(device)
        folds = [(jacobian_determinant(unit / level**0.5) < 0).double().flatten(1).mean(1) for level in self.levels]
        return torch.stack(folds, 1)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the slope at the share p, and its gradient, shape (k,), at shares of shape (k,)."""
        shares, gradient = np.maximum(means, 1e-300), np.zeros_like(means)
        after = int(np.clip(np.argmax(shares < values[SHARE.name]), 2, len(shares) - 2))
        near = slice(after - 2, after + 2)
        logarithm, level = np.log(shares[near] / values[SHARE.name]), self.levels[near]
        # Lagrange's parabola of third degree through four points, of the level as a function of the logarithm
        weights = np.array(
            [np.prod([logarithm[j] / (logarithm[j] - logarithm[i]) for j in range(4) if j != i]) for i in range(4)]
        )
        found = float(weights @ level)
        slope = np.polyfit(logarithm, level, 3)[-2]
        gradient[near] = -0.5 * found**-1.5 * -slope * weights / shares[near]
        return found**-0.5, gradient
