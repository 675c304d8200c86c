"""K6: moments of any order of the slope, whose derivatives at zero are exponent and spread."""

from collections.abc import Mapping
from functools import partial

import sympy as sp
from jaxtyping import Float
from torch import Tensor

from warptheory.results._experiment import DerivedStatistic
from warptheory.results._ranges import Range
from warptheory.results._result import Result
from warptheory.results._setting import TAU, Setting
from warptheory.results._special_functions import Kummer
from warptheory.results.typical._drawing import WarpedRamp
from warptheory.results.typical._notation import SLOPE_LOGARITHMS
from warptheory.results.typical._slope_length import (
    LENGTH,
    RATE,
    GammaRatio,
    PoissonMean,
    SlopeLengthMean,
    exponent_by_series,
    exponent_steps,
    mean_of_logarithm,
    spread_steps,
)
from warptheory.symbolic import Step

result = Result(
    "K6",
    "Moments of slopes, of any order and in any dimension",
    "E rᵖ = (2τ²)^{p/2} Γ((d + p)/2)/Γ(d/2) · ₁F₁(−p/2; d/2; −a), a = 1/2τ², for p > −d; p = 2 is C3's 1 + dτ². With "
    "F₁ = Σ (−a)ᵏ/(k (d/2)_k) and F₂ = Σ H_{k−1} (−a)ᵏ/(k (d/2)_k) its derivatives at p = 0 are the exponent λ_d = "
    "½[log 2τ² + ψ(d/2) − F₁] and the spread v_d = ¼[ψ′(d/2) + 2F₂ − F₁²] in every dimension; on a line F₁ is an "
    "integral of Dawson's function. The rate of the moment of order p after L layers is L log E rᵖ, convex in p: "
    "typical slopes follow its tangent at 0.",
    assumptions=(
        "The slopes at a position are independent N(0, τ²), all d² alike.",
        "The offsets of layers are independent of each other and of the feature, which is smooth.",
        "p > −d; else the moment is infinite, for slopes come near to zero.",
    ),
    source="moments of the noncentral χ² law (Kummer's function, DLMF 13.2); theory labels K6, K6a",
    meaning="Whatever power of the slopes is averaged, its growth with depth is known, and it is faster the "
    "higher the power. A norm follows p = 2 and a quantile p → 0, so a threshold that is set by one and "
    "measured by the other drifts apart from it as K5 says.",
    notation={
        **SLOPE_LOGARITHMS,
        "p": "the order of a moment of the slope",
        "M": "Kummer's confluent hypergeometric function ₁F₁",
        "k": "the number of a term, over which a series runs",
    },
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"tau": Range(0.6, low=0.3, high=0.9, scale="log"), "p": Range(1.5, low=0.6, high=2.6)},
)

_ORDER = sp.Symbol("p", positive=True)
MOMENT = "moment of order p"


@result.quantity(MOMENT)
class Moment(WarpedRamp):
    """E rᵖ."""

    text = "E ‖u + τg‖ᵖ"
    symbols = frozenset({TAU.name, _ORDER.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to Kummer's function."""
        dim = self.setting.dim
        shape, number = sp.Rational(dim, 2), sp.Symbol("n", integer=True, nonnegative=True)
        given = GammaRatio(shape + number + _ORDER / 2, shape + number)
        scale = (2 * TAU**2) ** (_ORDER / 2)
        return (
            Step(
                "Mean", "of the factor of a layer, r = ‖u + τg‖ (K1)", SlopeLengthMean(LENGTH**_ORDER, LENGTH, dim, TAU)
            ),
            Step(
                "Noncentral χ²",
                "given N, Poisson of mean 1/2τ², r²/2τ² has the gamma law of shape d/2 + N",
                scale * PoissonMean(given, number, RATE),
            ),
            Step(
                "Add the series",
                "Σ e^{−a} aⁿ/n! (d/2 + p/2)_n/(d/2)_n = e^{−a} ₁F₁((d + p)/2; d/2; a), and Kummer's transformation",
                scale * sp.gamma(shape + _ORDER / 2) / sp.gamma(shape) * Kummer(-_ORDER / 2, shape, -RATE),
            ),
        )

    def means(self, slope: Float[Tensor, "rows positions"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the mean power, shape (rows,)."""
        return (slope ** values[_ORDER.name]).mean(1)


def _exponent_steps(dim: int) -> tuple[Step, ...]:
    return mean_of_logarithm(dim), exponent_by_series(dim)


@result.quantity("top exponent by series", checked_by=(MOMENT,))
def exponent_of_any_dimension(setting: Setting) -> DerivedStatistic:
    """State λ_d, the derivative of the moments at p = 0, which K1 draws."""
    return DerivedStatistic("E log ‖u + τg‖", partial(_exponent_steps, setting.dim))


@result.quantity("spread by series", checked_by=(MOMENT,))
def spread_of_any_dimension(setting: Setting) -> DerivedStatistic:
    """State v_d, a quarter of the second derivative of their logarithm in p/2, which K2 draws."""
    return DerivedStatistic("Var log ‖u + τg‖", partial(spread_steps, setting.dim))


@result.quantity("top exponent on a line", checked_by=(MOMENT,), dims=(1,), label="K6a")
def exponent_on_a_line(setting: Setting) -> DerivedStatistic:
    """State λ₁ by an integral of Dawson's function."""
    return DerivedStatistic("E log |1 + τz|", partial(exponent_steps, setting.dim))
