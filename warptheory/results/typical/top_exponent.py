"""K1: the top Lyapunov exponent of a stack of warps, at which slopes typically grow."""

from collections.abc import Mapping
from typing import ClassVar

import sympy as sp
from jaxtyping import Float
from torch import Tensor

from warptheory.results._ranges import Range, limit
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.typical._drawing import WarpedRamp
from warptheory.results.typical._notation import SLOPE_LOGARITHMS
from warptheory.results.typical._slope_length import LENGTH, exponent_steps
from warptheory.symbolic import Step

result = Result(
    "K1",
    "The top exponent of a stack",
    "Layers with independent offsets whose slopes are iid N(0, τ²) multiply the slope of a feature by independent "
    "factors r = ‖u + τg‖ of one law, so that its logarithm grows by λ_d = E log r a layer: λ₁ = log τ − ½(γ + log 2) "
    "+ √2∫₀^{1/τ} D(u/√2) du, D Dawson's integral, negative up to τ ≈ 1.56: on a line slopes typically shrink; λ₂ = "
    "½E₁(1/2τ²), zero to all orders in τ, alive only through slopes beyond one, as folds are (B7); λ₃ = λ₁ + √2 τ "
    "D(1/√2τ) ≈ τ²/2. The mean square grows as (1 + dτ²)ᴸ all the while (C3). As τ → ∞, λ_d − log τ falls to "
    "½(log 2 + ψ(d/2)), Newman's exponent of products of Gaussian matrices: that of layers that read at ε instead of "
    "at t + ε.",
    assumptions=(
        "The slopes at a position are independent N(0, τ²), all d² alike: those of components that are independent "
        "isotropic Gaussian fields.",
        "The offsets of layers are independent of each other and of the feature, which is smooth.",
        "Positions are drawn uniformly from those of the output.",
    ),
    source="Lyapunov exponents of isotropic random matrices: C. M. Newman, Commun. Math. Phys. 103, 1986; J. E. Cohen, "
    "C. M. Newman, Ann. Probab. 12(2), 1984; theory label K1",
    meaning="In one and two dimensions the typical slope of a feature hardly grows with depth while τ is below "
    "about a half, however fast its mean square does, so that a gradient norm tells of few positions. "
    "Look at the median of the slopes' logarithm beside the norm, and compare it with λ_d times the "
    "depth, before offsets are made smaller.",
    notation=SLOPE_LOGARITHMS,
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"tau": Range(0.6, low=0.45, high=0.9, scale="log")},
)


@result.quantity("top exponent", smallest_effect=0.01)
class TopExponent(WarpedRamp):
    """E log r."""

    text = "E log ‖u + τg‖"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to λ_d."""
        return exponent_steps(self.setting.dim)

    def means(self, slope: Float[Tensor, "rows positions"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the mean logarithm, shape (rows,)."""
        return slope.log().mean(1)


_WIDE = 64.0  # λ_d − log τ is above its limit by 1/2dτ², at most 0.2 % of it


@result.quantity("top exponent of wide slopes, less log τ", values={"tau": limit(_WIDE)})
class WideExponent(WarpedRamp):
    """lim E log r − log τ."""

    text = "lim (τ → ∞) of E log ‖u + τg‖ − log τ"
    # In the plane the limit is a tenth of what log r scatters by.
    points: ClassVar[Mapping[int, int]] = {1: 1024, 2: 4096, 3: 256}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to Newman's exponent."""
        dim = self.setting.dim
        shape = sp.Rational(dim, 2)
        density = LENGTH ** (dim - 1) * sp.exp(-(LENGTH**2) / 2) * 2 ** (1 - shape) / sp.gamma(shape)
        integral = sp.Integral(sp.log(LENGTH) * density, (LENGTH, 0, sp.oo))
        return (
            Step("Wide slopes", "log‖u + τg‖ − log τ = log‖g + u/τ‖; ‖g‖² is χ² of d degrees of freedom", integral),
            Step(
                "Differentiate the moments",
                "E‖g‖²ˢ = 2ˢ Γ(d/2 + s)/Γ(d/2), half whose logarithm's derivative at s = 0 it is: K1 at N = 0, for the "
                "mean 1/2τ² of N vanishes",
                sp.expand_func((sp.log(2) + sp.polygamma(0, shape)) / 2),
            ),
        )

    def means(self, slope: Float[Tensor, "rows positions"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the mean logarithm less log τ, shape (rows,)."""
        return (slope / values[TAU.name]).log().mean(1)
