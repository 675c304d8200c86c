"""G4: how much a stack of smooth warps amplifies gradients on a given budget of divergence."""

import math
from collections.abc import Mapping

import numpy as np
import sympy as sp
from jaxtyping import Float
from torch import Tensor

from warptheory.results._depth import LAYERS
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import TAU, Setting
from warptheory.results.backward.stacked_gradients import SmoothSecondMoment
from warptheory.symbolic import Step, restated

result = Result(
    "G4",
    "Backward energy on a budget of divergence",
    "L layers of εᵢ = τ sin tᵢ that share a budget B = L·E(div ε)² = Ldτ²/2 evenly multiply the energy of gradients "
    "from ones by (1 − 2B/(Ld))^(−Ld/2). That is more than e^B at every depth, and falls to e^B for many layers: the "
    "(1 + B/L)ᴸ that the leading order of a layer gives lies below it. L·E(div ε)² ≤ 1 so bounds the gain of deep "
    "stacks by about e, but not that of one layer near a fold, where 2B = Ld. For Gaussian slopes the mean is "
    "infinite (B7) and the condition speaks of typical gradients alone (K4).",
    assumptions=(
        "The offsets are smooth on the scale of the grid, of slopes below one, their phases independent over the "
        "layers.",
        "Gradients arrive as ones; a homogeneous gradient that is smooth on the scale of the grid does the same.",
    ),
    source="theory label G4; B6 and B8",
    meaning="On this budget gradients that come back through smooth warps have grown by no more than a few times, "
    "unless a single layer spends most of it. Count it for the divergence of the offsets and not their size, and look "
    "at G2 for what comes back through offset heads, which is larger.",
    kernels=("linear", "keys"),
    dims=(1, 2),
    notation={"B": "the budget of a stack, L layers times the mean squared divergence of their offsets"},
)

DIVERGENCE = sp.Symbol("B", positive=True)


class GainOnBudget(SmoothSecondMoment):
    """E (W₁ᵀ…W_Lᵀ1)² for slopes τ² = 2B/(Ld)."""

    symbols = frozenset({DIVERGENCE.name, LAYERS.name})

    def steps(self) -> tuple[Step, ...]:
        """Return those of B8 on the budget."""
        slope = sp.sqrt(2 * DIVERGENCE / (LAYERS * self.setting.dim))
        reason = "for slopes τ sin t of the mean square τ²/2 = B/(Ld): "
        return restated(super().steps()[-1:], reason, lambda gain: gain.subs(TAU, slope))

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the grids of all layers can be held; raises as B8's."""
        super().check_values(self._of_slope(values))

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of the first layer."""
        return super().row_elements(self._of_slope(values))

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the phases of all layers, and return the mean square of what comes out; shape (rows,)."""
        return super().sample(generator, rows, self._of_slope(values), device)

    def _of_slope(self, values: Mapping[str, float]) -> dict[str, float]:
        slope = math.sqrt(2 * values[DIVERGENCE.name] / (values[LAYERS.name] * self.setting.dim))
        return {**values, TAU.name: slope}


def _budget(setting: Setting) -> Mapping[str, float]:
    """Return budgets of slopes up to 0.6, on grids that can be held."""
    return {LAYERS.name: whole(2, 2, 2), DIVERGENCE.name: Range(0.25, 0.1, 0.35)}


result.quantity("energy of gradients from ones", smallest_effect=0.02, dims=(1,), values=_budget)(GainOnBudget)

result.quantity(
    "energy of gradients from ones in the plane",
    smallest_effect=0.02,
    dims=(2,),
    kernels=("keys",),
    values={LAYERS.name: whole(2, 2, 2), DIVERGENCE.name: Range(0.2, 0.12, 0.3)},
)(GainOnBudget)
