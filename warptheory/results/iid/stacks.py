"""A9: what repeated warping leaves of the variance."""

from collections.abc import Mapping, Set

import numpy as np
import sympy as sp
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.fields import IID
from warptheory.results._depth import LAYERS, Iterate, solved
from warptheory.results._experiment import MomentExperiment
from warptheory.results._ranges import whole, wide_offsets
from warptheory.results._result import Result
from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.results._stack_experiment import StackExperiment
from warptheory.symbolic import (
    DEVIATION,
    AfterLayers,
    Field,
    IIDField,
    OffsetField,
    Step,
    Variance,
    WideOffsets,
    warp,
)

result = Result(
    "A9",
    "Variance of stacked warps",
    "L warps with independent, widely spread offsets leave σ² ρ̄ᵈᴸ of white input. At a finite spread a little "
    "more stays, because a warp correlates neighbours: its output has the spectral density |ŵ|²S + ∫(R̂ − |ŵ|²)S, "
    "ŵ(θ) = Σⱼ k̂(θ + 2πj) χ(θ + 2πj), R̂ = E |Σₘ k(ε − m) exp(imθ)|²; W and R in the steps are |ŵ|² and R̂ of a "
    "layer. After L layers with one law the variance v_L is σ²α_Lᵈ + Σ_{l < L} b_l v_{L−1−l}, with α_l = ∫|ŵ|²ˡ, "
    "β_l = ∫R̂|ŵ|²ˡ along an axis and b_l = β_lᵈ − α_{l+1}ᵈ.",
    assumptions=(
        "The pixels x[m] are independent with one law of variance σ².",
        "The offsets of every layer and pixel are independent, uniform on [−a, a)ᵈ.",
        "The kernel is a partition of unity with finitely many taps.",
    ),
    source="arXiv 2511.20800, independent inputs; theory label A9",
    meaning="Every warp of noise keeps ρ̄ᵈ of its variance, so that ten bilinear layers in the plane keep about "
    "three in ten thousand. Put a shortcut past the warps or a normalisation between them.",
)


def stack(setting: Setting, layers: int) -> Field:
    """Return x after a number of warps with independent offsets, uniform on [−a, a)."""
    y: Field = IIDField("x")
    for number in range(1, layers + 1):
        y = warp(y, OffsetField("uniform", setting.dim, name=f"epsilon_{number}"), setting.kernel, name=f"y{number}")
    return y


@result.quantity("variance after two layers", smallest_effect=0.015)
def variance_of_two(setting: Setting) -> Variance:
    """State the variance after two layers."""
    return Variance(stack(setting, 2)[PIXEL])


class WarpedPixels(StackExperiment):
    """White pixels, warped again and again; a row's variance about its mean.

    That is too small by a share of the mean's variance, m/N for N pixels: m is the sum of the correlations of a pixel
    with all others, and with offsets over the whole grid, where any two pixels come to share inputs, it grows to the
    number of layers. That is 0.1 % at most.
    """

    @property
    def symbols(self) -> Set[str]:
        """Those of the layers, and moments of the pixels."""
        return {*super().symbols, "mu", "sigma"}

    def start(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows 1 *S"]:
        """Draw white pixels, shape (rows, 1, *S)."""
        law = IID(self.setting.inputs, values["mu"], values["sigma"])
        return law.sample(rows, self.grid, generator, device=device)

    def layer(
        self, field: Float[Tensor, "rows 1 *S"], offsets: Float[Tensor, "rows d *S"]
    ) -> Float[Tensor, "rows 1 *S"]:
        """Warp, shape (rows, 1, *S)."""
        return warping.warp(field, offsets, self.setting.kernel, "periodic")

    def seen(self, field: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the variance of each row, shape (rows,)."""
        return field.flatten(1).var(1, correction=0)


@result.quantity(
    "variance after L layers", smallest_effect=0.02, kernels=("linear", "keys"), values={LAYERS.name: whole(4, 1, 6)}
)
class StackVariance(WarpedPixels, MomentExperiment):
    """The variance after L layers."""

    half_width = HALF_WIDTH

    @property
    def statistic(self) -> AfterLayers:
        """The variance, by the algebra."""
        return AfterLayers(variance_of_two(self.setting), LAYERS)


# At these widths the exact variance is within 0.1 % of the limit.
@result.quantity("variance after three layers, wide offsets", values=wide_offsets)
def wide_variance_of_three(setting: Setting) -> WideOffsets:
    """State the variance after three layers whose offsets are spread widely."""
    return WideOffsets(Variance(stack(setting, 3)[PIXEL]), HALF_WIDTH)


@result.quantity(
    "variance after L layers, wide offsets",
    smallest_effect=0.03,
    kernels=("linear", "keys"),
    values={LAYERS.name: whole(5, 1, 6)},
)
class WideStackVariance(WarpedPixels):
    """The variance after L layers whose offsets are spread widely."""

    text = "Var W_L…W₁x"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from one layer's map to its power."""
        variance = sp.Symbol("v", positive=True)
        x = IIDField("x", deviation=sp.sqrt(variance))
        y = warp(x, OffsetField("uniform", self.setting.dim), self.setting.kernel)
        layer = sp.expand(WideOffsets(Variance(y[PIXEL]), HALF_WIDTH).doit())
        iterate = Step(
            "One layer",
            "wide offsets read every pixel from anywhere, so that what comes out is white again: v = M(L − 1)",
            Iterate(layer, variance, DEVIATION**2, LAYERS),
        )
        return iterate, solved(layer, variance, DEVIATION**2, LAYERS)
