"""G3: how much roughening a stack does on a given budget of slopes."""

import math
from collections.abc import Mapping, Set

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.results._depth import LAYERS
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results.fields._fields import CONTINUUM, EXACT, OFFSET_LENGTH, SPREAD, smooth_covariance
from warptheory.results.fields.roughening import SlopeVarianceOfLayers
from warptheory.symbolic import DEVIATION, Step, restated

result = Result(
    "G3",
    "Roughening on a budget of slopes",
    "L layers that share a budget Q = Ldτ² evenly multiply the gradient energy of the features by (1 + Q/L)ᴸ, between "
    "1 + Q for one layer and e^Q for many, whatever the features and d. So Ldτ² ≤ 1 keeps the energy below e = 2.72 "
    "times what it was at any depth, and Ldτ² ≤ log r below r. It bounds where theory holds that is linear in the "
    "slopes, and the means of C3; it is no condition for training.",
    assumptions=(
        "x is a homogeneous isotropic field with a variance of its slopes.",
        "The components of the offsets are independent homogeneous Gaussian fields, independent of x and of other "
        "layers'.",
        "x is read between its pixels without error: checked on a grid that is fine against x, by cubic splines.",
    ),
    source="theory label G3; C3",
    meaning="Within this budget the features stay about as smooth as they came, and what the theory says of small "
    "slopes holds; it does not predict training, for in a study of 210 trained networks the threshold Ldτ² > 1 at "
    "the start did worse than calling every network sound. Use the budget to see what a stack does to its features, "
    "and the ratio of speeds (G5) to see whether it will train.",
    kernels=EXACT,
    dims=(1, 2),
    notation={"Q": "the budget of a stack, L layers times dτ²"},
)

BUDGET = sp.Symbol("Q", positive=True)


class GrowthOnBudget(SlopeVarianceOfLayers):
    """λ₂ after L layers of slopes τ² = Q/(Ld), over λ₂ before."""

    text = "Var ∂₁y_L / Var ∂₁x"

    def steps(self) -> tuple[Step, ...]:
        """Return those of C3, over the slope variance of x, on the budget; raises as there."""
        reason = "over that of x, for slopes τ² = s²/ℓ_e² = Q/(Ld): "
        return restated(super().steps()[-1:], reason, self._on_budget)

    def _on_budget(self, moment: sp.Expr) -> sp.Expr:
        of_budget = {SPREAD: OFFSET_LENGTH * sp.sqrt(BUDGET / (LAYERS * self.setting.dim))}
        growth: sp.Expr = sp.simplify((moment / self._before).subs(of_budget))
        return growth

    @property
    def _before(self) -> sp.Expr:
        moment: sp.Expr = smooth_covariance(self.setting.dim).second_moment()
        return moment

    @property
    def symbols(self) -> Set[str]:
        """Those of C3, the budget in place of the offsets' deviation."""
        return (set(super().symbols) - {SPREAD.name}) | {BUDGET.name}

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check the length of the field; raises as C3's."""
        super().check_values(self._of_offsets(values))

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of points that a row draws."""
        return super().row_elements(self._of_offsets(values))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows k"]:
        """Draw the moments of the slope, shape (rows, k)."""
        return super().sample(generator, rows, self._of_offsets(values), device)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the growth, and its gradient, shape (k,), at means of shape (k,)."""
        after, gradient = super().combine(means, self._of_offsets(values))
        before = (values[DEVIATION.name] / values["l"]) ** 2
        return after / before, gradient / before

    def _of_offsets(self, values: Mapping[str, float]) -> dict[str, float]:
        slope = math.sqrt(values[BUDGET.name] / (values[LAYERS.name] * self.setting.dim))
        return {**values, SPREAD.name: slope * values[OFFSET_LENGTH.name]}


_BUDGET = Range(0.35, 0.2, 0.5, "log")  # rougher features would ask for a finer grid

result.quantity(
    "growth of the slope energy",
    smallest_effect=0.04,
    dims=(1,),
    values={**CONTINUUM, "L": whole(3, 1, 3), "l": Range(2.0, 2.0, 3.0), "Q": _BUDGET},
)(GrowthOnBudget)

result.quantity(
    "growth of the slope energy in the plane",
    smallest_effect=0.04,
    dims=(2,),
    values={**CONTINUUM, "L": whole(2, 1, 2), "l": Range(2.0, 2.0, 3.0), "Q": _BUDGET},
)(GrowthOnBudget)
