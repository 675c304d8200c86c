"""D9: random offsets roughen a field and the kernel smooths it: how the gradient variance grows on the grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
from torch import Tensor

from warptheory.kernels import Kernel
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.discretization._chain import LayersOfGrowth, LayersOfGrowthByWalks
from warptheory.results.discretization._definition import change_of_covariance
from warptheory.results.discretization._layers import (
    CONDITIONED,
    MOMENTS,
    NOTATION,
    VALUES,
    WALKERS,
    LayersExperiment,
    OneLayer,
    chain_arguments,
    derived,
    difference_power,
    input_covariance,
    through_layers,
)
from warptheory.results.discretization._walkers import PairWeight, SmoothedWeight, WalkingWeight
from warptheory.symbolic import Step
from warptheory.symbolic.gaussian import gaussian_mean, normal_density
from warptheory.symbolic.nodes import ExpectedValue, Node
from warptheory.symbolic.quadrature import Environment, Evaluate

result = Result(
    "D9",
    "Growth of the gradient variance: roughening against numerical diffusion",
    "The differences of neighbours have the variance 2(C(0) − C(1)), which a layer changes by the walkers of D8. For "
    "small slopes, d = 1, it adds ½(τ²r² + κ)C″(r) to C, roughening and the kernel's own variance κ = ∫u²a (D6). "
    "Linear: λ₂ grows by 1 + τ² − λ₄/6λ₂ a layer, until λ₄/λ₂ = 6τ². From C(0) = 1 that takes about log(3τ²/λ₂)/3τ² "
    "layers, since the frequencies that carry λ₂ grow by exp(3τ²/2) a layer; λ₂ stays far below the 3τ² of unhindered "
    "growth.",
    assumptions=(
        *WALKERS,
        "Small slopes: one axis, fields smooth on the scale of the grid, lags below those of K.",
    ),
    source="arXiv 2511.20800, discretization; theory label D6, here D9",
    meaning="Roughening and blurring pull against each other, and after few layers blurring has won. Do not "
    "extrapolate C3 to deep stacks on a grid: read the number of layers from here.",
    kernels=("linear", "keys"),
    values=VALUES,
    notation=NOTATION,
)

GROWTH = "growth of the gradient variance in a layer"
LATER_GROWTH = "growth of the gradient variance in L layers"


# The smallest effect is of what it grows by: half a percent of the ratio.
@result.quantity(GROWTH, smallest_effect=0.05)
@dataclass(frozen=True)
class GradientGrowth(LayersExperiment):
    """(C_y(0) − C_y(1))/(C(0) − C(1)) after one layer."""

    text = "(C_y(0) − C_y(1))/(C(0) − C(1))"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the moments to truncated moments of the normal law."""
        layer = self.layer
        y, before = layer.warped, layer.before(layer.together) - layer.before(layer.neighbours)
        moments = ExpectedValue(y[layer.together] ** 2) - ExpectedValue(y[layer.together] * y[layer.neighbours])
        written = layer.growth(layer.after(PairWeight, layer.together), PairWeight)
        return (
            Step("Moments", MOMENTS, moments / before),
            Step("Condition on the offsets", CONDITIONED, written),
            Step("Average over the shared offset", _AVERAGED, layer.growth(layer.kept, WalkingWeight)),
            Step(
                "Average over η",
                "a_v(z) = E a(z + η): a is made of polynomials, and their truncated normal moments of error functions",
                layer.growth(layer.kept, SmoothedWeight),
            ),
        )

    def size(self, value: float) -> float:
        """Return by how much the gradient variance grows."""
        return abs(value - 1)

    def seen(self, x: Tensor, y: Tensor, values: Mapping[str, float]) -> Tensor:
        """Return 1 and the change of the mean square of the differences, relative to that of the law, shape (rows,)."""
        covariance = input_covariance(self.setting.dim).subs(values)
        before = 2 * float(covariance(0.0) - covariance(1.0))
        return 1 + (difference_power(y) - difference_power(x)) / before


@result.quantity(
    LATER_GROWTH,
    smallest_effect=0.05,
    values=lambda setting: {"L": whole(3, 1, 4) if setting.dim == 1 else whole(2, 1, 2)},
)
@dataclass(frozen=True)
class GrowthInLayers(GradientGrowth):
    """(C_L(0) − C_L(1))/(C(0) − C(1)) after L layers."""

    text = "(C_L(0) − C_L(1))/(C(0) − C(1))"
    is_stack = True

    def steps(self) -> tuple[Step, ...]:
        """Return the two routes through the layers."""
        layer = self.layer
        before = layer.before(layer.together) - layer.before(layer.neighbours)
        return through_layers(layer, lambda at: (at(layer.together) - at(layer.neighbours)) / before)


_AVERAGED = (
    "every fraction of p is equally likely through u, whatever η is: by the algebra of two warped values Σ a(Δ + η − "
    "δ) C(δ) is left, for any C; η ~ N(0, v), v = 2(K(0) − K(Δ)) = Var(ε(n + Δ) − ε(n))"
)
_MOST_LAYERS = 64
_LAG = sp.Symbol("r", positive=True)
_CURVATURE = sp.Symbol("C''", real=True)  # C″(r)
_FREQUENCY = sp.Symbol("omega", positive=True)
_SCALE = sp.Symbol("h", positive=True)
_NORMAL = sp.Symbol("Z", real=True)
_SECOND, _FOURTH = sp.symbols("lambda_2 lambda_4", positive=True)
_POWERS = np.array([0, 2, 3, 4, 5, 6])
_SCALES = 2.0 ** -np.linspace(2, 4.5, len(_POWERS))


