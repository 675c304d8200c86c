"""D8: what layers of smooth offsets leave of a field's variance on the grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import sympy as sp
from torch import Tensor

from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results.discretization._layers import (
    CONDITIONED,
    MOMENTS,
    NOTATION,
    VALUES,
    WALKERS,
    LayersExperiment,
    input_covariance,
    through_layers,
)
from warptheory.results.discretization._walkers import PairWeight
from warptheory.symbolic import Step, Variance
from warptheory.symbolic.covariance_nodes import known_covariances
from warptheory.symbolic.nodes import ExpectedValue

result = Result(
    "D8",
    "Variance lost in layers of smooth offsets",
    "A layer averages the covariance over the steps of two walkers, exactly on the grid: C_y(Δ) = Σ_δ E a(Δ + η − δ) "
    "C(δ), a = ∫k(u)k(u + ·)du, η ~ N(0, 2(K(0) − K(Δ))). At lag 0 the smooth offsets are of no account: C_y(0) = "
    "Σ a(δ) C(δ), and the linear kernel loses (C(0) − C(1))/3, d = 1, the sixth of the gradient variance. Over L "
    "layers, each of which passes on what the one before left, C_L(0) = E C(Δ_L), Δ_L the distance of two walkers that "
    "start together.",
    assumptions=WALKERS,
    source="arXiv 2511.20800, discretization; theory label D6, here D8",
    meaning="Smooth offsets are of no account for the variance that a layer loses: interpolation takes a sixth of "
    "the gradient's variance. The loss is largest where offsets could learn most.",
    kernels=("linear", "keys"),
    values=VALUES,
    notation=NOTATION,
)


# The smallest effect is of what is lost: 0.1 % of the variance.
@result.quantity("variance lost in a layer", smallest_effect=0.02, values={"ell": Range(1.5, 0.8, 3.0, "log")})
@dataclass(frozen=True)
class VarianceLost(LayersExperiment):
    """1 − C_y(0)/C(0) after one layer.

    Drawn is a layer without smooth offsets, whose loss is the same and scatters less.
    """

    text = "1 − C_y(0)/C(0)"
    pixels: ClassVar[Mapping[int, int]] = {1: 64, 2: 20}
    is_smooth = False

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the moments to the covariance at the lags that are left."""
        layer = self.layer
        y, variance = layer.warped, layer.before(layer.together)
        lost = 1 - layer.kept / variance
        *_, averaged = Variance(y[layer.together]).derive().steps
        if known_covariances(sp.expand(averaged.expression - layer.kept)) != 0:
            raise ArithmeticError(f"{layer.kept} has to be {averaged.expression}")
        return (
            Step("Moments", MOMENTS, 1 - ExpectedValue(y[layer.together] ** 2) / variance),
            Step("Condition on the offsets", CONDITIONED, 1 - layer.after(PairWeight, layer.together) / variance),
            Step("Average over the fraction", "one position: E Σₘ k(u − m) k(u − m + δ) = a(δ)", lost),
            Step("Insert the covariance", "C(δ) at the lags that are left", sp.factor_terms(known_covariances(lost))),
        )

    def seen(self, x: Tensor, y: Tensor, values: Mapping[str, float]) -> Tensor:
        """Return the share of the variance that is lost, shape (rows,)."""
        variance = float(input_covariance(self.setting.dim).subs(values)(0.0))
        return (x.square() - y.square()).flatten(1).mean(1) / variance


# The smallest effect is of what is lost: 1 % of the variance.
@result.quantity(
    "variance lost in L layers",
    smallest_effect=0.05,
    values={"L": whole(3, 1, 4), "ell": Range(1.5, 0.8, 3.0, "log")},
)
@dataclass(frozen=True)
class VarianceLostInLayers(VarianceLost):
    """1 − C_L(0)/C(0) after L layers of smooth offsets."""

    text = "1 − C_L(0)/C(0)"
    pixels = LayersExperiment.pixels
    is_smooth = True
    is_stack = True

    def steps(self) -> tuple[Step, ...]:
        """Return the two routes through the layers."""
        layer = self.layer
        return through_layers(layer, lambda at: 1 - at(layer.together) / layer.before(layer.together))
