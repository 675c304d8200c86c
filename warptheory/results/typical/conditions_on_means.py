"""K5: what conditions on means say of the positions, and what they do not."""

from collections.abc import Mapping

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.results._depth import LAYERS
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import TAU
from warptheory.results.typical._drawing import WarpedRamp
from warptheory.results.typical._log_slopes import tail_steps
from warptheory.results.typical._notation import SLOPE_LOGARITHMS
from warptheory.results.typical._slope_length import LENGTH, SlopeLengthMean, exponent
from warptheory.results.typical.spread import ShareOfSteepPositions
from warptheory.symbolic import Step

result = Result(
    "K5",
    "Conditions on means and typical positions",
    "The mean square of slopes grows by ½log(1 + dτ²) a layer, in logarithms of the slope, its typical value by λ_d: "
    "after L layers the root mean square exceeds the typical slope by exp(L(½log(1 + dτ²) − λ_d)), about exp(Lτ²) for "
    "small slopes in every d. A condition Ldτ² ≲ 1 on the mean square keeps that factor below exp(1/d) and is "
    "conservative for typical positions, whose slopes hardly grow for d ≤ 2. Beyond it the mean square is carried by "
    "the positions above it, a share G_L((1 + dτ²)^{L/2}) that falls with depth, and says nothing of the others.",
    assumptions=(
        "The slopes at a position are independent N(0, τ²), all d² alike.",
        "The offsets of layers are independent of each other and of the feature, which is smooth.",
        "Positions are drawn uniformly from those of the output.",
    ),
    source="theory label K5; K1, K2 and C3",
    meaning="A bound on the mean squared slope is safe but says little about where training happens, since beyond "
    "Lτ² ≈ 1 only a small share of the positions reaches the mean. Watch two numbers, the mean and the "
    "median of the squared slope, and act on their ratio, which is about exp(2Lτ²) for small slopes.",
    notation={
        **SLOPE_LOGARITHMS,
        "t": "the factor by which a slope has grown after L layers",
        "G_L": "the probability that a slope has grown by a larger factor than that in brackets",
    },
    kernels=("linear",),
    dims=(1, 2, 3),
    values={"tau": Range(0.5, low=0.2, high=0.9, scale="log")},
)


@result.quantity("excess of the mean's exponent over the typical one")
class ExponentGap(WarpedRamp):
    """½ log E r² − E log r."""

    text = "½ log E ‖u + τg‖² − E log ‖u + τg‖"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to the gap of the exponents."""
        dim = self.setting.dim
        square, logarithm = (SlopeLengthMean(function, LENGTH, dim, TAU) for function in (LENGTH**2, sp.log(LENGTH)))
        return (
            Step(
                "Means",
                "of a layer's factor r (K1); after L layers both are L times as large",
                sp.log(square) / 2 - logarithm,
            ),
            Step("Insert both", "E r² = 1 + dτ² (C3), and λ_d (K1)", sp.log(1 + dim * TAU**2) / 2 - exponent(dim)),
        )

    def means(self, slope: Float[Tensor, "rows positions"], values: Mapping[str, float]) -> Float[Tensor, "rows k"]:
        """Return means of r² and log r, shape (rows, 2)."""
        return torch.stack([slope.square().mean(1), slope.log().mean(1)], 1)

    def combine(self, means: Float[ndarray, "k"], values: Mapping[str, float]) -> tuple[float, Float[ndarray, "k"]]:
        """Return the gap, and its gradient, shape (k,), at means of shape (k,)."""
        square, logarithm = means
        return float(np.log(square) / 2 - logarithm), np.array([1 / (2 * square), -1.0])


@result.quantity(
    "share of positions above the mean after L layers",
    smallest_effect=0.02,
    values={LAYERS.name: whole(4, 1, 6), "tau": Range(0.4, low=0.2, high=0.5, scale="log")},
)
class ShareAboveMean(ShareOfSteepPositions):
    """P(∏ r² > (E r²)ᴸ)."""

    text = "P(‖∇y‖² > E‖∇y‖²)"
    symbols = frozenset({TAU.name, LAYERS.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of K2 with the root mean square for t."""
        return tail_steps(self.setting.dim, (1 + self.setting.dim * TAU**2) ** (LAYERS / 2))

    def threshold(self, values: Mapping[str, float]) -> float:
        """Return the root of the mean square slope."""
        return float((1 + self.setting.dim * values[TAU.name] ** 2) ** (values[LAYERS.name] / 2))