class SmallScaleLimit(Node):
    """The limit h → 0 of a function c₀ + c₂h² + c₃h³ + …: args (function, h).

    Kernels with knots leave odd powers, from E|η|³ on.
    """

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the limit, to be taken."""
        return sp.Limit(self.args[0], self.args[1], 0)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Extrapolate from as many scales as there are powers up to the sixth."""
        function, scale = self.args
        values = [float(evaluate(function, {**environment, scale: float(h)})) for h in _SCALES]
        return float(np.linalg.solve(_SCALES[:, None] ** _POWERS, values)[0])


@derived(
    result,
    "growth of the gradient variance, small slopes",
    "(C_y(0) − C_y(1))/(C(0) − C(1)), small slopes",
    checked_by=(GROWTH,),
)
def small_slope_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of the growth of the gradient variance, to second order in the slopes and in 1/ℓ."""
    layer = OneLayer(kernel, 1, _SCALE)
    growth = layer.growth(layer.kept, SmoothedWeight)
    covariance = input_covariance(1)
    moments = {_SECOND: covariance.second_moment(), _FOURTH: covariance.fourth_moment()}
    return (
        Step(
            "Small slopes and smooth fields",
            "both lengths 1/h times as long, so that the slopes are τh, and 1/ℓ and 1/ℓ_ε of the order h",
            1 + SmallScaleLimit((growth - 1) / _SCALE**2, _SCALE),
        ),
        Step(
            "Expand",
            "a layer adds ½(v(r) + κ)C″(r) to C, v(r) = τ²r²: its curvature at r = 0, relative to C″(0), is "
            "τ² − ½κλ₄/λ₂, and λ₄/λ₂ = 3/ℓ²",
            sp.expand(1 + _relative_growth(kernel).subs(moments)),
        ),
    )


def _relative_growth(kernel: Kernel) -> sp.Expr:
    """Return by what share λ₂ = −C″(0) grows in a layer, in terms of λ₂ and λ₄ = C⁗(0) before it."""
    curvature = sp.Function("C''")(_LAG)
    change = sp.Add(*change_of_covariance(kernel, _LAG, _CURVATURE)).subs(_CURVATURE, curvature)
    second = change.diff(_LAG, 2).expand()
    at_zero = second.subs({curvature.diff(_LAG, 2): _FOURTH, curvature: -_SECOND}).subs(_LAG, 0).doit()
    return sp.expand(-at_zero / _SECOND)


@derived(
    result,
    "layers of growth",
    "the layers in which the gradient variance grows",
    values={"ell": Range(12.0, 8.0, 20.0), "ell_epsilon": Range(20.0, 15.0, 30.0)},
    checked_by=(LATER_GROWTH,),
)
def layers_of_growth_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of the number of layers in which the gradient variance grows."""
    layer = OneLayer(kernel, dim)
    arguments = (*chain_arguments(layer), _MOST_LAYERS, *layer.neighbours)
    first = "G_L = 2(C_L(0) − C_L(1)), layer after layer"
    return (
        Step("Push the covariance", first, LayersOfGrowth(*arguments)),
        Step("Follow two walkers", "both covariances as means over walks", LayersOfGrowthByWalks(*arguments)),
    )


@derived(
    result,
    "least layers of growth",
    "a lower bound of the layers in which the gradient variance grows",
    values={"ell": Range(12.0, 8.0, 20.0)},
    checked_by=(LATER_GROWTH,),
)
def least_layers_steps(kernel: Kernel, dim: int) -> tuple[Step, ...]:
    """Return the steps of the fewest layers in which the gradient variance can stop growing."""
    covariance = input_covariance(1)
    start = covariance.fourth_moment() / covariance.second_moment()
    (fourth,) = sp.solve(_relative_growth(kernel), _FOURTH)
    end = fourth / _SECOND
    density = normal_density(_NORMAL, sp.Integer(0), sp.Integer(1))
    factors = [_factor_of_moment(order) for order in (4, 2)]
    moments = [sp.Integral(factor * density, (_NORMAL, -sp.oo, sp.oo)) for factor in factors]
    closed = [gaussian_mean(factor, {_NORMAL: sp.Integer(1)}) for factor in factors]
    return (
        Step(
            "Roughen alone",
            "growth stops where λ₄/λ₂ = 2τ²/κ; without the kernel C(r + η), η = rτZ, has the derivatives (1 + τZ)ⁿ "
            "C⁽ⁿ⁾(0): a layer multiplies λ₄ by E(1 + τZ)⁴ and λ₂ by E(1 + τZ)², and diffusion only lowers λ₄/λ₂, since "
            "λ₄² ≤ λ₂λ₆ (Cauchy–Schwarz)",
            sp.log(end / start) / sp.log(moments[0] / moments[1]),
        ),
        Step("Moments", "of a normal variable", sp.log(sp.simplify(end / start)) / sp.log(closed[0] / closed[1])),
    )


def _factor_of_moment(order: int) -> sp.Expr:
    """Return the n-th derivative of C(r(1 + τZ)) at r = 0 over that of C, by expanding a wave of any frequency."""
    moved, still = (
        sp.exp(sp.I * _FREQUENCY * _LAG * factor).diff(_LAG, order).subs(_LAG, 0) for factor in (1 + TAU * _NORMAL, 1)
    )
    return sp.expand(sp.cancel(moved / still))
